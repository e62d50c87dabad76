"""Pretrain the built-in base model: a small GPT-2 with its own byte-level BPE, on plain text files.

    python base_model/pretrain.py --text captions.txt:1.5 informal.txt:1 --val captions.txt --steps 2600

Reads UTF-8 files with one document a line; ``:WEIGHT`` is how often a file is passed over (0.1: a tenth of its documents,
2: all of them twice). Writes a plain Hugging Face folder in half precision, with history.jsonl and loss.png. The batches,
the training steps and the held-out figures are the package's own. ``--slice-minutes`` ends a run early; the same command
goes on with it, and with more ``--steps`` goes further.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from emoji_lines import emoji_lines
from orthogonal import OrthogonalAdamW
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, TrainerCallback, TrainingArguments

from hugging_captions import console, models
from hugging_captions.dataset import batches as dataset
from hugging_captions.dataset.batches import HeldOut
from hugging_captions.errors import InputError
from hugging_captions.trainer.callbacks import CaptionTrainer, evaluate
from hugging_captions.trainer.record import draw_loss
from hugging_captions.trainer.train import fuse_activations

log = logging.getLogger("hugging_captions.pretrain")

#: Shares of the run in which the learning rate rises and falls; between them it stays (Hägele et al. 2024, arXiv 2405.18392).
WARM_UP, COOL_DOWN = 0.02, 0.3
#: GPT-2's own, written into the saved config: a few hundred captions are seen many times.
FINE_TUNING_DROPOUT = {"resid_pdrop": 0.1, "embd_pdrop": 0.1, "attn_pdrop": 0.1}
#: Steps between two evaluations, each followed by a checkpoint.
EVALUATE_EVERY = 100


def main(argv: Sequence[str] | None = None) -> None:
    """Make the tokenizer, train, save."""
    arguments = build_parser().parse_args(argv)
    console.set_up_logging(verbose=True)
    models.quiet_transformers()
    documents = read_mix(arguments.text, arguments.seed)
    checkpoints = Path(f"{arguments.out}.checkpoints")
    started = sorted(checkpoints.glob("checkpoint-*"), key=lambda folder: int(folder.name.split("-")[1]))
    if started:  # what was learned goes with its tokens
        tokenizer = AutoTokenizer.from_pretrained(arguments.out)
    else:
        tokenizer = models.train_tokenizer([*documents, *emoji_lines(arguments.seed)], arguments.vocabulary)
    model = build_model(arguments, tokenizer)
    rows = dataset.encode_captions(documents, tokenizer, arguments.positions)[0]
    held_out = read_held_out(arguments.val, arguments.val_captions, tokenizer, arguments.positions)
    log.info("%d documents, %d tokens, %d parameters", len(documents), sum(map(len, rows)), sum(p.numel() for p in model.parameters()))
    batches = dataset.TokenBatches([len(row) for row in rows], arguments.batch_tokens, arguments.seed)
    course = Course(model, tokenizer, arguments, held_out, started[-1] if started else None)
    run = CaptionTrainer(
        model=model, args=_training_arguments(arguments, checkpoints), callbacks=[course], rows=rows, batches=batches,
        optimizers=course.optimizers,
    )  # fmt: skip
    run.train(resume_from_checkpoint=str(started[-1]) if started else None)
    course.save()


def build_parser() -> argparse.ArgumentParser:
    """Return the options; the defaults are those of the published weights."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("--text", nargs="+", required=True, metavar="FILE:WEIGHT", help="text files, one document a line")
    parser.add_argument("--val", type=Path, required=True, metavar="FILE", help="captions.txt to measure the held-out loss on")
    parser.add_argument("--val-captions", type=int, default=500, help="how many of them (default: 500)")
    parser.add_argument("--out", type=Path, default=Path("base_model/weights"), help="folder to write (default: base_model/weights)")
    parser.add_argument("--steps", type=int, default=2600, help="length of the run in steps (default: 2600)")
    parser.add_argument("--slice-minutes", type=float, default=1e9, help="stop after so many, to go on later")
    parser.add_argument("--vocabulary", type=int, default=8192, help="tokens (default: 8192)")
    parser.add_argument("--positions", type=int, default=256, help="context in tokens (default: 256)")
    parser.add_argument("--width", type=int, default=320, help="width of the model (default: 320)")
    parser.add_argument("--layers", type=int, default=6, help="layers (default: 6)")
    parser.add_argument("--batch-tokens", type=int, default=4096, help="tokens in a batch (default: 4096)")
    parser.add_argument("--learning-rate", type=float, default=3e-3, help="peak learning rate (default: 0.003)")
    parser.add_argument("--optimizer", choices=("orthogonal", "adamw"), default="orthogonal", help="(default: orthogonal)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    parser.add_argument("--seed", type=int, default=0, help="seed (default: 0)")
    return parser


def read_mix(specifications: Sequence[str], seed: int) -> list[str]:
    """Return the documents of all files, each file as often as its weight says, shuffled.

    Raises:
        InputError: a file can't be read, or a weight is no number.
    """
    dice = random.Random(seed)
    mix: list[str] = []
    for specification in specifications:
        path, _, weight = specification.rpartition(":")
        try:
            whole, part = divmod(float(weight), 1)
            lines = [line for line in Path(path).read_text(encoding="utf-8").split("\n") if line.strip()]
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read {specification}: {error}", "write --text FILE:WEIGHT") from error
        mix += lines * int(whole) + dice.sample(lines, round(part * len(lines)))
    dice.shuffle(mix)
    return mix


def read_held_out(path: Path, count: int, tokenizer: Any, positions: int) -> HeldOut:
    """Return ``count`` captions of a captions.txt, spread evenly over it, to measure on."""
    captions = [line for line in path.read_text(encoding="utf-8").split("\n") if line]
    captions = captions[:: max(len(captions) // count, 1)][:count]
    rows = dataset.encode_captions(captions, tokenizer, positions)[0]
    return HeldOut(rows, ("",) * len(rows), tuple(len(caption.encode()) + 1 for caption in captions))


def build_model(arguments: argparse.Namespace, tokenizer: Any) -> GPT2LMHeadModel:
    """Return a GPT-2 of random weights, without dropout: no text is seen often enough to need it."""
    eos = tokenizer.eos_token_id
    torch.manual_seed(arguments.seed)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=arguments.positions, n_embd=arguments.width, n_layer=arguments.layers,
        n_head=arguments.width // 64, bos_token_id=eos, eos_token_id=eos, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    fuse_activations(model)
    return model


class Course(TrainerCallback):  # type: ignore[misc]
    """The learning rate, an evaluation and a saved model every so many steps, an end in time, and the record of it all."""

    def __init__(self, model: Any, tokenizer: Any, arguments: argparse.Namespace, held_out: HeldOut, resumed: Path | None) -> None:
        self._model, self._tokenizer, self._arguments, self._held_out = model, tokenizer, arguments, held_out
        self.history: list[dict[str, Any]] = []
        if resumed:
            self.history = [json.loads(line) for line in (resumed / "history.jsonl").read_text(encoding="utf-8").splitlines()]
        self._before = self.history[-1]["minutes"] if self.history else 0.0
        self._start = time.monotonic()
        optimizer = _optimizer(model, arguments)
        self.optimizers = (optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate))

    def _minutes(self) -> float:
        return self._before + (time.monotonic() - self._start) / 60

    def _rate(self, step: int) -> float:
        over = step / self._arguments.steps
        return max(0.0, min(1.0, (over + 1e-3) / WARM_UP, (1 - over) / COOL_DOWN))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            self._record(state, train_loss=logs["loss"], learning_rate=logs["learning_rate"])

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        slice_over = self._minutes() >= self._before + self._arguments.slice_minutes
        if slice_over or state.global_step % EVALUATE_EVERY == 0 or state.global_step == state.max_steps:
            self._record(state, **evaluate(self._model, self._held_out, self._arguments.batch_tokens))
            control.should_save = True
        control.should_training_stop |= slice_over

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._write_history(Path(args.output_dir) / f"checkpoint-{state.global_step}")
        self.save()

    def _record(self, state: Any, **figures: float) -> None:
        line = {"step": state.global_step, "epoch": round(state.epoch or 0, 4), "minutes": round(self._minutes(), 2)}
        self.history.append(line | figures)
        log.info("%s", self.history[-1])

    def _write_history(self, folder: Path) -> None:
        (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in self.history), encoding="utf-8")

    def save(self) -> None:
        """Write the model as it is now, in float16."""
        folder = self._arguments.out
        self._model.config.use_cache = True
        weights = {key: value.detach().to("cpu", torch.float16) for key, value in self._model.state_dict().items()}
        weights.pop("lm_head.weight", None)  # tied to the embedding
        self._model.save_pretrained(folder, state_dict=weights)
        config = GPT2Config.from_dict(self._model.config.to_dict() | FINE_TUNING_DROPOUT)
        config.save_pretrained(folder)
        self._tokenizer.save_pretrained(folder)
        self._write_history(folder)
        draw_loss(folder / "loss.png", self.history)


def _optimizer(model: Any, arguments: argparse.Namespace) -> torch.optim.Optimizer:
    def group(chosen: Callable[[str, torch.Tensor], bool], **settings: Any) -> dict[str, Any]:
        return {"params": [p for name, p in model.named_parameters() if chosen(name, p)], **settings}

    embeddings = ("wte", "wpe", "lm_head")
    groups = [
        group(
            lambda name, p: p.dim() == 2 and not any(part in name for part in embeddings), orthogonal=arguments.optimizer == "orthogonal"
        ),
        group(lambda name, p: any(part in name for part in embeddings), orthogonal=False),
        group(lambda name, p: p.dim() == 1, orthogonal=False, weight_decay=0.0),
    ]
    return OrthogonalAdamW(groups, lr=arguments.learning_rate, betas=(0.9, 0.95), weight_decay=0.1)


def _training_arguments(arguments: argparse.Namespace, checkpoints: Path) -> TrainingArguments:
    device = models.choose_device(arguments.device)
    return TrainingArguments(
        output_dir=str(checkpoints), max_steps=arguments.steps, logging_steps=20, save_strategy="no", save_total_limit=1,
        report_to="none", seed=arguments.seed, use_cpu=device == "cpu", bf16=device == "cuda", torch_compile=device == "cuda",
        disable_tqdm=True, dataloader_pin_memory=device == "cuda",
    )  # fmt: skip


if __name__ == "__main__":
    main()
