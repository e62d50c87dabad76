"""Fuzz every target, in processes, and print how many inputs each took.

    python tests/fuzz/run.py --inputs 100000 --seed 0

Input n of a target depends on the seed and n alone, so a crash names all that is needed to repeat it:
``--target NAME --only N``. Exit code 1 if any input crashed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS.parent), str(TESTS), str(TESTS / "scraper")]

#: A folder in memory, where files are fastest.
MEMORY = Path("/dev/shm")
#: Crashes after which a target is given up.
ENOUGH = 5


@dataclass
class Count:
    """The results of the inputs of one target."""

    name: str
    inputs: int = 0
    accepted: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    crashes: list[str] = field(default_factory=list)


def fuzz(name: str, numbers: range, seed: int) -> Count:
    """Try the inputs called ``numbers`` of the target called ``name``."""
    from fuzz.targets import targets

    with tempfile.TemporaryDirectory(prefix="fuzz", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        return _fuzz(Count(name), targets(Path(folder))[name](), numbers, seed)


def _fuzz(count: Count, target: Callable[[random.Random], bool], numbers: range, seed: int) -> Count:
    start = before = time.perf_counter()
    for number in numbers:
        try:
            count.accepted += target(random.Random(f"{seed} {count.name} {number}"))
        except Exception:
            count.crashes.append(f"{count.name}, input {number}:\n{traceback.format_exc()}")
            if len(count.crashes) == ENOUGH:
                break
        count.inputs += 1
        now = time.perf_counter()
        count.slowest, before = max(count.slowest, now - before), now
    count.seconds = time.perf_counter() - start
    return count


def main() -> int:
    """Run all targets side by side and return the exit code."""
    from fuzz.targets import targets

    from hugging_captions.console import table

    names = list(targets(Path()))
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("--inputs", type=int, default=100_000, help="inputs for each target (default: 100000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of all inputs (default: 0)")
    parser.add_argument("--target", choices=names, help="try this target only")
    parser.add_argument("--only", type=int, help="try the input of this number only")
    parser.add_argument("--workers", type=int, help="processes (default: the cores; 1: this one)")
    arguments = parser.parse_args()
    numbers = range(arguments.inputs) if arguments.only is None else range(arguments.only, arguments.only + 1)
    jobs = [(name, numbers, arguments.seed) for name in ([arguments.target] if arguments.target else names)]
    if arguments.workers == 1:
        counts = [fuzz(*job) for job in jobs]
    else:
        with multiprocessing.get_context("spawn").Pool(arguments.workers, maxtasksperchild=1) as pool:
            counts = pool.starmap(fuzz, jobs, chunksize=1)
    rows = [(c.name, c.inputs, c.accepted, len(c.crashes), f"{c.seconds:.0f}", f"{1000 * c.slowest:.0f}") for c in counts]
    print("\n".join(crash for count in counts for crash in count.crashes), end="")
    print(table(rows, ("target", "inputs", "accepted", "crashes", "s", "slowest ms")))
    return int(any(count.crashes for count in counts))


if __name__ == "__main__":
    sys.exit(main())
