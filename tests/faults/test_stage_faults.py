"""Cleaning, training and generating under every kind of fault: each is reported in one line or repaired by the next run.

Kills, full and read-only disks, two processes at once, clocks that are wrong, files that were cut.
Every random choice is seeded by its name and number, so that a failure can be repeated.
Not part of ``make test``: ``make faults`` runs it.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from harness import COUNTS, PULL, ROOT, TUNE, Finished, Running, assert_reported, at_file_event, disturb, mount, run, small_disk

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from instagram_server import SESSION_ID, FakeInstagram, media, route_process, section, serving

from hugging_captions.storage import Store

pytestmark = pytest.mark.timeout(900)

COMMON = ["--tag", "rmnp"]
CLEAN = [*COMMON, "--skip-pull", "--workers", "1"]
TRAIN = [*COMMON, "--train", "--save-minutes", "0", "--epochs", "2", "--batch-tokens", "4096", "--device", "cpu"]
GENERATE = [*COMMON, "--generate", "--num-captions", "6", "--max-length", "24", "--min-length", "4", "--keep-all", "--device", "cpu"]

#: The files of each stage, and those that must be byte-identical.
TEXTS = [f"text/rmnp/{name}" for name in ("posts.jsonl", "captions.txt", "dropped.jsonl", "cleaning.json")]
RESULTS = {
    "import": TEXTS,
    "clean": TEXTS,
    "train": [f"trained_models/rmnp/{name}" for name in ("model.safetensors", "config.json", "generation_config.json", "tokenizer.json")],
    "generate": [f"text/generated_text/rmnp_gen{suffix}" for suffix in (".txt", ".jsonl", ".csv")],
}
#: A hundred moments in all, with the pulls of test_pull_faults.py.
KILLS = {
    ("file event", signal.SIGKILL): 5,
    ("moment", signal.SIGKILL): 4,
    ("file event", signal.SIGTERM): 2,
    ("moment", signal.SIGTERM): 1,
}


@dataclass(frozen=True)
class Stage:
    """One stage on the example posts: the command, the root before and after it, and the time of an undisturbed run."""

    name: str
    script: str
    argv: list[str]
    before: Path
    after: Path
    seconds: float
    file_events: int

    def command(self, root: Path) -> tuple[str, list[object]]:
        return self.script, ["--root", root, *self.argv]

    def assert_same(self, root: Path, but: tuple[str, ...] = ()) -> None:
        """Check that ``root`` has the same files as after an undisturbed run; names that end with one of ``but`` are ignored."""
        for name in RESULTS[self.name]:
            if name.endswith(but):
                continue
            # cleaning.json has the command, which includes the root
            found, expected = (re.sub(rb"--root \S+", b"", (folder / name).read_bytes()) for folder in (root, self.after))
            assert found == expected, name
        extra = _names(root) - _names(self.after)
        assert not [name for name in extra if ".previous" not in name], extra


def _names(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def _bytes(root: Path) -> dict[str, bytes]:
    return {name: (root / name).read_bytes() for name in _names(root) if not name.endswith(".lock")}


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> dict[str, Stage]:
    """Run the four stages undisturbed, and keep the root before and after each."""
    folder = tmp_path_factory.mktemp("undisturbed")
    root, ticks, log = folder / "root", folder / "ticks", folder / "log"
    root.mkdir()
    import_ = [*COMMON, "--from", str(ROOT / "examples" / "rmnp_posts.jsonl")]
    argvs = {
        "import": (PULL, import_),
        "clean": (PULL, CLEAN),
        "train": (TUNE, [*TRAIN, "--base-model", str(tiny_base)]),
        "generate": (TUNE, GENERATE),
    }
    done = {}
    for name, (script, argv) in argvs.items():
        before, after = folder / f"before_{name}", folder / f"after_{name}"
        if name == "clean":
            for path in (root / "text" / "rmnp").iterdir():
                if path.name != "posts.jsonl":
                    path.unlink()
        shutil.copytree(root, before)
        start = time.monotonic()
        assert_reported(run(script, ["--root", root, *argv], log, partial(at_file_event, root, ticks, None, signal.SIGTERM)), [0])
        seconds = time.monotonic() - start
        shutil.copytree(root, after)
        done[name] = Stage(name, script, argv, before, after, seconds, ticks.stat().st_size)
    return done


@pytest.fixture(params=RESULTS)
def stage(request: pytest.FixtureRequest, stages: dict[str, Stage]) -> Stage:
    """Return each stage in turn."""
    return stages[request.param]


@pytest.fixture
def root(stage: Stage, tmp_path: Path) -> Path:
    """Return a root in its state before the stage."""
    return shutil.copytree(stage.before, tmp_path / "root")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return an empty disk of 64 MB of its own."""
    try:
        with small_disk(tmp_path / "disk", 64_000) as folder:
            yield folder
    except PermissionError as error:
        pytest.skip(f"no tmpfs may be mounted here: {error}")


# -- kills


@pytest.mark.parametrize(("by", "number"), KILLS, ids=[f"{by}-{number.name}" for by, number in KILLS])
def test_a_killed_run_and_a_rerun_leave_what_one_run_leaves(by: str, number: signal.Signals, stage: Stage, tmp_path: Path) -> None:
    for attempt in range(KILLS[by, number]):
        rng = random.Random(f"{stage.name} {by} {number} {attempt}")
        root = shutil.copytree(stage.before, tmp_path / f"root{attempt}")
        if by == "file event":
            setup = partial(at_file_event, root, tmp_path / "ticks", rng.randrange(stage.file_events), number)
            ended = run(*stage.command(root), tmp_path / "log", setup)
        else:
            end = time.monotonic() + rng.uniform(0, stage.seconds)
            ended = disturb(*stage.command(root), tmp_path / "log", lambda end=end: time.monotonic() > end, number)
        assert_reported(ended, [0, 130, -number])
        assert_reported(run(*stage.command(root), tmp_path / "log"), [0])
        stage.assert_same(root)
        shutil.rmtree(root)
        COUNTS[f"{stage.name}: {number.name} and a rerun"] += 1


# -- disks


FREE_KIB = {"import": (0, 60, 700), "clean": (0, 20, 60), "train": (0, 60, 700), "generate": (0, 4)}


def test_a_full_disk_is_reported_and_loses_nothing(stage: Stage, disk: Path, tmp_path: Path) -> None:
    full = 0
    for free in FREE_KIB[stage.name]:
        root = shutil.copytree(stage.before, disk / "root")
        before = _bytes(root)
        _fill(disk, free)
        ended = run(*stage.command(root), tmp_path / "log", partial(_use_tmp, disk))
        assert_reported(ended, [0, 6])
        full += ended.code == 6
        assert before.items() <= _bytes(root).items()
        (disk / "filler").unlink()
        if ended.code:
            assert "No space left on device" in ended.err or "os error 28" in ended.err, ended.err
            assert_reported(run(*stage.command(root), tmp_path / "log"), [0])
        stage.assert_same(root)
        shutil.rmtree(root)
        COUNTS[f"{stage.name}: a full disk and a rerun"] += 1
    assert full, "the disk was never full"


def _fill(disk: Path, free_kib: int) -> None:
    """Fill the disk until ``free_kib`` KiB are free."""
    state = os.statvfs(disk)
    with open(disk / "filler", "wb") as filler:
        filler.write(b"x" * max(0, state.f_bavail * state.f_frsize - free_kib * 1024))


def _use_tmp(folder: Path) -> None:
    import tempfile

    tempfile.tempdir = str(folder)


def test_a_read_only_folder_is_reported(stage: Stage, disk: Path, tmp_path: Path) -> None:
    root = shutil.copytree(stage.before, disk / "root")
    before = _bytes(root)
    mount("-o", "remount,ro", disk)
    ended = run(*stage.command(root), tmp_path / "log")
    assert_reported(ended, [6])
    assert "Read-only file system" in ended.err
    assert _bytes(root) == before
    mount("-o", "remount,rw", disk)
    assert_reported(run(*stage.command(root), tmp_path / "log"), [0])
    stage.assert_same(root)
    COUNTS[f"{stage.name}: a read-only disk and a rerun"] += 1


# -- two processes, and clocks


def test_the_second_process_stops_and_the_first_is_not_disturbed(stage: Stage, root: Path, tmp_path: Path) -> None:
    first = Running(*stage.command(root), tmp_path / "first")
    while first.alive() and not any(lock.stat().st_size for lock in root.rglob(".*.lock")):
        time.sleep(0.001)
    first.send(signal.SIGSTOP)
    second = run(*stage.command(root), tmp_path / "second")
    first.send(signal.SIGCONT)
    assert_reported(second, [2])
    assert "is being written by process" in second.err
    assert_reported(first.wait(), [0])
    stage.assert_same(root)
    COUNTS[f"{stage.name}: two processes"] += 1


def test_a_clock_set_back_changes_nothing(stage: Stage, root: Path, tmp_path: Path) -> None:
    for path in root.rglob("*"):
        os.utime(path, (4_102_444_800, 4_102_444_800))  # 2100
    assert_reported(run(*stage.command(root), tmp_path / "log", _set_clock_back), [0])
    stage.assert_same(root)
    COUNTS[f"{stage.name}: the clock set back"] += 1


def _set_clock_back() -> None:
    """Set the clock of this process back by ten years at every other call."""
    now, looks = time.time, iter(range(10**9))
    time.time = lambda: now() - 315_360_000 * (next(looks) % 2)


# -- truncated files


@dataclass(frozen=True)
class Cut:
    """A truncated file of a finished job, the stage that reads it, and the correct exit codes."""

    file: str
    reader: str
    codes: tuple[int, ...]
    says: str = ""


CUTS = [
    Cut("text/rmnp/posts.jsonl", "clean", (0, 3, 5)),
    Cut("text/rmnp/cleaning.json", "clean", (0,)),
    Cut("text/rmnp/captions.txt", "train", (0, 5), "was changed since it was cleaned"),
    Cut("text/rmnp/cleaning.json", "train", (0,), "was changed since it was cleaned"),
    Cut("trained_models/rmnp/model.safetensors", "generate", (3,), "it is damaged or incomplete"),
    Cut("trained_models/rmnp/config.json", "generate", (3,), "it is damaged or incomplete"),
    Cut("trained_models/rmnp/tokenizer.json", "generate", (3,), "it is damaged or incomplete"),
    Cut("trained_models/rmnp/run.json", "generate", (0,), "can't be used"),
    Cut("trained_models/rmnp/generation_config.json", "generate", (0, 3)),
    Cut("trained_models/rmnp/tokenizer_config.json", "generate", (0, 3)),
]


@pytest.mark.parametrize("cut", CUTS, ids=[f"{cut.file.split('/')[-1]}-{cut.reader}" for cut in CUTS])
def test_a_truncated_file_is_reported_or_repaired(cut: Cut, stages: dict[str, Stage], tmp_path: Path) -> None:
    stage = stages[cut.reader]
    for attempt in range(4):
        root = shutil.copytree(stages["generate"].after, tmp_path / f"root{attempt}")
        shutil.rmtree(root / "text" / "generated_text")
        _cut(next(root.glob(cut.file)), random.Random(f"{cut} {attempt}"), to_nothing=attempt == 0)
        ended = run(*stage.command(root), tmp_path / "log")
        assert_reported(ended, cut.codes)
        assert cut.says in ended.err
        if ended.code == 3:
            assert "hint: " in ended.err
        if cut.reader == "clean" and ended.code == 0:
            _assert_counted(root, ended)
        if ended.code == 0 and cut.reader == "generate":
            # without run.json the held-out captions count as training captions, from which more may be copied
            stage.assert_same(root, but=(".jsonl", ".csv") if cut.file.endswith("run.json") else ())
        COUNTS["files cut"] += 1


def _cut(path: Path, rng: random.Random, to_nothing: bool) -> None:
    with open(path, "r+b") as handle:
        handle.truncate(0 if to_nothing else rng.randrange(1, path.stat().st_size - 1))


def _assert_counted(root: Path, ended: Finished) -> None:
    """Check that every line of posts.jsonl is kept, dropped, or damaged and reported."""
    store = Store(root)
    lines = store.posts("rmnp").read_bytes().split(b"\n")
    counted = sum(len(path.read_bytes().splitlines()) for path in (store.captions("rmnp"), store.dropped("rmnp")))
    torn = bool(lines[-1])
    assert counted == len(lines) - 1
    assert ("damaged" in ended.err) == torn
    assert json.loads(store.cleaning("rmnp").read_text())["damaged_lines"] == torn


CHECKPOINT = [
    "complete.json",
    "optimizer.pt",
    "scheduler.pt",
    "rng_state.pth",
    "trainer_state.json",
    "adapter_model.safetensors",
    "best.safetensors",
]


@pytest.mark.parametrize("name", CHECKPOINT)
def test_a_truncated_checkpoint_is_reported_or_repaired(name: str, stages: dict[str, Stage], tmp_path: Path) -> None:
    stage = stages["train"]
    root = shutil.copytree(stage.before, tmp_path / "root")
    finished = Store(root).training("rmnp") / "checkpoints"
    due: Callable[[], bool] = lambda: bool(list(finished.glob("*/complete.json")))  # noqa: E731
    assert_reported(disturb(*stage.command(root), tmp_path / "log", due, signal.SIGTERM), [130])
    path = next(iter(finished.glob("*/complete.json"))).parent / name
    _cut(path, random.Random(name), to_nothing=False)
    ended = run(*stage.command(root), tmp_path / "log")
    assert_reported(ended, [0, 3])
    if ended.code:
        assert "hint: " in ended.err
        assert_reported(run(*stage.command(root)[:1], [*stage.command(root)[1], "--resume", "never"], tmp_path / "log"), [0])
    stage.assert_same(root)
    COUNTS["files cut"] += 1


# -- the same for a pull


@pytest.fixture
def pull(tmp_path: Path) -> Iterator[Callable[..., Finished]]:
    """Return a function that pulls all pages of a small Instagram into ``tmp_path``/root."""
    cookies = tmp_path / "cookies.txt"
    row = ".instagram.com\tTRUE\t/\tTRUE\t4102444800\t"
    cookies.write_text(f"# Netscape HTTP Cookie File\n{row}sessionid\t{SESSION_ID}\n{row}ds_user_id\t1\n{row}csrftoken\tabc\n")
    fake = FakeInstagram()
    fake.sections = [[section(*(media(f"s{page}x{i}") for i in range(9)))] for page in range(12)]
    with serving(fake) as port:

        def pull(*more: object, root: Path = tmp_path / "root", also: Callable[[], None] | None = None) -> Finished:
            argv = ["--root", root, *COMMON, "--cookies", cookies, "--skip-rule", "exact-duplicate", "folded-duplicate", "near-duplicate"]
            return run(PULL, [*argv, "--workers", "1", *more], tmp_path / "log", partial(_set_up_pull, port, also))

        yield pull


def _set_up_pull(port: int, also: Callable[[], None] | None) -> None:
    route_process(port)
    if also:
        also()


EVERYTHING = {f"s{page}x{i}" for page in range(12) for i in range(9)}


def _assert_complete(root: Path) -> None:
    stored = [json.loads(line)["shortcode"] for line in Store(root).posts("rmnp").read_bytes().splitlines()]
    assert len(stored) == len(set(stored))
    assert set(stored) == EVERYTHING


@pytest.mark.parametrize("pages", [5, 60], ids=["unfinished", "finished"])
@pytest.mark.parametrize("name", ["posts.jsonl", "pull.json"])
def test_a_pull_repairs_a_truncated_file(name: str, pages: int, pull: Callable[..., Finished], tmp_path: Path) -> None:
    for attempt in range(4):
        root = tmp_path / f"root{attempt}"
        assert_reported(pull("--caption-queries", pages, root=root), [0])
        _cut(root / "text" / "rmnp" / name, random.Random(f"{name} {pages} {attempt}"), to_nothing=attempt == 0)
        ended = pull(root=root)
        assert_reported(ended, [0])
        assert "starting from the top" in ended.err
        _assert_complete(root)
        COUNTS["files cut"] += 1


def test_a_pull_with_its_clock_set_back_continues(pull: Callable[..., Finished], tmp_path: Path) -> None:
    assert_reported(pull("--caption-queries", 5), [0])
    for path in (tmp_path / "root").rglob("*"):
        os.utime(path, (4_102_444_800, 4_102_444_800))
    assert_reported(pull(also=_set_clock_back), [0])
    _assert_complete(tmp_path / "root")
    COUNTS["pull: the clock set back"] += 1


@pytest.mark.parametrize("free_kib", [0, 8, 16])
def test_a_pull_on_a_full_disk_keeps_what_it_has(free_kib: int, pull: Callable[..., Finished], disk: Path) -> None:
    root = disk / "root"
    assert_reported(pull("--caption-queries", 2, root=root), [0])
    before = Store(root).posts("rmnp").read_bytes()
    _fill(disk, free_kib)
    assert_reported(pull(root=root), [6])
    assert Store(root).posts("rmnp").read_bytes().startswith(before)
    (disk / "filler").unlink()
    assert_reported(pull(root=root), [0])
    _assert_complete(root)
    COUNTS["pull: a full disk and a rerun"] += 1


def test_a_pull_into_a_read_only_folder_is_reported(pull: Callable[..., Finished], disk: Path) -> None:
    mount("-o", "remount,ro", disk)
    assert_reported(pull(root=disk / "root"), [6])
    COUNTS["pull: a read-only disk"] += 1
