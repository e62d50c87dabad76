"""archive: every format by its content, twice adds nothing, bad files get one line."""

from __future__ import annotations

import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pull_and_clean
from hugging_captions import archive
from hugging_captions.errors import HuggingCaptionsError, InputError
from hugging_captions.posts import read_posts
from hugging_captions.storage import Store

NODE = {"shortcode": "NODE1", "taken_at_timestamp": 1_600_000_000, "edge_media_preview_like": {"count": 7}}
NODE["edge_media_to_caption"] = {"edges": [{"node": {"text": "Fog on the pass\nand geese 🪿"}}]}
MEDIA = {"code": "MEDIA1", "taken_at": 1_600_000_000, "media_type": 1, "like_count": 8, "caption": {"text": "雪の朝 ☃️"}}
SECTION = {"layout_content": {"medias": [{"media": MEDIA}]}}
DAY = "2020-09-13T12:26:40Z"
NODE_POST = ("NODE1", "Fog on the pass\nand geese 🪿", 7, DAY)
MEDIA_POST = ("MEDIA1", "雪の朝 ☃️", 8, DAY)

APIFY = {
    "shortCode": "APIFY1",
    "caption": "A goose, frankly",
    "likesCount": 9,
    "timestamp": "2020-09-13T12:26:40.000Z",
    "ownerUsername": "x",
}
GALLERY = {
    "category": "instagram",
    "post_shortcode": "GALL1",
    "description": "Cold soup",
    "likes": 10,
    "post_date": "2020-09-13 12:26:40",
    "num": 1,
}
ZEE = {"source_platform": "instagram.com", "timestamp_collected": 1, "data": MEDIA}
FOURCAT = {"id": "FOUR1", "thread_id": "FOUR1", "body": "Warm bread", "author": "a", "timestamp": "2020-09-13 12:26:40", "num_likes": "11"}


def _lines(*records: Any) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


FORMATS: list[tuple[str, str, str, list[tuple[Any, ...]]]] = [
    ("graphql.json", json.dumps({"data": {"hashtag": {"edge_hashtag_to_media": {"edges": [{"node": NODE}, {"node": None}]}}}}), "instagram", [NODE_POST]),
    ("web_info.json", json.dumps({"data": {"top": {"sections": [SECTION]}, "recent": {"sections": []}}}, indent=1), "instagram", [MEDIA_POST]),
    ("sections.json", json.dumps({"sections": [SECTION], "more_available": True}), "instagram", [MEDIA_POST]),
    ("pages.ndjson", _lines({"sections": [SECTION]}, {"data": {"hashtag": {"edge_hashtag_to_media": {"edges": [{"node": NODE}]}}}}), "instagram", [MEDIA_POST, NODE_POST]),
    ("nodes.json", json.dumps([NODE, MEDIA]), "instagram", [NODE_POST, MEDIA_POST]),
    ("post.json", json.dumps({"instaloader": {"node_type": "Post"}, "node": NODE}, indent=4), "instaloader", [NODE_POST]),
    ("apify.json", json.dumps([APIFY, 3]), "apify", [("APIFY1", "A goose, frankly", 9, DAY)]),
    ("apify.jsonl", _lines(APIFY, {**APIFY, "shortCode": "APIFY2", "likesCount": -1}), "apify", [("APIFY1", "A goose, frankly", 9, DAY), ("APIFY2", "A goose, frankly", None, DAY)]),
    ("zee.ndjson", _lines(ZEE), "zeeschuimer", [MEDIA_POST]),
    ("4cat.ndjson", _lines(FOURCAT, {"broken": 1}), "4cat", [("FOUR1", "Warm bread", 11, DAY)]),
    ("4cat.csv", "id,thread_id,body,num_likes,timestamp\nFOUR1,FOUR1,\"Warm\nbread, twice\",11,2020-09-13 12:26:40\n", "4cat", [("FOUR1", "Warm\nbread, twice", 11, DAY)]),
    ("gallery.json", json.dumps(GALLERY), "gallery-dl", [("GALL1", "Cold soup", 10, DAY)]),
    ("gallery-j.json", json.dumps([[2, GALLERY], [3, "https://example.com/a.jpg", {**GALLERY, "num": 2}]]), "gallery-dl", [("GALL1", "Cold soup", 10, DAY)]),
    ("table.tsv", "shortcode\tcaption\tlikes\nTABLE1\tNA\t\nTABLE2\tTea 🍵\t1\n", "records", [("TABLE1", "NA", None, None), ("TABLE2", "Tea 🍵", 1, None)]),
    ("semicolon.csv", "\ufeffCaption;Likes;Shortcode\nMilk; 5;SEMI1\n", "records", [("SEMI1", "Milk", 5, None)]),
    ("lines.jsonl", '{"caption": "First", "likes": 3, "shortcode": "LINE1"}\nnot json\n{"caption": "Third", "likes": null, "shortcode": "LINE3"}\n', "records", [("LINE1", "First", 3, None), ("LINE3", "Third", None, None)]),
    ("damaged-first.jsonl", '{"caption": \n{"caption": "Third", "shortcode": "LINE3"}\n', "records", [("LINE3", "Third", None, None)]),
    ("surrogates.jsonl", '{"caption": "half \\ud83d and whole \\ud83d\\ude00", "shortcode": "SURR1"}\n', "records", [("SURR1", "half \ufffd and whole 😀", None, None)]),
    ("2020-09-13_12-26-40_UTC.txt", "Only a caption file\nof two lines\n", "instaloader", [("", "Only a caption file\nof two lines", None, DAY)]),
    ("plain.txt", "First caption\n\nSecond caption, with a comma\n", "text", [("", "First caption", None, None), ("", "Second caption, with a comma", None, None)]),
]  # fmt: skip


def _import(path: Path, root: Path) -> archive.ImportResult:
    return archive.import_posts([path], "rmnp", Store(root))


def _stored(root: Path) -> list[Any]:
    return list(read_posts(Store(root).posts("rmnp"), lambda number, reason: None))


@pytest.mark.parametrize(("name", "content", "source", "expected"), FORMATS, ids=[row[0] for row in FORMATS])
@pytest.mark.parametrize("packed", ["", ".gz", ".xz", "utf-16"])
def test_a_format_is_read_whatever_its_name(
    name: str, content: str, source: str, expected: list[Any], packed: str, tmp_path: Path, root: Path
) -> None:
    if packed and "UTC.txt" in name:
        pytest.skip("instaloader writes its caption files plainly")
    data = content.lstrip("\ufeff").encode("utf-16") if packed == "utf-16" else content.encode("utf-8")
    data = {".gz": gzip.compress, ".xz": lzma.compress}.get(packed, bytes)(data)
    path = tmp_path / (name if "UTC.txt" in name else f"some_file{packed}")
    path.write_bytes(data)
    result = _import(path, root)
    posts = _stored(root)
    assert [(post.shortcode if row[0] else "", post.caption, post.likes, post.date_utc) for post, row in zip(posts, expected)] == expected
    assert len(posts) == len(expected)
    assert set(result.found) == {source}
    assert {post.tag for post in posts} == {"rmnp"}


def test_importing_twice_adds_nothing_and_equal_posts_stay_apart(tmp_path: Path, root: Path) -> None:
    (tmp_path / "a.txt").write_text("The same\nThe same\nAnother\n")
    (tmp_path / "b.txt").write_text("The same\nThe same\nAnother\n")
    assert _import(tmp_path / "a.txt", root).new == 3
    assert _import(tmp_path / "a.txt", root).new == 0
    assert _import(tmp_path / "b.txt", root).new == 0
    assert len(_stored(root)) == 3


def test_an_instaloader_folder_is_walked(tmp_path: Path, root: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "deeper").mkdir(parents=True)
    (folder / "2020-09-13_12-26-40_UTC.json").write_text(json.dumps({"instaloader": {"node_type": "Post"}, "node": NODE}))
    (folder / "2020-09-13_12-26-40_UTC.txt").write_text("Fog on the pass\nand geese 🪿\n")
    (folder / "2020-09-13_12-26-40_UTC.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / "deeper" / "2021-01-01_00-00-00_UTC.json.xz").write_bytes(
        lzma.compress(json.dumps({"instaloader": {"node_type": "Post"}, "node": MEDIA}).encode())
    )
    (folder / "deeper" / "2022-02-02_02-02-02_UTC.txt").write_text("No metadata here\n")
    (folder / "someone_1.json").write_text(json.dumps({"instaloader": {"node_type": "Profile"}, "node": {"username": "x"}}))
    (folder / "id").write_text("12345\n")
    (tmp_path / "outside.txt").write_text("must not be read\n")
    (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    result = _import(folder, root)
    assert [post.caption for post in _stored(root)] == ["Fog on the pass\nand geese 🪿", "雪の朝 ☃️", "No metadata here"]
    assert result.summary() == "#rmnp: 3 posts in 6 files (instaloader 3), 3 new, 0 already here"


BAD = [
    ("empty", b"", "no usable record"),
    ("binary", bytes(range(256)) * 4, "no usable record"),
    ("null", b"\0\0\0\0", "no usable record"),
    ("truncated document", b'[\n{"caption": "x",\n', "no usable record"),
    ("other json", b'{"name": "not a post"}', "no usable record"),
    ("a number", b"[1, 2, 3]", "no usable record"),
    ("damaged gzip", gzip.compress(b"A caption\n" * 1000)[:30], "no usable record"),
    ("latin-1", "Café au lait\n".encode("latin-1"), "no usable record"),
]


@pytest.mark.parametrize(("name", "data", "says"), BAD, ids=[row[0] for row in BAD])
def test_a_file_without_a_usable_record_names_the_formats(
    name: str, data: bytes, says: str, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(data)
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--from", str(tmp_path / "file")]) == 3
    error, hint = capsys.readouterr().err.splitlines()[-2:]
    assert says in error
    assert "what can be read: an instaloader folder" in hint


def test_a_missing_path_says_what_is_there(tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports" / "posts.json").write_text("{}")
    missing = tmp_path / "exports" / "post.json"
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--from", str(missing)]) == 3
    assert capsys.readouterr().err.splitlines() == [f"error: cannot import {missing}: it does not exist", "hint: there: posts.json"]


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress])
def test_a_bomb_is_stopped_at_the_limit(compress: Any, tmp_path: Path, root: Path) -> None:
    (tmp_path / "bomb").write_bytes(compress(b"A caption\n" * 1_000_000))
    with pytest.raises(InputError, match="unpacks to more than 1,000,000 bytes"):
        archive.import_posts([tmp_path / "bomb"], "rmnp", Store(root), max_bytes=1_000_000)


def test_an_unreadable_record_is_shown_once_with_its_place(tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "posts.jsonl").write_text('{"caption": "One good caption here"}\n{\n[]\n{"likes": 3}\n')
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--from", str(tmp_path / "posts.jsonl")]) == 0
    captured = capsys.readouterr()
    assert captured.err.count("skipped") == 1
    assert "posts.jsonl, line 2: not valid JSON" in captured.err
    assert "3 unreadable records" in captured.out or "2 unreadable records" in captured.out


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300) | st.text(alphabet='{}[]",:\n\tcaption1#é\0', max_size=80).map(str.encode))
def test_no_bytes_break_the_importer(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "file").write_bytes(data)
    try:
        _import(folder / "file", folder / "root")
    except HuggingCaptionsError:
        pass


KEYS = st.sampled_from(
    [
        "data",
        "top",
        "recent",
        "sections",
        "layout_content",
        "medias",
        "media",
        "code",
        "shortcode",
        "caption",
        "text",
        "likes",
        "edges",
        "node",
        "edge_hashtag_to_media",
        "fill_items",
        "instaloader",
        "source_platform",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_no_json_breaks_the_importer(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "file").write_text(json.dumps(value))
    try:
        _import(folder / "file", folder / "root")
    except HuggingCaptionsError:
        pass
