"""The mending rules in their order, and when two captions are the same.

Pure functions over text. The cleaner applies the rules; others ask the same ones (``fold``,
``privacy.holds_private_data``) about captions of their own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from . import credit_lines, privacy, repair
from .options import CleanOptions
from .repair import HANDLE, TAG

#: Thai, Lao, Khmer, Japanese and Chinese
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")


def words(text: str) -> list[str]:
    """Return the words of ``text``: runs of letters, marks and digits, with inner apostrophes and hyphens."""
    return re.findall(r"\w+(?:['’\-]\w+)*", text)


def word_count(text: str) -> int:
    """Return how many words ``text`` has; a character of a script that writes no spaces counts as one."""
    found = words(text)
    return sum(len(word) if _UNSPACED.match(word) else 1 for word in found) if _UNSPACED.search(text) else len(found)


def fold(text: str) -> str:
    """Return what two captions share that differ only in case, punctuation, emoji, tags, handles or spacing."""
    bare = _TAG_OR_HANDLE.sub(" ", text) if "#" in text or "@" in text else text
    return " ".join(unicodedata.normalize("NFKC", bare).casefold().translate(_WORDS_ONLY).split())


class _WordsOnly(dict[int, int]):
    """A table for ``str.translate`` that keeps letters, numbers and spacing marks and makes a space of the rest."""

    def __missing__(self, code: int) -> int:
        category = unicodedata.category(chr(code))
        self[code] = code if category[0] in "LN" or category == "Mc" else 32
        return self[code]


_WORDS_ONLY = _WordsOnly()
_TAG_OR_HANDLE = re.compile(rf"{TAG}|{HANDLE}")


@dataclass(frozen=True)
class Change:
    """A rule that mends a caption; ``apply`` is pure and leaves a clean caption as it is."""

    name: str
    description: str
    apply: Callable[[str, CleanOptions], str]


CHANGES = (
    Change("encoding", "undo mojibake, HTML entities and <U+...> escapes", lambda text, options: repair.mend_encoding(text)),
    Change("characters", "NFC; plain spaces, line breaks and letters; nothing invisible, no space before a mark", lambda text, options: repair.plain_characters(text)),
    Change("separators", "drop lines of dots and dashes", lambda text, options: repair.without_separators(text)),
    Change("credits", "drop what credits a picture or a repost, and lists of who did what and of make-up", lambda text, options: credit_lines.without_credits(text)),
    Change("tags", "drop tag lines, runs of tags, those behind the last sentence of a line and the trailing block; --inline-tags for the others", lambda text, options: repair.without_tags(text, options.inline_tags)),
    Change("emails", "drop the sentences that hold an e-mail address", lambda text, options: privacy.without_emails(text)),
    Change("urls", "take URLs out, with the sentence that needs them", lambda text, options: privacy.without_urls(text)),
    Change("phones", "drop the sentences that hold a phone number", lambda text, options: privacy.without_phones(text)),
    Change("handles", "take @handles out; a sentence that would not surely read goes whole", lambda text, options: privacy.without_handles(text)),
    Change("runs", "at most three of the same mark or emoji in a row", lambda text, options: repair.short_runs(text)),
    Change("emoji", "with --emoji drop: take emoji out", lambda text, options: repair.without_emoji(text) if options.emoji == "drop" else text),
)  # fmt: skip
