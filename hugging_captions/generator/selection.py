"""Which generated captions a person could post: each other one has a reason.

Pure judgement of texts, by the cleaner's own rules where they apply.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from .. import language
from ..options import GenerateOptions
from ..text import fold, holds_private_data
from . import novelty
from .copies import Copied

#: Why a caption is left out, in the order in which that is asked; a caption is charged to the first that holds.
REASONS = {
    "empty": "nothing, or nothing but the prompt",
    "cut_off": "reached --max-length before it ended",
    "duplicate": "a kept caption says the same but for case, punctuation, emoji and tags",
    "exact_copy": "is a training caption",
    "folded_copy": "is a training caption but for case, punctuation, emoji and tags",
    "near_copy": "shares most of its words with a training caption",
    "copied_span": "has more than --max-copied-span words in a row from a training caption",
    "private_data": "holds a handle, a URL, an e-mail address or a phone number",
    "broken": "unbalanced quotes or brackets, a stray replacement character, half an emoji",
    "wrong_language": "is not in --keep-language",
}

_EMOTICON = re.compile(r"(?<!\w)[:;=8xX]['’]?-?[()\[\]{}|/\\*DPpOo3]+|<3|\^_*\^|[(\[][:;=](?!\w)|¯\\_\(ツ\)_/¯")
_LIST_MARK = re.compile(r"(?m)(?:^|(?<=\s))(?:\d{1,2}|[a-zA-Z])[.)]+(?=\s)")
_INCHES = re.compile(r"(?<=\d)[\"”″]")
_REGIONAL = re.compile("[\U0001f1e6-\U0001f1ff]+")
#: A joiner or modifier that has nothing to join: at an end, after a space, twice.
_HALF_EMOJI = re.compile("(?:^|\\s)[\u200d\ufe0f\U0001f3fb-\U0001f3ff]|\u200d(?:\\s|$|\u200d)|[\ud800-\udfff]")
_CLOSING = {")": "(", "]": "[", "}": "{", "”": "“", "»": "«"}


@dataclass(frozen=True)
class Candidate:
    """What is judged: a text, the prompt it begins with, whether it ended by itself, what it shares with the corpus."""

    text: str
    prompt: str
    ended: bool
    copied: Copied | None


class Selection:
    """Judges captions one after the other, because one may repeat another."""

    def __init__(self, options: GenerateOptions, reference: novelty.Reference) -> None:
        self._options, self._index = options, reference.index
        self._kept: set[str] = set()

    def reason(self, candidate: Candidate) -> str | None:
        """Return the first reason of ``REASONS`` that holds, or None: the caption is kept, and the next like it is a duplicate."""
        if self._options.keep_all:
            return None
        found = next((name for name, holds in self._checks(candidate) if holds()), None)
        if found is None:
            self._kept.add(_same(candidate.text))
        return found

    def _checks(self, candidate: Candidate) -> list[tuple[str, Callable[[], bool]]]:
        text, copied, index = candidate.text, candidate.copied, self._index
        kind = None if copied is None or index is None else novelty.copy_kind(text, copied, index)
        wanted = self._options.keep_language
        return [
            ("empty", lambda: not text[len(candidate.prompt) :].strip()),
            ("cut_off", lambda: not candidate.ended),
            ("duplicate", lambda: _same(text) in self._kept),
            ("exact_copy", lambda: kind == "exact"),
            ("folded_copy", lambda: kind == "folded"),
            ("near_copy", lambda: kind == "near"),
            ("copied_span", lambda: copied is not None and copied.span > self._options.max_copied_span),
            ("private_data", lambda: holds_private_data(text)),
            ("broken", lambda: is_broken(text)),
            ("wrong_language", lambda: wanted is not None and language.detect(text)[0] not in (wanted, language.UNKNOWN)),
        ]


def _same(text: str) -> str:
    """Return what two alike captions share; one of nothing but emoji and tags is itself."""
    return fold(text) or text.strip()


def is_broken(text: str) -> bool:
    """Return whether ``text`` holds what only a slip leaves: unbalanced quotes or brackets, replacement characters, half an emoji.

    Emoticons, the marks of a list and the sign for inches count for no bracket or quote.
    """
    if "\ufffd" in text or _HALF_EMOJI.search(text) or any(len(run) % 2 for run in _REGIONAL.findall(text)):
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
