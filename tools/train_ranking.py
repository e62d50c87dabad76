"""Train the score that orders generated captions, and print the quality of each feature.

    python tools/train_ranking.py tools/rated_captions.jsonl

Each line has ``text``, ``mean_logprob``, ``source`` (corpus, base model and temperature), and the ratings of two readers: 2 fit to
post, 1 nearly, 0 not. A caption is good if both rate it 1 or better. Writes hugging_captions/data/ranking.json with weights
from all lines. Every printed figure is for held-out captions: ten-fold, and with each source held out.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import LeaveOneGroupOut, StratifiedKFold, cross_val_predict

from hugging_captions import storage
from hugging_captions.generator import selection

#: Inverse of the weights' penalty.
C = 0.3
#: Sizes of the best part.
BEST = (10, 20, 40)


def main() -> None:
    """Train, evaluate, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    lines = [json.loads(line) for path in parser.parse_args().files for line in path.read_text(encoding="utf-8").splitlines()]
    rows = [selection.features(line["text"], line["mean_logprob"]) for line in lines]
    names = list(rows[0])
    values = np.array([[row[name] for name in names] for row in rows])
    good = np.array([min(line["reader_1"], line["reader_2"]) >= 1 for line in lines])
    sources = np.array([line["source"] for line in lines])
    mean, deviation = values.mean(0), values.std(0)
    scaled = (values - mean) / deviation
    report(names, scaled, good, sources)
    model = LogisticRegression(C=C).fit(scaled, good)
    features = {
        name: {"weight": round(float(weight), 4), "mean": round(float(mean[i]), 4), "deviation": round(float(deviation[i]), 4)}
        for i, (name, weight) in enumerate(zip(names, model.coef_[0]))
    }
    path = storage.DATA / "ranking.json"
    storage.write_json(path, {"captions": len(lines), "intercept": round(float(model.intercept_[0]), 4), "features": features})
    print(f"-> {path}")


def report(names: list[str], scaled: Any, good: Any, sources: Any) -> None:
    """Print the ROC AUC and the share of good captions among the best, for each feature and for all together."""
    print(f"{len(good)} captions, {good.mean():.1%} good; the best: of all, and within thirds of equal length")
    words = scaled[:, names.index("words")]
    for i, name in enumerate(names):
        auc = roc_auc_score(good, scaled[:, i])
        show(name, scaled[:, i] if auc >= 0.5 else -scaled[:, i], good, words)
    folds = StratifiedKFold(10, shuffle=True, random_state=0)
    predicted = cross_val_predict(LogisticRegression(C=C), scaled, good, cv=folds, method="predict_proba")[:, 1]
    show("all, ten-fold", predicted, good, words)
    without = [i for i, name in enumerate(names) if name != "words"]
    shown = cross_val_predict(LogisticRegression(C=C), scaled[:, without], good, cv=folds, method="predict_proba")[:, 1]
    show("without words", shown, good, words)
    if len(set(sources)) > 1:
        left_out = cross_val_predict(LogisticRegression(C=C), scaled, good, cv=LeaveOneGroupOut(), groups=sources, method="predict_proba")[
            :, 1
        ]
        for source in sorted(set(sources)):
            own = sources == source
            if 0 < good[own].sum() < own.sum():
                show(f"held out: {source}", left_out[own], good[own], words[own])


def show(name: str, score: Any, good: Any, words: Any) -> None:
    """Print a row: AUC, AUC within thirds by length, and shares of good ones among the best."""
    thirds = np.digitize(words, np.quantile(words, [1 / 3, 2 / 3]))
    both = [0 < good[thirds == t].sum() < (thirds == t).sum() for t in range(3)]
    within = [roc_auc_score(good[thirds == t], score[thirds == t]) if both[t] else float("nan") for t in range(3)]
    best = np.argsort(-score, kind="stable")
    shares = "  ".join(f"{good[best[:size]].mean():.2f} of {size}" for size in BEST)
    print(f"{name:45} {roc_auc_score(good, score):.3f}  {' '.join(f'{auc:.2f}' for auc in within)}  {shares}  (all: {good.mean():.2f})")


if __name__ == "__main__":
    main()
