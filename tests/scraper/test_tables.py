"""Tables: real Excel and Parquet files, every CSV dialect, folders and archives, --column."""

from __future__ import annotations

import codecs
import datetime as dt
import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pandas
import pyarrow
import pyarrow.parquet
import pytest

import pull_and_clean
from hugging_captions.posts import read_posts
from hugging_captions.scraper import records
from hugging_captions.storage import Store

CAPTIONS = ["The river was loud; we gave up talking", "Fog again 🌫️\nand the cows don't mind", 'Café by the lake, "two hours" of naïve rain']
POSTS = [("CodeAAAAA01", CAPTIONS[0], 120), ("CodeAAAAA02", CAPTIONS[1], 121), ("CodeAAAAA03", CAPTIONS[2], 122)]
DAYS = ["2024-06-01T06:45:00Z", "2024-06-02T06:45:00Z", "2024-06-03T06:45:00Z"]
MOMENTS = [dt.datetime(2024, 6, day, 6, 45) for day in (1, 2, 3)]


def load(root: Path, *paths: Path, more: tuple[str, ...] = ()) -> int:
    """Import ``paths`` and return the exit code."""
    argv = ["--root", str(root), "--tag", "rmnp", "--from", *map(str, paths), *more]
    return pull_and_clean.main([*argv, "--min-likes", "0", "--language", "any", "--min-words", "1", "--workers", "1"])


def stored(root: Path) -> list[tuple[str, str | None, int | None]]:
    """Return the shortcodes, captions and likes of all posts."""
    return [(post.shortcode, post.caption, post.likes) for post in read_posts(Store(root).posts("rmnp"), lambda *_: pytest.fail("damaged"))]


def dates(root: Path) -> list[str | None]:
    """Return the dates of all posts."""
    return [post.date_utc for post in read_posts(Store(root).posts("rmnp"), lambda *_: pytest.fail("damaged"))]


HEADER = ["Shortcode", "Post Caption", "Likes", "Date"]
ROWS = [[*post, moment] for post, moment in zip(POSTS, MOMENTS)]
Sheets = dict[str, list[list[Any]]]
BOOKS: dict[str, Sheets] = {
    "one sheet": {"Posts": [HEADER, *ROWS]},
    "numbers as floats": {"Posts": [HEADER, *([code, text, float(likes), moment] for code, text, likes, moment in ROWS)]},
    "numbers as text": {"Posts": [HEADER, *([code, text, f"{likes} likes", str(moment)] for code, text, likes, moment in ROWS)]},
    "titles above": {"Posts": [["Report for #rmnp"], [], ["Exported", "2024-07-01"], HEADER, *ROWS]},
    "columns to the right": {"Posts": [[None, None, *HEADER], *([None, None, *row] for row in ROWS)]},
    "empty rows between": {"Posts": [HEADER, ROWS[0], [None] * 4, [], ROWS[1], ["", " ", None, None], ROWS[2]]},
    "a sheet about the export": {"About": [["Tool", "Version"], ["x", 2]], "Posts": [HEADER, *ROWS]},
    "an empty sheet": {"Empty": [], "Posts": [HEADER, *ROWS]},
    "a sheet a month": {"June": [HEADER, *ROWS[:2]], "July": [HEADER, *ROWS[2:]]},
    "the header again": {"Posts": [HEADER, ROWS[0], HEADER, *ROWS[1:]]},
}


def write_book(path: Path, sheets: Sheets) -> None:
    """Write an Excel file."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)


@pytest.mark.parametrize("sheets", BOOKS.values(), ids=BOOKS)
def test_excel_files(sheets: Sheets, tmp_path: Path, root: Path) -> None:
    write_book(tmp_path / "posts.xlsx", sheets)
    assert load(root, tmp_path / "posts.xlsx") == 0
    assert stored(root) == POSTS
    assert dates(root) == DAYS


def _frame() -> pandas.DataFrame:
    return pandas.DataFrame([[*post, moment] for post, moment in zip(POSTS, MOMENTS)], columns=["shortcode", "caption", "likes", "date"])


FRAMES: dict[str, Callable[[Path], object]] = {
    "plain": lambda path: _frame().to_parquet(path, index=False),
    "gzip": lambda path: _frame().to_parquet(path, compression="gzip"),
    "the shortcode is the index": lambda path: _frame().set_index("shortcode").to_parquet(path),
    "floats and a time zone": lambda path: (
        _frame().assign(likes=lambda frame: frame.likes * 1.0, date=lambda frame: frame.date.dt.tz_localize("UTC")).to_parquet(path)
    ),
    "categories": lambda path: _frame().astype({"caption": "category"}).to_parquet(path),
    "captions as bytes": lambda path: _frame().assign(caption=[text.encode() for text in CAPTIONS]).to_parquet(path),
    "objects": lambda path: pandas.DataFrame(
        [{"code": code, "caption": {"text": text}, "like_count": likes, "taken_at": moment.replace(tzinfo=dt.UTC).timestamp()} for code, text, likes, moment in ROWS]
    ).to_parquet(path),
    "json_normalize": lambda path: pandas.json_normalize(
        [
            {"node": {"shortcode": code, "edge_media_to_caption": {"edges": [{"node": {"text": text}}]}, "edge_liked_by": {"count": likes}, "date": moment}}
            for code, text, likes, moment in ROWS
        ]
    ).to_parquet(path),
    "row groups": lambda path: pyarrow.parquet.write_table(pyarrow.Table.from_pandas(_frame()), path, row_group_size=1),
}  # fmt: skip


@pytest.mark.parametrize("write", FRAMES.values(), ids=FRAMES)
def test_parquet_files(write: Callable[[Path], object], tmp_path: Path, root: Path) -> None:
    write(tmp_path / "posts.parquet")
    assert load(root, tmp_path / "posts.parquet") == 0
    assert stored(root) == POSTS
    assert dates(root) == DAYS


def test_a_long_parquet_file_is_read_in_batches(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pandas.DataFrame({"caption": [f"A caption of number {i}" for i in range(2500)], "likes": range(2500)}).to_parquet(
        tmp_path / "p.parquet"
    )
    monkeypatch.setattr(pyarrow.parquet.ParquetFile, "read", lambda *_: pytest.fail("the whole file at once"))
    assert load(root, tmp_path / "p.parquet") == 0
    assert [likes for _, _, likes in stored(root)] == [*range(2500)]


@pytest.mark.parametrize(
    ("name", "write", "says"),
    [
        ("a.xlsx", lambda path: write_book(path, {"S": [["Shortcode", "Likes"], ["a", 1]], "T": []}), "the first row of the table doesn't name a caption column: Shortcode, Likes"),
        ("a.parquet", lambda path: pandas.DataFrame({"a": [1]}).to_parquet(path), "doesn't name a caption column: a"),
        ("b.parquet", lambda path: path.write_bytes(b"PAR1" + bytes(50)), "a Parquet table that can't be read"),
        ("a.html", lambda path: _frame().to_html(path), "it contains HTML or XML, not captions"),
        ("a.txt", lambda path: path.write_text("\n".join(map(repr, _frame().to_dict("records")))), "it contains Python, not captions"),
        ("b.txt", lambda path: path.write_text(_frame()[["shortcode", "likes", "caption"]].to_string(index=False).lstrip()), "fixed width, not captions"),
        ("a.sql", lambda path: path.write_text("INSERT INTO posts VALUES ('a', 'One day', 3);\n"), "it contains SQL, not captions"),
        ("a.py", lambda path: path.write_text("# to read posts\nimport json\nfrom pathlib import Path\n\nfor post in posts:\n    print(post['caption'])\n"), "it contains Python, not captions"),
        ("c.txt", lambda path: path.write_text("class A:\n    def f(self) -> int:\n        if self.x == 3:\n            return 3\n"), "it contains Python, not captions"),
        ("a.js", lambda path: path.write_text("import fs from 'fs';\nfunction read(name) {\n  const a = fs.load(name);\n  return a;\n}\nread('x');\n"), "it contains JavaScript, not captions"),
        ("a.yaml", lambda path: path.write_text("posts:\n" + "- shortcode: a\n  caption: One day, by the sea\n" * 2), "it contains YAML, not captions"),
        ("a.log", lambda path: path.write_text("2024-05-01 10:00:00 INFO saved a post\n2024-05-01T10:00:01Z saved it\nERROR: no\n"), "it contains a log, not captions"),
        ("d.txt", lambda path: path.write_text("The answer:\n" + json.dumps({"a": [{"code": "x", "caption": "One day"}]}, indent=2)), "it contains JSON after other text, not captions"),
        ("many.csv", lambda path: path.write_text("caption,likes\nWe ate, drank, slept,3\nOne, two,4\nThree,5\n"), "2 of 3 rows have more cells than the 2 of the header"),
        ("some.csv", lambda path: path.write_text("caption,likes\n" + "One, two,4\n" * 2 + "Three,5\n"), "2 of 3 rows have more cells than the 2 of the header"),
    ],
)  # fmt: skip
def test_what_holds_no_captions_is_one_error(
    name: str, write: Callable[[Path], object], says: str, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / name)
    assert load(root, tmp_path / name) == 3
    error, hint = capsys.readouterr().err.splitlines()[-2:]
    assert error.startswith(f"error: cannot import {tmp_path / name}: ")
    assert says in error
    assert hint.startswith("hint: ")
    assert not Store(root).posts("rmnp").exists()


@pytest.mark.parametrize(
    ("name", "content", "is_text"),
    [
        ("a.txt", "One fine day\n#caption\nThe text, the link, and we\ncaption\nMessage me, date me\n", True),
        ("a.txt", "The sea, the sky, the sand\nA boat, a dog, a hand\n", True),
        ("a.txt", "Select the best from our garden\nInsert into the oven\n", True),
        ("a.csv", "id,kind\n1,message\n2,text\n3,other words\n", False),
        (
            "a.txt",
            "For all the days we had:\nif only you had stayed,\nthe sea, the sea;\nfrom here I import my tea\nclass is over:\nreturn to me;\n",
            True,
        ),
        ("a.txt", "- the lake at dawn\n- coffee: black\n- note to self: sleep\n", True),
        ("a.txt", "// golden hour\n// the last one\n@mountains\n@lakes\n;)\n", True),
        ("a.txt", "10:30 and still in bed\nWARNING: cute dog\n2024 was kind to us\n2024-05-01, a day to keep\n", True),
    ],
)
def test_captions_and_rows_are_not_headers(name: str, content: str, is_text: bool, tmp_path: Path, root: Path) -> None:
    (tmp_path / name).write_text(content)
    assert load(root, tmp_path / name) == (0 if is_text else 3)
    assert [text for _, text, _ in (stored(root) if is_text else [])] == (content.splitlines() if is_text else [])


def _csv(
    separator: str = ",", quote: str = '"', escape: str = "", space: str = "", header: str = "shortcode,caption,likes", end: str = "\n"
) -> str:
    lines = [header.replace(",", separator + space)]
    for code, text, likes in POSTS:
        lines.append((separator + space).join((code, quote + text.replace(quote, (escape or quote) + quote) + quote, str(likes))))
    return end.join(lines) + end


CSVS: dict[str, bytes] = {
    **{f"separator {separator!r}": _csv(separator).encode() for separator in ",;\t|^~\x1f\x01"},
    "backslash before quotes": _csv(escape="\\").encode(),
    "single quotes": _csv(quote="'").encode(),
    "spaces after commas": _csv(space=" ").encode(),
    "titles above": ("Report for #rmnp,,\n,,\nExported,2024-07-01,\n" + _csv()).encode(),
    "the header again": (_csv() + _csv()).encode(),
    "a separator at the end of rows": _csv().replace(",12", ",,12").replace("likes", "x,likes").encode(),
    "cells as json_normalize names them": _csv(header="node.code,node.caption.text,node.edge_liked_by.count").replace("node.code", "node.shortcode").encode(),
    "statistics": _csv(header="shortcode,content.caption,statistics.like_count").encode(),
    "other names": _csv(header="Short Code,Post-Caption,Number of Likes").encode(),
    "names with marks": _csv(header="short_code,#caption,(likes)").encode(),
    "a name twice": b"shortcode,caption,caption,likes\n" + "".join(f'{code},"","{text.replace(chr(34), chr(34) * 2)}",{likes}\n' for code, text, likes in POSTS).encode(),
    "Python in the cells": pandas.DataFrame([{"shortcode": code, "caption": {"pk": 1, "text": text}, "likes": likes} for code, text, likes in POSTS]).to_csv().encode(),
    "UTF-16 with its mark": codecs.BOM_UTF16_BE + _csv().encode("utf-16-be"),
    "UTF-16 without a mark": _csv().encode("utf-16-le"),
    "one row of too many cells": (_csv() + "CodeAAAAA04,a,b,c,4\n").encode(),
    "CRLF and gzip": gzip.compress(_csv(end="\r\n").encode()),
}  # fmt: skip


@pytest.mark.parametrize("name", ["posts.csv", "posts"])
@pytest.mark.parametrize("content", CSVS.values(), ids=CSVS)
def test_csv_files(content: bytes, name: str, tmp_path: Path, root: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert load(root, tmp_path / name) == 0
    assert stored(root) == POSTS


@pytest.mark.parametrize(
    ("encoding", "captions"),
    [
        ("cp1252", ["Die Straße führt über den schönen Fluß", "Cão e coração, não é?", "It’s a “quiet” café – 5 €"]),
        ("cp1250", ["Rzeka była dziś tak głośna, że przestaliśmy", "Mgła w dolinie, a krowom jest wszystko jedno"]),
        ("cp1251", ["Река шумела так громко, что мы замолчали", "Туман в долине, и коровам всё равно"]),
        ("cp1253", ["Σήμερα πήγαμε στη θάλασσα και φάγαμε ψάρι"]),
        ("cp932", ["今朝の川はとても大きな音で、話すのをやめて歩きました", "谷にまた霧が出て、牛たちは気にしていません"]),
        ("gb18030", ["今天早上的河水声音太大了，我们不再说话", "山谷里又起雾了，牛一点也不介意"]),
        ("cp949", ["오늘 아침 강물 소리가 너무 커서 그냥 걸었어요"]),
    ],
)
def test_the_encoding_of_a_table_is_found(encoding: str, captions: list[str], tmp_path: Path, root: Path) -> None:
    (tmp_path / "posts.csv").write_bytes(("caption;likes\n" + "".join(f"{caption};7\n" for caption in captions)).encode(encoding))
    load(root, tmp_path / "posts.csv")
    assert [caption for _, caption, _ in stored(root)] == captions


DATES = [
    ("06/13/2024", "2024-06-13T00:00:00Z"), ("13/06/2024 06:45", "2024-06-13T06:45:00Z"), ("06/05/2024", None), ("06/06/2024", "2024-06-06T00:00:00Z"),
    ("13.6.2024 06:45:00", "2024-06-13T06:45:00Z"), ("2024/06/13", "2024-06-13T00:00:00Z"), ("June 13, 2024", "2024-06-13T00:00:00Z"),
    ("13 Jun 2024", "2024-06-13T00:00:00Z"), ("Jun 13, 2024 6:45 PM", "2024-06-13T18:45:00Z"), ("Thu, 13 Jun 2024 06:45:00 GMT", "2024-06-13T06:45:00Z"),
    ("Thu Jun 13 06:45:00 +0200 2024", "2024-06-13T04:45:00Z"), ("45456.28125", "2024-06-13T06:45:00Z"), ("3 days ago", None), ("2024", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "date"), DATES)
def test_common_notations_of_dates(text: str, date: str | None) -> None:
    assert (records.iso_date(text) or "").replace("1970-01-01T00:33:44Z", "") == (date or "")


@pytest.mark.parametrize(
    ("header", "row", "date"),
    [
        ("caption,date,timestamp", "One,2024-06-01,2024-06-01T06:08:11Z", "2024-06-01T06:08:11Z"),  # the more precise one
        ("caption,date,timestamp", "One,2024-06-01,2026-01-01T06:08:11Z", "2024-06-01T00:00:00Z"),  # another day: that of scraping
        ("caption,scraped_at,posted_at", "One,2026-01-01,2024-06-01T06:08:11Z", "2024-06-01T06:08:11Z"),
        ("caption,scraped_at", "One,2026-01-01", None),
        ("Description,Publish time", "One,06/05/2024 06:08", "2024-06-05T06:08:00Z"),  # Meta Business Suite
    ],
)
def test_the_time_of_posting_beats_others(header: str, row: str, date: str | None, tmp_path: Path, root: Path) -> None:
    (tmp_path / "posts.csv").write_text(f"{header}\n{row}\n")
    load(root, tmp_path / "posts.csv")
    assert dates(root) == [date]


@pytest.mark.parametrize("kind", ["csv", "xlsx", "parquet", "json"])
def test_columns_are_named_by_an_option(kind: str, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / f"posts.{kind}"
    frame = _frame().set_axis(["Kennung", "Beschreibung", "Gefällt mir", "Datum"], axis=1)
    frame["Datum"] = DAYS
    frame["likes"] = 5  # another column of that name is ignored
    {"csv": frame.to_csv, "xlsx": frame.to_excel, "parquet": frame.to_parquet}.get(
        kind, lambda path, index: frame.to_json(path, orient="records")
    )(path, index=False)
    assert load(root, path) == 3
    assert ("--column caption=NAME" in capsys.readouterr().err) == (kind != "json")
    assert load(root, path, more=("--column", "caption=Beschreibung", "likes=Gefällt mir", "date=Datum", "shortcode=Kennung")) == 0
    assert stored(root) == POSTS
    assert dates(root) == DAYS


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (
            ["--from", "a.csv", "--column", "text=Body"],
            "--column takes caption=NAME, likes=NAME, date=NAME or shortcode=NAME, not 'text=Body'",
        ),
        (
            ["--from", "a.csv", "--column", "caption="],
            "--column takes caption=NAME, likes=NAME, date=NAME or shortcode=NAME, not 'caption='",
        ),
        (["--column", "caption=Body"], "--column does nothing without --from: leave it out"),
        (["--skip-pull", "--column", "caption=Body"], "--column does nothing with --skip-pull: leave it out"),
    ],
)
def test_an_invalid_column_is_refused(argv: list[str], says: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", *argv]) == 2
    assert says in capsys.readouterr().err


def test_a_folder_reports_what_it_skipped(tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "posts.csv").write_text(_csv(), encoding="utf-8")
    for name in ("a.jpg", "b.JPG", "c.mp4"):
        (folder / name).write_bytes(b"x")
    for name in ("README", "notes.md", "LICENSE"):
        (folder / name).write_text("Some words, not meant for training\n")
    for name in ("Readme-first.txt", "licence.txt", "requirements-dev.txt", "NOTICE.txt", "CHANGELOG.txt"):
        (folder / name).write_text("Some words, not meant for training\n")
    (folder / "script.txt").write_text("import json\nfrom pathlib import Path\nprint(json.loads(Path('x').read_text()))\n")
    (folder / "deep" / "notes.csv").write_text("id,title\n1,One\n")
    (folder / "index.html").write_text("<html><body>One</body></html>")
    (folder / "bad.zip").write_bytes(b"no zip")
    (folder / "model.bin").write_bytes(b"\0\1\2")
    (folder / ".DS_Store").write_bytes(b"x")
    assert load(root, folder) == 0
    captured = capsys.readouterr()
    assert stored(root) == POSTS
    assert [line for line in captured.err.splitlines() if line.startswith("skipped")] == [
        "skipped 1 file: hidden files (.DS_Store)",
        "skipped 3 files: pictures and videos (.jpg .mp4)",
        "skipped 5 files: notes about the other files (CHANGELOG.txt NOTICE.txt Readme-first.txt licence.txt requirements-dev.txt)",
        "skipped 3 files: plain text not called .txt (LICENSE README notes.md)",
        "skipped 1 file: damaged archives (bad.zip)",
        "skipped 1 file: HTML or XML (index.html)",
        "skipped 1 file: binary data (model.bin)",
        "skipped 1 file: Python (script.txt)",
        "skipped 1 file: tables without captions, or damaged (notes.csv)",
    ]


def _zip(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


EXPORT = json.dumps(
    [{"media": [{"uri": "a.jpg", "creation_timestamp": 1717224300, "title": text.encode().decode("latin-1")}]} for text in CAPTIONS]
)
ZIPS: dict[str, dict[str, bytes]] = {
    "a table": {"data/posts.csv": _csv().encode(), "data/a.jpg": b"x"},
    "an archive in it": {"inner.zip": _zip({"posts.csv": _csv().encode()}), "__MACOSX/._inner.zip": b"x"},
    "compressed again": {"posts.csv.gz": gzip.compress(_csv().encode())},
    "names that lead out": {"../../posts.csv": _csv().encode(), "..": b"x", "a" * 300 + ".jpg.txt/x": b""},
    "a file and a folder of one name": {"a": b"x", "a/b.txt": b"Lost, with a warning\n", "posts.csv": _csv().encode()},
}


@pytest.mark.parametrize("files", ZIPS.values(), ids=ZIPS)
def test_zip_archives(files: dict[str, bytes], tmp_path: Path, root: Path) -> None:
    (tmp_path / "a.zip").write_bytes(_zip(files))
    assert load(root, tmp_path / "a.zip") == 0
    assert stored(root) == POSTS
    assert {path.name for path in tmp_path.iterdir()} == {"a.zip", "root"}


@pytest.mark.parametrize(
    ("name", "reels", "is_export"),
    [
        ("content/posts_1.json", "media/reels.json", True),
        ("reels_1.json", "x/reels_2.json", True),
        ("content/reels.json", "reels.json", False),
    ],
)
def test_the_reels_of_an_export_are_posts(name: str, reels: str, is_export: bool, tmp_path: Path, root: Path) -> None:
    reel = {"ig_reels_media": [{"media": [{"uri": "a.mp4", "creation_timestamp": 1717224301, "title": "A reel of the river"}]}]}
    others = {"media/stories.json": EXPORT.encode(), "media/archived_posts.json": EXPORT.encode(), "notes.txt": b"A secret\n"}
    (tmp_path / "a.zip").write_bytes(_zip({name: EXPORT.encode(), reels: json.dumps(reel).encode(), **others}))
    assert load(root, tmp_path / "a.zip") == 0
    captions = [caption for _, caption, _ in stored(root)]
    assert sorted(map(str, captions)) == sorted([*CAPTIONS, *(["A reel of the river"] if is_export else [])])


@pytest.mark.parametrize(
    ("name", "content", "lines"),
    [
        ("a.csv", "caption,faves\nOne,3\n", [("warning: ", "likes among: caption, faves; name it with --column likes=NAME"), ("", "dates among: caption, faves; name it with --column date=NAME")]),
        ("a.csv", "caption,likes,date\nOne,3,2024-06-01\n", []),
        ("a.csv", "caption\nOne\n", []),
        ("a.csv", "id,thread_id,body\n1,FOUR1,One\n", []),
        ("a.txt", "One\n", []),
    ],
)  # fmt: skip
def test_a_table_without_likes_or_dates_says_so(
    name: str, content: str, lines: list[tuple[str, str]], tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text(content)
    assert load(root, tmp_path / name) == 0
    expected = [f"{level}{tmp_path / name}: no column of {text}" for level, text in lines]
    assert [line for line in capsys.readouterr().err.splitlines() if "no column of" in line] == expected


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"id,title\n1,One\n"), ("b.xlsx", None), ("c.parquet", b"PAR1" + bytes(50)), ("d.zip", b"no zip"),
        ("e.txt", b"Fog in the valley, and caf\xe9 \xf0\x9f\x98\x80 \xc3\xa9 \xc3\xa9\n"), ("f.csv", b"caption\n\"never closed\n"),
    ],
)  # fmt: skip
def test_messages_about_a_file_in_an_archive_name_the_archive(
    name: str, content: bytes | None, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is None:
        write_book(tmp_path / name, {"S": [["Shortcode", "Likes"], ["a", 1]]})
    inner = (tmp_path / name).read_bytes() if content is None else content
    (tmp_path / "outer.zip").write_bytes(_zip({"posts.csv": _csv().encode(), f"in/{name}": inner}))
    assert load(root, tmp_path / "outer.zip") == 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if name in line and line.startswith("warning: ")]
    assert len(warnings) == 1
    assert f"{tmp_path / 'outer.zip'}/in/{name}" in warnings[0]


def test_only_the_posts_of_an_export_are_read(tmp_path: Path, root: Path) -> None:
    messages = json.dumps({"messages": [{"content": "A secret", "caption": "A secret", "timestamp_ms": 1}]}).encode()
    files = {"activity/content/posts_1.json": EXPORT.encode(), "activity/messages/message_1.json": messages, "notes.txt": b"A secret\n"}
    (tmp_path / "export.zip").write_bytes(_zip(files))
    (tmp_path / "outer.zip").write_bytes(_zip({"export.zip": _zip(files)}))
    for name in ("export.zip", "outer.zip"):
        assert load(root / name, tmp_path / name) == 0
        assert [caption for _, caption, _ in stored(root / name)] == CAPTIONS


def test_an_archive_of_itself_and_a_bomb_come_to_an_end(tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nested = _zip({"posts.csv": _csv().encode()})
    for _ in range(8):
        nested = _zip({"inner.zip": nested})
    (tmp_path / "deep.zip").write_bytes(nested)
    assert load(root, tmp_path / "deep.zip") == 3
    (tmp_path / "bomb.zip").write_bytes(_zip({"posts.txt": b"One caption of many\n" * 4_000_000}))
    assert load(root, tmp_path / "bomb.zip") == 3
    assert "it unpacks to more than" in capsys.readouterr().err
