"""How the stages bear a million posts and ten thousand captions to write: seconds and peak memory of each.

    python benchmarks/load.py --posts 1000000 --captions 10000

The posts are made here by varying hand-written sentences; the model is tiny and random, so that what is measured
is the reading, cleaning, encoding and book-keeping and not the mathematics. Each stage runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

TAG = "load"
#: A caption is an opening, mostly a middle, and mostly an ending; each {name} is one of WORDS[name].
OPENINGS = [
    "We left before {time} and had the whole {place} to ourselves", "Nobody told me that the {place} would be this {feeling}",
    "The {animal} at the {place} did not mind us at all", "Three hours up, one {feeling} sandwich, and then the {place}",
    "My {relative} said the {place} is best at {time}, and as always was right", "Somewhere behind this fog there is a {place}, I promise",
    "Still thinking about {time} at the {place}", "It rained on the {place} until {time}, and nobody complained",
    "First time at the {place} since the snow went, and it felt {feeling}", "If you need me, I am at the {place} with a {animal}",
    "A {feeling} walk around the {place} and back by {time}", "Some days are for work, and this one was for the {place}",
]  # fmt: skip
MIDDLES = [
    "my {relative} carried the coffee and I carried the map", "a {animal} watched us from the far side for a while",
    "the wind came over the ridge around {time} and took two hats", "we counted {number} of them before the path turned",
    "the light was {feeling} and then it was gone", "there were {number} cars below and not a soul above",
    "my boots are still wet and I would do it again", "somebody had built {number} little towers of stone by the water",
    "we got lost once, near the old {place}, and found it better that way", "the last mile was {feeling} and I have no regrets",
    "I learned the name of a {animal} that I had been calling a duck", "it took {number} tries to get a picture without a thumb in it",
]  # fmt: skip
ENDINGS = [
    "Would you go there in winter?", "Back again next {time}.", "Ask my {relative} about the {animal}.", "More of this, please.",
    "Number {number} on the list is done.", "The {place} can keep my other glove.", "Tea has never tasted so good.",
    "Sleep comes easily after such a day.", "Bring a second pair of socks.", "What is your {feeling} place?",
    "There are {number} photographs like it, and I kept them all.",
]  # fmt: skip
WORDS = {
    "time": ["dawn", "breakfast", "noon", "dusk", "midnight", "weekend", "October", "sunrise"],
    "place": ["lake", "ridge", "meadow", "waterfall", "old bridge", "canyon", "summit", "lighthouse", "valley", "harbour", "pine wood"],
    "animal": ["moose", "marmot", "heron", "fox", "very small dog", "herd of elk", "raven", "goat", "grebe", "squirrel"],
    "feeling": ["quiet", "golden", "freezing", "perfect", "strange", "soft", "endless", "honest", "steep", "kind"],
    "relative": ["sister", "father", "aunt", "neighbour", "oldest friend", "grandmother", "brother", "cousin"],
}  # fmt: skip
TAILS = [
    "",
    " 🏔️",
    " ☕️🌧️",
    "\n.\n.\n#hiking #rmnp #outdoors",
    " #mountains",
    "\n#quiet#morning",
    " @someone_else",
    "\nhttps://example.com/more",
]


def post(i: int) -> dict[str, Any]:
    """Return post ``i``: the same at every call."""
    dice = random.Random(i)
    parts = [dice.choice(OPENINGS)]
    parts += [", " + dice.choice(MIDDLES) for _ in range(dice.choice((0, 1, 1, 2)))]
    text = "".join(parts) + ". " + dice.choice(ENDINGS) * (dice.random() < 0.8)
    words = {name: dice.choice(choices) for name, choices in WORDS.items()}
    caption = text.format(number=dice.randint(2, 99), **words) + dice.choice(TAILS)
    likes = dice.choice((None, dice.randint(0, 400)))
    return {"shortcode": f"L{i:08}", "caption": caption, "likes": likes, "date_utc": None, "tag": TAG, "source": "load"}


def import_stage(folder: Path, count: int) -> str:
    """Import the export file into posts.jsonl."""
    from hugging_captions import archive
    from hugging_captions.storage import Store

    return f"{archive.import_posts([folder / 'export.jsonl'], TAG, Store(folder)).new:,} posts"


def clean_stage(folder: Path, count: int) -> str:
    """Clean them."""
    from hugging_captions import cleaner
    from hugging_captions.options import CleanOptions
    from hugging_captions.storage import Store

    return f"{cleaner.clean([TAG], CleanOptions(), Store(folder))[0].kept:,} captions kept"


def encode_stage(folder: Path, count: int) -> str:
    """Load the corpus, split it, make a tokenizer of some of it, encode all, and plan an epoch's batches."""
    from hugging_captions import dataset, models
    from hugging_captions.storage import Store

    corpus = dataset.load_corpus([TAG], Store(folder))
    split = dataset.split_captions(len(corpus.captions), 0.1, 0)
    tokenizer = models.train_tokenizer(corpus.captions[:20_000], 2048)
    rows = dataset.encode_captions(corpus.captions, tokenizer, 512).rows
    batches = dataset.TokenBatches([len(rows[i]) for i in split.train], 4096, 0)
    _tiny_model(tokenizer, Store(folder).model(TAG))
    return f"{sum(map(len, rows)):,} tokens in {len(batches):,} batches"


def _tiny_model(tokenizer: Any, folder: Path) -> None:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    eos = tokenizer.eos_token_id
    shape = {"n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2}
    GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), bos_token_id=eos, eos_token_id=eos, **shape)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def generate_stage(folder: Path, count: int) -> str:
    """Write captions with the tiny model, and look for copies in the whole corpus."""
    from hugging_captions import generator
    from hugging_captions.options import GenerateOptions, HardwareOptions
    from hugging_captions.storage import Store

    options = GenerateOptions(num_captions=count, max_length=30, min_length=5, keep_all=True)
    return f"{len(generator.generate([TAG], options, HardwareOptions(device='cpu'), Store(folder)).captions):,} captions written"


Stage = Callable[[Path, int], str]
STAGES: dict[str, Stage] = {"import": import_stage, "clean": clean_stage, "dataset": encode_stage, "generate": generate_stage}


def main() -> None:
    """Make the posts and run the stages one after the other."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("--posts", type=int, default=1_000_000, help="posts to import, clean and encode (default: 1000000)")
    parser.add_argument("--captions", type=int, default=10_000, help="captions to generate (default: 10000)")
    arguments = parser.parse_args()
    from hugging_captions.console import table

    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with open(folder / "export.jsonl", "w", encoding="utf-8") as handle:
            handle.writelines(json.dumps(post(i), ensure_ascii=False) + "\n" for i in range(arguments.posts))
        for stage in STAGES:
            done, seconds, cpu, own, worker = _in_process(stage, folder, arguments.captions)
            rows.append((stage, done, f"{seconds:.1f}", f"{cpu:.1f}", f"{own:.0f}", f"{worker:.0f}"))
    print(table(rows, (f"{arguments.posts:,} posts", "done", "s", "CPU s", "peak MB", "of a worker")))


Measured = tuple[str, float, float, float, float]


def _in_process(stage: str, folder: Path, count: int) -> Measured:
    context = multiprocessing.get_context("spawn")
    queue: multiprocessing.Queue[Measured] = context.Queue()
    process = context.Process(target=_measure, args=(stage, folder, count, queue))
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


def _measure(stage: str, folder: Path, count: int, queue: multiprocessing.Queue[Measured]) -> None:
    """Run a stage; report what it did, its seconds, processor seconds, and the peak MB of this process and of a worker of it."""
    start = time.perf_counter()
    done = STAGES[stage](folder, count)
    seconds = time.perf_counter() - start
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(usage.ru_utime + usage.ru_stime for usage in used)
    own = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
    queue.put((done, seconds, cpu, own / 1024, used[1].ru_maxrss / 1024))


if __name__ == "__main__":
    main()
