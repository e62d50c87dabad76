"""Benchmark of pulling against a local server: reading and writing pages, and resuming a large pull.

    python benchmarks/pull.py --posts 100000 --stored 1000000

Prints seconds and peak memory beyond the interpreter with instaloader imported. The figures include the
server and exclude instaloader's waits.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

PER_PAGE = 99


def main() -> None:
    """Run both measurements, each pull in a process of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("--posts", type=int, default=100_000, help="posts to pull (default: 100000)")
    parser.add_argument("--stored", type=int, default=1_000_000, help="stored posts when a pull resumes (default: 1000000)")
    arguments = parser.parse_args()
    from instagram_server import FakeInstagram, media, section, serving

    from hugging_captions.console import table
    from hugging_captions.storage import Store

    fake = FakeInstagram()
    caption = "A quiet morning at the lake, number %d, and the wind is up again before the coffee is #rmnp"
    codes = range(arguments.posts)
    fake.sections = [
        [section(*(media(f"c{i:07}", caption % i) for i in codes[start : start + PER_PAGE]))]
        for start in range(0, arguments.posts, PER_PAGE)
    ]
    rows = []
    with tempfile.TemporaryDirectory() as folder, serving(fake) as port:
        seconds, cpu, memory = _in_process(port, Path(folder) / "pull", len(fake.sections))
        rows.append((f"pull {arguments.posts:,} posts", f"{seconds:.1f}", f"{cpu:.1f}", f"{memory:.0f}"))
        fake.sections = fake.sections[:1]
        path = Store(Path(folder) / "resume").posts("rmnp")
        _store(path, arguments.stored)
        seconds, cpu, memory = _in_process(port, Path(folder) / "resume", 1)
        rows.append((f"resume over {arguments.stored:,} stored posts, one page", f"{seconds:.1f}", f"{cpu:.1f}", f"{memory:.0f}"))
    print(table(rows, ("", "s", "CPU s", "MB")))


def _store(path: Path, count: int) -> None:
    path.parent.mkdir(parents=True)
    caption = "Some earlier caption of ordinary length, with a little to say about the weather and the trail"
    with open(path, "w", encoding="utf-8") as handle:
        for i in range(count):
            post = {"shortcode": f"p{i:08}", "caption": caption, "likes": 1, "date_utc": None, "tag": "rmnp", "source": "instagram"}
            handle.write(json.dumps(post) + "\n")


def _in_process(port: int, root: Path, pages: int) -> tuple[float, float, float]:
    queue = multiprocessing.get_context("spawn").Queue()
    process = multiprocessing.get_context("spawn").Process(target=_pull, args=(port, root, pages, queue))
    process.start()
    measured = queue.get(timeout=600)
    process.join()
    return measured


def _pull(port: int, root: Path, pages: int, queue: multiprocessing.Queue[tuple[float, float, float]]) -> None:
    from instagram_server import route_process

    from hugging_captions.options import PullOptions
    from hugging_captions.scraper import pull
    from hugging_captions.scraper.session import new_loader
    from hugging_captions.storage import Store

    route_process(port)
    context = new_loader().context
    before = _peak_memory()
    start, cpu = time.perf_counter(), time.process_time()
    pull("rmnp", PullOptions(caption_queries=pages), context, Store(root), "")
    queue.put((time.perf_counter() - start, time.process_time() - cpu, _peak_memory() - before))


def _peak_memory() -> float:
    """Return this process's peak memory in MB; getrusage would count the parent's from before the exec."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    main()
