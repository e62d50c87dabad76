"""Compare base models: the same captions and the same command for each.

    python benchmarks/base_models.py --from posts.jsonl --captions 1500
    python benchmarks/base_models.py --from posts.jsonl --base-models scratch smollm2 gpt2

Runs both scripts as a user would, each base model with its own defaults, and prints a table: held-out bits per byte
before and after, share of attempts kept, novelty next to that of the held-out captions, seconds.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
EXAMPLE = ROOT / "examples" / "rmnp_posts.jsonl"
TAG = "bench"


def main() -> None:
    """Clean, train, generate; print the table and, with --show, captions of each."""
    arguments = build_parser().parse_args()
    from hugging_captions.storage import Store, read_captions, write_captions

    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        run("pull_and_clean.py", store, "--from", str(arguments.from_path))
        captions = read_captions(store.captions(TAG))
        random.Random(0).shuffle(captions)
        write_captions(store.captions(TAG), captions[: arguments.captions])
        rows = [measured(name, store, arguments) for name in arguments.base_models]
    print(f"\n{min(arguments.captions, len(captions)):,} captions of {arguments.from_path.name}, {arguments.epochs or 'default'} epochs\n")
    print("| | " + " | ".join(arguments.base_models) + " |\n|---|" + "---|" * len(rows))
    for key in rows[0]:
        print(f"| {key} | " + " | ".join(str(row[key]) for row in rows) + " |")


def build_parser() -> argparse.ArgumentParser:
    """Return the options of this benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("--from", dest="from_path", type=Path, default=EXAMPLE, metavar="PATH", help="posts (default: the example's)")
    parser.add_argument("--captions", type=int, default=1500, metavar="N", help="most captions to use (default: 1500)")
    parser.add_argument("--base-models", nargs="+", default=["scratch", "smollm2"], metavar="NAME")
    parser.add_argument("--epochs", type=int, help="epochs of every model (default: each model's own)")
    parser.add_argument(
        "--options", nargs="*", default=[], metavar="OPTION=VALUE", help="more training options, for example learning-rate=1e-3"
    )
    parser.add_argument("--show", type=int, default=0, metavar="N", help="print the first N captions of each (default: 0)")
    return parser


def measured(name: str, store: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of one base model."""
    options = ["--base-model", name, "--overwrite"] + (["--epochs", str(arguments.epochs)] if arguments.epochs else [])
    options += [f"--{option}" for option in arguments.options]
    start = time.perf_counter()
    run("tune_transformer.py", store, "--train", *options)
    trained = time.perf_counter()
    run("tune_transformer.py", store, "--generate", "--rank", "none", "--prompt", "", "--overwrite")
    generated = time.perf_counter()
    training = json.loads((store.model(TAG) / "run.json").read_text())
    writing = json.loads(store.generated(TAG, ".json").read_text())
    lines = store.generated(TAG, ".txt").read_text().splitlines()
    for line in lines[: arguments.show]:
        print(f"{name}: {line}", flush=True)
    metrics, figures = training["metrics"], writing["figures"]
    return {
        "parameters": f"{training['parameters'] / 1e6:.1f} M",
        "bits per byte before": f"{metrics['bits_per_byte_before']:.3f}",
        "bits per byte after": f"{metrics['bits_per_byte']:.3f}",
        "best epoch": f"{metrics['best_epoch']:g}",
        "attempts kept": f"{writing['kept'] / writing['attempts']:.0%}",
        "novelty_4 (held out)": f"{figures['attempts']['novelty_4']:.3f} ({figures['held out']['novelty_4']:.3f})",
        "longest copied span (held out)": f"{figures['attempts']['longest_copied_span']} ({figures['held out']['longest_copied_span']})",
        "train, s": f"{trained - start:.0f}",
        "generate 40, s": f"{generated - trained:.0f}",
    }


def run(script: str, store: Any, *options: str) -> None:
    """Run one of the scripts; exit with its message if it fails."""
    done = subprocess.run(
        [sys.executable, str(ROOT / script), "--root", str(store.root), "--tag", TAG, *options], capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{script} {' '.join(options)} failed:\n{done.stderr}")


if __name__ == "__main__":
    main()
