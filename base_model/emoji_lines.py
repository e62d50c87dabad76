"""Lines of emoji for the tokenizer of the base model, whose training text has almost none."""

from __future__ import annotations

import random
from pathlib import Path

#: The emoji that people post most (after the Unicode Consortium's published frequency ranking), with their joined
#: forms: the training text has almost none, and the tokenizer should keep each of them whole.
EMOJI = (Path(__file__).parent / "emoji.txt").read_text(encoding="utf-8").split()


def emoji_lines(seed: int) -> list[str]:
    """Return lines that hold each emoji often enough for the tokenizer to keep it whole."""
    dice = random.Random(seed)
    return [" ".join(dice.sample(EMOJI, 3)) + " " + dice.choice(EMOJI) * 2 for _ in range(len(EMOJI) * 60)]
