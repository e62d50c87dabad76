"""The cleaning against captions labelled by readers: precision, recall and F1, of captions and of their text.

Part of ``benchmarks/clean.py``. A caption counts as kept if its verdict is not D; its text as kept where its letter is k. The text is
compared by words in order, weighted by length, without tags, handles and addresses. Models are trained and thresholds
chosen without the captions that they are scored on.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import json
import re
import runpy
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import clean_2020
import numpy as np

from hugging_captions.cleaner import promotion, rules
from hugging_captions.console import table
from hugging_captions.options import CleanOptions
from hugging_captions.posts import Post

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

#: What this benchmark printed for commit 1a521c7, whose rules had no model: precision, recall and F1 of captions, then of their text.
BEFORE = {
    "all": (0.862, 0.661, 0.748, 0.821, 0.520, 0.637),
    "activism": (0.766, 0.590, 0.667, 0.730, 0.461, 0.565),
    "cars": (0.526, 0.651, 0.582, 0.333, 0.631, 0.436),
    "influencers_2017": (0.931, 0.616, 0.741, 0.940, 0.478, 0.633),
    "mixed": (0.838, 0.756, 0.795, 0.769, 0.524, 0.623),
    "personal": (0.842, 0.806, 0.824, 0.767, 0.651, 0.705),
    "photo": (0.773, 0.728, 0.750, 0.775, 0.617, 0.687),
    "young": (0.947, 0.982, 0.964, 0.911, 0.982, 0.945),
}
_SKIPPED = re.compile(r"[#@][\w.]+|https?://\S+|www\.\S+")
_WORD = re.compile(r"[^\W_]+")
THRESHOLDS = (0.3, 0.4, 0.5, 0.6)


def print_tables(judged: Path, *extra: Path) -> tuple[float, float]:
    """Print the figures of every contender, by genre, and return precision and recall of this version.

    Its models are also trained on the captions of ``extra``, which are not scored.
    """
    rows = [json.loads(line) for line in judged.read_bytes().splitlines()]
    ours = five_fold(rows, extra)
    contenders: dict[str, list[str]] = {"this version": ours["0.5"]}
    contenders["2020"] = [old_pipeline(row["caption"]) for row in rows]
    baseline = judged.parents[1] / "tools" / "promotion_baseline.py"
    if baseline.exists():
        contenders["linear baseline"] = linear_baseline(baseline, rows)
    genres = {name: [row["source"] == name for row in rows] for name in sorted({row["source"] for row in rows})}
    printed = []
    figures = (0.0, 0.0)
    for name, outputs in contenders.items():
        for genre, mask in {"all": [True] * len(rows), **(genres if name.startswith("this") else {})}.items():
            chosen = [(row, text) for row, text, inside in zip(rows, outputs, mask) if inside]
            of_captions, of_text = verdicts(chosen), texts(chosen)
            printed.append((name, genre, len(chosen), *(f"{value:.3f}" for value in (*of_captions, *of_text))))
            if name.startswith("this") and genre == "all":
                figures = of_captions[:2]
    printed += [("1a521c7 (frozen)", genre, "", *(f"{value:.3f}" for value in values)) for genre, values in BEFORE.items()]
    for name, outputs in ours.items():
        chosen = list(zip(rows, outputs))
        printed.append(("this version", f"threshold {name}", len(rows), *(f"{value:.3f}" for value in (*verdicts(chosen), *texts(chosen)))))
    print("captions labelled by readers; models and thresholds are five-fold")
    print(table(printed, ("cleaned by", "genre", "captions", "precision", "recall", "F1", "of text: precision", "recall", "F1")))
    return figures


def five_fold(rows: Sequence[dict[str, str]], extra: Sequence[Path] = ()) -> dict[str, list[str]]:
    """Return by threshold the clean text of each caption, empty if dropped, from models that were not trained on it.

    The threshold ``chosen`` has the highest minimum of precision and recall on the captions that a model was trained on.
    """
    import train_promotion

    more = [json.loads(line) for path in extra for line in path.read_bytes().splitlines()]
    captions = [train_promotion.labelled_caption(row) for row in rows]
    others = [caption for row in more if (caption := train_promotion.labelled_caption(row))]
    outputs: dict[str, list[str]] = {}
    for learn, score in train_promotion.folds(rows):
        known = [captions[i] for i in learn if captions[i]]
        model, best = train_promotion.train([caption for caption in [*known, *others] if caption])
        with _model(model):
            for name, threshold in {"chosen": best, **{f"{value:.1f}": value for value in THRESHOLDS}}.items():
                options = CleanOptions(min_likes=0, promotion_threshold=threshold)
                texts = outputs.setdefault(name, [""] * len(rows))
                for i in score:
                    draft = rules.rewrite(rows[i]["caption"], options)
                    texts[i] = "" if draft.reason else draft.text
    return outputs


@contextlib.contextmanager
def _model(model: promotion.Model) -> Iterator[None]:
    before: Callable[[], promotion.Model] = promotion.model
    promotion.model = lambda: model  # type: ignore[assignment]
    try:
        yield
    finally:
        promotion.model = before  # type: ignore[assignment]


def old_pipeline(caption: str) -> str:
    """Return the result of the pipeline of 2020 for ``caption``, empty if dropped."""
    post = Post("x", caption, None, None, "", "")
    return "" if clean_2020.clean([post], 0, 60)["x"] else caption.split("\n")[0].strip()


def linear_baseline(path: Path, rows: Sequence[dict[str, str]]) -> list[str]:
    """Return the text that the baseline keeps: the segments of a kept caption that it classifies as natural text."""
    with contextlib.redirect_stdout(io.StringIO()):
        found = runpy.run_path(str(path))
    outputs, at = [], 0
    for row, drop in zip(rows, found["both"]):
        natural = found["score"]["not k"][at : at + len(row["segments"])] < 0.5
        at += len(row["segments"])
        outputs.append("" if drop >= 0.45 else "\n".join(segment for segment, keep in zip(row["segments"], natural) if keep) or "-")
    return outputs


def verdicts(chosen: Sequence[tuple[dict[str, str], str]]) -> tuple[float, float, float]:
    """Return precision, recall and F1 of keeping a caption."""
    return _scores(
        sum(bool(text) and row["verdict"] != "D" for row, text in chosen),
        sum(bool(text) for _, text in chosen),
        sum(row["verdict"] != "D" for row, _ in chosen),
    )


def texts(chosen: Sequence[tuple[dict[str, str], str]]) -> tuple[float, float, float]:
    """Return precision, recall and F1 of keeping text, by letters."""
    both = kept = good = 0
    for row, text in chosen:
        words, natural = [], []
        for segment, letter in zip(row["segments"], row["letters"]):
            found = _WORD.findall(_SKIPPED.sub(" ", segment).lower())
            words += found
            natural += [letter == "k" and row["verdict"] != "D"] * len(found)
        output = _WORD.findall(_SKIPPED.sub(" ", text).lower())
        matcher = difflib.SequenceMatcher(None, words, output, autojunk=False)
        matched = np.zeros(len(words), bool)
        for block in matcher.get_matching_blocks():
            matched[block.a : block.a + block.size] = True
        lengths = np.array([len(word) for word in words], int)
        good += int(lengths[natural].sum()) if words else 0
        both += int(lengths[matched & np.array(natural, bool)].sum()) if words else 0
        kept += int(lengths[matched].sum()) if words else 0
    return _scores(both, kept, good)


def _scores(both: int, kept: int, good: int) -> tuple[float, float, float]:
    precision, recall = both / max(1, kept), both / max(1, good)
    return precision, recall, 2 * precision * recall / max(1e-9, precision + recall)
