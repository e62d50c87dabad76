"""A stored post without caption, likes or date is completed by a later record: one more line, and the last line counts everywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from instagram_server import FakeInstagram, media, section

import pull_and_clean
from hugging_captions import cleaner
from hugging_captions.options import CleanOptions
from hugging_captions.posts import Post, PostLog, read_posts
from hugging_captions.storage import Store, read_json

DAY = "2024-06-01T00:00:00Z"
FULL = {"shortcode": "A", "caption": "We walked around the lake twice today", "likes": 40, "date_utc": DAY}
NOTHING: dict[str, Any] = {"caption": None, "likes": None, "date_utc": None}


def _import(root: Path, folder: Path, *records: dict[str, Any]) -> int:
    """Import records, and return the exit code."""
    path = folder / "records.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--from", str(path), "--language", "any"])


def _lines(root: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Store(root).posts("rmnp").read_text(encoding="utf-8").split("\n")[:-1]]


@pytest.mark.parametrize(
    ("records", "expected", "says"),
    [
        ([{**FULL, **NOTHING}, FULL], [{**FULL, **NOTHING}, FULL], "0 new, 0 already here, 1 completed"),
        ([FULL, {**FULL, **NOTHING}], [FULL], "0 new, 1 already here"),
        ([{**FULL, "likes": None}, FULL], [{**FULL, "likes": None}, FULL], "1 completed"),
        ([{**FULL, "date_utc": None}, FULL], [{**FULL, "date_utc": None}, FULL], "1 completed"),
        ([{**FULL, "likes": None}, {**FULL, "caption": None}], [{**FULL, "likes": None}, FULL], "1 completed"),
        (
            [{**FULL, "likes": None}, {**FULL, "caption": "Edited", "likes": 41}],
            [{**FULL, "likes": None}, {**FULL, "likes": 41}],
            "1 completed",
        ),
        ([{**FULL, **NOTHING}, {**FULL, **NOTHING}], [{**FULL, **NOTHING}], "0 new, 1 already here"),
        ([FULL, {**FULL, "caption": "Edited", "likes": 41}], [FULL], "0 new, 1 already here"),
    ],
    ids=["all", "full first", "likes", "date", "two halves", "what is known stays", "nothing more", "full twice"],
)
@pytest.mark.parametrize("together", [False, True], ids=["two imports", "one file"])
def test_a_later_record_completes_a_post(
    records: list[Any], expected: list[Any], says: str, together: bool, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if together:
        _import(root, tmp_path, *records)
        says = says.replace("0 new", "1 new")
    else:
        for record in records:
            capsys.readouterr()
            _import(root, tmp_path, record)
    assert [{name: line[name] for name in FULL} for line in _lines(root)] == expected
    first = capsys.readouterr().out.splitlines()[0]
    assert says in first
    assert ("completed" in first) == (len(expected) == 2)
    assert _import(root, tmp_path, *records) in (0, 5)  # a second import adds nothing
    assert len(_lines(root)) == len(expected)


def test_partial_items_of_zeeschuimer_wait_for_the_full_ones(tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    partial = [{"source_platform": "instagram.com", "data": {"code": f"Z{i}", "id": str(i), "_zs_partial": True}} for i in range(3)]
    full = [
        {**item, "data": {**media(f"Z{i}", "The bakery was out of bread by nine"), "like_count": i + 50}} for i, item in enumerate(partial)
    ]
    assert _import(root, tmp_path, *partial) == 5
    assert _import(root, tmp_path, *full) == 0
    assert "3 posts in 1 file (zeeschuimer 3), 0 new, 0 already here, 3 completed" in capsys.readouterr().out
    stored = list(read_posts(Store(root).posts("rmnp"), lambda *_: pytest.fail("damaged")))
    assert [(post.shortcode, post.likes) for post in stored] == [("Z0", 50), ("Z1", 51), ("Z2", 52)]
    assert all(post.caption and post.date_utc for post in stored)


def test_a_torn_completion_is_repeated_and_the_earlier_line_counts_until_then(tmp_path: Path, root: Path) -> None:
    _import(root, tmp_path, {**FULL, "likes": None})
    _import(root, tmp_path, FULL)
    path = Store(root).posts("rmnp")
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--skip-pull"]) == 0
    record = read_json(Store(root).cleaning("rmnp"))
    assert (record["posts"], record["kept"], record["damaged_lines"], record["superseded_lines"]) == (1, 1, 1, 0)
    _import(root, tmp_path, FULL)
    assert path.read_bytes() == whole


def _half_and_full(root: Path, count: int) -> Store:
    """Store ``count`` posts, every other one without likes, and then complete these, in another order."""
    store = Store(root)
    posts = [
        Post(f"s{i}", f"The ferry number {i} was late again {'and again ' * (i % 9)}", i % 60, DAY, "rmnp", "test") for i in range(count)
    ]
    with PostLog(store.posts("rmnp")) as log:
        log.append(post if i % 2 else Post(post.shortcode, None, None, None, "rmnp", "test") for i, post in enumerate(posts))
    with PostLog(store.posts("rmnp")) as log:
        assert log.append(reversed(posts)) == 0
        assert log.completed == count // 2
    return store


def test_cleaning_uses_the_last_line_of_each_post(root: Path) -> None:
    store = _half_and_full(root, 800)
    whole = Store(root / "whole")
    with PostLog(whole.posts("rmnp")) as log:  # the same posts, each with one line
        log.append(read_posts(store.posts("rmnp"), lambda *_: pytest.fail("damaged")))
    written = []
    for workers, of in ((1, store), (2, store), (1, whole)):
        [result] = cleaner.clean(["rmnp"], CleanOptions(workers=workers, near_threshold=0.95), of)
        assert result.kept + sum(result.dropped.values()) == result.posts == 800
        assert result.superseded_lines == (400 if of is store else 0)
        written.append([path.read_bytes() for path in (of.captions("rmnp"), of.dropped("rmnp"))])
    assert written[0] == written[1] == written[2]
    assert b'"reason":"no-caption"' not in written[0][1]


def test_a_completed_post_is_one_post_everywhere(tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--root", str(root), "--tag", "rmnp"]
    _import(root, tmp_path, {**FULL, **NOTHING}, {**FULL, "shortcode": "B", "caption": "Our train stopped among the fields"})
    _import(root, tmp_path, {**FULL, "caption": "We walked around the lake :) #fun #sun"})
    capsys.readouterr()
    assert pull_and_clean.main([*argv, "--explain", "A"]) == 0
    assert "We walked around the lake" in capsys.readouterr().out
    assert pull_and_clean.main([*argv, "--review", "5"]) == 0
    assert "no-caption" not in capsys.readouterr().out
    assert pull_and_clean.main([*argv, "--forget", "A"]) == 0
    assert "#rmnp: 1 post forgotten" in capsys.readouterr().out
    assert [line["shortcode"] for line in _lines(root)] == ["B"]


def test_a_pull_completes_hidden_likes(root: Path, instagram: FakeInstagram, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(root)
    for likes in ({"a1": -1, "a2": -1}, {"a1": 90, "a2": 91, "a3": 92}):
        instagram.sections = [[section(*(media(code, f"Rain on the tin roof of {code}", count) for code, count in likes.items()))]]
        assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp"]) == 0
    assert "#rmnp: 1 new post, 0 already here, 2 completed, 1 without the tag" in capsys.readouterr().out
    assert [post.likes for post in read_posts(store.posts("rmnp"), lambda *_: pytest.fail("damaged"))] == [90, 91, 92]
    assert read_json(store.pull_state("rmnp"))["posts"] == 3


def test_the_example_is_not_changed_by_a_second_import(root: Path) -> None:
    for _ in range(2):
        assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--from", str(ROOT / "examples" / "rmnp_posts.jsonl")]) == 0
    assert Store(root).posts("rmnp").read_bytes().count(b"\n") == len({line["shortcode"] for line in _lines(root)})
