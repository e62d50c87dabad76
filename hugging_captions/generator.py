"""Write captions with a checkpoint: our own decode loop.

Reads trained_models/<corpus>/; writes text/generated_text/<corpus>_gen.txt, .jsonl and .json.
The prompt is read once, tokens are sampled among the top-k / top-p survivors only, and a row
leaves the batch when its caption has ended.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import console, models
from .errors import UsageError
from .options import GenerateOptions, HardwareOptions, as_json
from .storage import Store, atomic_write, corpus_name, keep_previous, refuse_loss, sha256, write_captions, write_json

log = logging.getLogger(__name__)

#: Rows that are decoded together.
BATCH_ROWS = 64


@dataclass(frozen=True)
class Caption:
    """One generated caption: prompt included, end sign not.

    ``row`` seeded it, ``ended`` says whether the model ended it or --max-length did,
    ``mean_logprob`` is the mean log-probability (nats) of its sampled tokens under the model.
    """

    text: str
    prompt: str
    seed: int
    row: int
    tokens: int
    ended: bool
    mean_logprob: float


@dataclass(frozen=True)
class GenerateResult:
    """The captions written, best first, and where they are."""

    path: Path
    captions: tuple[Caption, ...]

    def summary(self) -> str:
        """Return the first ten captions and where all of them are, for stdout."""
        lines = [f"{number:3}. {console.shorten(caption.text, 200)}" for number, caption in enumerate(self.captions[:10], start=1)]
        ended = sum(caption.ended for caption in self.captions)
        return "\n".join([*lines, f"{len(self.captions)} captions ({ended} ended by themselves) -> {self.path}"])


def generate(tags: Sequence[str], options: GenerateOptions, hardware: HardwareOptions, store: Store) -> GenerateResult:
    """Write ``options.num_captions`` captions in the voice of ``tags``.

    The same options, seed and machine give the same bytes; row i is sampled from its own random
    numbers, so the batch size plays no part.

    Raises:
        InputError: there is no usable checkpoint.
        UsageError: the prompt leaves no room under --max-length, or a .previous would be lost.
    """
    corpus = corpus_name(tags)
    paths = [store.generated(corpus, suffix) for suffix in (".txt", ".jsonl", ".json")]
    refuse_loss(paths, hardware.overwrite)
    checkpoint = models.load_checkpoint(corpus, store)
    device = models.choose_device(hardware.device)
    checkpoint.model.to(device).eval()
    captions: list[Caption] = []
    for start in range(0, options.num_captions, BATCH_ROWS):
        rows = range(start, min(start + BATCH_ROWS, options.num_captions))
        captions += sample_rows(checkpoint, options, rows, hardware.seed)
    keep_previous(paths, hardware.overwrite)
    write_captions(paths[0], [caption.text for caption in captions])
    with atomic_write(paths[1]) as handle:
        handle.writelines(json.dumps(vars(caption), ensure_ascii=False) + "\n" for caption in captions)
    model_sha256 = sha256(store.model(corpus) / "model.safetensors")
    write_json(paths[2], {"tags": list(tags), "options": as_json(options), "seed": hardware.seed, "model_sha256": model_sha256})
    return GenerateResult(paths[0], tuple(captions))


def sample_rows(checkpoint: models.LoadedModel, options: GenerateOptions, rows: Sequence[int], seed: int) -> list[Caption]:
    """Return one caption for each of ``rows``, decoded in one batch."""
    tokenizer = checkpoint.tokenizer
    prompt = [tokenizer.eos_token_id, *tokenizer(options.prompt, add_special_tokens=False)["input_ids"]]
    limit = min(options.max_length + 1, checkpoint.max_positions)  # one more for the start signal
    if len(prompt) >= limit:
        raise UsageError(f"the prompt has {len(prompt) - 1} tokens and --max-length allows {limit - 1}", "shorten it or raise --max-length")
    draws = {row: np.random.Generator(np.random.Philox(key=[seed, row])).random(limit) for row in rows}
    ids, logprobs = _decode(checkpoint, options, prompt, limit, [draws[row] for row in rows])
    captions = []
    for row, row_ids, row_logprobs in zip(rows, ids, logprobs):
        ended = row_ids[-1:] == [tokenizer.eos_token_id]
        text = options.prompt + _continuation(tokenizer, prompt, row_ids[:-1] if ended else row_ids)
        captions.append(
            Caption(text, options.prompt, seed, row, len(prompt) - 1 + len(row_ids) - ended, ended, float(np.mean(row_logprobs)))
        )
    return captions


def _continuation(tokenizer: Any, prompt: Sequence[int], ids: Sequence[int]) -> str:
    """Return the text of ``ids`` as it follows the prompt: with its leading space."""
    head = tokenizer.decode(prompt[1:], clean_up_tokenization_spaces=False)
    return tokenizer.decode([*prompt[1:], *ids], clean_up_tokenization_spaces=False)[len(head) :]


@torch.inference_mode()
def _decode(
    checkpoint: models.LoadedModel, options: GenerateOptions, prompt: Sequence[int], limit: int, draws: Sequence[np.ndarray]
) -> tuple[list[list[int]], list[list[float]]]:
    """Sample each row until its eos or ``limit`` positions; return ids (with the eos) and their log-probabilities."""
    model, eos = checkpoint.model, checkpoint.tokenizer.eos_token_id
    ids: list[list[int]] = [[] for _ in draws]
    logprobs: list[list[float]] = [[] for _ in draws]
    alive = list(range(len(draws)))
    output = model(input_ids=torch.tensor([list(prompt)], device=model.device), use_cache=True)
    cache, logits = output.past_key_values, output.logits[:, -1].expand(len(draws), -1)
    cache.batch_repeat_interleave(len(draws))
    for position in range(len(prompt), limit):
        logits = logits.float()
        if position - 1 < options.min_length:
            logits = logits.index_fill(1, torch.tensor([eos], device=logits.device), -torch.inf)
        uniform = torch.tensor([draws[row][position] for row in alive], device=logits.device)
        chosen, logprob = sample(logits, uniform, options)
        for row, token, value in zip(alive, chosen.tolist(), logprob.tolist()):
            ids[row].append(token)
            logprobs[row].append(value)
        going = [i for i, row in enumerate(alive) if ids[row][-1] != eos]
        if not going or position + 1 == limit:
            break
        if len(going) < len(alive):
            keep = torch.tensor(going, device=logits.device)
            cache.batch_select_indices(keep)
            chosen, alive = chosen[keep], [alive[i] for i in going]
        output = model(input_ids=chosen[:, None], past_key_values=cache, use_cache=True)
        logits = output.logits[:, -1]
    return ids, logprobs


def sample(logits: torch.Tensor, uniform: torch.Tensor, options: GenerateOptions) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw one token per row among the top-k, then top-p survivors (Holtzman et al. 2020) by inverse CDF.

    Args:
        logits: float32 ``[rows, vocabulary]``.
        uniform: ``[rows]`` numbers in [0, 1), one for each row.

    Returns:
        token ids and their log-probabilities under the untempered model, both ``[rows]``.
    """
    width = min(options.top_k or logits.shape[-1], logits.shape[-1])
    top, tokens = logits.topk(width, dim=-1)
    probabilities = torch.softmax(top.double() / options.temperature, dim=-1)
    before = probabilities.cumsum(-1) - probabilities
    probabilities = probabilities.masked_fill(before >= options.top_p, 0.0)  # the first survivor always stays
    sums = probabilities.cumsum(-1)
    index = (sums <= uniform.double()[:, None] * sums[:, -1:]).sum(-1).clamp(max=width - 1)
    chosen = tokens.gather(1, index[:, None])[:, 0]
    logprob = torch.log_softmax(logits, dim=-1).gather(1, chosen[:, None])[:, 0]
    return chosen, logprob
