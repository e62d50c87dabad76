"""Cleaning, measured: this pipeline and that of 2020 on the same posts in one run, the language decision, and scale.

    python benchmarks/clean.py                                      # on the example posts
    python benchmarks/clean.py --captions posts.jsonl --labelled captions.jsonl tweets.jsonl
    python benchmarks/clean.py --part pipelines --show-disagreements 0

Reads JSONL of ``caption`` and ``likes``, and labelled JSONL of ``caption`` and ``lang``. Prints tables and whether each target is
met; writes nothing but temporary files, so no caption outlives the run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import clean_2020  # noqa: E402
import clean_languages  # noqa: E402
import clean_scale  # noqa: E402

from hugging_captions.console import shorten, table  # noqa: E402
from hugging_captions.options import CleanOptions  # noqa: E402
from hugging_captions.posts import Post  # noqa: E402
from hugging_captions.storage import Store  # noqa: E402

PARTS = ("pipelines", "language", "scale")


def main() -> None:
    """Measure the parts asked for and print their tables."""
    arguments = build_parser().parse_args()
    posts = read_captions(arguments.captions)
    if "pipelines" in arguments.part:
        pipelines(posts, arguments)
    if "language" in arguments.part:
        languages(arguments)
    if "scale" in arguments.part:
        scale(posts, arguments)


def build_parser() -> argparse.ArgumentParser:
    """Return the options of this benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    example, labelled = ROOT / "examples" / "rmnp_posts.jsonl", ROOT / "tests" / "fixtures" / "language_captions.jsonl"
    parser.add_argument("--part", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--captions", type=Path, metavar="FILE", default=example, help="JSONL of caption and likes (default: the example)")
    parser.add_argument("--labelled", type=Path, nargs="+", metavar="FILE", default=[labelled], help="JSONL of caption and lang")
    parser.add_argument("--sample", type=int, metavar="N", help="captions of each labelled file (default: all)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="turns of the pipelines, of which medians count (default: 5)")
    parser.add_argument("--peer-seconds", type=float, default=40, metavar="S", help="for the pipeline of 2020 in all (default: 40)")
    parser.add_argument(
        "--show-disagreements", type=int, default=40, metavar="N", help="posts that one of the two kept to show (default: 40)"
    )
    parser.add_argument(
        "--posts-scale",
        type=int,
        nargs="+",
        metavar="N",
        default=[100_000, 1_000_000],
        help="posts of the scale part (default: 100000 1000000)",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: the cores)")
    return parser


def read_captions(path: Path) -> list[Post]:
    """Return the posts of ``path``, numbered; likes that it doesn't tell are unknown."""
    with open(path, encoding="utf-8") as handle:
        rows = [json.loads(line) for line in handle]
    return [Post(f"s{i:08}", row["caption"], row.get("likes"), None, clean_scale.TAG, "benchmark") for i, row in enumerate(rows)]


def pipelines(posts: list[Post], arguments: argparse.Namespace) -> None:
    """Print captions a second and the share kept of both pipelines in interleaved rounds, and disagreements if asked for."""
    rates: dict[str, list[tuple[float, float]]] = {}
    theirs: dict[str, str] = {}
    sample = random.Random(0).sample(posts, len(posts))
    with tempfile.TemporaryDirectory() as folder:
        store = clean_scale.write(posts, Path(folder))
        for turn in range(arguments.rounds):
            for workers in dict.fromkeys((arguments.workers or os.cpu_count() or 1, 1)):
                found = clean_scale.clean(Path(folder), CleanOptions(workers=workers))
                rate = len(posts) / found["seconds"], len(posts) / found["cpu"]
                rates.setdefault(f"ours, processes: {workers}", []).append(rate)
            first = turn * len(sample) // arguments.rounds
            for name, cheap_first in (("2020", False), ("2020, langdetect last", True)):
                start, cpu = time.perf_counter(), time.process_time()
                decided = clean_2020.clean(
                    sample[first:] + sample[:first], CleanOptions().min_likes, arguments.peer_seconds / arguments.rounds, cheap_first
                )
                rate = len(decided) / (time.perf_counter() - start), len(decided) / (time.process_time() - cpu)
                rates.setdefault(name, []).append(rate)
                theirs |= {} if cheap_first else decided
        ours = decisions(posts, store)
    ratios = {name: sorted(rate / peer for (rate, _), (peer, _) in zip(of, rates["2020"])) for name, of in rates.items()}
    rows = [
        (
            name,
            *(f"{statistics.median(column):,.0f}" for column in zip(*of)),
            *(f"{found(ratios[name]):.1f}" for found in (statistics.median, min, max)),
        )
        for name, of in rates.items()
    ]
    print(table(rows, (f"median of {arguments.rounds} rounds", "captions/s", "captions/CPU s", "ratio to 2020", "least", "most")), "\n")
    judge("captions/s by those of 2020", statistics.median(next(iter(ratios.values()))), 30)
    print()
    compare(posts, ours, theirs, arguments.show_disagreements)


def decisions(posts: list[Post], store: Store) -> dict[str, str]:
    """Return by shortcode why each post was dropped, or an empty string."""
    with open(store.dropped(clean_scale.TAG), encoding="utf-8") as handle:
        dropped = {row["shortcode"]: f"{row['reason']} ({row['detail']})" for row in map(json.loads, handle)}
    return {post.shortcode: dropped.get(post.shortcode, "") for post in posts}


def compare(posts: list[Post], ours: dict[str, str], theirs: dict[str, str], show: int) -> None:
    """Print what share of the posts that both have decided each kept, and ``show`` of those that only one did."""
    kept = {"ours": {code for code in theirs if not ours[code]}, "2020": {code for code in theirs if not theirs[code]}}
    both = kept["ours"] & kept["2020"]
    rows = [(f"kept by {name}", len(codes), f"{100 * len(codes) / len(theirs):.1f}") for name, codes in kept.items()]
    rows += [(f"kept by {name} alone", len(codes - both), f"{100 * len(codes - both) / len(theirs):.1f}") for name, codes in kept.items()]
    print(table(rows, ("the same captions", f"of {len(theirs):,}", "%")), "\n")
    captions = {post.shortcode: post.caption or "" for post in posts}
    apart = sorted(kept["ours"] ^ kept["2020"])
    for code in random.Random(0).sample(apart, min(show, len(apart))):
        print(f"{shorten(captions[code], 300)}\n    ours: {ours[code] or 'kept'}; 2020: {theirs[code] or 'kept'}\n")


def languages(arguments: argparse.Namespace) -> None:
    """Print for each labelled file how well and how fast each installed detector tells English from the rest."""
    files = {path.stem: clean_languages.read_labelled(path, arguments.sample) for path in arguments.labelled if path.exists()}
    missing = [f"{path} is not there" for path in arguments.labelled if not path.exists()]
    rows: dict[str, list[tuple[object, ...]]] = {name: [] for name in files}
    for detector, load in clean_languages.detectors().items():
        try:
            is_english = load()
        except ImportError as error:
            missing.append(f"{detector} was not measured: {error}")
            continue
        for name, captions in files.items():
            found = clean_languages.measure(is_english, captions)
            rows[name].append((detector, *(f"{found[key]:.3f}" for key in ("accuracy", "precision", "recall")), f"{found['rate']:,.0f}"))
    for name, captions in files.items():
        title = f"English or not: {name}, {len(captions):,}"
        print(table(rows[name], (title, "accuracy", "precision", "recall", "captions/s, one process")), "\n")
    print("\n".join(missing))


def scale(posts: list[Post], arguments: argparse.Namespace) -> None:
    """Print seconds and peak memory of the whole cleaning of many posts, made by varying ``posts``."""
    rows = []
    found: dict[int, dict[str, float]] = {}
    for count in arguments.posts_scale:
        with tempfile.TemporaryDirectory() as folder:
            clean_scale.write(clean_scale.varied(posts, count), Path(folder))
            found[count] = clean_scale.clean(Path(folder), CleanOptions(workers=arguments.workers))
        of = found[count]
        memory = [f"{of[key]:,.0f}" for key in ("main_mb", "worker_mb", "total_mb")]
        rows.append((f"{count:,} posts", f"{of['seconds']:.1f}", f"{of['cpu']:.1f}", f"{100 * of['kept'] / count:.0f}", *memory))
    print(table(rows, ("whole cleaning", "s", "CPU s", "kept, %", "main MB", "a worker MB", "together MB")), "\n")
    if 100_000 in found:
        judge("seconds for 100,000 captions (at most)", found[100_000]["seconds"], 60, at_most=True)
    if 1_000_000 in found:
        judge("peak MB for 1,000,000 captions (at most)", found[1_000_000]["total_mb"], 1000, at_most=True)


def judge(what: str, value: float, target: float, at_most: bool = False) -> None:
    """Print one line: the target, the value, and whether it is met."""
    met = value <= target if at_most else value >= target
    print(f"{'met   ' if met else 'MISSED'}  {what}: {value:.2f} (target {target:g})")


if __name__ == "__main__":
    main()
