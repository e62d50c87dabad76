"""Base models of many architectures, tiny and random: the assumptions of training hold, and they train."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import tune_transformer
from hugging_captions import models
from hugging_captions.dataset import batches
from hugging_captions.storage import write_captions

CAPTIONS = [f"{who} {what} the {where}" for who in ("Elk", "A jay", "Snow") for what in ("at", "over", "by") for where in ("lake", "pass")]
SHAPE = {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
WIDER = SHAPE | {"intermediate_size": 64, "max_position_embeddings": 64}
GROUPED = WIDER | {"num_key_value_heads": 1}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2Config", {"vocab_size": 300, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}),
    "llama": ("LlamaConfig", GROUPED),
    "mistral": ("MistralConfig", GROUPED | {"sliding_window": 16}),
    "qwen2": ("Qwen2Config", GROUPED),
    "qwen3": ("Qwen3Config", GROUPED | {"head_dim": 16}),
    "opt": ("OPTConfig", SHAPE | {"ffn_dim": 64, "max_position_embeddings": 64, "word_embed_proj_dim": 32, "pad_token_id": 1}),
    "gptneox": ("GPTNeoXConfig", WIDER),
    "gemma": ("GemmaConfig", GROUPED | {"head_dim": 16}),
    "gemma2": ("Gemma2Config", GROUPED | {"head_dim": 16, "sliding_window": 16}),
    "gptneo": (
        "GPTNeoConfig",
        {"vocab_size": 300, "hidden_size": 32, "num_layers": 2, "num_heads": 2, "attention_types": [[["global", "local"], 1]]}
        | {"max_position_embeddings": 64},
    ),
    "gptj": ("GPTJConfig", {"vocab_size": 300, "n_embd": 32, "n_layer": 2, "n_head": 2, "rotary_dim": 8, "n_positions": 64}),
    "bloom": ("BloomConfig", {"vocab_size": 300, "hidden_size": 32, "n_layer": 2, "n_head": 2}),
    "falcon": ("FalconConfig", SHAPE),
    "phi": ("PhiConfig", WIDER),
    "mamba": ("MambaConfig", {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2}),
}


def make(name: str) -> Any:
    models.quiet_transformers()
    torch.manual_seed(0)
    config_class, shape = CONFIGS[name]
    return AutoModelForCausalLM.from_config(getattr(transformers, config_class)(**shape, bos_token_id=0, eos_token_id=0))


@pytest.mark.parametrize("name", CONFIGS)
def test_a_row_has_the_same_logits_with_padding_as_alone(name: str) -> None:
    """Batches are padded on the right and have no mask."""
    model = make(name).eval()
    rows = [[0, *range(5, 25)], [0, 7, 8, 9], [0, 11]]
    with torch.no_grad():
        together = model(input_ids=batches.collate(rows)["input_ids"], use_cache=False).logits
        for row, logits in zip(rows, together):
            alone = model(input_ids=torch.tensor([row]), use_cache=False).logits[0]
            assert torch.allclose(logits[: len(row)], alone, rtol=0, atol=1e-3 * float(alone.abs().max()))


@pytest.mark.parametrize("name", ["mamba", "gemma2", "opt", "bloom"])
def test_each_architecture_trains_through_the_script(name: str, tmp_path: Path) -> None:
    make(name).save_pretrained(tmp_path / "base")
    models.train_tokenizer(CAPTIONS, 300).save_pretrained(tmp_path / "base")
    write_captions(tmp_path / "text/lake/captions.txt", CAPTIONS)
    argv = ["--root", str(tmp_path), "--tag", "lake", "--train", "--base-model", str(tmp_path / "base"), "--device", "cpu"]
    assert tune_transformer.main([*argv, "--epochs", "3", "--learning-rate", "0.01"]) == 0
    folder = tmp_path / "trained_models" / "lake"
    losses = [json.loads(line)["train_loss"] for line in (folder / "history.jsonl").read_text().splitlines()]
    assert losses[-1] < losses[0]
    saved, base = (load_file(path / "model.safetensors") for path in (folder, tmp_path / "base"))
    assert saved.keys() == base.keys()
    assert json.loads((folder / "run.json").read_text())["model_type"] == CONFIGS[name][0].removesuffix("Config").lower()
