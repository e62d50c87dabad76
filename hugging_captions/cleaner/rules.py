"""What the rules make of one post: its clean text, or the reason why it is not kept.

Pure functions from a post and the options to a verdict; duplicates are the cleaner's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from .. import console, language
from ..errors import UsageError
from ..options import CleanOptions
from ..posts import Post
from ..text import fold, word_count
from . import credits as credit_lines
from . import duplicates as near_duplicates
from . import normalize as repair
from . import privacy, promotion, tags
from .automaton import automaton


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

#: Rounds of the mending rules: what one takes out can uncover work for an earlier one.
MAX_ROUNDS = 4
#: Those before which promotion is judged: with the lines of credits, then with the words of tags and still with handles and links. It is
#: judged a last time when these have gone: "More photos up at example.com now" advertises without its link as well.
_JUDGED_BEFORE = ("credits", "emails")
#: Those after which there may be signs that were not there; what only takes out uncovers work for the next round.
_REWRITES = frozenset(("encoding", "characters"))
#: That before which a caption that is surely in another language goes: a quarter of captions need not be mended then.
_LANGUAGE_LOOKED_AT_BEFORE = "credits"
#: How sure that has to be; what is less sure is judged by what is left of it.
_SURELY = 0.5
#: Those that can leave a sentence without its end.
_TAKES_OUT = frozenset(("credits", "tags", "urls", "handles"))
#: The rules that drop a post, in their order, and what each drops. The mending rules (``CHANGES``)
#: stand between ``too-few-likes`` and ``no-text``.
DROPS = {
    "no-caption": "no caption at all",
    "unknown-likes": "with --unknown-likes drop: the count is hidden",
    "too-few-likes": "fewer likes than --min-likes",
    "promotion": "advertises or begs: paid posts, link in bio, giveaways, codes, prices, tag a friend, bare questions, words of trade",
    "no-text": "no letter left once tags, handles and the like are out",
    "unfinished": "a sentence that a tag, a handle, a link, an e-mail address or a phone number is part of; one bracket of two is left",
    "language": "another language than --language, less sure than --min-language-score, or partly in a second one",
    "too-few-words": "fewer words than --min-words",
    "too-long": "more characters than --max-chars",
    "exact-duplicate": "the same clean caption as a post with more likes",
    "folded-duplicate": "the same but for case, punctuation, emoji and tags",
    "near-duplicate": "above --near-threshold like a post with more likes",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules made of one post: its clean text, or the reason why it is not kept."""

    shortcode: str
    text: str
    likes: int
    reason: str = ""
    detail: str = ""
    changed: tuple[str, ...] = ()
    language: str = ""
    folded: str = ""
    shingles: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint32))


def rule_names() -> list[str]:
    """Return the names of all rules in their order."""
    drops = list(DROPS)
    return [*drops[:3], *(change.name for change in CHANGES), *drops[3:]]


def refuse_unknown(options: CleanOptions) -> None:
    """Return if the rules and the language that ``options`` name are there.

    Raises:
        UsageError: one is not.
    """
    if unknown := sorted(set(options.skip_rule) - set(rule_names())):
        raise UsageError(f"--skip-rule {unknown[0]}: no such rule", "the rules: " + ", ".join(rule_names()))
    if options.language != "any":
        language.refuse_unknown(options.language, "--language")


def examine(post: Post, options: CleanOptions) -> Verdict:
    """Return what the rules make of ``post`` alone (duplicates come later); rules behind the one that drops it are not asked."""
    text, likes = (post.caption or "").strip(), -1 if post.likes is None else post.likes
    if reason := _unless_skipped(_drop_before_mending(post, options), options):
        return Verdict(post.shortcode, text, likes, *reason)
    text, changed, reason = rewrite(text, options)
    code, score = ("", 0.0) if reason and reason[0] != "language" else language.detect(text)
    if reason:
        return Verdict(post.shortcode, text, likes, *reason, changed, code)
    if reason := _unless_skipped(_drop_after_mending(post, text, changed, code, score, options), options):
        return Verdict(post.shortcode, text, likes, *reason, changed, code)
    folded = fold(text) or text
    return Verdict(post.shortcode, text, likes, "", "", changed, code, folded, near_duplicates.shingles(folded))


def rewrite(text: str, options: CleanOptions) -> tuple[str, tuple[str, ...], tuple[str, str] | None]:
    """Apply the mending rules in turn until each has left the text as it is.

    Returns:
        the text, the names of the rules that changed it, and the rule that drops it already, with its detail: ``promotion`` for words that
        advertise, ``language`` where it is surely in another one, or ``unfinished`` where a sentence can't be mended. Such a text is mended
        no further.
    """
    changed: dict[str, None] = {}
    judges, drops_unfinished = "promotion" not in options.skip_rule, "unfinished" not in options.skip_rule
    seen, judged, looked_at = _signs(text), "", False
    if judges and "disclosure" in seen and (advertises := promotion.disclosure(text)):
        return text, (), ("promotion", advertises)
    for _ in range(MAX_ROUNDS):
        before = text
        for name, apply in _APPLIES.items():
            if name in _JUDGED_BEFORE and judges and judged != text:
                judged = text
                if advertises := promotion.advertised(text):
                    return text, tuple(changed), ("promotion", advertises)
            if name == _LANGUAGE_LOOKED_AT_BEFORE and not looked_at:
                looked_at = True
                if detail := _surely_another_language(text, options):
                    return text, tuple(changed), ("language", detail)
            if name not in seen or name in options.skip_rule or (after := apply(text, options)) == text:
                continue
            if repair.GONE in after:
                if drops_unfinished:
                    return text, tuple(changed), ("unfinished", name)
                after = repair.without_gone(after)
            text = after
            changed[name] = None
            if name in _REWRITES:
                seen = _signs(text)
        if text == before:
            break
        seen = _signs(text)
    advertises = promotion.advertised(text) if judges and judged != text else ""
    return text, tuple(changed), ("promotion", advertises) if advertises else None


_APPLIES = {change.name: change.apply for change in CHANGES}


def _signs(text: str) -> set[str]:
    """Return the names of the mending rules that may have work in ``text``, and ``disclosure`` if it may be a paid post.

    One look for all but credits, which have many signs, takes a tenth of the time that asking each does; with them it takes twice the
    time to warm up.
    """
    names, looker = _looker()
    seen = {names[i] for i in looker.Match(text.encode("utf-8", "replace")) or ()}
    if "handles" in seen or credit_lines.signs(text):
        seen.add("credits")
    return seen


@cache
def _looker() -> tuple[Sequence[str], Any]:
    """Return what looks for the signs of the rules, and the names that its numbers stand for."""
    signs = {change.name: change.signs for change in CHANGES if change.signs} | {"disclosure": promotion.DISCLOSURE_SIGNS}
    return list(signs), automaton(signs.values())


def explain(post: Post, options: CleanOptions) -> str:
    """Return what each rule did to ``post``, a line for each that did something.

    Raises:
        UsageError: ``refuse_unknown``.
    """
    refuse_unknown(options)
    text = (post.caption or "").strip()
    lines = [f"{console.printable(post.shortcode)}: {console.shorten(text, 400)}"]
    for change in CHANGES:
        after = text if change.name in options.skip_rule else repair.without_gone(change.apply(text, options))
        if after != text:
            lines.append(f"  {change.name}: {console.shorten(after, 400)}")
            text = after
    verdict = examine(post, options)
    ending = f"dropped: {verdict.reason} ({verdict.detail})" if verdict.reason else "kept, unless a duplicate has more likes"
    return "\n".join([*lines, f"  {ending}"])


def _drop_before_mending(post: Post, options: CleanOptions) -> Iterator[tuple[str, str]]:
    if not (post.caption or "").strip():
        yield "no-caption", ""
    if post.likes is None:
        if options.unknown_likes == "drop":
            yield "unknown-likes", ""
    elif post.likes < options.min_likes:
        yield "too-few-likes", str(post.likes)


def _drop_after_mending(
    post: Post, text: str, changed: Collection[str], code: str, score: float, options: CleanOptions
) -> Iterator[tuple[str, str]]:
    if not any(map(str.isalpha, text)):
        yield "no-text", ""
    if detail := promotion.trades(language.words_of(text)):
        yield "promotion", detail
    if promotion.only_asks(text):
        yield "promotion", "only asks"
    if not _TAKES_OUT.isdisjoint(changed) and (repair.ends_open(text) or repair.lost_its_other_half(post.caption or "", text)):
        yield "unfinished", text[-20:]
    if options.language != "any":
        if code != options.language or score < options.min_language_score:
            yield "language", f"{code} {score:.2f}"
        elif other := language.second(text, code):
            yield "language", f"{code} with {other}"
    if (count := word_count(text, options.min_words)) < options.min_words:
        yield "too-few-words", str(count)
    if len(text) > options.max_chars:
        yield "too-long", str(len(text))


def _surely_another_language(text: str, options: CleanOptions) -> str:
    """Return the language of ``text`` and how sure it is, if it is surely none to keep."""
    if options.language == "any" or "language" in options.skip_rule:
        return ""
    code, score = language.detect(text)
    return f"{code} {score:.2f}" if code not in (options.language, language.UNKNOWN) and score >= _SURELY else ""


def _unless_skipped(reasons: Iterable[tuple[str, str]], options: CleanOptions) -> tuple[str, str] | None:
    return next((reason for reason in reasons if reason[0] not in options.skip_rule), None)
