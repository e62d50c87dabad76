"""A file from elsewhere must not write outside --root, run code, fill the memory, control the terminal or leak a secret."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import pickle
import re
import shutil
import signal
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT
from instagram_server import PASSWORD, SESSION_ID, FakeInstagram, Handler, route, serving

import pull_and_clean
import tune_transformer
from hugging_captions import storage
from hugging_captions.errors import InputError, UsageError
from hugging_captions.posts import read_posts
from hugging_captions.scraper import import_posts, tables
from hugging_captions.storage import Store

ESCAPES = "\x1b[31m\x1b]0;owned\x07\x9b2J\u202e"
QUICK = {
    "--train": ["--device", "cpu", "--epochs", "1"],
    "--generate": ["--device", "cpu", "--num-captions", "2", "--max-length", "20", "--min-length", "2", "--keep-all"],
}


def _files(folder: Path) -> dict[str, bytes | str]:
    """Return every file below ``folder`` with its content, a symbolic link with its target."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(folder))] = os.readlink(path)
        elif path.is_file():
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


# -- nothing is written outside --root


@pytest.mark.parametrize(
    "tag",
    ["..", "../outside", "/outside", "a/../../outside", "..\\outside", "rmnp\0", "\0", "~", ".", "con.txt", "a:b", "\udcff", "generated_text", "#Generated_Text"],
)  # fmt: skip
def test_a_tag_that_is_a_path_or_reserved_is_refused(tag: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root.parent / "one.txt").write_text("One quiet morning at the lake\n")
    before = _files(root.parent)
    assert pull_and_clean.main(["--root", str(root), "--tag", tag, "--from", str(root.parent / "one.txt")]) == 2
    assert tune_transformer.main(["--root", str(root), "--tag", tag, "--train"]) == 2
    assert re.search("be used as a hashtag|not UTF-8 text", capsys.readouterr().err)
    assert _files(root.parent) == before


NAMES = ["../../evil", "/tmp/../evil", "a\0b", "..", "C:\\evil", "x" * 5000, "\x1b[31m", ".hidden", "nul", "%00", "~root"]


def test_names_inside_an_imported_file_are_data_and_never_paths(root: Path, tmp_path: Path) -> None:
    records = [
        {"shortcode": name, "caption": f"One quiet morning number {i}", "likes": 30, "date_utc": name, "tag": name, "source": name}
        for i, name in enumerate(NAMES)
    ]
    nodes = [
        {"code": name, "media_type": 1, "taken_at": name, "caption": {"text": f"Geese on the far shore {i}"}}
        for i, name in enumerate(NAMES)
    ]
    (tmp_path / "ours.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (tmp_path / "nodes.json").write_text(json.dumps(nodes))
    before = _files(tmp_path)
    argv = [
        "--root",
        str(root),
        "--tag",
        "rmnp",
        "--skip-rule",
        "near-duplicate",
        "--from",
        str(tmp_path / "ours.jsonl"),
        str(tmp_path / "nodes.json"),
    ]
    assert pull_and_clean.main(argv) == 0
    assert {name: data for name, data in _files(tmp_path).items() if not name.startswith("root/")} == before
    assert {path.name for path in (root / "text" / "rmnp").iterdir()} == {"posts.jsonl", "captions.txt", "dropped.jsonl", "cleaning.json"}
    assert {post.tag for post in read_posts(Store(root).posts("rmnp"), lambda *_: None)} == {"rmnp"}


def test_links_in_an_imported_folder_are_not_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "diary.txt").write_text("Nobody should read this line\n")
    (tmp_path / "posts").mkdir()
    (tmp_path / "posts" / "mine.txt").write_text("One quiet morning at the lake\n")
    (tmp_path / "posts" / "diary.txt").symlink_to(tmp_path / "secret" / "diary.txt")
    (tmp_path / "posts" / "folder").symlink_to(tmp_path / "secret")
    (tmp_path / "posts" / "loop").symlink_to(tmp_path / "posts")
    assert import_posts([tmp_path / "posts"], "rmnp", Store(root)).new == 1


LINKED = [
    "text/rmnp",
    "text/.rmnp.lock",
    "text/rmnp/posts.jsonl",
    "text/rmnp/captions.txt",
    "text/rmnp/dropped.jsonl",
    "text/rmnp/cleaning.json",
    "text/rmnp/cleaning.png",
    "text/rmnp/.cleaning.png.tmp",
    "text/rmnp/cleaning.html",
    "text/rmnp/.cleaning.html.tmp",
]


@pytest.mark.parametrize("target", ["existing", "new"])
@pytest.mark.parametrize("linked", LINKED)
def test_a_link_planted_below_the_root_leads_no_writing_out_of_it(linked: str, target: str, root: Path, tmp_path: Path) -> None:
    (tmp_path / "posts.txt").write_text("One quiet morning at the lake\n")
    outside = tmp_path / "outside"
    if target == "existing" and linked == "text/rmnp":
        outside.mkdir()
    elif target == "existing":
        outside.write_text("precious\n")
    (root / linked).parent.mkdir(parents=True)
    (root / linked).symlink_to(outside)
    before = _files(outside) if outside.is_dir() else outside.exists() and outside.read_bytes()
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--report", "--from", str(tmp_path / "posts.txt")]) in (0, 2, 6)
    assert (_files(outside) if outside.is_dir() else outside.exists() and outside.read_bytes()) == before


def test_links_planted_where_a_model_goes_are_refused(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Store(root).captions("rmnp").parent.mkdir(parents=True)
    storage.write_captions(Store(root).captions("rmnp"), ["One quiet morning"])
    (tmp_path / "outside").mkdir()
    for planted in ("rmnp", "rmnp.training"):
        (root / "trained_models").mkdir(exist_ok=True)
        (root / "trained_models" / planted).symlink_to(tmp_path / "outside")
        assert tune_transformer.main(["--root", str(root), "--tag", "rmnp", "--train", "--base-model", "scratch", *QUICK["--train"]]) == 2
        assert "is a symbolic link that leads out of" in capsys.readouterr().err
        (root / "trained_models" / planted).unlink()
    assert not _files(tmp_path / "outside")


def test_a_root_and_its_two_folders_may_be_links(tmp_path: Path, root: Path) -> None:
    """The user may have put the data on a larger disk."""
    (tmp_path / "posts.txt").write_text("One quiet morning at the lake\n")
    (tmp_path / "large").mkdir()
    root.mkdir()
    (root / "text").symlink_to(tmp_path / "large")
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--from", str(tmp_path / "posts.txt")]) == 0
    assert (tmp_path / "large" / "rmnp" / "captions.txt").exists()


# -- loading runs no code


class _Runs:
    """An object whose pickle creates a folder when it is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.folder,)


def _as_pickle(folder: Path, ran: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Runs(ran)))


def _as_torch_file(folder: Path, ran: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"transformer.wte.weight": _Runs(ran)}, folder / "pytorch_model.bin")


def _as_sharded_pickle(folder: Path, ran: Path) -> None:
    _as_torch_file(folder, ran)
    (folder / "pytorch_model.bin").rename(folder / "pytorch_model-00001-of-00001.bin")
    index = {"metadata": {"total_size": 1}, "weight_map": {"transformer.wte.weight": "pytorch_model-00001-of-00001.bin"}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))


def _as_disguised_pickle(folder: Path, ran: Path) -> None:
    (folder / "model.safetensors").write_bytes(pickle.dumps(_Runs(ran)))


def _as_remote_code(folder: Path, ran: Path) -> None:
    (folder / "evil.py").write_text(f"import os\nos.mkdir({str(ran)!r})\nclass Config: pass\nclass Model: pass\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}}
    (folder / "config.json").write_text(json.dumps(config))


def _as_remote_tokenizer(folder: Path, ran: Path) -> None:
    _as_remote_code(folder, ran)
    config = json.loads((folder / "config.json").read_text())
    del config["auto_map"]
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "gpt2"}))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Config", "evil.Config"]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def _as_adapter(folder: Path, ran: Path) -> None:
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": str(folder), "r": 2}))
    torch.save({"x": _Runs(ran)}, folder / "adapter_model.bin")


PLANTED = [_as_pickle, _as_torch_file, _as_sharded_pickle, _as_disguised_pickle, _as_remote_code, _as_remote_tokenizer, _as_adapter]


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
@pytest.mark.parametrize("stage", ["train", "generate"])
def test_a_model_folder_runs_no_code(
    plant: Any, stage: str, tiny_base: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # would confirm any question
    folder = tmp_path / "base" if stage == "train" else Store(root).model("rmnp")
    shutil.copytree(tiny_base, folder)
    plant(folder, tmp_path / "ran")
    if stage == "train":
        Store(root).captions("rmnp").parent.mkdir(parents=True)
        storage.write_captions(Store(root).captions("rmnp"), ["One quiet morning"])
    argv = ["--train", "--base-model", str(folder)] if stage == "train" else ["--generate"]
    code = tune_transformer.main(["--root", str(root), "--tag", "rmnp", *argv, *QUICK[argv[0]]])
    assert not (tmp_path / "ran").exists()
    assert code == 3 or (code == 0 and plant is _as_remote_tokenizer)  # tokenizer.json is enough, its class is not loaded
    assert "Traceback" not in capsys.readouterr().err


def test_a_checkpoint_that_training_resumes_from_runs_no_code(
    tiny_base: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Store(root).captions("rmnp").parent.mkdir(parents=True)
    storage.write_captions(Store(root).captions("rmnp"), [f"One quiet morning number {i}" for i in range(8)])
    argv = [
        "--root",
        str(root),
        "--tag",
        "rmnp",
        "--train",
        "--base-model",
        str(tiny_base),
        "--save-minutes",
        "0",
        "--epochs",
        "2",
        "--device",
        "cpu",
    ]
    with monkeypatch.context() as patch:
        patch.setattr("transformers.Trainer._clip_grad_norm", lambda self, model: os.kill(os.getpid(), signal.SIGTERM))
        assert tune_transformer.main(argv) == 130
    checkpoints = list(Store(root).training("rmnp").glob("checkpoints/checkpoint-*"))
    assert checkpoints
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"):
        torch.save(_Runs(tmp_path / "ran"), checkpoints[0] / name)
    assert tune_transformer.main(argv) == 3
    assert "--resume never" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


# -- nothing fills the memory


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress])
@pytest.mark.parametrize("unit", [b"[],", b"A caption\n", b" "], ids=["document", "lines", "one line"])
def test_a_bomb_is_stopped_at_the_stated_limit(
    compress: Any, unit: bytes, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "UNSUSPICIOUS", 1 << 20)
    (tmp_path / "bomb").write_bytes(compress(b"[" + unit * ((2 << 20) // len(unit))))
    with pytest.raises(InputError, match="it unpacks to more than 1,048,576 bytes"):
        import_posts([tmp_path / "bomb"], "rmnp", Store(root))


def test_files_that_compress_like_captions_are_accepted(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "UNSUSPICIOUS", 1 << 10)
    (tmp_path / "posts.gz").write_bytes(gzip.compress("".join(f"Morning {i * 7919 % 10007} at the lake\n" for i in range(9000)).encode()))
    assert import_posts([tmp_path / "posts.gz"], "rmnp", Store(root)).new == 9000


# -- captions are text


def test_formulas_stay_text_and_no_table_is_written(tmp_path: Path, root: Path) -> None:
    formulas = [
        '=HYPERLINK("http://127.0.0.1/"&A1;"a quiet view")',
        "=cmd|' /C calc'!A0 and some words",
        "+1 for the view",
        "-2 degrees here",
        "@SUM(A1)",
    ]
    rows = "".join('"{}";12\n'.format(formula.replace('"', '""')) for formula in formulas)
    (tmp_path / "table.csv").write_text("caption;likes\n" + rows)
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--language", "any", "--from", str(tmp_path / "table.csv")]) == 0
    assert [post.caption for post in read_posts(Store(root).posts("rmnp"), lambda *_: None)] == formulas
    assert {path.suffix for path in root.rglob("*") if path.is_file()} <= {".jsonl", ".txt", ".json", ".lock", ""}


def _raw(text: str) -> set[str]:
    """Return the characters in ``text`` that control a terminal."""
    return {char for char in text if char != "\n" and unicodedata.category(char) in ("Cc", "Cf", "Cs")}


def test_nothing_in_a_file_controls_the_terminal(tmp_path: Path, root: Path, tiny_base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = f"evil{ESCAPES}"
    own = {
        "shortcode": evil,
        "caption": f"{evil} One quiet morning\r at the lake",
        "likes": 20,
        "date_utc": None,
        "tag": evil,
        "source": evil,
    }
    few = own | {"shortcode": "few", "caption": evil, "likes": 1}
    (tmp_path / f"{evil}.jsonl").write_text(json.dumps(own) + "\n" + json.dumps(few) + "\n" + f'{{"{evil}": \n[]\n', encoding="utf-8")
    (tmp_path / "node.json").write_text(json.dumps({"code": evil, "media_type": 1, "caption": {"text": f"{evil} three quiet mornings"}}))
    (tmp_path / f"{evil}.csv").write_text(f"caption,{evil}\n{evil} Two quiet mornings,1,2,3\n", encoding="utf-8")
    common = ["--root", str(root), "--tag", "rmnp", "--verbose"]
    assert pull_and_clean.main([*common, "--from", str(tmp_path / f"{evil}.jsonl"), "--min-words", "1"]) == 0
    assert pull_and_clean.main([*common, "--from", str(tmp_path / f"{evil}.csv")]) == 3
    assert pull_and_clean.main([*common, "--from", str(tmp_path / "node.json"), "--min-words", "1"]) == 0
    assert pull_and_clean.main([*common, "--explain", evil]) == 0
    assert pull_and_clean.main([*common, "--skip-pull", "--skip-rule", evil]) == 2
    assert (
        tune_transformer.main(
            [
                *common,
                "--train",
                "--generate",
                "--base-model",
                str(tiny_base),
                "--prompt",
                evil,
                *QUICK["--train"],
                *QUICK["--generate"],
                "--max-length",
                "90",
            ]
        )
        == 0
    )
    assert tune_transformer.main([*common, "--train", "--base-model", str(tmp_path / evil)]) == 3
    captured = capsys.readouterr()
    assert "evil" in captured.out + captured.err
    assert not [line for line in captured.out.split("\n") if _raw(line)]
    assert not [line for line in captured.err.split("\n") if _raw(line)]


# -- no secret in any file or log


@pytest.fixture
def instagram(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeInstagram]:
    """Serve a fake Instagram for one test, without its waits."""
    monkeypatch.setattr("instaloader.instaloadercontext.time.sleep", lambda seconds: None)
    fake = FakeInstagram()
    with serving(fake) as port:
        route(port, monkeypatch)
        yield fake


FAULTS = {
    "none": None,
    "429": lambda handler: handler.answer({"message": "slow down"}, 429),
    "401": lambda handler: handler.answer({"message": "Please wait"}, 401),
    "checkpoint": lambda handler: handler.answer({"message": "checkpoint_required"}, 400),
    "html": lambda handler: handler.answer(f"<html>{handler.headers.get('Cookie')}</html>"),
    "dropped": Handler.drop,
}


@pytest.mark.parametrize("way", ["cookies", "login", "wrong password"])
@pytest.mark.parametrize("fault", FAULTS)
def test_no_secret_is_in_any_file_or_log(
    fault: str,
    way: str,
    instagram: FakeInstagram,
    root: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if FAULTS[fault]:
        instagram.fault = (2, FAULTS[fault])
    home = tmp_path / "home"
    for name in ("HOME", "XDG_CONFIG_HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(home))
    home.mkdir()
    cookies = tmp_path / "cookies.txt"
    row = ".instagram.com\tTRUE\t/\tTRUE\t4102444800\t"
    cookies.write_text(f"# Netscape HTTP Cookie File\n{row}sessionid\t{SESSION_ID}\n{row}ds_user_id\t1\n{row}csrftoken\tabc\n")
    wrong = "another-planted-password-5555"
    monkeypatch.setattr("getpass.getpass", lambda prompt: wrong if way == "wrong password" else PASSWORD)
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda self: True, "readline": lambda self: ""})())
    session = ["--cookies", str(cookies)] if way == "cookies" else ["--login", "researcher"]
    code = pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--verbose", "--min-likes", "0", *session])
    assert code in ((4,) if way == "wrong password" else (0, 4))
    captured = capfd.readouterr()
    assert captured.err
    written = {name: data for name, data in _files(tmp_path).items() if isinstance(data, bytes) and name != "cookies.txt"}
    written |= {"stdout": captured.out.encode(), "stderr": captured.err.encode()}
    holding = {name for name, data in written.items() for secret in (SESSION_ID, PASSWORD, wrong) if secret.encode() in data}
    assert {Path(name).name for name in holding} <= {"session-researcher"}
    assert all(stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600 for name in holding)


def test_the_code_loads_neither_pickles_nor_remote_code() -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in (*ROOT.glob("*.py"), *ROOT.glob("hugging_captions/**/*.py"))}
    assert [path.name for path, text in sources.items() if "trust_remote_code=True" in text] == []
    assert [path.name for path, text in sources.items() if "torch.load" in text and "weights_only=True" not in text] == []
    # the pipeline reads only pickles of its own worker processes, in a folder that only this user can read
    assert [path.name for path, text in sources.items() if "pickle.load" in text or "shell=True" in text] == ["pipeline.py"]


def test_a_reserved_name_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="be used as a hashtag"):
        storage.normalise_tag("generated_text")
