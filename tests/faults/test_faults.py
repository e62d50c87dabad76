"""Try to break both scripts from outside: kill them, fill the disk, truncate their files, run them twice.

Not part of ``make test``; ``make faults`` runs it in a few minutes. Every random choice is seeded
by its number, so a failure can be repeated.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from harness import PULL, TUNE, Finished, Running, assert_told, disturb, read_only, run, small_disk, tree

from hugging_captions.storage import Store, read_captions

pytestmark = pytest.mark.timeout(300)

EXAMPLE = Path(__file__).resolve().parent.parent.parent / "examples" / "rmnp_posts.jsonl"
KILLS = {"clean": 34, "train": 22, "generate": 22}  # with the pull's in test_pull_faults.py: 100 and more
TRAIN = ["--train", "--base-model", "scratch", "--epochs", "2", "--device", "cpu"]
GENERATE = ["--generate", "--num-captions", "6", "--max-length", "30", "--min-length", "5", "--keep-all", "--device", "cpu"]


def _argv(stage: str, root: Path) -> tuple[str, list[object]]:
    common: list[object] = ["--root", root, "--tag", "rmnp"]
    if stage == "clean":
        return PULL, [*common, "--from", EXAMPLE, "--workers", "1"]
    return TUNE, [*common, *(TRAIN if stage == "train" else GENERATE)]


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, float]]:
    """Return, for each stage, the root before it ran and how long it takes; the whole root is under ``done``."""
    folder = tmp_path_factory.mktemp("undisturbed")
    root = folder / "root"
    root.mkdir()
    stages = {}
    for stage in KILLS:
        shutil.copytree(root, folder / f"before_{stage}")
        start = time.monotonic()
        assert_told(run(*_argv(stage, root), folder / "log"), [0])
        stages[stage] = (folder / f"before_{stage}", time.monotonic() - start)
        shutil.copytree(root, folder / f"after_{stage}")
    return stages


def _after(before: Path) -> Path:
    return before.with_name(before.name.replace("before", "after"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
@pytest.mark.parametrize("stage", KILLS)
def test_a_killed_run_and_a_rerun_leave_what_one_run_leaves(
    stage: str, number: signal.Signals, undisturbed: dict[str, tuple[Path, float]], tmp_path: Path
) -> None:
    before, seconds = undisturbed[stage]
    expected = tree(_after(before))
    for attempt in range(KILLS[stage] // 2):
        dice = random.Random(f"{stage} {number} {attempt}")
        root = tmp_path / f"root{attempt}"
        shutil.copytree(before, root)
        ended = disturb(*_argv(stage, root), tmp_path / "log", dice.uniform(0, seconds * 1.05), number)
        assert_told(ended, [0, -signal.SIGKILL] if number == signal.SIGKILL else [0, 130, -signal.SIGTERM])
        if ended.code != 0:
            assert_told(run(*_argv(stage, root), tmp_path / "log"), [0])
        assert tree(root) == expected, (attempt, ended)
        shutil.rmtree(root)


@pytest.mark.parametrize(("stage", "kib"), [("clean", 60), ("clean", 300), ("train", 2_000), ("train", 12_000), ("generate", 4)])
def test_a_full_disk_is_told_and_loses_nothing(stage: str, kib: int, undisturbed: dict[str, tuple[Path, float]], tmp_path: Path) -> None:
    before, _ = undisturbed[stage]
    size = sum(path.stat().st_size for path in before.rglob("*") if path.is_file()) // 1024
    try:
        with small_disk(tmp_path / "disk", size + 64 + kib) as disk:
            root = disk / "root"
            shutil.copytree(before, root)
            if stage == "generate":
                _fill(disk, leave=kib)
            assert_told(run(*_argv(stage, root), tmp_path / "log"), [6])
            kept = tree(root)
            assert tree(before).items() <= kept.items()
            assert not [name for name in kept if name.endswith(".tmp")]
    except PermissionError as error:
        pytest.skip(f"no tmpfs may be mounted here: {error}")


def _fill(disk: Path, leave: int) -> None:
    """Fill the disk until about ``leave`` KiB are free."""
    free = os.statvfs(disk)
    (disk / "filler").write_bytes(b"x" * max(0, free.f_bavail * free.f_frsize - leave * 1024))


@pytest.mark.parametrize("stage", KILLS)
def test_a_read_only_folder_is_told(stage: str, undisturbed: dict[str, tuple[Path, float]], tmp_path: Path) -> None:
    before, _ = undisturbed[stage]
    try:
        with small_disk(tmp_path / "disk", 200_000) as disk:
            shutil.copytree(before, disk / "root")
            read_only(disk)
            assert_told(run(*_argv(stage, disk / "root"), tmp_path / "log"), [6])
    except PermissionError as error:
        pytest.skip(f"no tmpfs may be mounted here: {error}")


@pytest.mark.parametrize("stage", KILLS)
def test_the_second_of_two_processes_stops_and_the_first_is_not_disturbed(
    stage: str, undisturbed: dict[str, tuple[Path, float]], tmp_path: Path
) -> None:
    before, _ = undisturbed[stage]
    root = tmp_path / "root"
    shutil.copytree(before, root)
    both = [Running(*_argv(stage, root), tmp_path / f"log{i}") for i in range(2)]
    ended = sorted((one.wait() for one in both), key=lambda one: one.code)
    assert ended[0].code == 0
    assert_told(ended[1], [0, 2])  # 0: the first had finished before the second began
    if ended[1].code == 2:
        assert "is being written by process" in ended[1].err
        assert tree(root) == tree(_after(before))


TRUNCATED = [
    ("text/rmnp/posts.jsonl", PULL, ["--skip-pull"]),
    ("text/rmnp/captions.txt", TUNE, GENERATE),
    ("text/rmnp/captions.txt", TUNE, TRAIN),
    ("trained_models/rmnp/model.safetensors", TUNE, GENERATE),
    ("trained_models/rmnp/config.json", TUNE, GENERATE),
    ("trained_models/rmnp/tokenizer.json", TUNE, GENERATE),
    ("trained_models/rmnp/run.json", TUNE, GENERATE),
    ("text/rmnp/cleaning.json", PULL, ["--skip-pull"]),
]


@pytest.mark.parametrize(("name", "script", "argv"), TRUNCATED, ids=lambda value: value if isinstance(value, str) else "")
def test_a_truncated_file_is_told_or_recovered(
    name: str, script: str, argv: list[str], undisturbed: dict[str, tuple[Path, float]], tmp_path: Path
) -> None:
    after = _after(undisturbed["generate"][0])
    for attempt in range(4):
        root = tmp_path / f"root{attempt}"
        shutil.copytree(after, root)
        path = root / name
        cut = random.Random(f"{name} {attempt}").randrange(path.stat().st_size)
        with open(path, "r+b") as handle:
            handle.truncate(cut if attempt else 0)
        ended = run(script, ["--root", root, "--tag", "rmnp", *argv], tmp_path / "log")
        assert_told(ended, [0, 2, 3, 5])
        _assert_no_silent_loss(name, ended, root, after)


def _assert_no_silent_loss(name: str, ended: Finished, root: Path, whole: Path) -> None:
    """A run that goes on after a damage either says what it lost or lost nothing that it needed."""
    if ended.code == 0 and name.endswith("posts.jsonl"):
        posts = len((root / name).read_bytes().splitlines())
        kept = len(read_captions(Store(root).captions("rmnp")))
        dropped = len(Store(root).dropped("rmnp").read_bytes().splitlines())
        said = "damaged" in ended.err or "line " in ended.err
        assert kept + dropped == posts or said, ended.err
    if ended.code == 3:
        assert Path(name).name in ended.err or "checkpoint" in ended.err or "cannot load" in ended.err, ended.err


def test_nothing_secret_and_nothing_raw_is_written(undisturbed: dict[str, tuple[Path, float]], tmp_path: Path) -> None:
    """A caption with terminal escapes reaches files as text and the terminal as escapes."""
    posts = tmp_path / "posts.jsonl"
    evil = "A calm morning at the lake \x1b]0;owned\x07\x1b[31m with coffee and \u202ebackwards\u202c geese number "
    posts.write_text(
        "".join(json.dumps({"caption": f"{evil}{i} on the far shore, {'so ' * (i % 5)}loud", "likes": 20}) + "\n" for i in range(30)),
        encoding="utf-8",
    )
    ended = run(PULL, ["--root", tmp_path / "root", "--tag", "rmnp", "--from", posts, "--verbose"], tmp_path / "log")
    assert_told(ended, [0, 5])
    assert not {"\x1b", "\x07", "\u202e"} & set(ended.out + ended.err)
