"""Collect the requested number of good captions: choose rows to try, keep or reject each caption with a reason, decide when to stop.

Rows are evaluated in the order of their prompts and numbers, not in the order in which they finish, so the result doesn't
depend on how many are decoded at a time.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from .. import console, language
from ..errors import UsageError
from ..models import LoadedModel, Tokenizer
from ..options import GenerateOptions
from ..text import EMOJI, fold, holds_private_data
from . import selection
from .decoder import Decoder, Prompt, Row, most_positions
from .novelty import Copied, Reference

#: A prompt is given up after this many attempts that all failed for the same reason.
FAILING = 100
#: Attempts per wanted caption before a prompt is given up, or --attempts-per-caption if that is more.
MOST_ATTEMPTS = 20
#: The expected share of kept attempts before any is evaluated.
FIRST_RATE = 0.8

#: The reasons to reject a caption, in the order of the checks; the first that applies counts.
REASONS = {
    "empty": "no text after the prompt",
    "cut_off": "reached --max-length without a complete sentence",
    "duplicate": "repeats a kept caption",
    "exact_copy": "is a training caption",
    "folded_copy": "is a training caption except for case, marks and tags",
    "near_copy": "shares most of its words with a training caption",
    "copied_span": "copies more than --max-copied-span words in a row",
    "private_data": "has a handle, link, e-mail address or phone number",
    "broken": "has unbalanced quotes or brackets, or stray characters",
    "loop": "repeats itself",
    "wrong_language": "is not in --keep-language",
    "outranked": "fit to keep, but others have a better score",
}

_EMOTICON = re.compile(r"(?<!\w)[:;=8xX]['’]?-?[()\[\]{}|/\\*DPpOo3]+|<3|\^_*\^|[(\[][:;=](?!\w)|¯\\_\(ツ\)_/¯")
_LIST_MARK = re.compile(r"(?m)(?:^|(?<=\s))(?:\d{1,2}|[a-zA-Z])[.)]+(?=\s)")
_INCHES = re.compile(r"(?<=\d)[\"”″]")
_REGIONAL = re.compile("[\U0001f1e6-\U0001f1ff]+")
#: A joiner or modifier without a character to join: at an end, after a space, twice.
_HALF_EMOJI = re.compile("(?:^|\\s)[\u200d\ufe0f\U0001f3fb-\U0001f3ff]|\u200d(?:\\s|$|\u200d)|[\ud800-\udfff]")
#: A special token that was sampled as text.
_SPECIAL = re.compile(r"<\|\w+\|>|</?s>|<(?:bos|eos|pad|unk)>")
#: The end of a sentence, with closing marks and emoji after it; not an abbreviation or initial.
_ENDS_SENTENCE = re.compile(rf"(?<!\b[A-Z])(?<!\b[ap]\.m)(?<!\b(?:Mt|St|Dr|Mr|Ms))[.!?…]+[\"'”’)]*(?:\s*[{EMOJI}\u200d]+)*\Z")
_CLOSING = {")": "(", "]": "[", "}": "{", "”": "“", "»": "«"}


@dataclass
class Caption:
    """One generated caption, with its prompt and without the end token.

    ``row`` and ``seed`` determine its random numbers. ``tokens`` includes the prompt, ``sampled`` the end token. ``ended`` is true
    if the model ended it, false if the length limit did; ``shortened`` is true if it was then cut after its last whole sentence.
    ``mean_logprob`` is the mean log-probability (nats) of its sampled tokens under the model. ``copied`` is None if copies
    weren't searched, ``reason`` if the caption is kept, ``score`` if the captions aren't ranked.
    """

    text: str
    prompt: str
    seed: int
    row: int
    tokens: int
    sampled: int
    ended: bool
    mean_logprob: float
    shortened: bool = False
    copied: Copied | None = None
    reason: str | None = None
    score: float | None = None

    @property
    def is_empty(self) -> bool:
        """Return whether nothing follows the prompt."""
        return not self.text[len(self.prompt) :].strip()

    def record(self) -> dict[str, object]:
        """Return the caption as an object of the .jsonl file; ``nearest`` is the number of a caption of the corpus, from 1."""
        record: dict[str, object] = {
            "text": self.text, "prompt": self.prompt, "seed": self.seed, "row": self.row, "tokens": self.tokens,
            "ended": self.ended, "shortened": self.shortened, "mean_logprob": self.mean_logprob, "score": self.score,
        }  # fmt: skip
        if self.copied is not None:
            nearest = None if self.copied.nearest is None else self.copied.nearest + 1
            record |= {"copied_span": self.copied.span, "copied_words": self.copied.span_words, "nearest": nearest}
        return record


def rejections(caption: Caption, options: GenerateOptions, kept: Container[str]) -> Iterator[str]:
    """Yield the ``REASONS`` that apply, in order; each is checked lazily.

    Args:
        kept: ``identity`` of the captions kept so far.
    """
    text, copied, wanted = caption.text, caption.copied, options.keep_language
    if caption.is_empty:
        yield "empty"
    if not (caption.ended or caption.shortened):
        yield "cut_off"
    if identity(text) in kept:
        yield "duplicate"
    if copied is not None and copied.kind:
        yield f"{copied.kind}_copy"
    if copied is not None and copied.span > options.max_copied_span:
        yield "copied_span"
    if holds_private_data(text):
        yield "private_data"
    if is_broken(text):
        yield "broken"
    if selection.is_loop(text):
        yield "loop"
    if wanted and language.detect(text)[0] not in (wanted, language.UNKNOWN):
        yield "wrong_language"


def identity(text: str) -> str:
    """Return the folded text, by which captions count as duplicates; a caption of only emoji and tags is unchanged."""
    return fold(text) or text.strip()


@dataclass
class _Quota:
    """The attempts for one prompt: captions wanted, fewest and most attempts, number started, results.

    ``rows`` are started and not yet evaluated, by number.
    """

    prompt: Prompt
    wanted: int
    least: int
    allowed: int
    started: int = 0
    rows: dict[int, Row] = field(default_factory=dict)
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

    def to_start(self, rate: float) -> int:
        """Return how many rows to start so that enough are active at this rate of kept ones."""
        if self.is_over:
            return 0
        enough = max(self.least, self.evaluated + math.ceil((self.wanted - self.reasons[None]) / rate))
        return max(0, min(enough, self.allowed) - self.started)

    def next_finished(self) -> list[Row]:
        """Return the finished rows before the first unfinished one, which can be evaluated now."""
        found: list[Row] = []
        while (row := self.rows.get(self.evaluated + len(found))) and row.finished:
            found.append(row)
        return found


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
        least = 0 if options.keep_all or options.rank == "none" else math.ceil(options.num_captions * options.attempts_per_caption)
        allowed = options.num_captions if options.keep_all else max(options.num_captions * MOST_ATTEMPTS, least)
        self._quotas = [_Quota(prompt, options.num_captions, least, 1 if options.top_k == 1 else allowed) for prompt in encoded]
        self._kept = set(map(identity, kept))
        self._current = 0

    @property
    def wanted(self) -> int:
        """Return how many captions all prompts should give, as far as they can."""
        return sum(min(quota.wanted, quota.allowed) for quota in self._quotas)

    def collect(self, label: str = "generating") -> list[Caption]:
        """Try rows until each prompt has its attempts and captions or is given up; return the kept ones by prompt, then row.

        ``label`` names the progress bar.
        """
        total = sum(min(max(quota.least, quota.wanted), quota.allowed) for quota in self._quotas)
        with console.progress(total=total, unit="attempt", label=label) as bar:
            for _ in self.decoder.run(self._next_rows):
                self._evaluate()
                bar.total = max(total, len(self.attempts))
                bar.update(len(self.attempts) - bar.n)
        return [caption for caption in self.attempts if caption.reason is None]

    def failing(self) -> list[tuple[str, str]]:
        """Return the prompts whose attempts all failed for one reason, with that reason."""
        return [(quota.prompt.text, str(next(iter(quota.reasons)))) for quota in self._quotas if quota.is_failing]

    def fixed(self) -> list[str]:
        """Return the prompts whose attempts are all the same, because there was no choice between tokens."""
        return [quota.prompt.text for quota in self._quotas if quota.allowed < quota.wanted]

    def _kept_count(self) -> int:
        return sum(quota.reasons[None] for quota in self._quotas)

    def _next_rows(self, free: int) -> list[Row]:
        evaluated = sum(quota.evaluated for quota in self._quotas)
        # FIRST_RATE counts as much as ten attempts
        rate = 1.0 if self._options.keep_all else max(0.05, (self._kept_count() + 10 * FIRST_RATE) / (evaluated + 10))
        rows: list[Row] = []
        for index, quota in enumerate(self._quotas[self._current :], start=self._current):
            count = min(free - len(rows), quota.to_start(rate))
            new = {number: Row(index, number) for number in range(quota.started, quota.started + count)}
            quota.started += count
            quota.rows |= new
            rows += new.values()
            if len(rows) == free:
                break
        return rows

    def _evaluate(self) -> None:
        """Evaluate finished rows as far as their order allows; cancel the active rows of prompts that need no more."""
        while self._current < len(self._quotas):
            quota = self._quotas[self._current]
            for row, caption in self._captions(quota):
                if not quota.is_over:
                    self._settle(quota, row, caption)
            if not quota.is_over:
                return
            for row in quota.rows.values():
                row.cancelled = True
            self._current += 1

    def _settle(self, quota: _Quota, row: Row, caption: Caption) -> None:
        if not self._options.keep_all:
            caption.reason = next(rejections(caption, self._options, self._kept), None)
        if caption.reason is None:
            self._kept.add(identity(caption.text))
        self.attempts.append(caption)
        quota.reasons[caption.reason] += 1
        if not row.had_choice:
            quota.allowed = 1  # every other attempt would be the same
        del quota.rows[row.number]

    def _captions(self, quota: _Quota) -> Iterator[tuple[Row, Caption]]:
        """Return the next finished rows with their captions; copies are searched only in captions that aren't rejected already."""
        rows = quota.next_finished()
        captions = [self._caption(row, quota.prompt) for row in rows]
        whole = [caption for caption in captions if self._options.keep_all or caption.ended or caption.shortened]
        searched = [caption for caption in whole if self._options.keep_all or not caption.is_empty]
        for caption, copied in zip(searched, self._reference.search([caption.text for caption in searched])):
            caption.copied = copied
        return zip(rows, captions)

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
        raise UsageError(f"the prompt {named} has {tokens}: {bound} no room for a caption", "shorten it or raise --max-length")
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


def is_broken(text: str) -> bool:
    """Return whether ``text`` has unbalanced quotes or brackets, replacement characters, special tokens, half or stray emoji,
    or an impossible time.

    Emoticons, the marks of a list and the sign for inches don't count as brackets or quotes.
    """
    if "\ufffd" in text or _HALF_EMOJI.search(text) or any(len(run) % 2 for run in _REGIONAL.findall(text)):
        return True
    if _SPECIAL.search(text) or selection.has_stray_emoji(text) or selection.has_impossible_time(text):
        return True
    plain = _INCHES.sub("", _LIST_MARK.sub("", _EMOTICON.sub("", text)))
    return plain.count('"') % 2 == 1 or not _is_balanced(plain)


def _is_balanced(text: str) -> bool:
    open_: list[str] = []
    for char in text:
        if char in _CLOSING.values():
            open_.append(char)
        elif char in _CLOSING and (not open_ or open_.pop() != _CLOSING[char]):
            return False
    return not open_
