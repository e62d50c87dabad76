"""Run the commands of README.md and DOCS.md, in order and unchanged.

    python tools/check_docs.py

Each section of DOCS.md ("## ...") begins in a copy of the folder after the README's commands. Instagram and Meta's API are
local servers, and gpt2, gpt2-medium and smollm2 are a small random model, so that no network or GPU is needed.
Commands that can't run in this way are listed with a reason. If a command fails, or is neither run nor listed, the exit code is 1.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import instagram_server  # noqa: E402

SCRIPTS = ("pull_and_clean.py", "tune_transformer.py")
MODELS = ("gpt2", "gpt2-medium")
COOKIES = (("sessionid", instagram_server.SESSION_ID), ("ds_user_id", "1"), ("csrftoken", "abc"))
#: The commands that aren't run, and why.
SKIPPED = {
    r"pip |git clone|hf |python3 -m venv|\. \.venv|pre-commit": "installs or downloads",
    r"make ": "runs the same commands, or is part of CI",
    r"torchrun|accelerate launch|srun|sbatch|#SBATCH|#!/bin/bash": "needs several processes or a cluster",
    r"--login |--cookies-from |--session-file ": "needs an account, a browser or its session",
    r"--report-to": "needs a tracker",
    r"python (tools|benchmarks)/": "takes long; the tests cover the tools",
}
_COMMAND = re.compile(
    r"(?:\w+=\S+ )*(?:python3?|make|torchrun|accelerate|srun|hf|git|pre-commit|\.|export|printf|head|#SBATCH|#!)(?= |/|$)"
)


def main() -> int:
    """Run the commands and print one line for each; return the exit code."""
    start = time.perf_counter()
    ran, skipped = 0, 0
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        base = Path(folder)
        environment = prepare(base, stack.enter_context(instagram_server.serving(_instagram())))
        for name, section, commands in sections():
            copy = base / "begin" if name == "README.md" else base / "section"
            if name != "README.md":
                shutil.rmtree(copy, ignore_errors=True)
                shutil.copytree(base / "begin", copy)
            variables = dict(environment)
            for command in commands:
                if reason := next((why for pattern, why in SKIPPED.items() if re.search(pattern, command)), None):
                    print(f"{name}, {section}: skipped ({reason}): {command}")
                    skipped += 1
                    continue
                if not run(command, copy, variables):
                    print(f"{name}, {section}: FAILED: {command}")
                    return 1
                print(f"{name}, {section}: {command}", flush=True)
                ran += 1
    print(f"{ran} commands run, {skipped} skipped, in {time.perf_counter() - start:.0f} s")
    return 0 if ran else 1


def sections() -> Iterator[tuple[str, str, list[str]]]:
    """Yield each part of the two files that begins with a heading of the second level: file, title, commands."""
    for name in ("README.md", "DOCS.md"):
        for part in re.split(r"^## ", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            title, _, text = part.partition("\n")
            blocks = re.sub(r"\\\n\s*", "", text)  # continuation lines
            lines = [line.strip() for line in blocks.split("\n") if re.match(r" {4,}\S", line)]
            if commands := [line for line in lines if _COMMAND.match(line)]:
                yield name, title, commands


def run(command: str, folder: Path, variables: dict[str, str]) -> bool:
    """Run one command in ``folder`` and return whether it succeeded; an ``export`` changes ``variables``."""
    if command.startswith("export "):
        variables |= dict(pair.partition("=")[::2] for pair in shlex.split(command)[1:])
        variables |= {name: instagram_server.GRAPH_TOKEN for name in variables if name.endswith("GRAPH_TOKEN")}
        return True
    shell = command.replace("--base-model smollm2", "--base-model gpt2")
    done = subprocess.run(["bash", "-ec", shell], cwd=folder, env=variables, capture_output=True, text=True, timeout=300)
    if done.returncode:
        print(done.stdout[-2000:], done.stderr[-2000:], sep="\n")
    return done.returncode == 0


def prepare(base: Path, port: int) -> dict[str, str]:
    """Fill ``base`` with the files for the commands and return their environment."""
    begin, programs = base / "begin", base / "bin"
    (begin / "examples").mkdir(parents=True)
    shutil.copy(ROOT / "examples" / "rmnp_posts.jsonl", begin / "examples")
    _write_posts(begin)
    for script in SCRIPTS:
        code = f"import runpy, sys; sys.path[:0] = {[str(ROOT), str(ROOT / 'tests')]!r}; import instagram_server as i; "
        code += f"i.route_process({port}); sys.argv[0] = {script!r}; runpy.run_path({str(ROOT / script)!r}, run_name='__main__')"
        (begin / script).write_text(code, encoding="utf-8")
    programs.mkdir()
    (programs / "python").symlink_to(sys.executable)
    model = _model(base / "model")
    for name in MODELS:
        snapshot = base / "hub" / "hub" / f"models--{name}" / "snapshots" / "0"
        shutil.copytree(model, snapshot)
        (snapshot.parent.parent / "refs").mkdir()
        (snapshot.parent.parent / "refs" / "main").write_text("0")
    shutil.copytree(model, begin / "gpt2")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    changed = {"HF_HOME": str(base / "hub"), "HF_HUB_OFFLINE": "1", "XDG_CONFIG_HOME": str(base / "config"), "PATH": path}
    return {**os.environ, **changed, "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": str(ROOT)}


def _example() -> list[dict[str, object]]:
    return [json.loads(line) for line in open(ROOT / "examples" / "rmnp_posts.jsonl", encoding="utf-8")]


def _media() -> list[dict[str, object]]:
    """Return the example's posts in Instagram's format."""
    return [instagram_server.media(str(post["shortcode"]), str(post["caption"]), 25) for post in _example()]


def _instagram() -> instagram_server.FakeInstagram:
    fake = instagram_server.FakeInstagram()
    nodes = _media()
    fake.searches = [[instagram_server.section(*nodes[start : start + 24])] for start in range(0, len(nodes), 24)]
    fake.official = {edge: [[f"official{edge}{i}" for i in range(9)]] for edge in ("recent_media", "top_media")}
    return fake


def _write_posts(folder: Path) -> None:
    """Write the files that the commands import: a HAR file, tables, a folder, archives, cookies, prompts."""
    posts = _example()
    answer = json.dumps({"media_grid": {"sections": [instagram_server.section(*_media())]}})
    entry = {"request": {"url": "https://www.instagram.com/api/v1/x"}, "response": {"content": {"text": answer}}}
    (folder / "page.har").write_text(json.dumps({"log": {"entries": [entry]}}), encoding="utf-8")
    import pandas as pd

    pd.DataFrame(posts).to_csv(folder / "posts.csv", index=False)
    (folder / "downloads").mkdir()
    shutil.copy(folder / "examples" / "rmnp_posts.jsonl", folder / "downloads" / "posts.jsonl")
    exported = [{"media": [{"uri": "a.jpg", "creation_timestamp": 1600000000}], "title": str(post["caption"])} for post in posts[:50]]
    with zipfile.ZipFile(folder / "export.zip", "w") as archive:
        archive.writestr("your_instagram_activity/media/posts_1.json", json.dumps(exported))
    row = ".instagram.com\tTRUE\t/\tTRUE\t4102444800"
    lines = [f"{row}\t{name}\t{value}" for name, value in COOKIES]
    (folder / "cookies.txt").write_text("# Netscape HTTP Cookie File\n" + "\n".join(lines) + "\n", encoding="utf-8")
    (folder / "prompts.txt").write_text("The view\nMy day\n", encoding="utf-8")


def _model(folder: Path) -> Path:
    """Return a GPT-2 of 2 layers and width 32 trained on the example until its captions end."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from hugging_captions import models

    tokenizer = models.train_tokenizer([str(post["caption"]) for post in _example()], 400)
    eos = tokenizer.eos_token_id
    torch.manual_seed(0)
    shape = {"n_positions": 256, "n_embd": 32, "n_layer": 2, "n_head": 2}
    GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), bos_token_id=eos, eos_token_id=eos, **shape)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for script, options in (
        ("pull_and_clean", ["--from", str(ROOT / "examples" / "rmnp_posts.jsonl")]),
        ("tune_transformer", ["--train", "--base-model", str(folder), "--lora", "0", "--learning-rate", "1e-2", "--epochs", "6"]),
    ):
        subprocess.run(
            [sys.executable, ROOT / f"{script}.py", "--root", folder, "--tag", "rmnp", *options], check=True, capture_output=True
        )
    return folder / "trained_models" / "rmnp"


if __name__ == "__main__":
    sys.exit(main())
