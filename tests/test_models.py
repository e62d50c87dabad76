"""Base models and checkpoints: what loads, and what is refused in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tokenizers
import torch
from transformers import BertConfig, BertModel, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

import tune_transformer
from hugging_captions import models
from hugging_captions.errors import InputError, UsageError
from hugging_captions.storage import Store, write_captions

CAPTIONS = ["Golden hour at the lake", "The view from the top was worth every step", "Elk in the meadow 🦌\nagain"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "base"
    models.quiet_transformers()
    tokenizer = models.train_tokenizer(CAPTIONS, 300)
    eos = tokenizer.eos_token_id
    shape = GPT2Config(vocab_size=len(tokenizer), n_positions=32, n_embd=16, n_layer=1, n_head=1, bos_token_id=eos, eos_token_id=eos)
    GPT2LMHeadModel(shape).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def without_eos(folder: Path) -> None:
    for name in ("tokenizer_config.json", "tokenizer.json"):
        settings = json.loads((folder / name).read_text())
        settings.pop("eos_token", None)
        (folder / name).write_text(json.dumps(settings))


def without_a_layer(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["transformer.h.0.mlp.c_fc.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def with_fewer_embeddings(folder: Path) -> None:
    GPT2LMHeadModel(GPT2Config(vocab_size=200, n_positions=32, n_embd=16, n_layer=1, n_head=1)).save_pretrained(folder)


def with_a_bert(folder: Path) -> None:
    shape = BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=1, intermediate_size=16, vocab_size=300)
    BertModel(shape).save_pretrained(folder)


def with_nan(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["transformer.wte.weight"][5] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def as_pickle(folder: Path) -> None:
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def torn(folder: Path) -> None:
    with open(folder / "model.safetensors", "r+b") as handle:
        handle.truncate(100)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (without_eos, "has no eos token"),
        (with_fewer_embeddings, "is larger than its model: 262 tokens, but the model knows 200"),
        (with_nan, "the base model's weights are not finite (transformer.wte.weight)"),
        (as_pickle, "it has no safetensors weights, and a pytorch_model.bin can run code"),
        (without_a_layer, "lacks 1 of its weights, transformer.h.0.mlp.c_fc.weight first"),
        (with_a_bert, "is not a causal language model but 'bert'"),
        (torn, "cannot load the base model from"),
        (lambda folder: (folder / "config.json").unlink(), "cannot load the base model from"),
        (lambda folder: (folder / "model.safetensors").unlink(), "cannot load the base model from"),
        (lambda folder: [path.unlink() for path in folder.glob("tokenizer*")], "has no tokenizer"),
    ],
    ids=[
        "no eos",
        "small vocabulary",
        "NaN",
        "pickle",
        "a layer lacking",
        "no causal model",
        "torn weights",
        "no config",
        "no weights",
        "no tokenizer",
    ],
)
def test_a_base_model_that_cannot_be_trained_is_refused(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Any, said: str
) -> None:
    shutil.copytree(base, tmp_path / "damaged")
    damage(tmp_path / "damaged")
    write_captions(tmp_path / "text/lake/captions.txt", CAPTIONS)
    code = tune_transformer.main(["--root", str(tmp_path), "--tag", "lake", "--train", "--base-model", str(tmp_path / "damaged")])
    error = capsys.readouterr().err
    assert code == 3, error
    assert said in error
    assert error.count("error:") == 1
    assert not (tmp_path / "trained_models/lake").exists()


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "a/b/c"])
def test_a_missing_folder_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="is neither a folder nor a file"):
        models.load_base(name, CAPTIONS, 0)


def test_an_unreachable_hub_is_reported_immediately(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InputError, match="the hub can't be reached") as caught:
        models.load_base("no-such-model-here", CAPTIONS, 0)
    assert "--base-model smollm2" in caught.value.hint


def test_scratch_depends_on_the_corpus_and_the_seed() -> None:
    one, again, other = (models.load_base("scratch", CAPTIONS, seed) for seed in (0, 0, 1))
    weights = [loaded.model.state_dict()["transformer.wte.weight"] for loaded in (one, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert one.tokenizer.decode(one.tokenizer(CAPTIONS[2])["input_ids"]) == CAPTIONS[2]
    assert one.max_positions == 512
    assert len(one.tokenizer) == one.model.config.vocab_size


def test_the_error_for_a_missing_checkpoint_lists_the_existing_ones(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "trained_models/lake")
    assert models.load_checkpoint("lake", Store(tmp_path)).max_positions == 32
    with pytest.raises(InputError, match="trained_models/peak holds no trained model") as caught:
        models.load_checkpoint("peak", Store(tmp_path))
    assert caught.value.hint.endswith("tags with a model here: lake")


def test_an_unavailable_device_is_refused() -> None:
    missing = "mps" if not torch.backends.mps.is_available() else "cuda"
    assert models.choose_device("cpu") == "cpu"
    with pytest.raises(UsageError, match=f"--device {missing} is not available here"):
        models.choose_device(missing)


# -- the document form


def _tokenizer(specials: dict[str, str], *, adds: str = "", more: tuple[str, ...] = ()) -> Any:
    """Return a tokenizer with the special tokens of a family; it puts ``adds`` before each text."""
    from tokenizers import processors

    bpe = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token=None))
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300, special_tokens=sorted({*specials.values(), *more}), initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()
    )
    bpe.train_from_iterator(["word"], trainer)
    if adds:
        bpe.post_processor = processors.TemplateProcessing(single=f"{adds} $A", special_tokens=[(adds, bpe.token_to_id(adds))])
    return PreTrainedTokenizerFast(tokenizer_object=bpe, **specials, additional_special_tokens=list(more))


END = "<|endoftext|>"
#: Family: the special tokens of its tokenizer as on the hub, what it puts before a text, the start and the end of a caption.
FAMILIES: dict[str, tuple[Any, str, str]] = {
    "gpt2": (lambda: _tokenizer({"bos_token": END, "eos_token": END, "unk_token": END}), END, END),
    "neox": (lambda: _tokenizer({"bos_token": END, "eos_token": END, "unk_token": END}, more=("<|padding|>",)), END, END),
    "llama 2, mistral": (lambda: _tokenizer({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}, adds="<s>"), "<s>", "</s>"),
    "llama 3": (
        lambda: _tokenizer({"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"}, adds="<|begin_of_text|>"),
        "<|begin_of_text|>",
        "<|end_of_text|>",
    ),
    "gemma": (lambda: _tokenizer({"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}, adds="<bos>"), "<bos>", "<eos>"),
    "opt": (lambda: _tokenizer({"bos_token": "</s>", "eos_token": "</s>", "pad_token": "<pad>"}, adds="</s>"), "</s>", "</s>"),
    "qwen": (lambda: _tokenizer({"eos_token": END, "pad_token": END}, more=("<|im_start|>", "<|im_end|>")), END, END),
    "qwen, chat": (lambda: _tokenizer({"eos_token": "<|im_end|>", "pad_token": END}, more=("<|im_start|>",)), END, "<|im_end|>"),
    "smollm2": (lambda: _tokenizer({"bos_token": END, "eos_token": END, "unk_token": END}, more=("<|im_start|>", "<|im_end|>")), END, END),
    "smollm2, chat": (lambda: _tokenizer({"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "unk_token": END}), END, "<|im_end|>"),
    "bloom": (lambda: _tokenizer({"bos_token": "<s>", "eos_token": "</s>"}), "<s>", "</s>"),
    "no bos": (lambda: _tokenizer({"eos_token": "</s>"}), "</s>", "</s>"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_caption_begins_like_the_documents_of_pretraining(family: str) -> None:
    make, start, end = FAMILIES[family]
    tokenizer = make()
    loaded = models.LoadedModel(SimpleNamespace(), tokenizer, models.start_token(tokenizer))  # type: ignore[arg-type]
    assert tokenizer.convert_ids_to_tokens([loaded.start, loaded.end]) == [start, end]
