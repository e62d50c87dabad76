"""Training defaults, by what is trained: how often, how fast, in steps of how many tokens.

benchmarks/RESULTS.md has the measurements that chose them, and what they could not show.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ..options import TrainOptions


@dataclass(frozen=True)
class Recipe:
    """Defaults of one kind of training.

    ``schedule`` is one of transformers' names, ``warmup`` a share of all steps, ``width`` the width of
    model that the learning rate is for (0: any), ``batch_tokens`` 0 until ``fit`` knows the corpus.
    """

    epochs: int
    learning_rate: float
    batch_tokens: int
    schedule: str = "linear"
    warmup: float = 0.05
    weight_decay: float = 0.01
    width: int = 0


#: A pretrained model needs few careful passes, random weights many bold ones. The rate and the epochs rest on small
#: stand-ins pretrained for minutes (widths 128 and 320); for the real gpt2 they are that rate carried over by width.
RECIPES = {
    "pretrained": Recipe(epochs=6, learning_rate=3e-4, batch_tokens=0, width=768),
    # measured on 300 captions: 3.6e-4 ends at 2.140 bits per byte, 7.2e-4 at 2.158, with its weights' dropout of 0.1 (0: 2.163)
    "builtin": Recipe(epochs=6, learning_rate=3.6e-4, batch_tokens=0),
    "scratch": Recipe(epochs=60, learning_rate=2e-3, batch_tokens=0),
    # what the scripts of 2020 did: blocks of 1,024 tokens one at a time, Adam without decay or warm-up, 8 epochs, no stopping
    "classic": Recipe(epochs=8, learning_rate=1e-4, batch_tokens=1024, warmup=0.0, weight_decay=0.0),
}
#: Adapters bear and need a higher learning rate than all weights: up to ten times (Schulman et al. 2025, LoRA Without
#: Regret). Not measured here; three is the careful end.
LORA_RATE = 3
#: Steps that an epoch should have, and the bounds of a step in tokens that this leads to. The upper one keeps GPT-2 under 8 GB.
STEPS, MIN_BATCH, MAX_BATCH = 100, 512, 4096
#: Tokens of a block in the classic recipe.
CLASSIC_BLOCK = 1024


def choose(options: TrainOptions) -> Recipe:
    """Return the recipe that fits the base model, with what ``options`` sets put in its place.

    ``fit`` has the last word on it, once the model and the corpus are there.
    """
    kind = (
        "classic" if options.recipe == "classic" else options.base_model if options.base_model in ("builtin", "scratch") else "pretrained"
    )
    recipe = RECIPES[kind]
    return replace(
        recipe,
        epochs=options.epochs or recipe.epochs,
        batch_tokens=options.batch_tokens or recipe.batch_tokens,
        width=0 if options.learning_rate else recipe.width,
        learning_rate=options.learning_rate or recipe.learning_rate * (LORA_RATE if options.lora else 1),
    )


def fit(recipe: Recipe, width: int, tokens: int) -> Recipe:
    """Return ``recipe`` for a model of ``width`` and a corpus of ``tokens`` tokens.

    Wider models need a lower learning rate, as 1 / width (Yang et al. 2022, Tensor Programs V). A small
    corpus needs small steps to have enough of them: a power of two, about ``STEPS`` an epoch.
    """
    rate = float(f"{recipe.learning_rate * recipe.width / width:.2g}") if recipe.width else recipe.learning_rate
    fitting = 2 ** int(math.log2(max(tokens / STEPS, 1)))
    return replace(recipe, learning_rate=rate, batch_tokens=recipe.batch_tokens or min(max(fitting, MIN_BATCH), MAX_BATCH))
