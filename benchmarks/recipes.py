"""Train with variants of the default recipe and print the held-out bits per byte of each evaluation.

    python benchmarks/recipes.py --captions text/rmnp/captions.txt lora=4 learning_rate=1e-3 schedule=cosine

Each argument is a variant of its own: a field of the recipe (epochs, learning_rate, batch_tokens, schedule, warmup, weight_decay,
lora; lora=0 trains all weights), ``layers=attention``, ``layers=mlp`` or ``dropout=0.1`` of the adapters, or ``seed=1``. The first
row is the default recipe.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
LAYERS = {"attention": ["q_proj", "k_proj", "v_proj", "o_proj"], "mlp": ["gate_proj", "up_proj", "down_proj"], "all": "all-linear"}


def main() -> None:
    """Train the variants one after the other and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("variants", nargs="*", metavar="FIELD=VALUE")
    parser.add_argument("--captions", type=Path, required=True, metavar="FILE", help="a captions.txt")
    parser.add_argument("--base-model", default="smollm2", metavar="MODEL")
    arguments = parser.parse_args()
    from hugging_captions.console import table

    rows = [trained(variant, arguments) for variant in ("", *arguments.variants)]
    width = max(map(len, rows))
    head = ["variant", *[""] * (width - 2), "s"]
    print(table([[row[0], *row[1:-1], *[""] * (width - len(row)), row[-1]] for row in rows], head))


def trained(variant: str, arguments: argparse.Namespace) -> list[str]:
    """Return the variant, ``epoch: bits per byte`` of each evaluation, and the seconds."""
    from hugging_captions import trainer
    from hugging_captions.options import HardwareOptions, TrainOptions
    from hugging_captions.storage import Store, read_captions, write_captions
    from hugging_captions.trainer import recipe
    from hugging_captions.trainer.recipe import RECIPES

    name, _, value = variant.partition("=")
    recipes = (
        RECIPES if name in ("", "layers", "dropout", "seed", "lora") else {key: changed(old, name, value) for key, old in RECIPES.items()}
    )
    adapters = recipe.with_adapters
    if name in ("layers", "dropout"):
        adapters = lambda model, rank: with_adapters(model, rank, name, value)  # noqa: E731
    options = TrainOptions(base_model=arguments.base_model, lora=int(value) if name == "lora" else None)
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict(RECIPES, recipes),
        mock.patch.object(recipe, "with_adapters", adapters),
    ):
        store, start = Store(Path(folder)), time.perf_counter()
        write_captions(store.captions("bench"), read_captions(arguments.captions))
        result = trainer.train(["bench"], options, HardwareOptions(seed=int(value) if name == "seed" else 0), store)
        lines = [json.loads(line) for line in (result.folder / "history.jsonl").read_text(encoding="utf-8").splitlines()]
    evaluations = [f"{line['epoch']:.1f}: {line['bits_per_byte']:.3f}" for line in lines if "bits_per_byte" in line]
    return [variant or "default", *evaluations, f"{time.perf_counter() - start:.0f}"]


def changed(recipe: Any, name: str, value: str) -> Any:
    """Return ``recipe`` with one field set."""
    kind = type(getattr(recipe, name))
    return dataclasses.replace(recipe, **{name: kind(value)})


def with_adapters(model: Any, rank: int, name: str, value: str) -> Any:
    """Return ``model`` with adapters on some layers, or with dropout."""
    from peft import LoraConfig, get_peft_model

    layers = LAYERS[value] if name == "layers" else "all-linear"
    dropout = float(value) if name == "dropout" else 0.0
    return get_peft_model(
        model, LoraConfig(task_type="CAUSAL_LM", r=rank, lora_alpha=2 * rank, lora_dropout=dropout, target_modules=layers)
    )


if __name__ == "__main__":
    main()
