"""Fine-tuning compared with its peers on the same captions: this tool, run_clm's grouping and TRL's SFTTrainer.

    pip install trl
    python benchmarks/peers.py --base-model smollm2 --captions text/rmnp/captions.txt --count 60
    python benchmarks/peers.py --base-model gpt2-shape --captions text/rmnp/captions.txt --count 60

Each contender trains one epoch on the same token rows in a process of its own, with its own batches. Prints real tokens (without
padding) per CPU second, peak memory of the process, and held-out bits per byte, measured by one function.
``gpt2-shape`` is GPT-2 124M with random weights and the tokenizer of --tokenizer.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
CONTENDERS = ("ours, all weights", "ours, adapters", "run_clm blocks", "TRL packed", "TRL padded")
HELD_OUT = 30


def main() -> None:
    """Run the contenders in rounds and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("--base-model", default="smollm2", metavar="NAME")
    parser.add_argument("--captions", type=Path, required=True, metavar="FILE", help="captions, one a line")
    parser.add_argument("--count", type=int, default=60, help="captions to train on (default: 60)")
    parser.add_argument("--tokenizer", type=Path, default=ROOT.parent / "shared" / "gpt2_tokenizer", metavar="DIR")
    parser.add_argument("--rounds", type=int, default=1, help="rounds of each contender (default: 1)")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=CONTENDERS, metavar="NAME")
    arguments = parser.parse_args()
    from hugging_captions.console import table

    found: dict[str, list[dict[str, float]]] = {name: [] for name in arguments.contenders}
    context = multiprocessing.get_context("spawn")
    for _ in range(arguments.rounds):
        for name in arguments.contenders:
            with context.Pool(1) as pool:
                found[name].append(pool.apply(measure, (name, arguments)))
    rows = []
    for name, runs in found.items():
        rate = sum(run["tokens"] for run in runs) / sum(run["cpu_seconds"] for run in runs)
        last = runs[-1]
        rows.append([name, f"{rate:.0f}", f"{last['steps']:.0f}", f"{last['before']:.3f}", f"{last['after']:.3f}", f"{last['memory']:.2f}"])
    print(
        table(
            rows, (f"{arguments.base_model}, {arguments.count} captions", "tokens/CPU s", "steps", "before", "after (bits/byte)", "peak GB")
        )
    )


def measure(name: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Train one contender and return its figures."""
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    from hugging_captions import dataset, models
    from hugging_captions.dataset.corpus import Corpus, Split
    from hugging_captions.storage import read_captions
    from hugging_captions.trainer.callbacks import evaluate
    from hugging_captions.trainer.recipe import fuse_activations

    models.quiet_transformers()
    captions = read_captions(arguments.captions)[: arguments.count + HELD_OUT]
    train, held_out = range(len(captions) - HELD_OUT), range(len(captions) - HELD_OUT, len(captions))
    base = load(arguments)
    corpus = Corpus(tuple(captions), ("x",) * len(captions), Split(tuple(train), tuple(held_out)), "")
    data = dataset.encode(corpus, base)
    if name.startswith("ours"):
        fuse_activations(base.model)
    before = evaluate(base.model, data.held_out, 1024)["bits_per_byte"]
    trainer, tokens = make(name, base, data)
    start = time.process_time()
    trainer.train()
    seconds = time.process_time() - start
    after = evaluate(trainer.model, data.held_out, 1024)["bits_per_byte"]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {
        "tokens": tokens, "cpu_seconds": seconds, "before": before, "after": after, "memory": memory, "steps": trainer.state.global_step
    }  # fmt: skip


def load(arguments: argparse.Namespace) -> Any:
    """Return the base model."""
    from hugging_captions import models

    if arguments.base_model != "gpt2-shape":
        return models.load_base(arguments.base_model, (), 0)
    import torch
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    tokenizer = AutoTokenizer.from_pretrained(arguments.tokenizer)
    tokenizer.eos_token = tokenizer.eos_token or models.END_OF_TEXT
    torch.manual_seed(0)
    return models.LoadedModel(GPT2LMHeadModel(GPT2Config()), tokenizer, models.start_token(tokenizer))


def make(name: str, base: Any, data: Any) -> tuple[Any, int]:
    """Return the trainer of a contender, and how many real tokens it trains on."""
    from transformers import Trainer, TrainingArguments

    from hugging_captions.dataset.batches import TokenBatches, blocks
    from hugging_captions.trainer.callbacks import CaptionTrainer
    from hugging_captions.trainer.recipe import RECIPES, fit, with_adapters

    adapters = name == "ours, adapters"
    recipe = fit(RECIPES["adapters" if adapters else "all weights"], base.model.config.hidden_size, sum(map(len, data.train)))
    common: dict[str, Any] = {
        "output_dir": tempfile.mkdtemp(), "num_train_epochs": 1, "learning_rate": recipe.learning_rate, "warmup_steps": 0.05,
        "weight_decay": 0.01, "use_cpu": True, "report_to": "none", "save_strategy": "no", "disable_tqdm": True, "seed": 0,
        "optim": "adamw_torch_fused",
    }  # fmt: skip
    tokens = sum(len(row) - 1 for row in data.train)
    if name.startswith("ours"):
        model = with_adapters(base.model, recipe.lora) if adapters else base.model
        batches = TokenBatches([len(row) for row in data.train], recipe.batch_tokens, 0)
        return CaptionTrainer(model=model, args=TrainingArguments(**common), rows=data.train, batches=batches), tokens
    if name == "run_clm blocks":
        rows = [list(row) for row in blocks(data.train, 1024)]
        grouped: Any = [{"input_ids": row, "labels": row} for row in rows]
        arguments = TrainingArguments(**common, per_device_train_batch_size=1)
        return Trainer(model=base.model, args=arguments, train_dataset=grouped), sum(len(row) - 1 for row in rows)
    import pyarrow
    from datasets import Dataset
    from datasets.table import InMemoryTable
    from trl import SFTConfig, SFTTrainer

    # an explicit fingerprint: hashing the table pickles a class that some releases of pyarrow can't find
    captions = Dataset(InMemoryTable(pyarrow.table({"input_ids": [list(row) for row in data.train]})), fingerprint="captions")
    packed = name == "TRL packed"
    settings = SFTConfig(
        **common, per_device_train_batch_size=1 if packed else 8, packing=packed, max_length=1024, bf16=False, fp16=False,
        gradient_checkpointing=False,
    )  # fmt: skip
    return SFTTrainer(model=base.model, args=settings, train_dataset=captions, processing_class=base.tokenizer), tokens


if __name__ == "__main__":
    main()
