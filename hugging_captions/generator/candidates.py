"""As many good captions as were asked for: which rows to try, in which order they are judged, when to stop.

Rows are judged in the order of their numbers and prompts, never in the order in which they end, so what
is kept doesn't depend on how many are decoded at a time.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .. import console
from ..errors import UsageError
from ..models import LoadedModel
from ..options import GenerateOptions
from .copies import Copied
from .decoder import Decoder, Row
from .novelty import Reference
from .selection import Candidate, Selection

#: A prompt of which so many attempts failed for one and the same reason is given up.
HOPELESS = 100
#: The share of attempts that is taken to be kept before any was judged.
FIRST_RATE = 0.8


@dataclass(frozen=True)
class Caption:
    """One generated caption: prompt included, end sign not.

    ``row`` and ``seed`` gave its random numbers; ``tokens`` counts the prompt's too; ``ended`` says whether the model
    ended it or --max-length did; ``mean_logprob`` is the mean log-probability (nats) of its sampled tokens under the
    model; ``reason`` is None where it is kept.
    """

    text: str
    prompt: str
    seed: int
    row: int
    tokens: int
    sampled: int
    ended: bool
    mean_logprob: float
    copied: Copied | None
    reason: str | None = None


@dataclass
class _Quota:
    """Where the attempts for one prompt stand."""

    wanted: int
    most: int
    begun: int = 0
    waiting: dict[int, Caption] = field(default_factory=dict)
    reasons: Counter[str | None] = field(default_factory=Counter)
    under_way: list[Row] = field(default_factory=list)

    @property
    def judged(self) -> int:
        return self.reasons.total()

    @property
    def is_hopeless(self) -> bool:
        return self.judged >= HOPELESS and len(self.reasons) == 1 and None not in self.reasons

    @property
    def is_over(self) -> bool:
        return self.reasons[None] >= self.wanted or self.judged >= self.most or self.is_hopeless

    def to_begin(self, rate: float) -> int:
        """Return how many rows to begin so that, at this rate of kept ones, enough are under way."""
        if self.is_over:
            return 0
        enough = self.judged + math.ceil((self.wanted - self.reasons[None]) / rate)
        return max(0, min(enough, self.most) - self.begun)


class Candidates:
    """The attempts of one run."""

    def __init__(self, loaded: LoadedModel, prompts: Sequence[str], options: GenerateOptions, seed: int, reference: Reference) -> None:
        """Prepare to continue each of ``prompts``.

        Raises:
            UsageError: a prompt leaves no room under --max-length, or holds the sign that ends a caption.
        """
        self.attempts: list[Caption] = []
        self._loaded, self._prompts, self._options, self._seed, self._reference = loaded, prompts, options, seed, reference
        eos = loaded.tokenizer.eos_token_id
        self._limit = min(options.max_length + 1, loaded.max_positions)  # one more for the start signal
        ids = [prompt_ids(loaded, prompt, self._limit) for prompt in prompts]
        self.decoder = Decoder(loaded.model, eos, ids, prompts, options, seed, self._limit, options.decode_rows)
        self._ids = ids
        most = options.num_captions if options.keep_all else math.ceil(options.num_captions * options.max_attempts)
        self._quotas = [_Quota(options.num_captions, most) for _ in prompts]
        self._selection = Selection(options, reference)
        self._current = 0

    def collect(self, label: str = "generating") -> list[Caption]:
        """Try rows until each prompt has its captions or is given up; return the kept ones by prompt, then row.

        ``label`` names the progress bar.

        ``attempts`` then holds every caption that was judged, in the same order.
        """
        total = self._options.num_captions * len(self._prompts)
        with console.progress(total=total, unit="caption", label=label) as bar:
            for rows in self.decoder.run(self._take):
                self._judge(rows)
                bar.update(sum(quota.reasons[None] for quota in self._quotas) - bar.n)
        return [caption for caption in self.attempts if caption.reason is None]

    def given_up(self) -> list[tuple[str, str]]:
        """Return the prompts that failed for one reason alone, each with that reason."""
        return [(prompt, str(next(iter(quota.reasons)))) for prompt, quota in zip(self._prompts, self._quotas) if quota.is_hopeless]

    def _take(self, free: int) -> list[Row]:
        judged = sum(quota.judged for quota in self._quotas)
        kept = sum(quota.reasons[None] for quota in self._quotas)
        # FIRST_RATE counts as much as ten attempts
        rate = 1.0 if self._options.keep_all else max(0.05, (kept + 10 * FIRST_RATE) / (judged + 10))
        rows: list[Row] = []
        for prompt, quota in enumerate(self._quotas[self._current :], start=self._current):
            count = min(free - len(rows), quota.to_begin(rate))
            new = [Row(prompt, quota.begun + i) for i in range(count)]
            quota.begun += count
            quota.under_way += new
            rows += new
            if len(rows) == free:
                break
        return rows

    def _judge(self, rows: Sequence[Row]) -> None:
        """Take in the rows that ended and judge as far as the order allows."""
        captions = [self._caption(row) for row in rows]
        for row, (text, ended), copied in zip(rows, captions, self._reference.search([text for text, _ in captions])):
            prompt = self._prompts[row.prompt]
            mean = sum(row.logprobs) / len(row.logprobs)
            tokens = len(self._ids[row.prompt]) - 1 + len(row.ids) - ended
            self._quotas[row.prompt].waiting[row.number] = Caption(
                text, prompt, self._seed, row.number, tokens, len(row.ids), ended, round(mean, 5), copied
            )
        while self._current < len(self._quotas):
            quota = self._quotas[self._current]
            while not quota.is_over and quota.judged in quota.waiting:
                self._settle(quota, quota.waiting.pop(quota.judged))
            if not quota.is_over:
                return
            for row in quota.under_way:
                row.dropped = True
            quota.waiting.clear()
            self._current += 1

    def _settle(self, quota: _Quota, caption: Caption) -> None:
        reason = self._selection.reason(Candidate(caption.text, caption.prompt, caption.ended, caption.copied))
        quota.reasons[reason] += 1
        self.attempts.append(replace(caption, reason=reason))

    def _caption(self, row: Row) -> tuple[str, bool]:
        """Return the text of a row, with the leading space that the continuation has after its prompt, and whether it ended."""
        tokenizer, prompt = self._loaded.tokenizer, self._ids[row.prompt][1:]
        head = decode(tokenizer, prompt)
        whole = decode(tokenizer, [*prompt, *(row.ids[:-1] if row.ended else row.ids)])
        return self._prompts[row.prompt] + whole[len(head) :], row.ended


def prompt_ids(loaded: LoadedModel, prompt: str, limit: int) -> list[int]:
    """Return the start signal and the token ids of ``prompt``.

    Raises:
        UsageError: it leaves no room for a caption of ``limit`` positions, or the tokenizer cannot write it.
    """
    tokenizer = loaded.tokenizer
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    named = console.shorten(repr(prompt), 50)
    if len(ids) + 1 >= limit:
        raise UsageError(
            f"the prompt {named} has {len(ids)} tokens and --max-length allows {limit - 1}", "shorten it or raise --max-length"
        )
    if set(ids) & set(tokenizer.all_special_ids) or decode(tokenizer, ids).strip() != prompt.strip():
        raise UsageError(f"the prompt {named} holds something that this model's tokenizer cannot write", "take it out of the prompt")
    return [tokenizer.eos_token_id, *ids]


def decode(tokenizer: Any, ids: Sequence[int]) -> str:
    """Return the text of ``ids`` as it was written, spaces before punctuation included."""
    return str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))
