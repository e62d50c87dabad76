"""Options from a file, and runs that are repeated from their record, through both scripts."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from conftest import ROOT

import pull_and_clean
import tune_transformer
from hugging_captions import __version__
from hugging_captions.storage import Store, write_captions

EXAMPLE = ROOT / "examples" / "rmnp_posts.jsonl"
MAINS = {"pull_and_clean.py": pull_and_clean.main, "tune_transformer.py": tune_transformer.main}


def _write(path: Path, value: object) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def _error(capsys: pytest.CaptureFixture[str]) -> str:
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("hint: ")]
    assert len(lines) == 1, lines
    return lines[0]


def test_arguments_from_a_file_come_before_the_others(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = f"\ufeff# where\n--root\n  {root}  \r\n\n--tag\nrmnp\n--from\n{EXAMPLE}\n# what\n--min-likes=20\n--language\nen\n"
    path = _write(tmp_path / "args.txt", text)
    assert pull_and_clean.main([f"@{path}", "--min-likes", "30"]) == 0
    cleaning = json.loads(Store(root).cleaning("rmnp").read_text(encoding="utf-8"))
    assert cleaning["options"]["min_likes"] == 30
    assert cleaning["command"] == shlex.join(
        ["python", "pull_and_clean.py", "--root", str(root), *["--tag", "rmnp", "--skip-pull", "--min-likes", "30"]]
    )


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        (None, 3, "cannot read args.txt: No such file or directory"),
        ("@args.txt\n", 2, "args.txt begins with @args.txt: a file of arguments can't include another, or itself"),
        ("# first\n\n@more.txt\n--tag\nx\n", 2, "args.txt begins with @more.txt: a file of arguments can't include another, or itself"),
        ("--tag\nx\n@args.txt\n", 2, "'@args.txt' can't be used as a hashtag"),
        ("--tag\nx\n--verbose\n@args.txt\n", 2, "unrecognized arguments: @args.txt"),
        ("--tag rmnp\n", 2, "unrecognized arguments: --tag rmnp (did you mean --tag?)"),
        ("--root\na\0b\n", 2, "args.txt is not text"),
    ],
)
@pytest.mark.parametrize("script", MAINS)
def test_a_file_of_arguments_that_cannot_be_used_is_one_line(
    script: str, text: str | None, code: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        _write(Path("args.txt"), text)
    assert MAINS[script](["@args.txt"]) == code
    assert says in _error(capsys)


def test_binary_files_and_folders_are_not_files_of_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bytes").write_bytes(b"--tag\n\xff\xfe\n")
    for path, says in ((tmp_path / "bytes", "is not UTF-8 text"), (tmp_path, "Is a directory")):
        assert tune_transformer.main([f"@{path}"]) == 3
        assert says in _error(capsys)


def test_only_the_first_argument_is_a_file(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tune_transformer.main(["--root", str(root), "--tag", "x", "--generate", "--prompt", "@args.txt"]) == 2
    assert "the prompt '@args.txt' holds a handle" in capsys.readouterr().err


OPTIONS = {"temperature": 0.7, "num_captions": 3}


@pytest.mark.parametrize(
    ("record", "code", "says"),
    [
        (None, 3, "cannot read run.json: No such file or directory"),
        ("{", 3, "run.json is damaged"),
        ("[" * 100_000, 3, "run.json is damaged"),
        ([], 2, "run.json has no options of a run"),
        ({"tags": ["x"]}, 2, "run.json has no options of a run"),
        ({"options": [1]}, 2, "run.json has no options of a run"),
        (
            {"options": OPTIONS | {"quantize": "int8", "max_attempts": 3}},
            2,
            "run.json has options that tune_transformer.py doesn't have: max_attempts, quantize",
        ),
        ({"options": {"min_likes": 3}}, 2, "run.json has options that tune_transformer.py doesn't have: min_likes"),
        ({"options": {"root": "/", "tag": ["y"]}}, 2, "run.json has options that tune_transformer.py doesn't have: root, tag"),
        ({"options": {"temperature": "hot"}}, 2, "run.json: argument --temperature: invalid float value: 'hot'"),
        ({"options": {"rank": "best"}}, 2, "run.json: argument --rank: invalid choice: 'best'"),
        ({"options": {"temperature": {"a": 1}}}, 2, "run.json: argument --temperature: invalid float value"),
        ({"options": OPTIONS, "tags": ["a/b"], "command": "--generate"}, 2, "'a/b' can't be used as a hashtag"),
        ({"options": {}, "tags": ["x"]}, 2, "nothing to do: give --train, --generate or --interactive"),
    ],
)
def test_a_record_that_cannot_be_repeated_is_one_line(
    record: object, code: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if record is not None:
        _write(Path("run.json"), record)
    assert tune_transformer.main(["--options-from", "run.json"]) == code
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert says in errors[0]


def test_options_that_an_earlier_version_lacked_have_their_defaults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cleaning = {"options": {"min_likes": 3, "language": "any"}, "versions": {"hugging_captions": "0.1"}, "cleaned_with": ["rmnp"]}
    path = _write(tmp_path / "cleaning.json", cleaning)
    root = ["--root", str(tmp_path)]
    assert pull_and_clean.main([*root, "--from", str(EXAMPLE), "--options-from", str(path), "--min-likes", "5"]) == 0
    found = json.loads(Store(tmp_path).cleaning("rmnp").read_text(encoding="utf-8"))["options"]
    assert (found["min_likes"], found["language"]) == (5, "any")
    err = capsys.readouterr().err
    assert f"warning: {path} is of another version (0.1): --emoji and --handles and " in err
    assert f"warning: {path} was written with other versions, so results may differ: hugging_captions 0.1 (now {__version__})\n" in err
    repeated = _write(tmp_path / "again.json", Store(tmp_path).cleaning("rmnp").read_text(encoding="utf-8"))
    assert pull_and_clean.main([*root, "--options-from", str(repeated)]) == 0
    assert "warning" not in capsys.readouterr().err


def test_a_cleaning_is_repeated_from_its_record_to_the_byte(root: Path) -> None:
    store, base = Store(root), ["--root", str(root), "--tag", "rmnp"]
    argv = ["--min-likes", "20", "--emoji", "drop", "--skip-rule", "runs", "credits", "--workers", "1"]
    assert pull_and_clean.main([*base, "--from", str(EXAMPLE), *argv]) == 0
    paths = [store.captions("rmnp"), store.dropped("rmnp"), store.cleaning("rmnp")]
    before = [path.read_bytes() for path in paths]
    record = _write(root / "record.json", before[2].decode())
    for again in (shlex.split(json.loads(before[2])["command"])[2:], ["--root", str(root), "--options-from", str(record)]):
        assert pull_and_clean.main([*base, "--skip-pull"]) == 0
        assert [path.read_bytes() for path in paths] != before
        assert pull_and_clean.main(again) == 0
        assert [path.read_bytes() for path in paths] == before


@pytest.mark.timeout(300)
def test_a_training_is_repeated_from_its_record_to_the_byte(root: Path, tiny_base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, base = Store(root), ["--root", str(root)]
    write_captions(store.captions("lake"), [f"We walked {i} miles around lake {i * 7 % 50} today" for i in range(60)])
    argv = [
        "--tag",
        "lake",
        "--train",
        "--base-model",
        str(tiny_base),
        "--epochs",
        "1",
        "--seed",
        "3",
        "--device",
        "cpu",
        "--val-fraction",
        "0",
    ]
    for name in ("one", "two"):  # of the same captions, next to each other
        assert tune_transformer.main([*base, *argv, "--batch-tokens", "200", "--name", name]) == 0
    weights = [(store.model(f"lake_{name}") / "model.safetensors").read_bytes() for name in ("one", "two")]
    assert weights[0] == weights[1]
    run = json.loads((store.model("lake_one") / "run.json").read_text(encoding="utf-8"))
    assert (run["tags"], run["name"]) == (["lake"], "one")
    record = _write(root / "record.json", run)
    for again in (shlex.split(run["command"])[2:], [*base, "--options-from", str(record), "--overwrite"]):
        assert tune_transformer.main(again) == 0
        assert (store.model("lake_one") / "model.safetensors").read_bytes() == weights[0]
        found = json.loads((store.model("lake_one") / "run.json").read_text(encoding="utf-8"))
        assert {**found["options"], "overwrite": False} == run["options"]
    write_captions(store.captions("lake_one"), ["something", "else"])
    argv[1] = "lake_one"
    assert tune_transformer.main([*base, *argv, "--overwrite", "--resume", "never"]) == 2
    assert f"error: {store.model('lake_one')} belongs to tag 'lake' with --name one" in capsys.readouterr().err
    training = store.model("lake_one").rename(store.training("lake_one"))  # an unfinished one, too
    (training / "checkpoints").mkdir()
    (training / "run.json").rename(training / "checkpoints" / "owner.json")
    assert tune_transformer.main([*base, *argv, "--overwrite", "--resume", "never"]) == 2
    assert f"error: {store.training('lake_one')} belongs to tag 'lake' with --name one" in capsys.readouterr().err


def test_a_report_does_not_turn_a_repeated_cleaning_into_a_pull(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(root)
    argv = ["--root", str(root), "--tag", "rmnp", "--from", str(EXAMPLE), "--workers", "1"]
    assert pull_and_clean.main(argv) == 0
    again = ["--root", str(root), "--options-from", str(store.cleaning("rmnp")), "--workers", "1", "--report"]
    assert pull_and_clean.main(again) == 0
    assert store.cleaning_page("rmnp").exists()
