"""Inputs that are almost valid: valid examples with bytes, values and keys changed with a seeded random generator.

Plain loops over ``random.Random``: hypothesis takes some milliseconds an input, these take microseconds,
and what a user's damaged file looks like is closer to a mutation than to a grammar.
"""

from __future__ import annotations

import copy
import gzip
import io
import json
import lzma
import random
import zipfile
from collections.abc import Sequence
from typing import Any

#: Bytes that often break readers: ends, quotes, byte order marks, half characters, magic numbers, numbers too large.
TOKENS = [
    b"\0", b"\n", b"\r\n", b'"', b'""', b"'", b"\\", b"\\u", b"\\ud83d", b"{", b"}", b"[", b"]", b",", b";", b"\t", b":", b"#", b"null", b"NaN",
    b"-Infinity", b"1e999", b"9" * 30, b"-1", b"true", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x1f\x8b", b"\xfd7zXZ\0", b"\xed\xa0\x80",
    b"\xc3", b"\xf0\x9f", b"\xe2\x80\xa8", b"\x1b[31m", b"[" * 40, b'{"a":' * 40, b'{"caption": ', b'"shortcode"', b"caption,likes", b"import-",
    b"../../", b"https://www.instagram.com/p/",
]  # fmt: skip
#: Values of every type in places where Instagram or a tool once put another.
VALUES: list[Any] = [
    None, True, False, 0, -1, 3, 10**18, 10**300, -(10**40), 0.5, 1e300, -1e308, float("inf"), float("nan"), "", " ", "0", "12.0", "1,234", "-1",
    "9" * 40, "٣", "²", "NaN", "2020-09-13", "0001-01-01", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2020-W37-7", "\ud83d", "\udcff",
    "a\0b", "é" * 50, "../../x", "\x1b[31m", [], [None], [[]], [3, {}], {}, {"text": None}, {"text": 3}, {"edges": [None]}, {"edges": [{"node": []}]},
    {"edges": {}}, {"count": "x"}, {"sections": [None, {"layout_content": {"medias": 3}}]}, {"node": {"shortcode": []}}, {"media": None},
]  # fmt: skip


def mutated_bytes(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """Return ``data`` with one to four places changed, sometimes spliced with another example or compressed."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice((1, 1, 2, 8, 64)))
        kind = rng.randrange(7)
        if kind == 0:
            data = data[:at] + bytes([rng.randrange(256)]) + data[end:]
        elif kind == 1:
            data = data[:at] + rng.choice(TOKENS) + data[at:]
        elif kind == 2:
            data = data[:at] + data[end:]
        elif kind == 3:
            data = data[:end] + data[at:]
        elif kind == 4:
            data = data[:at]
        elif kind == 5:
            other = rng.choice(others)
            data = data[:at] + other[rng.randrange(len(other) + 1) :]
        else:
            data = data[:at] + rng.randbytes(end - at) + data[end:]
    return data


def packed(data: bytes, rng: random.Random) -> bytes:
    """Return ``data`` compressed or in UTF-16, whole or damaged."""
    data = rng.choice((gzip.compress, lambda text: lzma.compress(text, preset=0), _utf16))(data)
    return mutated_bytes(data, [data], rng) if rng.random() < 0.7 else data


def zipped(files: dict[str, bytes]) -> bytes:
    """Return a zip archive of ``files``."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def repacked(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """Return the zip archive ``data`` with one of its files changed or renamed."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {member.filename: archive.read(member) for member in archive.infolist()}
    name = rng.choice([*files])
    content = files.pop(name)
    if content[:2] == b"PK" and rng.random() < 0.7:
        content = repacked(content, others, rng)
    elif rng.random() < 0.8:
        content = mutated_bytes(content, others, rng)
    if rng.random() < 0.2:
        name = rng.choice(
            ("..", "/", "../../x", "c.txt/x", "a" * 300, "posts_1.json", ".hidden", "x.zip", "é\n.csv", "pic.jpg", name + "/")
        )
    return zipped({**files, name: content})


def _utf16(data: bytes) -> bytes:
    return data.decode("utf-8", "replace").encode("utf-16")


def mutated_value(value: Any, rng: random.Random) -> Any:
    """Return a copy of a JSON value with one to three of its nodes replaced, dropped, doubled, wrapped or renamed."""
    value = copy.deepcopy(value)
    for _ in range(rng.randint(1, 3)):
        places = list(_places(value))
        if not places:
            return copy.deepcopy(rng.choice(VALUES))
        holder, key = rng.choice(places)
        kind = rng.randrange(6)
        if kind <= 1:
            holder[key] = copy.deepcopy(rng.choice(VALUES))
        elif kind == 2:
            del holder[key]
        elif kind == 3:
            holder[key] = rng.choice(([holder[key]], {"data": holder[key]}, {"node": holder[key]}, str(holder[key])))
        elif kind == 4:
            other, other_key = rng.choice(places)
            if other_key in other if isinstance(other, dict) else other_key < len(other):
                holder[key] = copy.deepcopy(other[other_key])
        elif isinstance(holder, dict):
            holder[rng.choice(_KEYS)] = holder.pop(key)
        else:
            holder.append(holder[key])
    return value


_KEYS = [
    "data", "hashtag", "graphql", "top", "recent", "sections", "items", "media", "node", "edges", "caption", "text", "code", "shortcode", "taken_at",
    "like_count", "body", "thread_id", "topPosts", "instaloader", "source_platform", "next_max_id", "more_available", "page_info", "error", "Caption",
]  # fmt: skip


def _places(value: Any) -> Any:
    """Yield (container, key) of every node below ``value``."""
    for key, item in list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()):
        yield value, key
        yield from _places(item)


def as_json(value: Any, rng: random.Random) -> bytes:
    """Return a JSON text in the format of one of the tools."""
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5, indent=rng.choice((None, None, 1)))
    return text.encode("utf-8", "surrogatepass")
