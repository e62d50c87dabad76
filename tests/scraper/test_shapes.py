"""Posts are found by their shape: in wrappers, layouts and archives; similar objects are not."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import pull_and_clean
from hugging_captions.posts import read_posts
from hugging_captions.scraper import records, tables
from hugging_captions.storage import Store

TEXTS = ("The creek is up to the bridge again.", "Fog in the valley 🌫️\nand nobody about.", "Plum cake on the porch, in the rain.")
CODES = ("CaseAAAAA01", "CaseAAAAA02", "CaseAAAAA03")
TIMES = (1717235730, 1717322130, 1717408530)
DATES = ("2024-06-01T09:55:30Z", "2024-06-02T09:55:30Z", "2024-06-03T09:55:30Z")
CASES = [*zip(CODES, TEXTS, TIMES, (120, 121, 122))]

MEDIA: Any = [
    {"pk": str(number), "id": f"{number}_7", "code": code, "taken_at": time, "media_type": 8, "like_count": likes,
     "user": {"pk": "7", "username": "someone"}, "caption": {"pk": "9", "text": text, "created_at": time},
     "carousel_media": [{"id": "1", "media_type": 1, "code": f"{code}x", "taken_at": time}],
     "comments": [{"pk": "5", "text": "Lovely", "created_at": time, "user": {"username": "other"}}]}
    for number, (code, text, time, likes) in enumerate(CASES)
]  # fmt: skip
ROWS: Any = [{"shortcode": code, "caption": text, "likes": likes, "date": time} for code, text, time, likes in CASES]
NODES: Any = [
    {"__typename": "GraphImage", "shortcode": code, "taken_at_timestamp": time, "edge_media_preview_like": {"count": likes},
     "edge_media_to_caption": {"edges": [{"node": {"text": text}}]}}
    for code, text, time, likes in CASES
]  # fmt: skip
API: Any = [
    {"id": str(number), "caption": text, "like_count": likes, "permalink": f"https://www.instagram.com/p/{code}/", "timestamp": date}
    for number, ((code, text, _, likes), date) in enumerate(zip(CASES, DATES))
]


def sections(media: Any) -> Any:
    layout = {"one_by_two_item": {"clips": {"items": [{"media": media[0]}]}}, "fill_items": [{"media": media[1]}]}
    return {"sections": [{"layout_content": layout}, {"layout_content": {"medias": [{"media": media[2]}]}}], "next_max_id": "x"}


def har(*texts: Any, host: str = "www.instagram.com", encoding: str | None = None) -> Any:
    entries = [
        {
            "request": {"url": f"https://{host}/anything"},
            "response": {
                "content": {"text": base64.b64encode(text.encode()).decode() if encoding else text}
                | ({"encoding": encoding} if encoding else {})
            },
        }
        for text in texts
    ]
    return {"log": {"version": "1.2", "entries": entries}}


SHAPES: dict[str, Any] = {
    "a list": ROWS,
    "one wrapper": {"posts": ROWS},
    "wrappers in wrappers": {"response": {"result": [{"page": {"anything": ROWS}}]}},
    "sections": sections(MEDIA),
    "keyword search over REST": {"media_grid": sections(MEDIA), "users": [{"pk": "7", "username": "someone"}]},
    "keyword search over GraphQL": {
        "data": {
            "xdt_viewer": {"user": {"id": "1"}},
            "xdt_fbsearch__top_serp_graphql": {
                "edges": [{"node": {"__typename": "XDTTopSerpHeaderUnit"}}, {"node": {"items": MEDIA}}],
                "page_info": {"end_cursor": "x"},
            },
        }
    },
    "edges": {"data": {"hashtag": {"edge_hashtag_to_media": {"edges": [{"node": node} for node in NODES]}}}},
    "GraphImages": {"GraphImages": NODES, "GraphProfileInfo": {"info": {"biography_with_text": "hello"}, "username": "someone"}},
    "Meta's API": {"data": API, "paging": {"cursors": {"after": "x"}}},
    "keyed by shortcode": {row["shortcode"]: {key: value for key, value in row.items() if key != "shortcode"} for row in ROWS},
    "keyed by shortcode, in a wrapper": {"posts": {row["shortcode"]: {"caption": row["caption"], **row} for row in ROWS}},
    "lists": {key: [row[key] for row in ROWS] for key in ROWS[0]},
    "pandas, columns": {key: {str(i): row[key] for i, row in enumerate(ROWS)} for key in ROWS[0]},
    "pandas, split": {"columns": [*ROWS[0]], "index": [0, 1, 2], "data": [[*row.values()] for row in ROWS]},
    "pandas, table": {"schema": {"fields": []}, "data": ROWS},
    "pandas, index": {str(i): row for i, row in enumerate(ROWS)},
    "a HAR file": har("<html>no posts</html>", json.dumps(sections(MEDIA))),
    "a HAR file, base64": har(json.dumps({"data": MEDIA}), encoding="base64"),
    "a HAR file, guarded and in lines": har("for (;;);" + "\n".join(json.dumps({"x": node}) for node in MEDIA)),
    "a HAR file with a page": har(f'<html><script type="application/json" data-sjs>{json.dumps({"require": [MEDIA]})}</script></html>'),
}


def load(root: Path, path: Path, *argv: str) -> int:
    return pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--from", str(path), "--min-likes", "0", "--language", "any", *argv])


def stored(root: Path) -> list[Any]:
    return list(read_posts(Store(root).posts("rmnp"), lambda *_: pytest.fail("a damaged line")))


@pytest.mark.parametrize("shape", SHAPES)
def test_three_posts_come_out_of_every_shape(shape: str, root: Path, tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    path.write_text(json.dumps(SHAPES[shape]), encoding="utf-8")
    assert load(root, path) == 0
    found = {post.shortcode: (post.caption, post.likes, post.date_utc) for post in stored(root)}
    assert found == {code: (text, likes, date) for (code, text, _, likes), date in zip(CASES, DATES)}


@pytest.mark.parametrize(
    "host", ["ads.example", "instagram.com.evil.example", "notinstagram.com", "x.example/?u=www.instagram.com", "[::1"]
)
def test_answers_of_other_hosts_are_not_read(host: str) -> None:
    assert [*records.iter_records(har(json.dumps(MEDIA), host=host))] == []


def test_the_filler_for_hidden_likes_is_found_in_json_too(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"caption": f"Rain on roof {i}", "likes": 3 if i % 2 else 40 + i} for i in range(12)]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    assert load(root, tmp_path / "a.json") == 0
    assert [post.likes for post in stored(root)] == [None if i % 2 else 40 + i for i in range(12)]
    assert "6 of 12 posts have exactly 3 likes" in capsys.readouterr().err


def test_posts_that_are_keyed_by_shortcode_keep_it(root: Path, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        json.dumps({"posts": {"CqTest00001": {"caption": "Rain on the roof", "likes": 5}, "CqTest00002": {"likes": 3}}})
    )
    (tmp_path / "b.json").write_text(json.dumps({"CqTest00001": "Rain on the roof", "CqTest00003": "Snow on the roof"}))
    assert load(root, tmp_path) == 0
    found = [(post.shortcode, post.caption, post.likes) for post in stored(root)]
    assert found == [("CqTest00001", "Rain on the roof", 5), ("CqTest00002", None, 3), ("CqTest00003", "Snow on the roof", None)]


@pytest.mark.parametrize(
    ("value", "post"),
    [
        ({"code": "CaseAAAAA01", "caption": None, "taken_at": 1}, True),
        ({"code": "CaseAAAAA01", "like_count": 3}, True),
        ({"permalink": "https://www.instagram.com/reel/CaseAAAAA01/", "body": "Rain"}, True),
        ({"shortcode": "CaseAAAAA01"}, False),
        ({"pk": "7", "username": "someone", "full_name": "Some One"}, False),
        ({"pk": "5", "text": "Lovely", "created_at": 1717235730, "user": {"username": "other"}}, False),
        ({"code": "CaseAAAAA01", "taken_at": 1, "caption": None, "expiring_at": 2}, False),
        ({"code": "CaseAAAAA01", "taken_at": 1, "caption": {"text": "Buy"}, "ad_id": "4"}, False),
        ({"code": "CaseAAAAA01", "taken_at": 1, "product_type": "ad"}, False),
        ({"code": "not_found", "message": "no such page"}, False),
        ({"code": 190, "message": "token expired", "timestamp": 3}, False),
        ({"url": "https://www.instagram.com/explore/tags/rmnp/", "caption": "not a post's link"}, False),
    ],
)
def test_the_shape_of_a_post(value: Any, post: bool) -> None:
    assert records.is_post(value) == post


def test_records_without_a_name_are_found_in_wrappers(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    path.write_text(json.dumps({"result": {"items_of_today": [{"caption": text, "likes": 3} for text in TEXTS]}}), encoding="utf-8")
    assert load(root, path) == 0
    assert [post.caption for post in stored(root)] == [*TEXTS]


def test_a_list_of_texts_is_captions(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    path.write_text(json.dumps(TEXTS), encoding="utf-8")
    assert load(root, path) == 0
    assert [post.caption for post in stored(root)] == [*TEXTS]


def test_records_without_any_caption_are_an_error_that_lists_their_fields(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "some.json"
    path.write_text(json.dumps([{"shortcode": code, "words": text, "likes": 3} for code, text in zip(CODES, TEXTS)]), encoding="utf-8")
    assert load(root, path) == 3
    error, hint = capsys.readouterr().err.splitlines()[-2:]
    assert error == f"error: cannot import {path}: 3 records, none with a caption"
    assert hint == "hint: the fields are: likes, shortcode, words; name the one with the caption:  --column caption=NAME"
    assert not Store(root).posts("rmnp").exists()


def export() -> dict[str, Any]:
    """Return the files of Instagram's own export, with its wrongly decoded texts."""
    damaged = [text.encode().decode("latin-1") for text in TEXTS]
    media = {"uri": "media/1.jpg", "creation_timestamp": TIMES[0]}
    return {
        "your_instagram_activity/media/posts_1.json": [
            {"media": [media | {"title": damaged[0]}]},
            {"media": [media, media], "title": damaged[1], "creation_timestamp": TIMES[1]},
        ],
        "your_instagram_activity/messages/inbox/someone/message_1.json": {"messages": [{"content": "a secret", "timestamp_ms": 1}]},
        "connections/followers_1.json": [{"title": "", "string_list_data": [{"value": "someone"}]}],
        "personal_information/no-data.txt": "You have no data in this section",
    }


@pytest.mark.parametrize("packed", [True, False])
def test_of_an_export_of_instagrams_own_only_the_posts_are_read(packed: bool, root: Path, tmp_path: Path) -> None:
    files = {name: content if isinstance(content, str) else json.dumps(content) for name, content in export().items()}
    path = tmp_path / ("export.zip" if packed else "export")
    if packed:
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    for name, content in {} if packed else files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(content, encoding="utf-8")
    assert load(root, path) == 0
    assert [(post.caption, post.likes, post.date_utc) for post in stored(root)] == [(TEXTS[0], None, DATES[0]), (TEXTS[1], None, DATES[1])]


def test_a_zip_archive_holds_any_files_and_writes_nowhere_else(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "some.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../outside.json", json.dumps(ROWS[:1]))
        archive.writestr("/a/table.csv", "caption,likes\nRain on the roof all night,4\n")
        archive.writestr("picture.jpg", b"\xff\xd8")
        archive.writestr("twice", b"\0\1")
        archive.writestr("twice/inside.txt", "Nowhere to put this\n")
    assert load(root, path) == 0
    err = capsys.readouterr().err
    assert "skipped 1 file: pictures and videos (.jpg)" in err
    assert f"warning: {path}: twice/inside.txt can't be unpacked (File exists); skipped" in err
    assert sorted(post.caption for post in stored(root)) == ["Rain on the roof all night", TEXTS[0]]
    assert not [*tmp_path.parent.glob("outside.json")]


@pytest.mark.parametrize("kind", ["no zip", "cut", "bomb"])
def test_a_zip_archive_that_cannot_be_read_is_one_line(
    kind: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "some.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("posts.json", json.dumps(ROWS) + " " * 100_000)
    if kind == "bomb":
        monkeypatch.setattr(tables, "UNSUSPICIOUS", 1000)
        monkeypatch.setattr(tables, "MAX_RATIO", 10)
    else:
        path.write_bytes(b"no zip" if kind == "no zip" else path.read_bytes()[:-30])
    assert load(root, path) == 3
    error, hint = capsys.readouterr().err.splitlines()[-2:]
    assert error.startswith(f"error: cannot import {path}: ")
    assert hint.startswith("hint: ")


def test_a_file_in_the_format_of_captions_txt_round_trips(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "some.txt"
    path.write_text("Two lines\\nof one caption\na shrug ¯\\_(ツ)_/¯ stays\n", encoding="utf-8")
    assert load(root, path) == 0
    assert [post.caption for post in stored(root)] == ["Two lines\nof one caption", "a shrug ¯\\_(ツ)_/¯ stays"]


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2024-06-01 06:08:11 CEST", "2024-06-01T04:08:11Z"),
        ("2024-06-01 06:08:11 PDT", "2024-06-01T13:08:11Z"),
        ("2024-06-01 06:08:11 UTC", "2024-06-01T06:08:11Z"),
        ("2024-06-01 06:08:11 XYZ", None),
        ("0", None),
    ],
)
def test_dates_of_other_tools(text: str, date: str | None) -> None:
    assert records.iso_date(text) == date


def test_what_4cat_fills_in_for_a_partial_item_is_unknown() -> None:
    record = {"partial_item": "True", "thread_id": "CaseAAAAA01", "body": "Rain", "num_likes": "0", "unix_timestamp": "0", "timestamp": "0"}
    post = records.post_from_record(record, "rmnp", Counter(), "table")
    assert post is not None
    assert (post.likes, post.date_utc) == (None, None)


@pytest.mark.parametrize("content", [json.dumps(ROWS), "caption\tlikes\nRain on the roof all night\t4\n"])
def test_standard_input_is_read_like_a_file(content: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    assert load(root, Path("-")) == 0
    assert [post.caption for post in stored(root)] == [*TEXTS] * (content[0] == "[") + ["Rain on the roof all night"] * (content[0] != "[")


def test_a_last_post_without_a_line_break_is_kept(root: Path) -> None:
    path = Store(root).posts("rmnp")
    path.parent.mkdir(parents=True)
    rows = [
        {"shortcode": name, "caption": f"Caption {name}", "likes": 1, "date_utc": None, "tag": "rmnp", "source": "json"} for name in "ab"
    ]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    new = root / "new.json"
    new.write_text(json.dumps([{"shortcode": "CaseAAAAA09", "caption": "One more caption", "likes": 5}]), encoding="utf-8")
    for _ in range(2):
        assert load(root, new) == 0
        assert [post.caption for post in stored(root)] == ["Caption a", "Caption b", "One more caption"]


def test_posts_before_a_file_that_cannot_be_read_are_kept(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "good.json").write_text(json.dumps(ROWS), encoding="utf-8")
    (tmp_path / "bad.json").write_bytes(b"\0\1\2")
    assert (
        pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--from", str(tmp_path / "good.json"), str(tmp_path / "bad.json")]) == 3
    )
    assert len(stored(root)) == 3
    assert "warning: 3 new posts of what was read before are kept" in capsys.readouterr().err


def test_results_of_a_cleaning_are_not_posts(root: Path, tmp_path: Path) -> None:
    (tmp_path / "good.json").write_text(json.dumps(ROWS), encoding="utf-8")
    assert load(tmp_path / "other", tmp_path / "good.json") == 0
    assert load(root, tmp_path / "other") == 0
    assert sorted(post.shortcode for post in stored(root)) == sorted(CODES)


LINES = [json.dumps(row) for row in ROWS]


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(["# exported in 2026", "// second comment", *LINES]),
        "\n".join(["Starting to collect", *LINES]),
        "\n".join(["null", *LINES]),
        json.dumps({"count": 3, "posts": [*ROWS, {"shortcode": "torn"}]})[:-8],
        json.dumps({"tags": [{"name": "rmnp"}], "data": {"count": 3, "posts": [*ROWS, {"shortcode": "torn"}]}})[:-8],
    ],
    ids=["comments", "a log line", "null", "torn", "torn after another list"],
)
def test_posts_around_lines_and_objects_that_are_not_json(text: str, root: Path, tmp_path: Path) -> None:
    (tmp_path / "posts.json").write_text(text, encoding="utf-8")
    assert load(root, tmp_path / "posts.json") == 0
    assert [(post.shortcode, post.caption, post.likes) for post in stored(root)] == [(row[0], row[1], row[3]) for row in CASES]


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("cookies.txt", "# Netscape HTTP Cookie File\n.instagram.com\tTRUE\t/\tTRUE\t0\tsessionid\tplanted\n", "cookies"),
        ("posts.js", f"window.YTD.posts.part0 = {json.dumps(ROWS)}", "JavaScript"),
        ("posts.js", f"callback({json.dumps(ROWS)});", "JavaScript"),
        ("one.json", "null", "text that isn't JSON"),
        ("one.json", "true", "text that isn't JSON"),
        ("rows.jsonl", "\n".join(json.dumps([*map(str, row)]) for row in CASES), "JSON rows without column names"),
    ],
)
def test_files_that_are_not_captions_are_refused_and_skipped_in_folders(
    name: str, text: str, kind: str, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / name).write_text(text, encoding="utf-8")
    assert load(root, folder / name) == 3
    assert f"{name}: it contains {kind}, not captions" in capsys.readouterr().err
    (folder / "posts.jsonl").write_text("\n".join(LINES), encoding="utf-8")
    assert load(root, folder) == 0
    assert f"skipped 1 file: {kind} ({name})" in capsys.readouterr().err
    assert len(stored(root)) == 3


def test_a_column_of_links_gives_the_shortcodes_and_an_unknown_column_is_an_error(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "posts.csv"
    rows = [f"https://www.instagram.com/p/{code}/,Rain all day {likes},{likes}" for code, _, _, likes in CASES]
    path.write_text("\n".join(["Enlace,Texto,Gusta", *rows]), encoding="utf-8")
    argv = ["--root", str(root), "--tag", "rmnp", "--from", str(path), "--column", "caption=Texto", "shortcode=Enlace"]
    assert pull_and_clean.main([*argv, "likes=Nope"]) == 3
    assert (
        f"error: cannot import {path}: no column 'Nope' for --column\nhint: the columns are: Enlace, Texto, Gusta"
        in capsys.readouterr().err
    )
    assert pull_and_clean.main([*argv, "likes=Gusta", "--min-likes", "0", "--language", "any"]) == 0
    assert [(post.shortcode, post.likes) for post in stored(root)] == [(row[0], row[3]) for row in CASES]


def test_utf_32_is_known_by_its_mark(root: Path, tmp_path: Path) -> None:
    (tmp_path / "posts.csv").write_text("caption,likes\nFog in the valley 🌫️,7\n", encoding="utf-32")
    assert load(root, tmp_path / "posts.csv") == 0
    assert [(post.caption, post.likes) for post in stored(root)] == [("Fog in the valley 🌫️", 7)]


@pytest.mark.parametrize("option", [["--language", "english"], ["--skip-rule", "nope"]])
def test_what_the_cleaning_refuses_is_refused_before_the_import(option: list[str], root: Path, tmp_path: Path) -> None:
    (tmp_path / "posts.jsonl").write_text("\n".join(LINES), encoding="utf-8")
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--from", str(tmp_path / "posts.jsonl"), *option]) == 2
    assert not root.exists()
