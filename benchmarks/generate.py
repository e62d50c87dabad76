"""Benchmark of generation: this project's decode loop and those of transformers, with the same model and settings.

    python benchmarks/generate.py                          # under 20 minutes on two quiet cores
    python benchmarks/generate.py --sizes 40 --rounds 1    # a quick check

The model has GPT-2's shape with 6 layers (82 M parameters) and random weights; its end token has a bias so that texts have
the lengths of captions (printed). So it needs no training, and speed depends only on shapes and lengths. Reads GPT-2's tokenizer of
../shared, and its captions for the novelty part. Contenders alternate in rounds; compare only ratios within one
run. Prints tables and writes benchmarks/out/generate.json.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
SHARED = ROOT.parent / "shared"

log = logging.getLogger("hugging_captions.benchmarks")

#: On a CPU only this project's loop generates more captions than this: the others would take a quarter of an hour each.
CPU_LIMIT = 256


def main() -> None:
    """Measure speed and novelty, print the tables and the targets, write the numbers."""
    arguments = build_parser().parse_args()
    from hugging_captions import console, models

    console.set_up_logging(verbose=False)
    models.quiet_transformers()
    results: dict[str, Any] = {}
    if "speed" in arguments.part:
        results["speed"] = speed(arguments)
    if "novelty" in arguments.part:
        results["novelty"] = novelty()
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "generate.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def build_parser() -> argparse.ArgumentParser:
    """Return the options of this benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("--part", nargs="+", choices=("speed", "novelty"), default=["speed", "novelty"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[40, 256, 2000], metavar="N", help="captions (default: 40 256 2000)")
    parser.add_argument("--rounds", type=int, default=2, help="rounds of each contender; above 256 captions one (default: 2)")
    parser.add_argument("--all", action="store_true", help="also let the others write more than 256 captions on a CPU")
    parser.add_argument("--layers", type=int, default=6, help="of width 768 (default: 6)")
    parser.add_argument("--root", type=Path, metavar="DIR", help="root folder of a trained model to use instead of the random one")
    parser.add_argument("--tag", default="rmnp", help="its tag (default: rmnp)")
    parser.add_argument("--contenders", nargs="+", metavar="NAME", help="default: all")
    parser.add_argument("--device", choices=("cpu", "cuda"), default=None, help="default: cuda where there is one")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "out", metavar="DIR")
    return parser


def speed(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the measurements of each contender by number of captions; print a table for each number."""
    import generate_contenders

    from hugging_captions.console import table

    test = generate_contenders.Contest(arguments.layers, arguments.device, SHARED / "gpt2_tokenizer", arguments.root, arguments.tag)
    print(test.describe(), "\n")
    found: list[dict[str, Any]] = []
    for size in arguments.sizes:
        slow = test.device == "cpu" and size > CPU_LIMIT and not arguments.all
        asked = arguments.contenders or test.contenders
        names = [name for name in test.contenders if name in asked and (name == "ours" or not slow)]
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        for number in range(arguments.rounds if size <= CPU_LIMIT else 1):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                run = test.run(name, size, seed=number)
                if run is not None:
                    runs[name].append(run)
        rows = [_row(name, size, taken, runs["ours"]) for name, taken in runs.items() if taken]
        found += rows
        header = (f"{size:,} captions", "ended/s", "ours by it", "in a round", "ended %", "tokens/s", "s", "peak GB over the model")
        keys = ("name", "rate", "ratio", "range", "ended", "tokens", "seconds", "memory")
        print(table([[row[key] for key in keys] for row in rows], header))
        print("(the others are skipped at this number on a CPU; --all runs them too)\n" if slow else "")
    _check_speed(found, test.device)
    return found


def _row(name: str, size: int, taken: list[dict[str, float]], ours: list[dict[str, float]]) -> dict[str, Any]:
    def rate(runs: list[dict[str, float]], key: str = "ended") -> float:
        return sum(run[key] for run in runs) / sum(run["seconds"] for run in runs)

    ratios = [rate([mine]) / rate([its]) for mine, its in zip(ours, taken)]
    return {
        "name": name, "size": size, "rate": f"{rate(taken):.2f}", "ratio": f"{rate(ours) / rate(taken):.2f}",
        "range": f"{min(ratios):.2f}-{max(ratios):.2f}", "ended": f"{100 * sum(run['ended'] for run in taken) / (size * len(taken)):.0f}",
        "tokens": f"{rate(taken, 'tokens'):.0f}", "seconds": f"{statistics.mean(run['seconds'] for run in taken):.1f}",
        "memory": f"{max(run['memory'] for run in taken):.2f}",
    }  # fmt: skip


def _check_speed(rows: list[dict[str, Any]], device: str) -> None:
    from train import check_target

    targets = {40: 2.0, 256: 3.0} if device == "cpu" else {2000: 5.0}
    for row in rows:
        if row["name"] == "generate" and row["size"] in targets:
            check_target(f"ours by generate, {row['size']:,} captions", float(row["ratio"]), targets[row["size"]])
    if device == "cpu":
        print("no CUDA device: the targets of a GPU were not measured")


def novelty() -> dict[str, float]:
    """Return the seconds to index 34,000 captions and to score 1,000; print them and check the targets.

    The texts join the first four words of many captions, so that most n-grams are new, as in generated captions.
    """
    from train import check_target

    from hugging_captions.generator.novelty import CopyIndex, figures

    captions = _captions(34_000)
    chance = random.Random(1)
    texts = [" ".join(" ".join(caption.split()[:4]) for caption in chance.sample(captions, 8)) for _ in range(1000)]
    build, index = _seconds(lambda: CopyIndex(captions))
    search, copied = _seconds(lambda: index.search(texts))
    score, _ = _seconds(lambda: figures(texts, copied, 1000))
    mean = sum(map(len, captions)) / len(captions)
    print(f"novelty: {len(captions):,} captions of {mean:.0f} characters, 1,000 texts of 32 words at most")
    check_target("seconds to index them (at most)", build, 2.0, at_most=True)
    check_target("seconds to search 1,000 texts for copies (at most)", search, 0.1, at_most=True)
    print(f"        seconds for all figures of the 1,000, near copies, emoji and compression included: {score:.2f}")
    return {"build": build, "search": search, "figures": score}


def _seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    best, result = float("inf"), None
    for _ in range(3):  # the fastest of three: the machine may be busy
        start = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - start)
    return best, result


def _captions(count: int) -> list[str]:
    """Return ``count`` captions: those of ../shared, then the same with shuffled words; random words without ../shared."""
    chance = random.Random(0)
    found = []
    for path in sorted((SHARED / "data").glob("*.jsonl")):
        with open(path, encoding="utf-8") as handle:
            lines = map(json.loads, handle)
            found += [text for line in lines if isinstance(text := line.get("caption") or line.get("text"), str) and text]
    words = [f"w{number}" for number in range(20_000)]
    found = found or [" ".join(chance.choices(words, k=25)) for _ in range(count)]
    for text in list(found):
        found.append(" ".join(chance.sample(text.split(), len(text.split()))))
    return found[:count]


if __name__ == "__main__":
    main()
