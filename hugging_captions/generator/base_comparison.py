"""The base model beside the tuned one: how likely it finds the same captions, and what it writes itself.

Reads the name of the base model from the checkpoint's run.json; it must be at hand (``scratch`` is not).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from .. import console, models
from ..errors import HuggingCaptionsError
from ..options import GenerateOptions
from ..storage import Store, read_json
from .candidates import Caption, decode, prompt_ids
from .decoder import Decoder, Row

log = logging.getLogger(__name__)


def load_base_of(corpus: str, store: Store, purpose: str) -> models.LoadedModel | None:
    """Return the base model that the checkpoint of ``corpus`` was tuned from, or None, with a warning that ``purpose`` is left out."""
    try:
        name = read_json(store.model(corpus) / "run.json")["options"]["base_model"]
        if name != "scratch":
            return models.load_base(name, (), seed=0)
        why = "it was trained from scratch"
    except HuggingCaptionsError as error:
        why = str(error)
    except (KeyError, TypeError):
        why = "its run.json does not say what it was tuned from"
    log.warning("%s is left out, for there is no base model: %s", purpose, why)
    return None


@torch.inference_mode()
def log_likelihood(base: models.LoadedModel, caption: Caption) -> float:
    """Return the log-probability (nats) of ``caption`` after its prompt, its end included, under ``base``."""
    tokenizer = base.tokenizer
    start = 1 + len(tokenizer(caption.prompt, add_special_tokens=False)["input_ids"])
    ids = [tokenizer.eos_token_id, *tokenizer(caption.text, add_special_tokens=False)["input_ids"]]
    ids = (ids + [tokenizer.eos_token_id] * caption.ended)[: base.max_positions]
    tensor = torch.tensor([ids], device=base.model.device)
    logprobs = torch.log_softmax(base.model(input_ids=tensor, use_cache=False).logits[0, :-1].float(), dim=-1)
    return float(logprobs.gather(1, tensor[0, 1:, None])[start - 1 :].sum())


def comparison(base: models.LoadedModel, captions: Sequence[Caption], options: GenerateOptions) -> str:
    """Return a text for people: each caption, and below it what ``base`` writes from the same prompt and random numbers."""
    if not captions:
        return ""
    prompts = list(dict.fromkeys(caption.prompt for caption in captions))
    limit = min(options.max_length + 1, base.max_positions)
    ids = [prompt_ids(base, prompt, limit) for prompt in prompts]
    todo = [Row(prompts.index(caption.prompt), caption.row) for caption in captions]
    decoder = Decoder(base.model, base.tokenizer.eos_token_id, ids, prompts, options, captions[0].seed, limit, options.decode_rows)

    def take(free: int) -> list[Row]:
        rows, todo[:] = todo[:free], todo[free:]
        return rows

    written = {(row.prompt, row.number): row for rows in decoder.run(take) for row in rows}
    parts = []
    for number, caption in enumerate(captions, start=1):
        prompt = prompts.index(caption.prompt)
        row = written[prompt, caption.row]
        own = decode(base.tokenizer, [*ids[prompt][1:], *(row.ids[:-1] if row.ended else row.ids)])
        parts.append(f"{number}. tuned\n{_indented(caption.text)}\n\n{number}. base\n{_indented(own)}{'' if row.ended else ' …'}\n")
    return "\n".join(parts)


def _indented(text: str) -> str:
    return "\n".join("    " + console.printable(line) for line in text.split("\n"))
