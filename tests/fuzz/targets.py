"""The fuzz targets: the options of both scripts, each importer, the walk over Instagram's answers, and the cleaning rules.

A target makes one input from a random generator and tries it; it returns whether it was accepted and raises on
anything but an error of the family. What was accepted has to keep its promises too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import logging
import random
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import instaloader
import requests
from conftest import ROOT
from fuzz.mutations import as_json, mutated_bytes, mutated_value, packed, repacked, zipped
from instagram_server import edge, media, section
from test_archive import FORMATS

import pull_and_clean
import tune_transformer
from hugging_captions.cleaner import rules
from hugging_captions.errors import HuggingCaptionsError, InputError
from hugging_captions.options import CleanOptions, PullOptions
from hugging_captions.posts import Post, read_posts
from hugging_captions.scraper import import_posts, pull
from hugging_captions.scraper.feeds import FEEDS
from hugging_captions.storage import Store, read_json
from hugging_captions.text import holds_private_data

Target = Callable[[random.Random], bool]

_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


# -- options


_TAGS = ["rmnp", "#RMNP", "Estes_Park", "山登り", "İ", "", "#", "..", "a b", "a/b", "x" * 201, "\udcff", "generated_text", "-", "ß"]
_WORDS = [
    "", " ", "0", "1", "-1", "2", "10", "0.5", "1.5", "1e-5", "nan", "inf", "-inf", "1e999", "9" * 20, "9" * 5000, "٣", "1_000", "0x10", "None", "true",
    "auto", "cpu", "keep", "drop", "word", "any", "en", "gpt2", "scratch", "measured", "classic", "never", "always", "fp32", "bf16", "on", "off", "none",
    "2024-06-30", "2024-13-01", "2024-6-3", "20240630", "0000-00-00", "url", "language", "posts.jsonl", "..", "a\nb", "%s", "é", "\udcff", "\x1b[31m",
    "--", "-", "--train", "@file", "--tag=rmnp", "4294967295", "4294967296", "18446744073709551616",
]  # fmt: skip


def option_target(script: Any) -> Target:
    """Return the target that calls ``script.main`` with random arguments and without its work."""
    parser = script.build_parser()
    flags = [(action.option_strings[-1], action) for action in parser._actions if action.dest not in ("help", "log_file")]
    work = dict.fromkeys(
        (
            "fetch_posts",
            "print_cleaning",
            "print_explanation",
            "print_forgotten",
            "print_training",
            "print_generation",
            "answer_prompts",
            "print_plan",
        ),
        _check_options,
    )

    def target(rng: random.Random) -> bool:
        argv = _arguments(flags, rng)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = script.main(argv)
        lines = err.getvalue().split("\n")
        if "--verbose" in argv:  # a traceback comes first
            lines = lines[next((number for number, line in enumerate(lines) if line.startswith("error: ")), 0) :]
        reads = argv[:1] == ["@file"] or not {"--options-from", "--review", "--prompt-file"}.isdisjoint(argv)  # files that aren't there
        assert code in ((0, 2, 3) if reads else (0, 2)), (argv, code, lines)
        if code == 3:
            assert re.match("error: (?:cannot (?:read|review) |.* is damaged)", lines[0]), (argv, lines)
        elif code == 2:
            assert [line.split(" ")[0] for line in lines] == ["error:", "hint:", ""], (argv, lines)
            assert len(lines[0]) > len("error: x"), (argv, lines)
        else:
            assert lines == [""], (argv, lines)
        return code == 0

    script.build_parser = lambda: parser  # cached: building takes longer than parsing
    for name in work.keys() & vars(script).keys():
        setattr(script, name, work[name])
    Store.lock = lambda *_: contextlib.nullcontext()  # type: ignore[assignment, method-assign, return-value]
    return target


def _arguments(flags: list[tuple[str, Any]], rng: random.Random) -> list[str]:
    argv = ["--tag", *rng.choices(_TAGS, [40] + [1] * (len(_TAGS) - 1), k=rng.choice((1, 1, 1, 2)))] if rng.random() < 0.95 else []
    argv += ["--train"] if ("--train" in dict(flags)) and rng.random() < 0.7 else []
    for flag, action in rng.sample(flags, rng.randint(0, 6)):
        argv.append(flag)
        if action.nargs != 0:
            fitting = [str(choice) for choice in action.choices or ()] + [str(action.default)] * (not isinstance(action.default, tuple))
            for _ in range(rng.choice((1, 1, 1, 1, 2, 0)) if action.nargs == "+" else rng.choice((1,) * 30 + (0, 2))):
                argv.append(rng.choice(fitting) if fitting and rng.random() < 0.6 else rng.choice(_WORDS))
    if rng.random() < 0.05:
        argv.insert(rng.randrange(len(argv) + 1), rng.choice(_WORDS))
    return argv


def _check_options(*arguments: Any) -> None:
    """Check in place of a stage's work that its options can be written into run.json, and read from there."""
    for group in filter(dataclasses.is_dataclass, arguments):
        json.dumps(vars(group), ensure_ascii=False, allow_nan=False, default=_path).encode("utf-8")


def _path(value: Any) -> str:
    assert isinstance(value, Path)  # its name may be any bytes
    return ""


# -- importers


def importer_target(source: str, folder: Path) -> Target:
    """Return the target that imports changed examples of one format."""
    archives = _archives()
    examples = [(name, content.encode()) for name, content, of, _ in [*FORMATS, *_MORE_FORMATS] if of == source]
    examples += [(source, archives[source])] if source in archives else []
    everything = [content.encode() for _, content, _, _ in FORMATS]
    values = [value for _, content in examples for value in _json_values(content)]
    store = Store(folder / "root")

    def target(rng: random.Random) -> bool:
        name, data = rng.choice(examples)
        if values and rng.random() < 0.6:
            data = b"\n".join(as_json(mutated_value(rng.choice(values), rng), rng) for _ in range(rng.choice((1, 1, 2))))
        if source in ("zip", "xlsx") and rng.random() < 0.8:
            data = repacked(data, everything, rng)
        elif source == "parquet" and rng.random() < 0.6:
            data = _as_parquet([mutated_value(_ROW, rng) for _ in range(2)]) or data
        elif not values or rng.random() < 0.4:
            data = mutated_bytes(data, everything, rng)
        if rng.random() < 0.03:
            data = packed(data, rng)
        path = folder / (name if "UTC.txt" in name else "file")
        path.write_bytes(data)
        try:
            with contextlib.suppress(InputError):
                import_posts([path], "rmnp", store)
            posts = list(read_posts(store.posts("rmnp"), _damaged)) if store.posts("rmnp").exists() else []
        finally:
            path.unlink()
            shutil.rmtree(store.root, ignore_errors=True)
        for post in posts:
            _check_post(post)
        return bool(posts)

    return target


_ANSWER = json.dumps({"data": {"items": [media("h1"), media("h2", None)]}})
_MORE_FORMATS: list[tuple[str, str, str, None]] = [
    ("page.har", json.dumps({"log": {"entries": [{"request": {"url": "https://www.instagram.com/x"}, "response": {"content": {"text": _ANSWER}}}]}}), "har", None),
    ("page.html", f'<!doctype html><script type="application/json">{_ANSWER}</script>', "har", None),
    ("posts_1.json", json.dumps([{"media": [{"uri": "a.jpg", "creation_timestamp": 1_717_224_300, "title": "Caf\u00c3\u00a9 by the lake"}]}]), "export", None),
    ("columns.json", json.dumps({"caption": {"0": "One fine day", "1": "Two"}, "likes": {"0": 3, "1": None}}), "export", None),
]  # fmt: skip


_ROW = {"caption": "One fine day", "likes": 3, "date": "2024-06-01", "node": {"text": "x", "count": 1}}


def _as_parquet(rows: list[Any]) -> bytes:
    """Return a Parquet table of ``rows``, empty if its columns would have values of several types."""
    import pandas

    file = io.BytesIO()
    try:
        pandas.DataFrame(rows).to_parquet(file, index=False)
    except Exception:
        return b""
    return file.getvalue()


def _archives() -> dict[str, bytes]:
    """Return a zip archive with another one in it, an Excel and a Parquet table."""
    import pandas

    frame = pandas.DataFrame({"caption": ["One fine day", None], "likes": [3.0, None], "date": pandas.to_datetime(["2024-06-01", None])})
    found = {"xlsx": io.BytesIO(), "parquet": io.BytesIO()}
    frame.to_excel(found["xlsx"], index=False)
    frame.to_parquet(found["parquet"], index=False)
    inner = zipped({"a.csv": b"caption,likes\nOne,1\n", "b/posts.jsonl": b'{"caption": "Two", "likes": 2}\n'})
    return {name: file.getvalue() for name, file in found.items()} | {"zip": zipped({"inner.zip": inner, "c.txt": b"Three\n"})}


def _json_values(content: bytes) -> list[Any]:
    try:
        value = json.loads(content)
        return [value] if isinstance(value, (dict, list)) else []
    except ValueError:
        lines = [_json_or_none(line) for line in content.splitlines()]
        return [line for line in lines if isinstance(line, (dict, list))]


def _json_or_none(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _damaged(number: int, reason: str) -> None:
    raise AssertionError(f"line {number} of posts.jsonl is damaged: {reason}")


def _check_post(post: Post) -> None:
    """Check that a post is valid for posts.jsonl, and reads back unchanged."""
    assert isinstance(post.shortcode, str), post
    assert post.shortcode, post
    assert post.caption is None or isinstance(post.caption, str), post
    assert post.likes is None or (type(post.likes) is int and 0 <= post.likes < 10**12), post
    assert post.date_utc is None or _DATE.fullmatch(post.date_utc), post
    line = json.dumps(dataclasses.asdict(post), ensure_ascii=False).encode("utf-8")
    assert Post(**json.loads(line)) == post


# -- the walk


_CODES = [f"code{i}" for i in range(4)]
_PAGES: list[dict[str, Any]] = [
    {"data": {"top": {"sections": [section(media("top"))]}, "recent": {"sections": [section(*map(media, _CODES))], "more_available": True, "next_max_id": "c1", "next_page": 1}}},
    {"sections": [section(media("a"), media("b", None), media("c", likes=-1))], "more_available": True, "next_max_id": "c2", "next_page": 2, "next_media_ids": [3]},
    {"sections": [{"layout_content": {"one_by_two_item": {"clips": {"items": [{"media": media("d")}]}}, "fill_items": [{"media": media("e")}]}}], "more_available": False},
    {"data": {"hashtag": {"edge_hashtag_to_media": {"edges": [edge("f"), edge("g")], "page_info": {"has_next_page": True, "end_cursor": "x"}}, "edge_hashtag_to_top_posts": {"edges": [edge("h")]}}}},
    {"data": {"hashtag": {"edge_hashtag_to_media": {"edges": [edge("i")], "page_info": {"has_next_page": False, "end_cursor": ""}}}}},
    {"items": [{"media": media("j")}, media("k")]},
    {"media_grid": {"sections": [section(media("l"), media("m"))], "has_more": True, "next_max_id": "1"}, "rank_token": "r"},
    {"data": {"xdt_fbsearch__top_serp_graphql": {"edges": [{"node": {"items": [media("n")]}}], "page_info": {"has_next_page": True, "end_cursor": "z"}}}},
]  # fmt: skip


class _Context:
    """A context like instaloader's that answers with randomly changed pages, and sometimes with a failure."""

    request_timeout = 1.0

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._session = requests.Session()

    def _answer(self, *_: Any, **__: Any) -> Any:
        rng = self._rng
        if rng.random() < 0.05:
            raise rng.choice(
                [
                    instaloader.TooManyRequestsException("429"), instaloader.QueryReturnedNotFoundException("404 when accessing x"), KeyError("data"),
                    instaloader.ConnectionException("checkpoint_required"), instaloader.LoginRequiredException("x"), json.JSONDecodeError("x", "y", 0),
                ]
            )  # fmt: skip
        page = rng.choice(_PAGES)
        return page if rng.random() < 0.2 else mutated_value(page, rng)

    get_json = graphql_query = doc_id_graphql_query = _answer


def walk_target(folder: Path, rng: random.Random) -> bool:
    """Pull twice from a context that answers with changed pages; check what is stored."""
    store = Store(folder / "root")
    feed = rng.choice(((), *((name,) for name in FEEDS), tuple(FEEDS)))
    settings = PullOptions(
        feed=feed, caption_queries=rng.randint(1, 4), max_posts=rng.choice((None, None, 3)), since=rng.choice((None, "2020-01-01"))
    )
    found = False
    try:
        for _ in range(2):
            with contextlib.suppress(HuggingCaptionsError):
                pull("rmnp", settings, _Context(rng), store, "command")  # type: ignore[arg-type]
        damaged: list[int] = []
        posts = list(read_posts(store.posts("rmnp"), lambda number, _: damaged.append(number)))
        assert not damaged
        assert len({post.shortcode for post in posts}) == len(posts)
        for post in posts:
            _check_post(post)
        if store.pull_state("rmnp").exists():
            read_json(store.pull_state("rmnp"))
        found = bool(posts)
    finally:
        shutil.rmtree(store.root, ignore_errors=True)
    return found


# -- the cleaning rules


_BITS = [
    "@", "#", "@x.", "@a_b ", "#ab", "www.", "https://", "a@b.co", " 970-555-0134", "(", ")", '"', "\n", ".", ",", "&", " by ", " with ", " the ",
    "📷", "👉🏼", "❤️", "\u200b", "\u200d", "&amp;", "Ã©", "<U+1F5A4>", "\ue000", "\ue001", "\ue003",
    "•" * 60, "- " * 40, "_" * 50, "// " * 30, " |" * 30, "👇? " * 20,
]  # fmt: skip


def cleaning_target(captions: list[str], rng: random.Random) -> bool:
    """Clean two captions joined anywhere, with difficult parts inserted; check the properties of the result."""
    one, other = rng.choice(captions), rng.choice(captions)
    characters = [*one[: rng.randrange(len(one) + 1)], *other[rng.randrange(len(other) + 1) :]]
    for _ in range(rng.randrange(5)):
        characters.insert(rng.randrange(len(characters) + 1), rng.choice(_BITS))
    options = CleanOptions(skip_rule=("promotion", "language"))
    verdict = rules.examine(Post("x", "".join(characters), 50, None, "rmnp", "test"), options)
    assert verdict.reason == "no-caption" or not holds_private_data(verdict.text), characters
    return not verdict.reason


def targets(folder: Path) -> dict[str, Callable[[], Target]]:
    """Return the maker of each target by name; a target may write below ``folder``. An option target patches its script permanently."""
    logging.getLogger("hugging_captions").setLevel(logging.CRITICAL)
    makers: dict[str, Callable[[], Target]] = {
        "options pull_and_clean": partial(option_target, pull_and_clean),
        "options tune_transformer": partial(option_target, tune_transformer),
    }
    makers |= {
        f"import {source}": partial(importer_target, source, folder)
        for source in dict.fromkeys([*(row[2] for row in [*FORMATS, *_MORE_FORMATS]), "zip", "xlsx", "parquet"])
        if source.isascii()
    }
    captions = [post.caption or "" for post in read_posts(ROOT / "examples" / "rmnp_posts.jsonl", lambda *_: None)]
    return makers | {"walk": lambda: partial(walk_target, folder), "cleaning": lambda: partial(cleaning_target, captions)}
