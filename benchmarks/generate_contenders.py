"""The speed part of benchmarks/generate.py: ways to sample captions from the same model with the same settings."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, GenerationConfig, GPT2Config, GPT2LMHeadModel

from hugging_captions import models
from hugging_captions.generator.candidates import Candidates
from hugging_captions.generator.novelty import Reference
from hugging_captions.options import GenerateOptions
from hugging_captions.storage import Store

log = logging.getLogger("hugging_captions.benchmarks")

OPTIONS = GenerateOptions(max_length=60, min_length=0, top_k=50, top_p=0.95, keep_all=True)
PROMPTS = ["My day", "The view from up here", "Coffee", "Nothing beats the first snow of the year"]
#: Likelihood of the end token among the survivors: half of the texts end within 17 tokens, 90 % within 58.
HAZARD = 0.04
#: Most rows in one call of generate.
CALL_ROWS = 256


class Contest:
    """The model and the contenders."""

    def __init__(self, layers: int, device: str | None, tokenizer_folder: Path, root: Path | None = None, tag: str = "") -> None:
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        if root is not None:
            loaded: Any = models.load_checkpoint(tag, Store(root))
            self.tokenizer, self.eos, self.start, self.model = loaded.tokenizer, loaded.end, loaded.start, loaded.model.eval()
        else:
            self.tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
            if self.tokenizer.eos_token_id is None:
                self.tokenizer.eos_token = models.END_OF_TEXT
            self.eos = self.start = self.tokenizer.eos_token_id
            self.model = build_model(layers, len(self.tokenizer), self.eos)
        self.model.to(self.device)
        if self.device == "cuda":
            self.model.to(torch.bfloat16)
        self.contenders: dict[str, Callable[[int, int], tuple[int, int]]] = {
            "ours": self._ours,
            "generate": self._generate,
            "generate, padded prompts": self._padded,
            "generate_batch": self._continuous,
        }

    def describe(self) -> str:
        """Return one line about the model and the machine."""
        millions = sum(p.numel() for p in self.model.parameters()) / 1e6
        where = f"{torch.get_num_threads()} threads" if self.device == "cpu" else torch.cuda.get_device_name()
        shape = f"{self.model.config.model_type}, {millions:.0f} M parameters, {self.model.dtype}"
        return f"{shape}, {self.device}, {where}; at most 60 tokens"

    def run(self, name: str, size: int, seed: int) -> dict[str, float] | None:
        """Return seconds, captions that ended, their tokens and peak memory of one round; log a line and return None if it fails."""
        torch.manual_seed(seed)
        before = torch.cuda.memory_allocated() if self.device == "cuda" else 0
        try:
            with PeakMemory() as memory:
                if self.device == "cuda":
                    torch.cuda.reset_peak_memory_stats()
                start = time.perf_counter()
                ended, tokens = self.contenders[name](size, seed)
                seconds = time.perf_counter() - start
        except Exception as error:  # the others must still run
            log.warning("%s: %s: %s", name, type(error).__name__, str(error).split("\n")[0])
            return None
        peak = (torch.cuda.max_memory_allocated() - before) / 1e9 if self.device == "cuda" else memory.gigabytes
        log.info("%s, %d captions: %.1f s", name, size, seconds)
        return {"seconds": seconds, "ended": ended, "tokens": tokens, "memory": peak}

    def _ours(self, size: int, seed: int) -> tuple[int, int]:
        loaded = models.LoadedModel(self.model, self.tokenizer, self.start)
        captions = Candidates(loaded, PROMPTS[:1], replace(OPTIONS, num_captions=size), seed, Reference(None)).collect()
        return sum(caption.ended for caption in captions), sum(caption.sampled for caption in captions)

    def _settings(self, **more: Any) -> GenerationConfig:
        ids = {"eos_token_id": self.eos, "pad_token_id": self.eos, "bos_token_id": self.eos}
        return GenerationConfig(do_sample=True, temperature=OPTIONS.temperature, top_k=50, top_p=0.95, **({"max_length": 61} | ids | more))

    def _generate(self, size: int, seed: int) -> tuple[int, int]:
        ids = torch.tensor([[self.start, *self.tokenizer(PROMPTS[0])["input_ids"]]], device=self.device)
        rows: list[list[int]] = []
        for start in range(0, size, CALL_ROWS):
            settings = self._settings(num_return_sequences=min(CALL_ROWS, size - start))
            output = self.model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings)
            rows += output[:, ids.shape[1] :].tolist()
        return self._count(rows)

    def _padded(self, size: int, seed: int) -> tuple[int, int]:
        prompts = [[self.start, *self.tokenizer(prompt)["input_ids"]] for prompt in PROMPTS]
        longest = max(map(len, prompts))
        rows: list[list[int]] = []
        for start in range(0, size, CALL_ROWS):
            batch = [prompts[i % len(prompts)] for i in range(start, min(start + CALL_ROWS, size))]
            ids = torch.tensor([[self.eos] * (longest - len(p)) + p for p in batch], device=self.device)
            mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in batch], device=self.device)
            output = self.model.generate(ids, attention_mask=mask, generation_config=self._settings())
            rows += output[:, longest:].tolist()
        return self._count(rows)

    def _continuous(self, size: int, seed: int) -> tuple[int, int]:
        prompt = [self.start, *self.tokenizer(PROMPTS[0])["input_ids"]]
        settings = self._settings(max_length=None, max_new_tokens=61 - len(prompt))
        outputs = self.model.generate_batch(inputs=[prompt] * size, generation_config=settings, progress_bar=False)
        rows = [list(output.generated_tokens) for output in outputs.values()]
        if len(rows) < size:
            raise RuntimeError(f"generate_batch answered {len(rows)} of {size} requests")
        return self._count(rows)

    def _count(self, rows: list[list[int]]) -> tuple[int, int]:
        """Return how many rows ended by themselves and how many tokens they have, with the end token; texts are decoded too."""
        cut = [row[: row.index(self.eos) + 1] if self.eos in row else row for row in rows]
        for row in cut:
            self.tokenizer.decode(row, clean_up_tokenization_spaces=False)
        return sum(row[-1] == self.eos for row in cut), sum(map(len, cut))


class PeakMemory:
    """The peak memory of the process inside the block, minus that before it, in ``gigabytes``; 0 outside Linux."""

    def __enter__(self) -> PeakMemory:
        self._before, self._peak, self._over = _resident(), 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.gigabytes = max(0, self._peak - self._before) / 1e9

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self._peak = max(self._peak, _resident())


def _resident() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    except OSError:
        return 0


def build_model(layers: int, vocabulary: int, eos: int) -> GPT2LMHeadModel:
    """Return a random GPT-2 whose end token has likelihood ``HAZARD`` among 50 survivors, by a bias of its output layer."""
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(n_layer=layers, vocab_size=vocabulary, bos_token_id=eos, eos_token_id=eos)).eval()
    head = torch.nn.Linear(model.config.n_embd, vocabulary)
    with torch.no_grad():
        head.weight.copy_(model.transformer.wte.weight)
        head.bias.zero_()
        model.lm_head = head
        logits = model(input_ids=torch.randint(0, vocabulary, (8, 20))).logits.flatten(0, 1)
        logits[:, eos] = -torch.inf
        rest = logits.topk(49).values.logsumexp(-1).mean()
        head.weight[eos] = 0
        head.bias[eos] = rest + torch.tensor(HAZARD / (1 - HAZARD)).log()
    return model
