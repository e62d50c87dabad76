"""Many posts made from few, and how long and in how much memory the whole of ``cleaner.clean`` takes.

Writes a posts.jsonl below a folder that it is given, and cleans it in a process of its own.
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from processes import alone

from hugging_captions.options import CleanOptions
from hugging_captions.posts import Post
from hugging_captions.storage import Store

TAG = "bench"
#: Captions on each side whose words a varied caption is written with: near in the file, they tend to share its language.
NEIGHBOURS = 50

#: Not in a tag, a handle or a URL.
_WORD = re.compile(r"(?<![\w#@/.])[^\W\d_]+(?![\w/]|\.\w)")


def varied(posts: Sequence[Post], count: int) -> Iterator[Post]:
    """Yield ``count`` posts: first ``posts``, then these again with each word replaced by one from captions near by.

    Lines, tags, handles, emoji and lengths stay, so the rules have the same work; the words are others, so that the
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


def write(posts: Iterator[Post] | Sequence[Post], root: Path) -> Store:
    """Write ``posts`` as posts.jsonl of the tag ``TAG`` below ``root``, and return its store."""
    store = Store(root)
    store.posts(TAG).parent.mkdir(parents=True, exist_ok=True)
    with open(store.posts(TAG), "w", encoding="utf-8") as handle:
        for post in posts:
            handle.write(json.dumps(asdict(post)) + "\n")
    return store


def clean(root: Path, options: CleanOptions) -> dict[str, float]:
    """Clean the posts below ``root`` in a fresh process.

    Returns:
        posts, kept, wall seconds and processor seconds with the workers', ``main_mb`` (peak of the process), ``worker_mb``
        (peak of the largest worker) and ``total_mb``: the first and as many of the second as there are workers, an
        upper bound, because pages they share are counted for each.
    """
    return alone(_clean, root, options)


def _clean(root: Path, options: CleanOptions) -> dict[str, float]:
    from hugging_captions.cleaner import pipeline as cleaner

    start, cpu = time.perf_counter(), _cpu_seconds()
    result = cleaner.clean([TAG], options, Store(root))[0]
    seconds, cpu = time.perf_counter() - start, _cpu_seconds() - cpu
    workers = options.workers or os.cpu_count() or 1
    main, worker = _peak_memory(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    counts = {"posts": result.posts, "kept": result.kept}
    return {**counts, "seconds": seconds, "cpu": cpu, "main_mb": main, "worker_mb": worker, "total_mb": main + workers * worker}


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _peak_memory() -> float:
    """Return this process's peak memory in MB; getrusage would count the parent's from before the exec."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
