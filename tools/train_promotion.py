"""Train the model of the promotion rule on labelled captions, or score the cleaning on them.

    python tools/train_promotion.py ../shared/data/judged_captions.jsonl            # trains, writes hugging_captions/data/promotion.npz
    python tools/train_promotion.py ../shared/data/judged_captions.jsonl --score    # five-fold, writes nothing

Reads JSONL of ``caption``, ``source``, ``segments``, ``letters`` (one a segment; k is natural text, p and s are pleas and pitches) and
``verdict`` (D: drop). Needs scikit-learn (requirements-dev.txt).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from hugging_captions.cleaner import promotion, rules  # noqa: E402
from hugging_captions.cleaner.promotion import Facts, Features, Model  # noqa: E402
from hugging_captions.options import CleanOptions  # noqa: E402

OPTIONS = CleanOptions(min_likes=0, skip_rule=("promotion",))
SLOTS = 2 << promotion.BITS
#: Divides the values of the hashed parts, so that regularization is as strong as on rows of length one.
SHRINK = 6.0
FOLDS = INNER_FOLDS = 5


@dataclass(frozen=True, slots=True)
class Labelled:
    """A caption after the rules before the model, with the readers' labels of its sentences and of the whole."""

    source: str
    sentences: list[str]
    facts: list[Facts]
    natural: np.ndarray  # for each sentence the share of its letters that is natural text
    pitch: np.ndarray  # and the share that is plea or pitch
    drop: bool
    found: Features


def main() -> None:
    """Train, or score."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("judged", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--out", type=Path, default=ROOT / "hugging_captions" / "data" / promotion.WEIGHTS, metavar="FILE")
    arguments = parser.parse_args()
    rows = [json.loads(line) for path in arguments.judged for line in path.read_bytes().splitlines()]
    captions = [caption for row in rows if (caption := labelled_caption(row))]
    model, threshold = train(captions)
    save(model, arguments.out)
    print(f"{arguments.out}: {arguments.out.stat().st_size:,} bytes from {len(captions):,} captions, best threshold {threshold:.2f}")


def labelled_caption(row: dict[str, str]) -> Labelled | None:
    """Return a labelled caption as the model reads it, or None if another rule drops it."""
    draft = rules.rewrite(row["caption"], OPTIONS)
    if not draft.sentences:
        return None
    sentences = [sentence.source for sentence in draft.sentences]
    natural, pitch = (letters_of(sentences, row, letters) for letters in ("k", "ps"))
    return Labelled(row["source"], sentences, rules.facts(draft), natural, pitch, row["verdict"] == "D", promotion.features(sentences))


def letters_of(sentences: Sequence[str], row: dict[str, str], letters: str) -> np.ndarray:
    """Return for each sentence the share of its letters and digits with one of the labels ``letters``."""
    marks = np.array([letter in letters for segment, letter in zip(row["segments"], row["letters"]) for char in segment if char.isalnum()])
    lengths = [sum(map(str.isalnum, sentence)) for sentence in sentences]
    ends = np.minimum(np.cumsum(lengths), len(marks))
    starts = np.minimum(ends, np.cumsum(lengths) - lengths)
    return np.array([marks[a:b].mean() if b > a else np.nan for a, b in zip(starts, ends)])


def matrix(captions: Sequence[Labelled], whole: bool) -> sp.csr_matrix:
    """Return a row of hashed parts for each caption (``whole``) or each sentence."""
    rows, columns, data, at = [], [], [], 0
    for caption in captions:
        found, count = caption.found, 1 if whole else len(caption.sentences)
        if whole:
            slots, value = promotion.in_whole(found)
            row = np.zeros(len(slots), int)
        else:
            slots, value, row = found.slots, promotion.values(found), found.sentences
        rows.append(row + at)
        columns.append(slots)
        data.append(value)
        at += count
    return sp.csr_matrix((np.concatenate(data), (np.concatenate(rows), np.concatenate(columns))), shape=(at, SLOTS))


def weights(rows: sp.csr_matrix, label: np.ndarray, strength: float = 3.0) -> tuple[np.ndarray, float]:
    """Return the weights of a logistic regression over hashed parts, weighted by rarity, and its bias."""
    seen = np.asarray((rows > 0).sum(0)).ravel()
    used = np.flatnonzero(seen >= 2)
    rare = (np.log((1 + rows.shape[0]) / (1 + seen[used])) + 1) / SHRINK
    fitted = LogisticRegression(C=strength, solver="liblinear", tol=0.01, class_weight="balanced").fit(
        rows[:, used] @ sp.diags(rare), label
    )
    found = np.zeros(SLOTS, np.float32)
    found[used] = fitted.coef_[0] * rare
    return found, float(fitted.intercept_[0])


def first(captions: Sequence[Labelled]) -> Model:
    """Return a model with the weights of the hashed parts alone."""
    sentences, whole = matrix(captions, False), matrix(captions, True)
    natural, pitch = (np.concatenate([getattr(caption, name) for caption in captions]) for name in ("natural", "pitch"))
    drop = np.array([caption.drop for caption in captions])
    known = ~np.isnan(natural)
    pairs = [
        weights(sentences[known], natural[known] < 0.5),
        weights(sentences[known], pitch[known] >= 0.5),
        weights(whole, drop),
    ]
    arrays = {"words": np.stack([pairs[0][0], pairs[1][0]], axis=1), "whole": pairs[2][0]}
    empty = np.zeros(1, np.float32)
    return Model(arrays | {"bias": np.array([pair[1] for pair in pairs], np.float32), "sentence": empty, "caption": empty})


def train(captions: Sequence[Labelled]) -> tuple[Model, float]:
    """Return a model trained on ``captions``, and its best threshold.

    The second stage and the threshold are fitted on the first stage's scores of folds that it was not trained on.
    """
    fold = np.random.default_rng(0).permutation(len(captions)) % INNER_FOLDS
    logits: list[tuple[list[float], list[float], float]] = [([], [], 0.0)] * len(captions)
    for number in range(INNER_FOLDS):
        model = first([caption for caption, where in zip(captions, fold) if where != number])
        for i in np.flatnonzero(fold == number).tolist():
            logits[i] = model.logits(captions[i].found, len(captions[i].sentences))
    model = first(captions)
    rows = np.array([promotion.caption_features(*logit, caption.facts) for logit, caption in zip(logits, captions)], float)
    drop = np.array([caption.drop for caption in captions])
    model.caption = second(rows, drop)
    of_captions = (rows @ model.caption[:-1] + model.caption[-1]).tolist()
    rows = np.array(
        [
            row
            for logit, of, caption in zip(logits, of_captions, captions)
            for row in promotion.sentence_features(*logit, of, caption.facts)
        ],
        float,
    )
    natural = np.concatenate([caption.natural for caption in captions])
    known = ~np.isnan(natural)
    model.sentence = second(rows[known], natural[known] < 0.5)
    return model, best_threshold([promotion.probability(logit) for logit in of_captions], drop)


def best_threshold(scores: Sequence[float], drop: np.ndarray) -> float:
    """Return the threshold at which the lower of precision and recall of keeping a caption is highest."""
    found = np.array(scores)

    def lower(threshold: float) -> float:
        kept = found < threshold
        return float((kept & ~drop).sum() / max(kept.sum(), (~drop).sum()))

    return max((number / 100 for number in range(30, 71, 2)), key=lower)


def second(rows: np.ndarray, label: np.ndarray) -> list[float]:
    """Return the weights of a logistic regression over ``rows``, then its bias."""
    mean, spread = rows.mean(0), rows.std(0) + 1e-9
    fitted = LogisticRegression(C=1.0, max_iter=2000).fit((rows - mean) / spread, label)
    slope = fitted.coef_[0] / spread
    return np.append(slope, fitted.intercept_[0] - slope @ mean).tolist()


def save(model: Model, path: Path) -> None:
    """Write the model, with hashed weights as 8-bit integers."""
    arrays = {}
    for name in ("words", "whole"):
        weights = getattr(model, name)
        arrays[f"{name}_scale"] = np.float32(np.abs(weights).max() / 127)
        arrays[name] = np.round(weights / arrays[f"{name}_scale"]).astype(np.int8)
    floats = {name: np.array(getattr(model, name), np.float32) for name in ("bias", "sentence", "caption")}
    np.savez_compressed(path, **arrays, **floats)  # type: ignore[arg-type]


def folds(captions: Sequence[Labelled]) -> Iterable[tuple[list[int], list[int]]]:
    """Yield the indices of the captions to train on and to score, five times."""
    fold = np.arange(len(captions)) % FOLDS
    for number in range(FOLDS):
        yield np.flatnonzero(fold != number).tolist(), np.flatnonzero(fold == number).tolist()


if __name__ == "__main__":
    main()
