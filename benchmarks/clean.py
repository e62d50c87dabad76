"""Benchmark of cleaning: this pipeline and that of 2020 on the same posts, language detection, and many posts.

    python benchmarks/clean.py                                      # on the example posts
    python benchmarks/clean.py --captions posts.jsonl --labelled captions.jsonl tweets.jsonl
    python benchmarks/clean.py --part scale --posts-scale 100000

Reads JSONL of ``caption`` and ``likes``, and labelled JSONL of ``caption`` and ``lang``. Prints tables and whether each target is
met; writes only temporary files.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import clean_2020  # noqa: E402
import clean_judged  # noqa: E402
import clean_languages  # noqa: E402
from processes import alone  # noqa: E402

from hugging_captions.console import table  # noqa: E402
from hugging_captions.options import CleanOptions  # noqa: E402
from hugging_captions.posts import Post  # noqa: E402
from hugging_captions.storage import Store  # noqa: E402

PARTS = ("judged", "pipelines", "language", "scale")
TAG = "bench"
#: Captions on each side from which a varied caption takes its words: neighbours in the file tend to share its language.
NEIGHBOURS = 50
#: A word, but not in a tag, a handle or a URL.
_WORD = re.compile(r"(?<![\w#@/.])[^\W\d_]+(?![\w/]|\.\w)")
#: The words that vary in the captions of one template.
_NOUNS = (
    "mill", "river", "bridge", "tree", "cloud", "stone", "lamp", "road", "field", "house", "goat", "train", "boat", "wall", "gate", "song",
    "door", "rain", "snow", "wind", "fire", "bell", "hill", "lake", "moon", "star", "leaf", "nest", "roof", "wolf",
)  # fmt: skip


def main() -> None:
    """Measure the requested parts and print their tables."""
    arguments = build_parser().parse_args()
    with open(arguments.captions, encoding="utf-8") as handle:
        rows = [json.loads(line) for line in handle]
    posts = [Post(f"s{i:08}", row["caption"], row.get("likes"), None, TAG, "benchmark") for i, row in enumerate(rows)]
    if "judged" in arguments.part and arguments.judged:
        precision, recall = clean_judged.print_tables(*arguments.judged)
        check("precision of kept captions", precision, at_least=0.92)
        check("recall of captions that belong in a corpus", recall, at_least=0.90)
    if "pipelines" in arguments.part:
        pipelines(posts, arguments)
    if "language" in arguments.part:
        clean_languages.print_tables(arguments.labelled, arguments.sample)
    if "scale" in arguments.part:
        scale(posts, arguments)


def build_parser() -> argparse.ArgumentParser:
    """Return the options of this benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    example, labelled = ROOT / "examples" / "rmnp_posts.jsonl", ROOT / "tests" / "fixtures" / "language_captions.jsonl"
    parser.add_argument("--part", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--captions", type=Path, metavar="FILE", default=example, help="JSONL of caption and likes (default: the example)")
    more = "JSONL of captions labelled by readers (without it that part is skipped); further files are for training only"
    parser.add_argument("--judged", nargs="+", type=Path, metavar="FILE", help=more)
    parser.add_argument("--labelled", type=Path, nargs="+", metavar="FILE", default=[labelled], help="JSONL of caption and lang")
    parser.add_argument("--sample", type=int, metavar="N", help="captions of each labelled file (default: all)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds of the pipelines; medians count (default: 5)")
    parser.add_argument("--peer-seconds", type=float, default=40, metavar="S", help="total seconds of the pipeline of 2020 (default: 40)")
    parser.add_argument("--posts-scale", type=int, nargs="+", metavar="N", default=[100_000, 1_000_000], help="posts of the scale part")
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: the cores)")
    return parser


def pipelines(posts: list[Post], arguments: argparse.Namespace) -> None:
    """Print captions a second and the share kept of both pipelines, from interleaved rounds."""
    rates: dict[str, list[float]] = {}
    kept: dict[str, float] = {}
    sample = random.Random(0).sample(posts, len(posts))
    with tempfile.TemporaryDirectory() as folder:
        write(posts, Path(folder))
        for turn in range(arguments.rounds):
            for workers in dict.fromkeys((arguments.workers or os.cpu_count() or 1, 1)):
                found = alone(clean, Path(folder), CleanOptions(workers=workers))
                name = f"ours, processes: {workers}"
                rates.setdefault(name, []).append(len(posts) / found["seconds"])
                kept[name] = found["kept"] / len(posts)
            first, start = turn * len(sample) // arguments.rounds, time.perf_counter()
            decided = clean_2020.clean(sample[first:] + sample[:first], CleanOptions().min_likes, arguments.peer_seconds / arguments.rounds)
            rates.setdefault("2020", []).append(len(decided) / (time.perf_counter() - start))
            kept["2020"] = list(decided.values()).count("") / len(decided)
    ratios = {name: [rate / peer for rate, peer in zip(of, rates["2020"])] for name, of in rates.items()}
    rows = [
        (
            name,
            f"{statistics.median(of):,.0f}",
            *(f"{statistic(ratios[name]):.1f}" for statistic in (statistics.median, min, max)),
            f"{kept[name]:.1%}",
        )
        for name, of in rates.items()
    ]
    print(table(rows, (f"median of {arguments.rounds} rounds", "captions/s", "ratio to 2020", "least", "most", "kept")), "\n")
    check("captions/s divided by those of 2020", statistics.median(next(iter(ratios.values()))), at_least=10)


def scale(posts: list[Post], arguments: argparse.Namespace) -> None:
    """Print seconds and peak memory of cleaning many posts: varied ones, and 100,000 of one template."""
    rows = []
    for name, count in [*(("varied", count) for count in arguments.posts_scale), ("of one template", 100_000)]:
        with tempfile.TemporaryDirectory() as folder:
            write(varied(posts, count) if name == "varied" else of_one_template(count), Path(folder))
            found = alone(clean, Path(folder), CleanOptions(workers=arguments.workers))
        memory = [f"{found[key]:,.0f}" for key in ("main_mb", "worker_mb", "total_mb")]
        rows.append((f"{count:,} {name}", f"{found['seconds']:.1f}", f"{found['cpu']:.1f}", f"{found['kept'] / count:.0%}", *memory))
        if count == 100_000:
            check(f"seconds for {rows[-1][0]}", found["seconds"], at_most=60)
        if count == 1_000_000:
            check(f"peak MB for {rows[-1][0]}", found["total_mb"], at_most=1000)
    print("\n" + table(rows, ("posts", "s", "CPU s", "kept", "main MB", "a worker MB", "together MB")))


def varied(posts: Sequence[Post], count: int) -> Iterator[Post]:
    """Yield ``count`` posts: first ``posts``, then these again with each word replaced by one from captions nearby.

    Lines, tags, handles, emoji and lengths stay, so the rules have the same work; the words differ, so that the
    posts are not near duplicates of each other. The same posts give the same result.
    """
    words = [_WORD.findall(post.caption or "") for post in posts]
    pool: list[str] = []
    for i in range(count):
        at = i % len(posts)
        if i < len(posts):
            yield replace(posts[at], shortcode=f"s{i:08}")
            continue
        if at % NEIGHBOURS == 0 or not pool:
            pool = [word for near in words[max(0, at - NEIGHBOURS) : at + 2 * NEIGHBOURS] for word in near] or ["word"]
        drawn = iter(random.Random(i).choices(pool, k=len(words[at])))
        caption = _WORD.sub(lambda match, drawn=drawn: next(drawn), posts[at].caption or "")
        yield replace(posts[at], shortcode=f"s{i:08}", caption=caption)


def of_one_template(count: int) -> Iterator[Post]:
    """Yield ``count`` posts that differ in four words: those that differ in one are near duplicates."""
    rng = random.Random(1)
    for i in range(count):
        one, two, three, four = rng.choices(_NOUNS, k=4)
        caption = f"Today we saw the {one} and the {two} and then the {three}"
        caption += f" and after that we all went home to eat soup and talk about the {four} with my sister"
        yield Post(f"s{i:08}", caption, rng.randrange(20, 5000), None, TAG, "benchmark")


def write(posts: Iterable[Post], root: Path) -> None:
    """Write ``posts`` as posts.jsonl of the tag ``TAG`` below ``root``."""
    path = Store(root).posts(TAG)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as handle:
        handle.writelines(json.dumps(asdict(post)) + "\n" for post in posts)


def clean(root: Path, options: CleanOptions) -> dict[str, float]:
    """Clean the posts below ``root``; run it in a process of its own.

    Returns:
        ``kept``, wall ``seconds``, ``cpu`` seconds with the workers', ``main_mb`` (peak of the process), ``worker_mb`` (peak of the
        largest worker) and ``total_mb``: an upper bound, because memory that they share is counted for each.
    """
    from hugging_captions import cleaner

    start, cpu = time.perf_counter(), _cpu_seconds()
    kept = cleaner.clean([TAG], options, Store(root))[0].kept
    seconds, cpu = time.perf_counter() - start, _cpu_seconds() - cpu
    # getrusage would count the parent's memory from before the exec
    main = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    total = main + (options.workers or os.cpu_count() or 1) * worker
    return {"kept": kept, "seconds": seconds, "cpu": cpu, "main_mb": main, "worker_mb": worker, "total_mb": total}


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def check(what: str, value: float, at_least: float = 0, at_most: float = float("inf")) -> None:
    """Print one line: the value, the target, and whether it is met."""
    target = f"at least {at_least:g}" if at_least else f"at most {at_most:g}"
    print(f"{'met   ' if at_least <= value <= at_most else 'MISSED'}  {what}: {value:.3g} (target: {target})")


if __name__ == "__main__":
    main()
