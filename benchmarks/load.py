"""Load test: seconds and peak memory of each stage with a million posts and ten thousand generated captions.

    python benchmarks/load.py --posts 1000000 --captions 10000
    python benchmarks/load.py --stages import import-csv --before ../older_checkout

``--before`` also runs each stage with the code of another checkout.
The posts are those of the example with their words shuffled; the model is tiny and random, so the figures measure
reading, cleaning, encoding and bookkeeping, not computation. Each stage runs in a process of its own.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from queue import Empty
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from clean import varied  # noqa: E402

from hugging_captions.posts import read_posts  # noqa: E402

TAG = "load"
EXAMPLE = ROOT / "examples" / "rmnp_posts.jsonl"


def write_export(path: Path, count: int) -> None:
    """Write ``count`` posts: those of the example, then repetitions with words from their neighbours."""
    posts = list(read_posts(EXAMPLE, lambda number, reason: None))
    with open(path, "w", encoding="utf-8") as handle:
        handle.writelines(json.dumps(asdict(post) | {"tag": TAG}, ensure_ascii=False) + "\n" for post in varied(posts, count))
    with open(path.with_suffix(".csv"), "w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["shortcode", "caption", "likes", "date"])
        writer.writerows([post.shortcode, post.caption, post.likes, post.date_utc] for post in varied(posts, count))


def import_stage(folder: Path, count: int, name: str = "export.jsonl") -> str:
    """Import the export file into posts.jsonl."""
    from hugging_captions.scraper import import_posts
    from hugging_captions.storage import Store

    shutil.rmtree(Store(folder).posts(TAG).parent, ignore_errors=True)
    return f"{import_posts([folder / name], TAG, Store(folder)).new:,} posts"


def import_csv_stage(folder: Path, count: int) -> str:
    """Import the same posts from a table."""
    return import_stage(folder, count, "export.csv")


def clean_stage(folder: Path, count: int) -> str:
    """Clean them."""
    from hugging_captions import cleaner
    from hugging_captions.options import CleanOptions
    from hugging_captions.storage import Store

    return f"{cleaner.clean([TAG], CleanOptions(), Store(folder))[0].kept:,} captions kept"


def encode_stage(folder: Path, count: int) -> str:
    """Load and split the corpus, train a tokenizer on part of it, encode all captions, and plan the batches of an epoch."""
    from hugging_captions import dataset, models
    from hugging_captions.dataset.batches import TokenBatches
    from hugging_captions.storage import Store

    corpus = dataset.load([TAG], Store(folder), 0.1, 0)
    tokenizer = models.train_tokenizer(corpus.captions[:20_000], 2048)
    base = _tiny_model(tokenizer, Store(folder).model(TAG))
    rows = dataset.encode(corpus, base).train
    batches = TokenBatches([len(row) for row in rows], 4096, 0)
    return f"{sum(map(len, rows)):,} tokens in {len(batches):,} batches"


def _tiny_model(tokenizer: Any, folder: Path) -> Any:
    """Save a random model in ``folder`` and return it."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from hugging_captions.models import LoadedModel

    torch.manual_seed(0)
    eos = tokenizer.eos_token_id
    shape = {"n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), bos_token_id=eos, eos_token_id=eos, **shape))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return LoadedModel(model, tokenizer, eos)


def generate_stage(folder: Path, count: int) -> str:
    """Generate captions with the tiny model, and search for copies in the whole corpus."""
    from hugging_captions import generator
    from hugging_captions.options import GenerateOptions, HardwareOptions
    from hugging_captions.storage import Store

    options = GenerateOptions(num_captions=count, max_length=30, min_length=5, keep_all=True)
    return f"{len(generator.generate([TAG], options, HardwareOptions(device='cpu'), Store(folder)).captions):,} captions written"


Stage = Callable[[Path, int], str]
STAGES: dict[str, Stage] = {
    "import-csv": import_csv_stage,
    "import": import_stage,
    "clean": clean_stage,
    "dataset": encode_stage,
    "generate": generate_stage,
}


def main() -> None:
    """Write the posts and run the stages."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("--posts", type=int, default=1_000_000, help="posts to import, clean and encode (default: 1000000)")
    parser.add_argument("--captions", type=int, default=10_000, help="captions to generate (default: 10000)")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES), help="which stages (default: all)")
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="a checkout to compare each stage with")
    arguments = parser.parse_args()
    from hugging_captions.console import table

    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_export(folder / "export.jsonl", arguments.posts)
        for stage, code in [(stage, code) for stage in arguments.stages for code in (arguments.before, ROOT) if code]:
            done, seconds, cpu, own, worker = _in_process(stage, folder, arguments.captions, code)
            rows.append(
                (f"{stage}, before" if code != ROOT else stage, done, f"{seconds:.1f}", f"{cpu:.1f}", f"{own:.0f}", f"{worker:.0f}")
            )
            print(*rows[-1], flush=True)  # also if the next stage fails
    print(table(rows, (f"{arguments.posts:,} posts", "done", "s", "CPU s", "peak MB", "of a worker")))


Measured = tuple[str, float, float, float, float]


def _in_process(stage: str, folder: Path, count: int, code: Path) -> Measured:
    context = multiprocessing.get_context("spawn")
    queue: multiprocessing.Queue[Measured] = context.Queue()
    process = context.Process(target=_measure, args=(stage, folder, count, code, queue))
    process.start()
    while True:
        try:
            measured = queue.get(timeout=1)
            break
        except Empty:
            if not process.is_alive():
                sys.exit(f"the stage {stage} ended with exit code {process.exitcode}")
    process.join()
    return measured


def _measure(stage: str, folder: Path, count: int, code: Path, queue: multiprocessing.Queue[Measured]) -> None:
    """Run a stage with the package in ``code``.

    Report its result, seconds, CPU seconds, and the peak MB of this process and of its largest worker.
    """
    if code != ROOT:
        for name in [name for name in sys.modules if name.startswith("hugging_captions")]:
            del sys.modules[name]
        sys.path.insert(0, str(code))
    start = time.perf_counter()
    done = STAGES[stage](folder, count)
    seconds = time.perf_counter() - start
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(usage.ru_utime + usage.ru_stime for usage in used)
    own = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
    queue.put((done, seconds, cpu, own / 1024, used[1].ru_maxrss / 1024))


if __name__ == "__main__":
    main()
