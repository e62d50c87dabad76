"""Training defaults, by what is trained: how often, how fast, in steps of how many tokens.

benchmarks/RESULTS.md has the measurements that chose them, and what they could not show.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .options import TrainOptions


@dataclass(frozen=True)
class Recipe:
    """Defaults of one kind of training.

    ``schedule`` is one of transformers' names, ``warmup`` a share of all steps, ``width`` the width of
    model that the learning rate is for (0: any).
    """

    epochs: int
    learning_rate: float
    batch_tokens: int
    schedule: str = "linear"
    warmup: float = 0.05
    weight_decay: float = 0.01
    width: int = 0


#: A pretrained model needs few careful passes, random weights many bold ones.
RECIPES = {
    "pretrained": Recipe(epochs=5, learning_rate=3e-4, batch_tokens=2048, width=768),
    "scratch": Recipe(epochs=60, learning_rate=2e-3, batch_tokens=2048),
    # what the scripts of 2020 did: blocks of 1,024 tokens one at a time, Adam without decay or warm-up, 8 epochs, no stopping
    "classic": Recipe(epochs=8, learning_rate=1e-4, batch_tokens=1024, warmup=0.0, weight_decay=0.0),
}
#: Adapters bear and need a higher learning rate than all weights: up to ten times (Schulman et al. 2025, LoRA Without
#: Regret). Not measured here; three is the careful end.
LORA_RATE = 3
#: Tokens of a block in the classic recipe.
CLASSIC_BLOCK = 1024


def choose(options: TrainOptions) -> Recipe:
    """Return the recipe that fits the base model, with what ``options`` sets put in its place.

    Its learning rate is still that of the reference width: ``learning_rate`` fits it to the model.
    """
    kind = "classic" if options.recipe == "classic" else "scratch" if options.base_model == "scratch" else "pretrained"
    recipe = RECIPES[kind]
    return replace(
        recipe,
        epochs=options.epochs or recipe.epochs,
        batch_tokens=options.batch_tokens or recipe.batch_tokens,
        width=0 if options.learning_rate else recipe.width,
        learning_rate=options.learning_rate or recipe.learning_rate * (LORA_RATE if options.lora else 1),
    )


def learning_rate(recipe: Recipe, model: Any) -> float:
    """Return the peak learning rate for ``model``: wider models need a lower one, as 1 / width (Yang et al. 2022, Tensor Programs V)."""
    if not recipe.width:
        return recipe.learning_rate
    return float(f"{recipe.learning_rate * recipe.width / getattr(model.config, 'hidden_size', recipe.width):.2g}")
