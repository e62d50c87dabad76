"""The model card through the script: huggingface_hub accepts its front matter, and its example writes a caption."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from huggingface_hub import ModelCard

import tune_transformer
from hugging_captions.storage import Store, write_captions
from hugging_captions.trainer.record import base_on_hub

TAG = "lüfte🏔"
CAPTIONS = [f"The {what} near {where} number {number}" for number in range(10) for what in ("elk", "fog", "lake") for where in "abcdefgh"]


def train(root: Path, base: Path | str, *argv: str, captions: list[str] = CAPTIONS) -> Path:
    write_captions(Store(root).captions(TAG), captions)
    Store(root).cleaning(TAG).write_text(json.dumps({"options": {"language": "en"}}), encoding="utf-8")
    common = ["--root", str(root), "--tag", TAG, "--train", "--epochs", "2", "--device", "cpu", "--base-model", str(base)]
    assert tune_transformer.main([*common, *argv]) == 0
    return Store(root).model(TAG)


@pytest.fixture(scope="module")
def folder(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model whose base has a card of its own."""
    base = tmp_path_factory.mktemp("base") / "base"
    shutil.copytree(tiny_base, base)
    (base / "README.md").write_text("---\nlicense: openrail\nbase_model: someone/some-model\n---\nText\n", encoding="utf-8")
    return train(tmp_path_factory.mktemp("root"), base)


def test_the_front_matter_is_complete_and_has_no_path(folder: Path) -> None:
    card = ModelCard.load(folder / "README.md")  # raises where a field is malformed
    metrics = json.loads((folder / "run.json").read_text(encoding="utf-8"))["metrics"]
    data = card.data.to_dict()
    results = data.pop("model-index")[0]["results"]
    assert data == {
        "base_model": "someone/some-model", "license": "openrail", "language": ["en"], "library_name": "transformers",
        "pipeline_tag": "text-generation", "tags": ["hugging-captions", "instagram", "captions"],
    }  # fmt: skip
    figures = {metric["type"]: metric["value"] for result in results for metric in result["metrics"]}
    assert figures == {key: round(metrics[key], 4) for key in ("val_loss", "perplexity", "bits_per_byte")}
    assert results[0]["dataset"]["name"] == f"captions of #{TAG}, held out"
    assert str(folder.parent.parent) not in card.content
    for title in ("Figures", "How it was made", "How to use it", "Intended use", "Limits"):
        assert f"\n## {title}\n" in card.content


def test_the_limits_are_sentences_on_lines_of_their_own(folder: Path) -> None:
    limits = (folder / "README.md").read_text(encoding="utf-8").partition("## Limits\n")[2]
    assert re.search(r"at one time\.\nThe figures are measured on \d+ held-out captions of #\S+ .*\.\nThe licence of the base", limits), (
        limits
    )


def test_the_example_of_the_card_writes_a_caption(folder: Path) -> None:
    code = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(code) == 1
    check = "\nassert ids['input_ids'][0, 0] == model.generation_config.bos_token_id, ids"
    done = subprocess.run([sys.executable, "-c", code[0] + check], cwd=folder, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("The lake")


def test_a_card_without_figures_has_no_model_index(tmp_path: Path) -> None:
    path = train(tmp_path, "scratch", captions=CAPTIONS[:50]) / "README.md"
    assert set(ModelCard.load(path).data.to_dict()) == {"language", "library_name", "pipeline_tag", "tags"}
    text = path.read_text(encoding="utf-8")
    assert "The figures are measured" not in text
    assert "at one time.\nThese weights were trained on the captions only." in text


@pytest.mark.parametrize(
    ("base", "origin", "found"),
    [
        ("gpt2", {}, ("openai-community/gpt2", "mit")),
        ("openai-community/gpt2", {}, ("openai-community/gpt2", "mit")),
        ("EleutherAI/pythia-70m", {}, ("EleutherAI/pythia-70m", None)),
        ("smollm2", {}, ("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0")),
        ("smollm2", {"license": "apache-2.0"}, ("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0")),
        (str(ROOT / "tests"), {}, (None, None)),
        (str(ROOT / "LICENSE"), {"license": "mit"}, (None, "mit")),  # from the GGUF file
    ],
)
def test_the_id_and_licence_of_the_base(base: str, origin: dict[str, str], found: tuple[str | None, str | None]) -> None:
    assert base_on_hub(base, origin) == found


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("README.md", "---\nlicense: [\n---\n", (None, None)),
        ("README.md", "no front matter", (None, None)),
        ("config.json", '{"_name_or_path": "gpt2"}', ("gpt2", None)),
        ("config.json", '{"_name_or_path": "/home/someone/gpt2"}', (None, None)),
    ],
)
def test_a_folder_with_a_card_of_its_own(name: str, text: str, found: tuple[str | None, str | None], tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert base_on_hub(str(tmp_path), {}) == found
