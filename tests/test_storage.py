"""storage: tags, atomic writes, the append-only log, locks, previous results, caption lines."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

import tune_transformer
from hugging_captions import posts, storage
from hugging_captions.errors import BusyError, InputError, ResourceError, UsageError
from hugging_captions.posts import Post, PostLog
from hugging_captions.storage import Store


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("rmnp", "rmnp"),
        ("#RMNP", "rmnp"),
        (" Estes_Park2\n", "estes_park2"),
        ("Cafe\u0301", "café"),
        ("山登り", "山登り"),
        ("हिमालय", "हिमालय"),
    ],
)
def test_a_tag_is_normalised(given_: str, expected: str) -> None:
    assert storage.normalise_tag(given_) == expected


@pytest.mark.parametrize("tag", ["", "#", "a b", "../x", "a/b", ".", "a.b", "a\0b", "a+b", "x" * 201, "generated_text", "a-b", "🏔️ x"])
def test_an_invalid_tag_is_refused(tag: str) -> None:
    with pytest.raises(UsageError, match="be used as a hashtag"):
        storage.normalise_tag(tag)


@given(st.text())
def test_no_tag_leads_out_of_its_folder(tag: str) -> None:
    try:
        plain = storage.normalise_tag(tag)
    except UsageError:
        return
    folder = Path("/root/text")
    assert Store(Path("/root")).posts(plain).parent.parent == folder
    assert Path(os.path.normpath(folder / plain)).parent == folder


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_caption_line_reads_back(caption: str) -> None:
    line = storage.escape_caption(caption)
    assert "\n" not in line
    assert storage.unescape_caption(line) == caption


def test_captions_keep_every_character_but_the_line_end(tmp_path: Path) -> None:
    captions = ["one\ntwo", "back\\slash \\n", "sep\u2028arator\u0085 \r-", "😀"]
    storage.write_captions(tmp_path / "captions.txt", captions)
    assert storage.read_captions(tmp_path / "captions.txt") == captions
    assert (tmp_path / "captions.txt").read_bytes().count(b"\n") == len(captions)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    storage.write_json(path, "old")
    with pytest.raises(RuntimeError), storage.atomic_write(path) as handle:
        handle.write("half")
        raise RuntimeError
    assert storage.read_json(path) == "old"
    assert os.listdir(tmp_path) == ["kept.json"]


def test_a_full_disk_leaves_the_old_file_and_is_reported(tmp_path: Path) -> None:
    """A file size limit simulates a full disk: the kernel refuses the write at the same point."""
    path = tmp_path / "captions.txt"
    storage.write_captions(path, ["old"])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    try:
        with pytest.raises(ResourceError, match="cannot write .*captions.txt") as caught:
            storage.write_captions(path, ["new " * 100_000])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.exit_code == 6
    assert storage.read_captions(path) == ["old"]
    assert os.listdir(tmp_path) == ["captions.txt"]


def _post(shortcode: str, caption: str | None = "hello") -> Post:
    return Post(shortcode, caption, 12, "2020-01-02T03:04:05Z", "rmnp", "test")


def _read(path: Path) -> tuple[list[str], list[int]]:
    damaged: list[int] = []
    found = [post.shortcode for post in posts.read_posts(path, lambda number, reason: damaged.append(number))]
    return found, damaged


def test_the_log_never_holds_a_shortcode_twice(tmp_path: Path) -> None:
    path = tmp_path / "rmnp" / "posts.jsonl"
    with PostLog(path) as log:
        assert log.append([_post("a"), _post("b"), _post("a")]) == 2
    with PostLog(path) as log:
        assert log.append([_post("b"), _post("c")]) == 1
    assert _read(path) == (["a", "b", "c"], [])


def test_an_incomplete_last_line_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "posts.jsonl"
    with PostLog(path) as log:
        log.append([_post("a"), _post("b", "é" * 100_000)])
    whole = path.read_bytes()
    for cut in (len(whole) - 2, len(whole) - 70_000, len(whole.split(b"\n")[0]) + 1):
        path.write_bytes(whole[:cut])
        with PostLog(path) as log:
            assert log.append([_post("a"), _post("b")]) == 1
        assert _read(path) == (["a", "b"], [])


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        '{"shortcode": ' + "[" * 100_000,
        "[]",
        "{}",
        '{"shortcode": ""}',
        '{"shortcode": "x", "caption": 3, "likes": 1, "date_utc": null, "tag": "t", "source": "s"}',
        '{"shortcode": "x", "caption": "c", "likes": "1", "date_utc": null, "tag": "t", "source": "s"}',
        '{"shortcode": "x", "caption": "c", "likes": 1, "date_utc": null, "tag": "t", "source": "s", "more": 1}',
    ],
)
def test_a_damaged_line_is_reported_with_its_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "posts.jsonl"
    with PostLog(path) as log:
        log.append([_post("a"), _post("b")])
    first, second = path.read_text().splitlines()
    path.write_text(f"{first}\n{line}\n{second}\n")
    assert _read(path) == (["a", "b"], [2])


def test_a_second_writer_is_refused_with_the_holder(root: Path) -> None:
    store = Store(root)
    holder = "import sys; sys.path.insert(0, sys.argv[2])\nfrom pathlib import Path\nfrom hugging_captions.storage import Store\n"
    holder += "with Store(Path(sys.argv[1])).lock('text', ['rmnp']):\n print('held', flush=True)\n sys.stdin.read()"
    other = subprocess.Popen([sys.executable, "-c", holder, str(root), str(ROOT)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with pytest.raises(BusyError, match=rf"tag 'rmnp' is being written by process {other.pid} "), store.lock("text", ["rmnp"]):
        pass
    with store.lock("text", ["another"]):
        pass
    other.kill()
    other.wait()
    with store.lock("text", ["rmnp"]):  # released by the kernel
        pass


def test_a_result_is_kept_once_and_then_only_replaced_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "rmnp_gen.txt"
    for number in (1, 2):
        storage.keep_previous([path], overwrite=False)
        path.write_text(str(number))
    with pytest.raises(UsageError, match=r"rmnp_gen.txt would be replaced, and rmnp_gen.txt.previous already"):
        storage.keep_previous([path], overwrite=False)
    assert (path.read_text(), (tmp_path / "rmnp_gen.txt.previous").read_text()) == ("2", "1")
    storage.keep_previous([path], overwrite=True)
    assert not path.exists()
    assert (tmp_path / "rmnp_gen.txt.previous").read_text() == "2"


def test_a_publish_that_was_killed_between_its_renames_is_finished(root: Path) -> None:
    store = Store(root)
    store.training("rmnp").mkdir(parents=True)
    store.recover_model("rmnp")
    assert not store.model("rmnp").exists()  # no run.json: the training is unfinished
    (store.training("rmnp") / "run.json").write_text("{}")
    store.recover_model("rmnp")
    assert (store.model("rmnp") / "run.json").exists()


def test_a_damaged_json_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "pull.json").write_text('{"cursor": ')
    with pytest.raises(InputError, match=r"pull.json is damaged"):
        storage.read_json(tmp_path / "pull.json")


def test_half_a_surrogate_pair_is_written_and_read_back(tmp_path: Path) -> None:
    """Instagram's cursors can be any text."""
    storage.write_json(tmp_path / "pull.json", {"cursor": "\udcff\U0001f600 é"})
    assert storage.read_json(tmp_path / "pull.json") == {"cursor": "\udcff\U0001f600 é"}


def test_a_captions_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "captions.txt").write_bytes(b"fine\n\xff\xfe\x00")
    with pytest.raises(InputError, match="is not UTF-8 text: byte"):
        storage.read_captions(tmp_path / "captions.txt")


def test_the_line_begins_with_the_shortcode(tmp_path: Path) -> None:
    """The log's fast reader relies on it."""
    with PostLog(tmp_path / "posts.jsonl") as log:
        log.append([_post("a")])
    line = (tmp_path / "posts.jsonl").read_text()
    assert line.startswith('{"shortcode": "a"')
    assert list(json.loads(line)) == ["shortcode", "caption", "likes", "date_utc", "tag", "source"]


def test_names_of_many_long_tags_fit_into_a_file_name() -> None:
    tags = ["é" * 60, "b" * 100, "c" * 100]
    names = {storage.corpus_name(tags), storage.corpus_name(tags[:2]), storage.corpus_name([*tags[:2], "d" * 100])}
    assert len(names) == 3
    assert all(len(name.encode()) <= 200 for name in names)


def test_many_long_tags_train_and_generate(tmp_path: Path) -> None:
    tags = ["a" * 120, "b" * 120, "c" * 120]
    for tag in tags:
        storage.write_captions(Store(tmp_path).captions(tag), [f"One small dog of {tag[0]}", f"Two small dogs of {tag[0]}"])
    argv = ["--root", str(tmp_path), "--tag", *tags, "--base-model", "scratch", "--device", "cpu", "--epochs", "1"]
    generate = ["--generate", "--num-captions", "1", "--max-length", "10", "--min-length", "0", "--keep-all"]
    assert tune_transformer.main([*argv, "--train", *generate]) == 0


def test_an_emoji_is_a_tag() -> None:
    assert storage.normalise_tag("#Snow🏔️") == "snow🏔️"
    assert storage.normalise_tag("👩‍🚀") == "👩‍🚀"
