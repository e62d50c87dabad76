"""Fixtures: no network except loopback, an empty root folder, a tiny base model, a local Instagram server."""

from __future__ import annotations

import os
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from instagram_server import SESSION_ID, FakeInstagram, route, serving

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
sys.path.insert(0, str(ROOT))

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # with tiny models a second thread is slower
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"  # a closed port: the hub can't be reached


#: The fault counts of the pytest-xdist processes.
_faults: Counter[str] = Counter()


def unwrapped(text: str) -> str:
    return " ".join(text.split())


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Pass the counts of this process to the one that prints."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["faults"] = _tried()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add the counts of a process."""
    _faults.update(getattr(node, "workeroutput", {}).get("faults", {}))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print after the fault tests how often each kind of fault was tried."""
    _faults.update(_tried())
    if _faults:
        terminalreporter.section(f"{_faults.total()} faults")
        for name, count in sorted(_faults.items()):
            terminalreporter.write_line(f"{count:5}  {name}")


def _tried() -> dict[str, int]:
    return dict(getattr(sys.modules.get("harness"), "COUNTS", {}))


@pytest.fixture(autouse=True)
def _only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection that leaves this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else ""
        if host not in ("127.0.0.1", "::1", "localhost", ""):
            raise OSError(f"a test tried to reach {host}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return an empty folder for --root."""
    return tmp_path / "root"


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a GPT-2 of 2 layers and width 32, random, with a byte-level BPE of 400 tokens."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from hugging_captions import models

    folder = tmp_path_factory.mktemp("tiny_base")
    tokenizer = models.train_tokenizer((ROOT / "examples" / "rmnp_posts.jsonl").read_text(encoding="utf-8").split("\n"), 400)
    eos = tokenizer.eos_token_id
    torch.manual_seed(0)
    shape = {"n_positions": 256, "n_embd": 32, "n_layer": 2, "n_head": 2}
    GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), bos_token_id=eos, eos_token_id=eos, **shape)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def instagram(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeInstagram]:
    """Serve a fresh Instagram; instaloader's waits return immediately."""
    fake = FakeInstagram()
    monkeypatch.setattr("instaloader.instaloadercontext.time.sleep", lambda seconds: None)
    with serving(fake) as port:
        route(port, monkeypatch)
        yield fake


@pytest.fixture
def cookies(tmp_path: Path) -> Path:
    """Return a Netscape cookies.txt with a session."""
    path = tmp_path / "cookies.txt"
    row = ".instagram.com\tTRUE\t/\tTRUE\t4102444800"
    pairs = (("sessionid", SESSION_ID), ("ds_user_id", "1"), ("csrftoken", "abc"))
    lines = [f"{row}\t{name}\t{value}" for name, value in pairs]
    path.write_text("# Netscape HTTP Cookie File\n" + "\n".join(lines) + "\n")
    return path
