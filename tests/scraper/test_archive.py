"""Importing: every format by its content, twice adds nothing, bad files get one line."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import io
import json
import logging
import lzma
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pull_and_clean
from hugging_captions.errors import HuggingCaptionsError, InputError
from hugging_captions.posts import read_posts
from hugging_captions.scraper import archive, records
from hugging_captions.storage import Store
from tests.conftest import SHARED

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
    "shortcode": "GALL1_FIRST_PICTURE",
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
    ("gallery-j.json", json.dumps([[2, GALLERY], [3, "https://example.com/a.jpg", {**GALLERY, "num": 2, "shortcode": "GALL1_SECOND"}]]), "gallery-dl", [("GALL1", "Cold soup", 10, DAY)]),
    ("table.tsv", "shortcode\tcaption\tlikes\nTABLE1\tNA\t\nTABLE2\tTea 🍵\t1\n", "table", [("TABLE1", "NA", None, None), ("TABLE2", "Tea 🍵", 1, None)]),
    ("semicolon.csv", "\ufeffCaption;Likes;Shortcode\nMilk; 5;SEMI1\n", "table", [("SEMI1", "Milk", 5, None)]),
    ("lines.jsonl", '{"caption": "First", "likes": 3, "shortcode": "LINE1"}\nnot json\n{"caption": "Third", "likes": null, "shortcode": "LINE3"}\n', "json", [("LINE1", "First", 3, None), ("LINE3", "Third", None, None)]),
    ("damaged-first.jsonl", '{"caption": \n{"caption": "Third", "shortcode": "LINE3"}\n', "json", [("LINE3", "Third", None, None)]),
    ("surrogates.jsonl", '{"caption": "half \\ud83d and whole \\ud83d\\ude00", "shortcode": "SURR1"}\n', "json", [("SURR1", "half \ufffd and whole 😀", None, None)]),
    ("2020-09-13_12-26-40_UTC.txt", "Only a caption file\nof two lines\n", "instaloader", [("", "Only a caption file\nof two lines", None, DAY)]),
    ("plain.txt", "First caption\n\nSecond caption, with a comma\n", "text", [("", "First caption", None, None), ("", "Second caption, with a comma", None, None)]),
    ("4cat-items.ndjson", _lines({**MEDIA, "__import_meta": {"source_platform": "instagram.com"}}), "4cat", [MEDIA_POST]),
    ("4cat-comments.csv", "id,thread_id,body,type,num_likes,likes_hidden\n1785,FOUR1,so good,comment,1,no\nFOUR1,FOUR1,Warm bread,photo,3,yes\n", "4cat", [("FOUR1", "Warm bread", None, None)]),
    ("apify-hashtag.json", json.dumps([{"name": "rmnp", "topPosts": [APIFY], "latestPosts": [{**APIFY, "shortCode": "APIFY2"}]}]), "apify", [("APIFY1", "A goose, frankly", 9, DAY), ("APIFY2", "A goose, frankly", 9, DAY)]),
    ("apify-comments.jsonl", _lines(APIFY, {"postUrl": "https://www.instagram.com/p/APIFY1/", "commentUrl": "x", "text": "lovely", "likesCount": 1}), "apify", [("APIFY1", "A goose, frankly", 9, DAY)]),
    ("one-by-two.json", json.dumps({"sections": [{"layout_content": {"one_by_two_item": {"clips": {"items": [{"media": MEDIA}]}}, "fill_items": [{"media": {**MEDIA, "code": "MEDIA2", "like_count": 3, "like_and_view_counts_disabled": True}}]}}]}), "instagram", [MEDIA_POST, ("MEDIA2", "雪の朝 ☃️", None, DAY)]),
    ("spreadsheet.csv", "caption,likes,timestamp,url\nRain on tin,12.0,1600000000.0,https://www.instagram.com/p/LINKED1/\n\n,\"1,234\",,https://www.instagram.com/reel/LINKED2/?x=1\n,,,\n", "table", [("LINKED1", "Rain on tin", 12, DAY), ("LINKED2", None, 1234, None)]),
    ("own-columns.csv", "code,taken_at,caption,likes,like_and_view_counts_disabled\nOWNCODE1,2020-09-13T12:26:40+00:00,Elk at dusk,3,True\n", "table", [("OWNCODE1", "Elk at dusk", None, DAY)]),
    ("damaged.csv", 'caption,likes,shortcode\n"never closed,1,QUOTE1\n"Closed, twice",2,QUOTE2\nToo many,3,QUOTE3,4,5\nShort\nAfter it,4,LAST1,\n', "table", [("", "Short", None, None), ("LAST1", "After it", 4, None)]),
    ("posts.jsonl", _lines({"shortcode": "import-0123456789abcdef", "caption": "Ours", "likes": None, "date_utc": DAY, "tag": "x", "source": "sections"}), "sections", [("import-0123456789abcdef", "Ours", None, DAY)]),
    ("posts-of-gallery-dl.jsonl", _lines({"shortcode": "GALL2", "caption": "Ours", "likes": 1, "date_utc": DAY, "tag": "x", "source": "gallery-dl"}), "gallery-dl", [("GALL2", "Ours", 1, DAY)]),
    ("absurd.jsonl", _lines({"caption": "Nobody has that many", "likes": 10**300, "date": 10**300}), "json", [("", "Nobody has that many", None, None)]),
    ("year-one.jsonl", _lines({"caption": "Long ago", "date": "0001-01-01"}), "json", [("", "Long ago", None, "0001-01-01T00:00:00Z")]),
    ("half-source.jsonl", '{"shortcode": "HALF1", "caption": "Ours", "likes": null, "date_utc": null, "tag": "x", "source": "\\udcff"}\n', "\ufffd", [("HALF1", "Ours", None, None)]),
    ("guarded.json", 'for (;;);\n' + json.dumps({"payload": [MEDIA]}), "instagram", [MEDIA_POST]),
    ("guarded-line.json", 'for (;;);' + json.dumps([APIFY]), "apify", [("APIFY1", "A goose, frankly", 9, DAY)]),
    ("jq.json", "\n".join(json.dumps(record, indent=2) for record in (APIFY, GALLERY)).replace("GALL1", "GALL9"), "apify gallery-dl", [("APIFY1", "A goose, frankly", 9, DAY), ("GALL9", "Cold soup", 10, DAY)]),
    ("joined.json", json.dumps(APIFY) + json.dumps({**APIFY, "shortCode": "APIFY2"}), "apify", [("APIFY1", "A goose, frankly", 9, DAY), ("APIFY2", "A goose, frankly", 9, DAY)]),
    ("one-column.csv", 'caption\nWarm bread, twice; and more\n"In quotes, twice"\nShe said "finally", and left\n', "table", [("", "Warm bread, twice; and more", None, None), ("", "In quotes, twice", None, None), ("", 'She said "finally", and left', None, None)]),
    ("brackets.txt", "[NEW] boots, who dis\n{sigh} monday\n", "text", [("", "[NEW] boots, who dis", None, None), ("", "{sigh} monday", None, None)]),
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
    assert set(result.found) == {*source.split()}
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
    (folder / "2020-09-13_12-26-40_UTC_comments.json").write_text(
        json.dumps([{"id": 1, "created_at": 1_600_000_000, "text": "nice!", "owner": {"username": "x"}, "likes_count": 0, "answers": []}])
    )
    (folder / "2022-02-02_02-02-02_UTC_location.txt").write_text("A place\nhttps://maps.example.com\n")
    (folder / "2022-02-02_02-02-02_UTC_old_01.txt").write_text("Before the edit\n")
    (folder / "NAMED.json").write_text(json.dumps({"instaloader": {"node_type": "Post"}, "node": {**NODE, "shortcode": "NODE2"}}))
    (folder / "NAMED.txt").write_text("Fog on the pass\nand geese 🪿\n")
    (folder / "README.md").write_text("must not be read\n")
    (folder / ".git").mkdir()
    (folder / ".git" / "note.txt").write_text("must not be read\n")
    (folder / "id").write_text("12345\n")
    (tmp_path / "outside.txt").write_text("must not be read\n")
    (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    result = _import(folder, root)
    assert [post.shortcode[:7] for post in _stored(root)] == ["NODE1", "NODE2", "MEDIA1", "import-"]
    assert _stored(root)[3].caption == "No metadata here"
    assert result.summary() == "#rmnp: 4 posts in 6 files (instaloader 4), 4 new, 0 already here, 1 other file\n    skipped"


def test_files_of_this_project_are_not_imported(root: Path) -> None:
    store = Store(root)
    root.mkdir(exist_ok=True)
    (root / "mine.txt").write_text("A good caption of mine\n", encoding="utf-8")
    assert archive.import_posts([root], "rmnp", store).new == 1
    store.captions("other").parent.mkdir()
    store.captions("other").write_text("A caption that was cleaned\n", encoding="utf-8")
    assert archive.import_posts([root], "rmnp", store).found == {"text": 1}
    assert archive.import_posts([store.captions("other").parent], "rmnp", store).new == 1  # named explicitly


@pytest.mark.parametrize("date", [20210630, "20210630", 1625011200, "1625011200", 1625011200000, "2021-06-30", "2021-06-30T02:00:00+02:00"])
def test_dates_in_every_notation_are_the_same_day(date: object) -> None:
    assert records.iso_date(date) == "2021-06-30T00:00:00Z"


def test_the_pictures_of_a_carousel_are_one_post(tmp_path: Path, root: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in (1, 2, 3):
        (folder / f"{number}.jpg.json").write_text(json.dumps({**GALLERY, "num": number, "shortcode": f"PICTURE{number}"}))
    (folder / "story.jpg.json").write_text(json.dumps({"category": "instagram", "post_shortcode": "STORY1", "expires": "2020-09-13"}))
    result = _import(folder, root)
    assert [post.shortcode for post in _stored(root)] == ["GALL1"]
    assert result.summary() == "#rmnp: 1 post in 4 files (gallery-dl 1), 1 new, 0 already here"


@pytest.mark.parametrize("column", ["id", "code"])
def test_numbered_rows_of_two_tables_are_not_the_same_posts(column: str, tmp_path: Path, root: Path) -> None:
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    paths[0].write_text(f"{column},caption\n10001,One\nen-US,Two\n")
    paths[1].write_text(f"{column},caption\n10001,Three\nen-US,Four\n")
    assert archive.import_posts(paths, "rmnp", Store(root)).new == 4


LONG = b"a" * 199 + b"\n"
DAMAGED = [
    ("NUL in plain text", LONG * 400 + b"\0\0\nb\n", [LONG.decode().strip()] * 400 + ["b"], "line 401: binary data"),
    ("a quote that closes far below", b'caption,likes,x\na,1,2\n"lost,1\n' + (b"a,1," + LONG) * 800 + b'",1,2\nb,1,2\n', ["a", "b"], "row 3: a cell of over 65,536 characters"),
    ("a torn list", json.dumps({"posts": [{"caption": "a"}, {"caption": "b"}, {"caption": "lost"}]}, indent=1).encode()[:-18], ["a", "b"], "line 9: not valid JSON"),
    ("a list that isn't closed", b'[{"caption": "a"},\n{"caption": "b"}\n', ["a", "b"], "line 3: not valid JSON"),
    ("a torn object after others", b'{\n"caption": "a"\n}\n{\n"caption"', ["a"], "line 4: not valid JSON"),
    ("a torn gzip", gzip.compress(LONG * 2000 + os.urandom(4000).hex().encode())[:-2500], [LONG.decode().strip()] * 1500, "from here on: the compressed file is damaged"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "data", "captions", "complaint"), DAMAGED, ids=[row[0] for row in DAMAGED])
def test_reading_continues_after_damage(
    name: str,
    data: bytes,
    captions: list[str],
    complaint: str,
    tmp_path: Path,
    root: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger("hugging_captions"), "propagate", True)
    (tmp_path / "file").write_bytes(data)
    result = _import(tmp_path / "file", root)
    assert [post.caption for post in _stored(root)][: len(captions)] == captions
    assert result.unreadable == 1
    assert f"file, {complaint}" in caplog.text


CAPTION = "A café, frankly – “très” 5 €"
ENCODED = [
    ("text", CAPTION + "\n", "cp1252"),
    ("JSON lines", json.dumps({"caption": CAPTION}, ensure_ascii=False) + "\n{}\n", "cp1252"),
    ("JSON", json.dumps([{"caption": CAPTION}], ensure_ascii=False, indent=1), "cp1252"),
    ("table", f"caption,größe\n{CAPTION.replace(',', ';')},3\n", "cp1252"),
    ("table", f"caption,größe\r{CAPTION.replace(',', ';')},3\r", "utf-8-sig"),
    ("text", CAPTION + "\n", "utf-16"),
]


@pytest.mark.parametrize(("kind", "content", "encoding"), ENCODED, ids=[f"{row[0]} in {row[2]}" for row in ENCODED])
def test_the_encoding_is_that_of_the_whole_file(kind: str, content: str, encoding: str, tmp_path: Path, root: Path) -> None:
    (tmp_path / "file").write_bytes(content.encode(encoding))
    _import(tmp_path / "file", root)
    assert [post.caption.replace(";", ",") for post in _stored(root)] == [CAPTION]


def test_a_damaged_byte_in_utf_8_is_replaced(tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file.txt").write_bytes("Fog 🌫️ in the valley\nA quiet caf\xe9 by the lake\n".encode().replace("\xe9".encode(), b"\xe9"))
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--from", str(tmp_path / "file.txt")]) == 0
    assert [post.caption for post in _stored(root)] == ["Fog 🌫️ in the valley", "A quiet caf\ufffd by the lake"]
    assert "file.txt: bytes that aren't UTF-8 (1) are replaced by U+FFFD" in capsys.readouterr().err


def test_a_file_that_is_not_compressed_has_no_limit(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hugging_captions.scraper.tables.MAX_UNPACKED", 100)
    (tmp_path / "plain").write_text("A caption\n" * 1000)
    assert archive.import_posts([tmp_path / "plain"], "rmnp", Store(root)).new == 1000


def test_nothing_is_written_when_one_of_the_paths_is_missing(tmp_path: Path, root: Path) -> None:
    (tmp_path / "here.txt").write_text("A caption\n")
    with pytest.raises(InputError, match="does not exist"):
        archive.import_posts([tmp_path / "here.txt", tmp_path / "gone.txt"], "rmnp", Store(root))
    assert not root.exists()


def test_the_recordings_are_read(root: Path) -> None:
    if not SHARED.exists():
        pytest.skip("../shared is not here")
    results = {path.name: _import(path, root / path.stem) for path in (*SHARED.glob("payloads/*.json"), SHARED / "instaloader_folder")}
    assert {name: result.unreadable for name, result in results.items()} == dict.fromkeys(results, 0)
    assert results["instaloader_folder"].found == {"instaloader": 40}
    assert results["apify_instagram_scraper_2025.json"].found == {"apify": 83}


BAD = [
    ("empty", b"", "no usable record"),
    ("binary", bytes(range(256)) * 4, "no usable record"),
    ("null", b"\0\0\0\0", "no usable record"),
    ("not a zip", b"PK\x03\x04junk", "no usable record"),
    ("only a byte order mark", b"\xef\xbb\xbf", "no usable record"),
    ("truncated document", b'[\n{"caption": "x",\n', "no usable record"),
    ("pdf", b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\nA line of text\n\x03\x05\x01\n", "no usable record"),
    ("bits of a gzip", gzip.compress(bytes(range(256)) * 9)[:60] + b"\xff\xff" * 40, "no usable record"),
    ("nested deeply", b'{"data":' * 900 + b"1" + b"}" * 900, "no usable record"),
    ("only comments", b'[{"text": "nice", "owner": {}, "created_at": 1}]', "no usable record"),
    ("other json", b'{"name": "not a post"}', "no usable record"),
    ("a number", b"[1, 2, 3]", "no usable record"),
    ("damaged gzip", gzip.compress(b"A caption\n" * 1000)[:30], "no usable record"),
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


def test_the_error_for_a_missing_path_lists_the_folder(tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports" / "posts.json").write_text("{}")
    missing = tmp_path / "exports" / "post.json"
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--from", str(missing)]) == 3
    assert capsys.readouterr().err.splitlines()[1:] == [f"error: cannot import {missing}: it does not exist", "hint: there: posts.json"]


SENTENCES = [
    "We walked up the hill, and saw the lake.",
    "The snow was deep; the road was closed\nuntil noon.",
    'My brother said "good coffee" in the tent.',
]


def _as_table(separator: str, header: Sequence[str], line_end: str = "\n") -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerows([header, *([f"S{i}", caption, "1,234"] for i, caption in enumerate(SENTENCES))])
    return out.getvalue()


NAMES = ("shortcode", "caption", "likes")
TABLES = [
    ("comma", _as_table(",", NAMES).encode()),
    ("semicolon", _as_table(";", NAMES).encode()),
    ("pipe", _as_table("|", NAMES).encode()),
    ("tab", _as_table("\t", NAMES).encode()),
    ("Excel's separator line", ("sep=;\n" + _as_table(";", NAMES)).encode()),
    ("byte order mark", ("\ufeff" + _as_table(",", NAMES)).encode()),
    ("CRLF", _as_table(",", NAMES, "\r\n").encode()),
    ("CR", _as_table(",", NAMES, "\r").encode()),
    ("UTF-16", _as_table("\t", NAMES).encode("utf-16")),
    ("column names in capitals", _as_table(",", ("Shortcode", "Caption", "Likes")).encode()),
    ("column named post_caption", _as_table(",", ("shortcode", "post_caption", "like_num")).encode()),
    ("column named captions", _as_table(";", ("shortcode", "captions", "Like Count")).encode()),
]


@pytest.mark.parametrize("data", [row[1] for row in TABLES], ids=[row[0] for row in TABLES])
@pytest.mark.parametrize("name", ["posts.csv", "posts"])
def test_a_table_of_any_notation_gives_the_same_posts(name: str, data: bytes, tmp_path: Path, root: Path) -> None:
    (tmp_path / name).write_bytes(data)
    _import(tmp_path / name, root)
    assert [(post.shortcode, post.caption, post.likes) for post in _stored(root)] == [
        (f"S{i}", text, 1234) for i, text in enumerate(SENTENCES)
    ]


NO_TABLES = [
    ("no header", "posts.txt", "S1,We walked up the hill.,12\nS2,The snow was deep.,13\n", "S1, We walked up the hill., 12"),
    ("no caption column", "posts", "id;title;likes\n1;One;2\n2;Two;3\n", "id, title, likes"),
    ("one column", "posts.csv", "title\nOne\n", "title"),
    ("rows of any width", "posts.tsv", "id\ttitle\n1\n2\tTwo\tand more\n", "id, title"),
]


@pytest.mark.parametrize(("name", "content", "columns"), [row[1:] for row in NO_TABLES], ids=[row[0] for row in NO_TABLES])
def test_a_table_without_a_caption_column_is_never_read_as_text(
    name: str, content: str, columns: str, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / name).write_text(content)
    (folder / "mine.txt").write_text("One caption, that stands alone\n")
    says = f"cannot import {folder / name}: the first row of the table doesn't name a caption column: {columns}"
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--from", str(folder / name)]) == 3
    error, hint = capsys.readouterr().err.splitlines()[-2:]
    assert error == f"error: {says}"
    assert hint == "hint: name it:  --column caption=NAME  (likes=NAME, date=NAME and shortcode=NAME too)"
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--from", str(folder)]) == 0
    captured = capsys.readouterr()
    assert f"warning: {says}; skipped" in captured.err
    assert "1 post in 1 file (text 1), 1 new, 0 already here, 1 other file skipped" in captured.out


def test_like_counts_of_every_notation_are_read_and_the_others_counted(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts: dict[Any, int | None] = {"1,234": 1234, "1.2k": 1200, "2M": 2_000_000, "12 likes": 12, "1204.0": 1204, "": None, "-1": None}
    counts |= {"2.5M likes": 2_500_000, "1K+": 1000, "1 234": 1234, "1'234": 1234, "1\u202f234": 1234, "NaN": None, "—": None}
    wrong = ["-5", "3.7", "1.234", True, [1, 2], 12.7, 10**30, "many"]
    lines = [{"shortcode": f"S{i}", "caption": "x", "likes": likes} for i, likes in enumerate([*counts, *wrong])]
    (tmp_path / "posts.jsonl").write_text(_lines(*lines))
    assert pull_and_clean.main(
        ["--root", str(root), "--tag", "rmnp", "--min-words", "1", "--language", "any", "--from", str(tmp_path / "posts.jsonl")]
    ) in (0, 5)
    assert [post.likes for post in _stored(root)] == [*counts.values(), *[None] * len(wrong)]
    assert "22 new, 0 already here, 8 unreadable like\n    counts" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("likes", "read", "hidden"),
    [
        ([3, 3, 3, 415, 288, 512], [None, None, None, 415, 288, 512], True),
        ([3, 3, 3, 415, 2, 512], [3, 3, 3, 415, 2, 512], False),
        ([3, 3, 288, 512], [3, 3, 288, 512], False),
    ],
)
def test_threes_in_a_table_that_has_no_other_small_count_are_hidden_counts(
    likes: list[int], read: list[int | None], hidden: bool, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f"S{i},A caption of some words number {i},{count}\n" for i, count in enumerate(likes))
    (tmp_path / "posts.csv").write_text("shortcode,caption,likes\n" + rows)
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--from", str(tmp_path / "posts.csv")]) in (0, 5)
    assert [post.likes for post in _stored(root)] == read
    warning = "posts.csv: 3 of 6 posts have exactly 3 likes and none has 0-2 or 4-7: read as hidden counts"
    assert (warning in capsys.readouterr().err) == hidden


@pytest.mark.parametrize(
    ("header", "row", "date"),
    [
        ("caption,pubDate,timestamp", "One,2024-06-01T06:08:11.000Z,2026-01-05T10:00:00.000Z", "2024-06-01T06:08:11Z"),
        ("caption_text,date_posted", "One,2024-06-01 06:08:11", "2024-06-01T06:08:11Z"),
        ("caption,Publish time", "One,1717222091.0", "2024-06-01T06:08:11Z"),
    ],
)
def test_the_date_is_that_of_the_post(header: str, row: str, date: str, tmp_path: Path, root: Path) -> None:
    (tmp_path / "posts.csv").write_text(f"{header}\n{row}\n")
    _import(tmp_path / "posts.csv", root)
    assert [(post.caption, post.date_utc) for post in _stored(root)] == [("One", date)]


@pytest.mark.parametrize("shortcode", ["ABC", "a" * 60, 12345, "with space", "ж"])
def test_a_post_keeps_the_name_that_it_was_given(shortcode: object, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "posts.jsonl").write_text(_lines({"shortcode": shortcode, "caption": "One good caption here"}))
    _import(tmp_path / "posts.jsonl", root)
    assert [post.shortcode for post in _stored(root)] == [str(shortcode)]


@pytest.mark.parametrize("kind", ["-", "pipe", "device", "empty"])
def test_an_import_that_fails_writes_nothing(
    kind: str, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    path = {"-": Path("-"), "device": Path("/dev/null")}.get(kind, tmp_path / kind)
    if kind == "pipe":
        os.mkfifo(path)
    if kind == "empty":
        path.write_bytes(b"")
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--from", str(path)]) == 3
    says = "for tag 'rmnp': no usable record in it" if kind in ("empty", "-") else "it is not a file or folder"
    error, hint = capsys.readouterr().err.splitlines()[-2:]
    assert error.startswith(f"error: cannot import {path}")
    assert error.endswith(says)
    assert hint.startswith("hint: ")
    assert not Store(root).posts("rmnp").parent.exists()


def test_a_quote_that_never_closes_names_its_row(tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "posts.csv").write_text('caption,likes\nOne,1\n"Two,2\nThree,3\n')
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--from", str(tmp_path / "posts.csv")]) == 3
    assert "posts.csv: the quote that opens in row 3 is never closed" in capsys.readouterr().err
    (tmp_path / "posts.csv").write_text('"caption,likes\n' + "A caption of some length,1\n" * 6000)
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--from", str(tmp_path / "posts.csv")]) == 3
    assert "posts.csv: field larger than field limit" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "package"), [("posts.xlsx", "openpyxl"), ("posts.parquet", "pyarrow")])
def test_excel_and_parquet_are_read_where_their_package_is(
    name: str, package: str, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import pandas

    path = tmp_path / "some_file"
    if importlib.util.find_spec(package):
        frame = pandas.DataFrame({"Caption": ["One", "Two"], "likes": [3, 4], "date": pandas.to_datetime(["2024-06-01"] * 2)})
        (frame.to_excel if package == "openpyxl" else frame.to_parquet)(tmp_path / name, index=False)
        (tmp_path / name).rename(path)
        _import(path, root)
        assert [(post.caption, post.likes, post.date_utc) for post in _stored(root)] == [
            ("One", 3, "2024-06-01T00:00:00Z"),
            ("Two", 4, "2024-06-01T00:00:00Z"),
        ]
        return
    if package == "openpyxl":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("xl/workbook.xml", "")
    else:
        path.write_bytes(b"PAR1" + bytes(40))
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--from", str(path)]) == 3
    error, hint = capsys.readouterr().err.splitlines()[-2:]
    assert error.startswith(f"error: cannot import {path}: ")
    assert error.endswith(f"needs the package {package}")
    assert hint == f"hint: python -m pip install {package}"


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_bomb_is_stopped_at_the_limit(compress: Any, encoding: str, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hugging_captions.scraper.tables.MAX_UNPACKED", 1_000_000)
    (tmp_path / "bomb").write_bytes(compress(("A caption\n" * 120_000).encode(encoding)))
    with pytest.raises(InputError, match="unpacks to more than 1,000,000 bytes"):
        archive.import_posts([tmp_path / "bomb"], "rmnp", Store(root))


def test_an_unreadable_record_is_shown_once_with_its_place(tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "posts.jsonl").write_text('{"caption": "One good caption here"}\n{\n[]\n{"likes": 3}\n')
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--from", str(tmp_path / "posts.jsonl")]) == 0
    captured = capsys.readouterr()
    assert captured.err.count("skipped") == 1
    assert "posts.jsonl, line 2: not valid JSON" in captured.err
    assert "1 post in 1 file (json 1), 1 new, 0 already here, 2 unreadable records" in captured.out


MANGLED = st.builds(
    lambda pack, at, byte: pack[: at % len(pack)] + bytes([byte]) + pack[at % len(pack) + 1 :],
    st.sampled_from(
        [gzip.compress(b"caption,likes\nOne,1\n" * 9), lzma.compress(b'{"caption": "x"}\n' * 9), "caption;x\nÄ;1\n".encode("utf-16")]
    ),
    st.integers(0, 500),
    st.integers(0, 255),
)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300) | MANGLED | st.text(alphabet='{}[]",:\n\tcaption1#é\0', max_size=80).map(str.encode))
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
