"""Collect the requested number of good captions: choose rows to try, keep or reject each caption with a reason, decide when to stop.

Rows are evaluated in the order of their prompts and numbers, not in the order in which they finish, so the result doesn't
depend on how many are decoded at a time.
"""

from __future__ import annotations

import logging
import math
import re
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from .. import console
from ..errors import UsageError
from ..models import LoadedModel, Tokenizer
from ..options import GenerateOptions
from ..text import EMOJI
from .decoder import Decoder, Prompt, Row, most_positions
from .novelty import Reference
from .selection import REASONS, Caption, biggest_reasons, fewest_attempts, identity, rejections

log = logging.getLogger(__name__)

#: A prompt is given up after this many attempts that all failed for the same reason.
FAILING = 100
#: Attempts per wanted caption before a prompt is given up, or --attempts-per-caption if that is more.
MOST_ATTEMPTS = 20
#: The expected share of kept attempts before any is evaluated.
FIRST_RATE = 0.8

#: The end of a sentence, with closing marks and emoji after it; not an abbreviation or initial.
_ENDS_SENTENCE = re.compile(rf"(?<!\b[A-Z])(?<!\b[ap]\.m)(?<!\b(?:Mt|St|Dr|Mr|Ms))[.!?…]+[\"'”’)]*(?:\s*[{EMOJI}\u200d]+)*\Z")


@dataclass
class _Quota:
    """The attempts for one prompt: captions wanted, fewest and most attempts, started rows that aren't evaluated yet, results."""

    prompt: Prompt
    wanted: int
    least: int
    allowed: int
    rows: deque[Row] = field(default_factory=deque)
    reasons: Counter[str | None] = field(default_factory=Counter)

    @property
    def evaluated(self) -> int:
        return self.reasons.total()

    @property
    def is_failing(self) -> bool:
        return self.evaluated >= FAILING and len(self.reasons) == 1 and None not in self.reasons

    @property
    def is_over(self) -> bool:
        has_enough = self.evaluated >= self.least and self.reasons[None] >= self.wanted
        return has_enough or self.evaluated >= self.allowed or self.is_failing

    def start(self, index: int, rate: float, most: int) -> list[Row]:
        """Return at most ``most`` new rows of prompt ``index``, so that enough are active if this rate of them is kept."""
        if self.is_over:
            return []
        enough = max(self.least, self.evaluated + math.ceil((self.wanted - self.reasons[None]) / rate))
        started = self.evaluated + len(self.rows)
        new = [Row(index, number) for number in range(started, min(enough, self.allowed, started + most))]
        self.rows += new
        return new


class Candidates:
    """The attempts of one run. ``attempts`` holds every caption that was evaluated, by prompt, then row."""

    def __init__(
        self,
        loaded: LoadedModel,
        prompts: Sequence[str],
        options: GenerateOptions,
        seed: int,
        reference: Reference,
        kept: Iterable[str] = (),
    ) -> None:
        """Prepare to continue each of ``prompts``; a caption with the identity of one in ``kept`` is a duplicate.

        Raises:
            UsageError: no attempt can succeed: a prompt is too long, can't be encoded or is a copy; or --min-length is too high.
        """
        self.attempts: list[Caption] = []
        self._loaded, self._options, self._seed, self._reference = loaded, options, seed, reference
        encoded = [encode_prompt(loaded, prompt, options) for prompt in prompts]
        if not options.keep_all:
            _refuse_copied(prompts, options, reference)
        self.decoder = Decoder(loaded, encoded, options, seed)
        least = fewest_attempts(options)
        allowed = options.num_captions if options.keep_all else max(options.num_captions * MOST_ATTEMPTS, least)
        self._quotas = [_Quota(prompt, options.num_captions, least, 1 if options.top_k == 1 else allowed) for prompt in encoded]
        self._kept = set(map(identity, kept))
        self._current = 0

    def collect(self, label: str = "generating") -> list[Caption]:
        """Try rows until each prompt has its attempts and captions or is given up; return the kept ones by prompt, then row.

        ``label`` names the progress bar.
        """
        total = sum(min(quota.least, quota.allowed) for quota in self._quotas)
        with console.progress(total=total, unit="attempt", label=label) as bar:
            for _ in self.decoder.run(self._next_rows):
                self._evaluate()
                bar.total = max(total, len(self.attempts))
                bar.update(len(self.attempts) - bar.n)
        return [caption for caption in self.attempts if caption.reason is None]

    def warn_of_missing(self, setting: str) -> None:
        """Warn if fewer captions are kept than requested; ``setting`` names the options if there are several."""
        of, attempts = f"{setting}: " if setting else "", console.count(len(self.attempts), "attempt")
        for quota in self._quotas:
            if quota.is_failing:
                prompt, reason = console.shorten(repr(quota.prompt.text), 50), REASONS[str(next(iter(quota.reasons)))]
                log.warning("%sgave up on the prompt %s: each of its attempts %s", of, prompt, reason)
        if fixed := [quota.prompt.text for quota in self._quotas if quota.allowed < quota.wanted]:
            settings = "these settings (--top-k, --top-p, --temperature) leave no choice of tokens"
            log.warning("%s%s: one caption for each of %s", of, settings, fixed)
        wanted = sum(min(quota.wanted, quota.allowed) for quota in self._quotas)
        kept = sum(caption.reason is None for caption in self.attempts)
        if kept < wanted and (kept or setting):
            captions = console.count(kept, "caption")
            rejected = [caption for caption in self.attempts if caption.reason != "outranked"]
            log.warning("%s%s instead of %d after %s: %s", of, captions, wanted, attempts, biggest_reasons(rejected))

    def _next_rows(self, free: int) -> list[Row]:
        evaluated = sum(quota.evaluated for quota in self._quotas)
        kept = sum(quota.reasons[None] for quota in self._quotas)
        # FIRST_RATE counts as much as ten attempts
        rate = 1.0 if self._options.keep_all else max(0.05, (kept + 10 * FIRST_RATE) / (evaluated + 10))
        rows: list[Row] = []
        for index, quota in enumerate(self._quotas[self._current :], start=self._current):
            rows += quota.start(index, rate, free - len(rows))
            if len(rows) == free:
                break
        return rows

    def _evaluate(self) -> None:
        """Evaluate finished rows as far as their order allows; cancel the active rows of prompts that need no more."""
        while self._current < len(self._quotas):
            quota = self._quotas[self._current]
            for caption in self._captions(quota):
                if not quota.is_over:
                    self._settle(quota, caption)
            if not quota.is_over:
                return
            for row in quota.rows:
                row.cancelled = True
            self._current += 1

    def _settle(self, quota: _Quota, caption: Caption) -> None:
        """Keep or reject the ``caption`` of the first row of ``quota``."""
        row = quota.rows.popleft()
        if not self._options.keep_all:
            caption.reason = next(rejections(caption, self._options, self._kept), None)
        if caption.reason is None:
            self._kept.add(identity(caption.text))
        self.attempts.append(caption)
        quota.reasons[caption.reason] += 1
        if not row.had_choice:
            quota.allowed = 1  # every other attempt would be the same

    def _captions(self, quota: _Quota) -> list[Caption]:
        """Return the captions of the next finished rows; copies are searched only in those that aren't rejected already."""
        captions = [self._caption(row, quota.prompt) for row in takewhile(lambda row: row.finished, quota.rows)]
        whole = [caption for caption in captions if self._options.keep_all or caption.ended or caption.shortened]
        searched = [caption for caption in whole if self._options.keep_all or not caption.is_empty]
        for caption, copied in zip(searched, self._reference.search([caption.text for caption in searched])):
            caption.copied = copied
        return captions

    def _caption(self, row: Row, prompt: Prompt) -> Caption:
        tokenizer, ids = self._loaded.tokenizer, list(prompt.ids[1:])
        sampled = len(row.ids) if row.ended or self._options.keep_all else self._last_sentence(ids, row.ids)
        shortened = sampled > 0 and not row.ended and not self._options.keep_all
        sampled = sampled or len(row.ids)
        whole = decode(tokenizer, ids + row.ids[: sampled - row.ended])
        # decoded after the prompt, so that the leading space stays
        text = prompt.text + whole[len(decode(tokenizer, ids)) :]
        mean = round(sum(row.logprobs[:sampled]) / sampled, 5)
        tokens = len(ids) + sampled - row.ended
        return Caption(text, prompt.text, self._seed, row.number, tokens, sampled, row.ended, mean, shortened)

    def _last_sentence(self, prompt: list[int], sampled: list[int]) -> int:
        """Return how many ``sampled`` tokens end with the last whole sentence, 0 if that is shorter than --min-length."""
        whole = decode(self._loaded.tokenizer, prompt + sampled)
        for count in range(len(sampled), max(self._options.min_length - len(prompt), 1) - 1, -1):
            text = decode(self._loaded.tokenizer, prompt + sampled[:count])
            following = whole[len(text) : len(text) + 1]
            if _ENDS_SENTENCE.search(text) and (following.isspace() or not following):
                return count
        return 0


def encode_prompt(loaded: LoadedModel, prompt: str, options: GenerateOptions) -> Prompt:
    """Return the start token and the token ids of ``prompt``.

    Raises:
        UsageError: the prompt or --min-length leaves no room for a caption, or the tokenizer can't encode the prompt.
    """
    tokenizer, limit = loaded.tokenizer, most_positions(loaded, options)
    longest = limit - 2  # without start and end signal
    if not options.keep_all and options.min_length > longest:
        problem = f"--min-length {options.min_length} is too high: this model can write captions of at most {longest} tokens"
        raise UsageError(problem, f"lower it to {longest} or less")
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    named = console.shorten(repr(prompt), 50)
    if len(ids) + 1 + (1 if options.keep_all else 2) > limit:  # start signal, a token, end signal
        bound = f"--max-length {options.max_length} leaves" if limit > options.max_length else f"the model's {limit} positions leave"
        tokens = console.count(len(ids), "token")
        advice = "shorten it or raise --max-length" if limit > options.max_length else "shorten it"
        raise UsageError(f"the prompt {named} has {tokens}: {bound} no room for a caption", advice)
    if set(ids) & set(tokenizer.all_special_ids) or decode(tokenizer, ids).strip() != prompt.strip():
        raise UsageError(f"the tokenizer of this model can't encode the prompt {named}", "change the prompt")
    return Prompt(prompt, (loaded.start, *ids))


def _refuse_copied(prompts: Sequence[str], options: GenerateOptions, reference: Reference) -> None:
    """Raise a ``UsageError`` for a prompt that is a longer copy than --max-copied-span allows."""
    for prompt, copied in zip(prompts, reference.search(prompts)):
        if copied is not None and copied.span > options.max_copied_span:
            raise UsageError(
                f"the prompt {console.shorten(repr(prompt), 50)} has {copied.span} words in a row from a training caption, "
                f"more than --max-copied-span {options.max_copied_span}",
                f"shorten it, or add --max-copied-span with more than {copied.span}",
            )


def decode(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """Return the text of ``ids`` as it was written, spaces before punctuation included."""
    return tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)
