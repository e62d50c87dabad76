"""Pretrain the built-in base model: a small GPT-2 with its own byte-level BPE, on plain text files.

    python base_model/pretrain.py --text captions.txt:1 informal.txt:0.8 --val captions.jsonl --minutes 95 --out base_model/weights

Reads UTF-8 files with one document a line; ``:WEIGHT`` is how often a file is passed over (0.1: a tenth of its documents,
2: all of them twice). Writes a plain Hugging Face folder in half precision, with history.jsonl and loss.png. The batches and
the training are the package's own. The learning rate follows the clock, so that a run fits the time there is.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from transformers import GPT2Config, GPT2LMHeadModel, PrinterCallback, ProgressCallback, TrainerCallback, TrainingArguments

from hugging_captions import console, dataset, model_card, models, trainer
from hugging_captions.errors import InputError

log = logging.getLogger("hugging_captions.pretrain")

#: The emoji that people post most (after the Unicode Consortium's published frequency ranking), with their joined
#: forms: the training text has almost none, and the tokenizer should keep each of them whole.
EMOJI = [
    "😂",
    "❤️",
    "🤣",
    "👍",
    "😭",
    "🙏",
    "😘",
    "🥰",
    "😍",
    "😊",
    "🎉",
    "😁",
    "💕",
    "🥺",
    "😅",
    "🔥",
    "☺️",
    "🤦",
    "♥️",
    "🤷",
    "🙄",
    "😆",
    "🤗",
    "😉",
    "🎂",
    "🤔",
    "👏",
    "🙂",
    "😳",
    "🥳",
    "😎",
    "👌",
    "💜",
    "😔",
    "💪",
    "✨",
    "💖",
    "👀",
    "😋",
    "😏",
    "😢",
    "👉",
    "💗",
    "😩",
    "💯",
    "🌹",
    "💞",
    "🎈",
    "💙",
    "😃",
    "😡",
    "💐",
    "😜",
    "🙈",
    "🤞",
    "😄",
    "🤤",
    "🙌",
    "🤪",
    "❣️",
    "😀",
    "💋",
    "💀",
    "👇",
    "💔",
    "😌",
    "💓",
    "🤩",
    "🙃",
    "😬",
    "😱",
    "😴",
    "🤭",
    "😐",
    "🌞",
    "😒",
    "😇",
    "🌸",
    "😈",
    "🎶",
    "✌️",
    "🎊",
    "🥵",
    "😞",
    "💚",
    "☀️",
    "🖤",
    "💰",
    "😚",
    "👑",
    "🎁",
    "💥",
    "🙋",
    "☹️",
    "😑",
    "🥴",
    "👈",
    "💩",
    "✅",
    "👋",
    "🤮",
    "😤",
    "🤢",
    "🌟",
    "❗",
    "😥",
    "🌈",
    "💛",
    "😝",
    "😫",
    "😲",
    "🖕",
    "‼️",
    "🔴",
    "🌻",
    "🤯",
    "💃",
    "👊",
    "🤬",
    "🏃",
    "😕",
    "👁️",
    "⚡",
    "☕",
    "🍀",
    "💦",
    "⭐",
    "🦋",
    "🤨",
    "🌺",
    "😹",
    "🤘",
    "🌷",
    "💝",
    "💤",
    "🤝",
    "🐰",
    "😓",
    "💘",
    "🍻",
    "😟",
    "😣",
    "🧐",
    "😠",
    "🤠",
    "😻",
    "🌙",
    "😛",
    "🙊",
    "🏔️",
    "⛰️",
    "🏕️",
    "🌲",
    "🌄",
    "🌅",
    "🥾",
    "📷",
    "📸",
    "❄️",
    "🍂",
    "🍁",
    "🌊",
    "🦌",
    "🐻",
    "🐶",
    "✈️",
    "🚗",
    "👍🏻",
    "👍🏼",
    "👍🏽",
    "🙏🏻",
    "🙏🏼",
    "🙏🏽",
    "👏🏻",
    "👏🏼",
    "💪🏻",
    "💪🏼",
    "💪🏽",
    "🙌🏻",
    "🙌🏼",
    "🤷\u200d♀️",
    "🤷\u200d♂️",
    "🤦\u200d♀️",
    "🤦\u200d♂️",
    "👨\u200d👩\u200d👧",
    "👨\u200d👩\u200d👧\u200d👦",
    "💁\u200d♀️",
    "🏃\u200d♀️",
    "🇺🇸",
    "🇩🇪",
    "🇬🇧",
    "🇫🇷",
    "🇪🇸",
    "🇮🇹",
]


def main(argv: Sequence[str] | None = None) -> None:
    """Make the tokenizer, train until the time is up, save."""
    arguments = build_parser().parse_args(argv)
    console.set_up_logging(verbose=True)
    models.quiet_transformers()
    documents = read_mix(arguments.text, arguments.seed)
    tokenizer = models.train_tokenizer([*documents, *_emoji_lines(arguments.seed)], arguments.vocabulary)
    model = build_model(arguments, tokenizer)
    encoded = dataset.encode_captions(documents, tokenizer, arguments.positions)
    val = read_captions_jsonl(arguments.val, arguments.val_captions)
    rows = dataset.encode_captions(val, tokenizer, arguments.positions).rows
    log.info("%d documents, %d tokens, %d cut", len(documents), sum(map(len, encoded.rows)), encoded.cut)
    watcher = ByTheClock(model, tokenizer, arguments, rows, dataset.byte_count(val))
    batches = dataset.TokenBatches([len(row) for row in encoded.rows], arguments.batch_tokens, arguments.seed)
    run = trainer.CaptionTrainer(
        model=model,
        args=_training_arguments(arguments),
        callbacks=[watcher],
        rows=encoded.rows,
        batches=batches,
        optimizers=watcher.optimizers,
    )
    for callback in (PrinterCallback, ProgressCallback):
        run.remove_callback(callback)
    run.train()
    watcher.save()


def build_parser() -> argparse.ArgumentParser:
    """Return the options; the defaults are those of the published weights."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("--text", nargs="+", required=True, metavar="FILE:WEIGHT", help="text files, one document a line")
    parser.add_argument("--val", type=Path, required=True, metavar="JSONL", help="captions to measure the held-out loss on")
    parser.add_argument("--val-captions", type=int, default=500, help="how many of them (default: 500)")
    parser.add_argument("--out", type=Path, default=Path("base_model/weights"), help="folder to write (default: base_model/weights)")
    parser.add_argument("--minutes", type=float, default=95, help="length of the run (default: 95)")
    parser.add_argument("--epochs", type=int, default=100, help="passes over the mix, at most (default: 100)")
    parser.add_argument("--vocabulary", type=int, default=8192, help="tokens (default: 8192)")
    parser.add_argument("--positions", type=int, default=256, help="context in tokens (default: 256)")
    parser.add_argument("--width", type=int, default=320, help="width of the model (default: 320)")
    parser.add_argument("--layers", type=int, default=6, help="layers (default: 6)")
    parser.add_argument("--batch-tokens", type=int, default=3072, help="tokens in a batch (default: 3072)")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="peak learning rate (default: 0.002)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    parser.add_argument("--seed", type=int, default=0, help="seed (default: 0)")
    return parser


def read_mix(specifications: Sequence[str], seed: int) -> list[str]:
    """Return the documents of all files, each file as often as its weight says, shuffled."""
    dice = random.Random(seed)
    mix: list[str] = []
    for specification in specifications:
        path, _, weight = specification.rpartition(":")
        try:
            lines = [line for line in Path(path).read_text(encoding="utf-8").split("\n") if line.strip()]
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}") from error
        whole, part = divmod(float(weight), 1)
        mix += lines * int(whole) + dice.sample(lines, round(part * len(lines)))
    dice.shuffle(mix)
    return mix


def read_captions_jsonl(path: Path, count: int) -> list[str]:
    """Return the first ``count`` captions of a JSONL file."""
    with open(path, encoding="utf-8") as lines:
        captions = (json.loads(line)["caption"] for line in lines)
        return [caption for caption, _ in zip((caption for caption in captions if caption), range(count))]


def build_model(arguments: argparse.Namespace, tokenizer: Any) -> GPT2LMHeadModel:
    """Return a GPT-2 of random weights, without dropout: no text is seen often enough to need it."""
    eos = tokenizer.eos_token_id
    torch.manual_seed(arguments.seed)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=arguments.positions, n_embd=arguments.width, n_layer=arguments.layers,
        n_head=arguments.width // 64, bos_token_id=eos, eos_token_id=eos, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    return GPT2LMHeadModel(config)


class ByTheClock(TrainerCallback):  # type: ignore[misc]
    """A learning rate that follows the clock, an evaluation and a saved model every few minutes, an end in time.

    The rate warms up over the first 2 % of the time, stays, and falls to zero over the last 30 %
    (Hägele et al. 2024, arXiv 2405.18392).
    """

    def __init__(self, model: Any, tokenizer: Any, arguments: argparse.Namespace, rows: Sequence[Sequence[int]], val_bytes: int) -> None:
        self._model, self._tokenizer, self._arguments, self._rows, self._bytes = model, tokenizer, arguments, rows, val_bytes
        self._start = self._last = time.monotonic()
        self.history: list[dict[str, Any]] = []
        decayed = [p for p in model.parameters() if p.dim() > 1]
        plain = [p for p in model.parameters() if p.dim() == 1]
        groups = [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=arguments.learning_rate, betas=(0.9, 0.98))
        self.optimizers = (optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self._rate()))

    def _elapsed(self) -> float:
        """Return the share of the run's time that is over."""
        return (time.monotonic() - self._start) / 60 / self._arguments.minutes

    def _rate(self) -> float:
        return max(0.0, min(1.0, (self._elapsed() + 1e-3) / 0.02, (1 - self._elapsed()) / 0.3))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            self._record(state, train_loss=logs["loss"], learning_rate=logs["learning_rate"])

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if time.monotonic() - self._last > 240 or self._elapsed() >= 1:
            self._last = time.monotonic()
            self._record(state, **trainer.evaluate(self._model, self._rows, self._arguments.batch_tokens, self._bytes))
            self.save()
        control.should_training_stop |= self._elapsed() >= 1

    def _record(self, state: Any, **figures: float) -> None:
        line = {
            "step": state.global_step,
            "epoch": round(state.epoch or 0, 4),
            "minutes": round(self._elapsed() * self._arguments.minutes, 2),
        }
        self.history.append(line | figures)
        log.info("%s", self.history[-1])

    def save(self) -> None:
        """Write the model as it is now, in float16."""
        folder = self._arguments.out
        self._model.config.use_cache = True
        weights = {key: value.detach().to("cpu", torch.float16) for key, value in self._model.state_dict().items()}
        weights.pop("lm_head.weight", None)  # tied to the embedding
        self._model.save_pretrained(folder, state_dict=weights)
        self._tokenizer.save_pretrained(folder)
        (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in self.history), encoding="utf-8")
        model_card.draw_loss(folder / "loss.png", self.history)


def _training_arguments(arguments: argparse.Namespace) -> TrainingArguments:
    device = models.choose_device(arguments.device)
    return TrainingArguments(
        output_dir=str(arguments.out / "checkpoints"), num_train_epochs=arguments.epochs, logging_steps=20, save_strategy="no",
        report_to="none", seed=arguments.seed, use_cpu=device == "cpu", bf16=device == "cuda", torch_compile=device == "cuda",
        disable_tqdm=True, dataloader_pin_memory=device == "cuda",
    )  # fmt: skip


def _emoji_lines(seed: int) -> list[str]:
    """Return lines that hold each emoji often enough for the tokenizer to keep it whole."""
    dice = random.Random(seed)
    return [" ".join(dice.sample(EMOJI, 3)) + " " + dice.choice(EMOJI) * 2 for _ in range(len(EMOJI) * 60)]


if __name__ == "__main__":
    main()
