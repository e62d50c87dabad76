"""Benchmark of training: this project, the recipe of 2020 and run_clm-style grouping, on one machine in one run.

    python benchmarks/train.py                     # everything, under 25 minutes on two quiet cores
    python benchmarks/train.py --part speed --rounds 1

Reads the captions of ../shared/data (or --captions FILE, one a line) and GPT-2's tokenizer of ../shared; writes
benchmarks/out/train.json and train.png and prints tables. Contenders alternate in rounds, so that a busy machine affects
all equally; compare only ratios within one run.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
SHARED = ROOT.parent / "shared"

log = logging.getLogger("hugging_captions.benchmarks")


def main() -> None:
    """Measure the requested parts, print their tables, write the numbers."""
    arguments = build_parser().parse_args()
    from hugging_captions import console, models

    console.set_up_logging(verbose=False)
    models.quiet_transformers()
    captions = read_captions(arguments.captions)
    if captions is None:
        print(f"no captions at {SHARED / 'data'}: give --captions FILE, one caption a line")
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    if "speed" in arguments.part:
        results["speed"] = speed(captions, arguments)
    if "quality" in arguments.part:
        results["quality"] = quality(captions, arguments)
    if "gpu" in arguments.part:
        results["gpu"] = gpu(captions)
    (arguments.out / "train.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def build_parser() -> argparse.ArgumentParser:
    """Return the options of this benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("--part", nargs="+", choices=("speed", "quality", "gpu"), default=["speed", "quality", "gpu"])
    parser.add_argument("--captions", type=Path, metavar="FILE", help="captions, one a line (default: those of ../shared/data)")
    parser.add_argument("--rounds", type=int, default=4, help="rounds of each contender in the speed part (default: 4)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of the quality part (default: 3)")
    parser.add_argument("--quality-captions", type=int, default=400, help="captions of the quality part (default: 400)")
    parser.add_argument("--base-model", default="smollm2", metavar="NAME|DIR", help="base model of the quality part (default: smollm2)")
    parser.add_argument("--repository", type=Path, default=ROOT, metavar="DIR", help="checkout that the quality part runs (default: this)")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "out", metavar="DIR")
    return parser


def read_captions(path: Path | None) -> list[str] | None:
    """Return captions of three words and more, each once, or None if there are none."""
    if path is not None:
        from hugging_captions.storage import read_captions as read

        return read(path)
    source = SHARED / "data" / "influencers_2017.jsonl"
    if not source.exists():
        return None
    with open(source, encoding="utf-8") as handle:
        found = (json.loads(line)["caption"] for line in handle)
        return list(dict.fromkeys(caption for caption in found if caption and len(caption.split()) >= 3))


def speed(captions: list[str], arguments: argparse.Namespace) -> dict[str, Any]:
    """Return real tokens a second, useful share and peak memory of each contender; print them."""
    from train_contenders import SpeedTest

    from hugging_captions.console import table

    test = SpeedTest(captions[:3000], SHARED / "gpt2_tokenizer")
    for number in range(arguments.rounds):
        test.round(number)
        log.info("speed: round %d of %d", number + 1, arguments.rounds)
    rows = test.table_rows()
    header = ("GPT-2 shape, 6 layers, width 768", "real tokens/s", "ours by it", "in a round", "useful %", "peak GB over the model")
    print(table([[row[key] for key in ("name", "rate", "ratio", "range", "useful", "memory")] for row in rows], header), "\n")
    ratios = {row["name"]: float(row["ratio"]) for row in rows}
    check_target("ours by the classic recipe", ratios["classic (2020)"], 1.4)
    check_target("ours by padding to 128", ratios["padded to 128"], 3.0)
    check_target("ours by a bare loop over the same batches", ratios["bare loop"], 0.9)
    return {"rows": rows}


def quality(captions: list[str], arguments: argparse.Namespace) -> dict[str, Any]:
    """Return held-out loss against wall time of each recipe, by seed; print and draw it, and check the targets."""
    import train_quality

    runs = [
        train_quality.fine_tune(name, arguments.base_model, captions[: arguments.quality_captions], seed, arguments.repository)
        for seed in range(arguments.seeds)
        for name in train_quality.CONTENDERS
    ]
    by_name = {name: [run for run in runs if run["name"] == name] for name in train_quality.CONTENDERS}
    train_quality.print_table(by_name)
    train_quality.draw(arguments.out / "train.png", by_name)
    pairs = list(zip(by_name["ours"], by_name["classic (2020)"]))
    times = [train_quality.seconds_to(ours, classic["best"]) / classic["best_seconds"] for ours, classic in pairs]
    check_target("time to the classic recipe's best loss, by its own (at most)", statistics.mean(times), 0.5, at_most=True)
    check_target(
        "val_loss minus the classic recipe's (at most)", statistics.mean(o["best"] - c["best"] for o, c in pairs), 0.0, at_most=True
    )
    return {"runs": runs}


def gpu(captions: list[str]) -> dict[str, Any] | None:
    """Return MFU and the whole command's wall time on a CUDA device; print a line if there is none."""
    import torch

    if not torch.cuda.is_available():
        print("no CUDA device here: MFU, memory and the whole command on a GPU were not measured")
        return None
    import train_gpu

    found = train_gpu.measure(captions[:3000], SHARED / "gpt2_tokenizer")
    check_target("MFU on real tokens", found["mfu"], 0.4)
    check_target("seconds of the whole command, 3,000 captions (at most)", found["seconds"], 25, at_most=True)
    check_target("the classic command's seconds by ours", found["classic_seconds"] / found["seconds"], 5)
    check_target("peak GB (at most)", found["peak_gb"], 6, at_most=True)
    return found


def check_target(what: str, value: float, target: float, at_most: bool = False) -> None:
    """Print one line: the target, the value, and whether it is met."""
    met = value <= target if at_most else value >= target
    print(f"{'met   ' if met else 'MISSED'}  {what}: {value:.2f} (target {target:g})")


if __name__ == "__main__":
    main()
