"""The mending rules in their order: pure functions over text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ..options import CleanOptions
from . import credits as credit_lines
from . import normalize as repair
from . import privacy, tags


@dataclass(frozen=True)
class Change:
    """A rule that mends a caption; ``apply`` is pure and leaves a clean caption as it is.

    ``signs`` is an RE2 expression: a caption in plain characters (``characters``) without a match has nothing for the rule to mend.
    """

    name: str
    description: str
    signs: str
    apply: Callable[[str, CleanOptions], str]


#: A caption of these characters alone is in NFC and plain but for its spaces: each is NFC_QC=Yes and of combining class 0
#: (Unicode 15, DerivedNormalizationProps), and ``repair`` takes none of them out.
_PLAIN = (
    r"\n -~\x{a1}-\x{ac}\x{ae}-\x{2ff}\x{400}-\x{482}\x{2010}-\x{2027}\x{2030}-\x{205e}\x{20a0}-\x{20bf}\x{2100}-\x{2125}\x{2190}-\x{2328}"
    r"\x{232b}-\x{27ff}\x{2900}-\x{29ff}\x{2b00}-\x{2bff}\x{3041}-\x{3096}\x{30a1}-\x{30fa}\x{4e00}-\x{9fff}\x{ac00}-\x{d7a3}\x{fe0f}\x{1f000}-\x{1faff}"
)
CHANGES = (
    Change("encoding", "undo mojibake, HTML entities and <U+...> escapes",
           rf"<U\+|&[^\s;&]{{1,26}};|{repair.LATIN_LEFTOVER_SIGNS}",
           lambda text, options: repair.mend_encoding(text)),
    Change("characters", "NFC; plain spaces, line breaks and letters; nothing invisible, no space before a mark",
           rf"[^{_PLAIN}]| [.,!?;]|  | \n|\n |\n\n\n|\A\s|\s\z",
           lambda text, options: repair.plain_characters(text)),
    Change("separators", "drop lines of dots and dashes, and such marks alone at the end of a line",
           rf"(?m)^[{repair.SEPARATORS}]+$|{repair.LOOSE_MARK_SIGNS}",
           lambda text, options: repair.without_separators(text)),
    Change("credits", "drop what credits a picture or a repost, and lists of who did what, of make-up and of camera settings",
           "",  # those of handles, and ``credit_lines.signs``
           lambda text, options: credit_lines.without_credits(text)),
    Change("tags", "drop tag lines, runs of tags, those behind the last sentence of a line and the trailing block; --inline-tags for the others",
           "#",
           lambda text, options: tags.without_tags(text, options.inline_tags)),
    Change("emails", "drop the sentences that hold an e-mail address",
           r"[^\s@]@[^\s@]",
           lambda text, options: privacy.without_emails(text)),
    Change("urls", "take URLs out, with the sentence that needs them",
           r"://|[A-Za-z0-9-]\.[A-Za-z]{2}|[Ww]{3}\.",
           lambda text, options: privacy.without_urls(text)),
    Change("phones", "drop the sentences that hold a phone number",
           r"\p{Nd}(?:[\s\pZ().\-/]*\p{Nd}){6}",
           lambda text, options: privacy.without_phones(text)),
    Change("handles", "take @handles out; a sentence that would not surely read goes whole",
           privacy.HANDLE_SIGNS,
           lambda text, options: privacy.without_handles(text)),
    Change("runs", "at most three of the same mark or emoji in a row",
           "|".join(re.escape(mark) + "{4}" for mark in repair.RUN_MARKS) + r"|[^\x00-\x7f\pL]{4}",
           lambda text, options: repair.short_runs(text)),
    Change("emoji", "with --emoji drop: take emoji out",
           r"[^\x00-\x7f]",
           lambda text, options: repair.without_emoji(text) if options.emoji == "drop" else text),
)  # fmt: skip
