"""The rules in their order, and what they make of one post: its clean text, or the reason why it is dropped.

Pure functions from a post and the options to a verdict. Duplicates need all posts: the pipeline drops them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from .. import console, language
from ..errors import UsageError
from ..options import CleanOptions
from ..posts import Post
from ..text import fold, word_count
from . import duplicates, normalize, privacy, promotion, tags
from .credits import without_credits

#: Rounds of the rules that change a caption: what one removes can uncover work for an earlier one.
MAX_ROUNDS = 4
#: Characters that no caption has, even if each of Instagram's 2,200 is escaped as <U+0001F5A4>: a longer one is dropped unread.
LONGEST = 12 * 2200
#: How sure another language must be for a caption to be dropped before it is changed; a less sure one is decided by its clean text.
SURELY = 0.5
#: The rules that can leave a sentence without its end.
_REMOVE_WORDS = frozenset(("credits", "tags", "urls", "handles"))
#: What a caption is stripped of first; not of other spaces, which may be bytes of mojibake: "à" and "✅" end in \xa0 and \x85.
_SPACES = " \t\r\n"

#: The name of a rule that drops a post, and a detail: the words that advertise, the count of likes.
Reason = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules made of one post: its clean text, or the reason why it is dropped."""

    shortcode: str
    text: str
    likes: int
    reason: str = ""
    detail: str = ""
    changed: tuple[str, ...] = ()
    language: str = ""
    folded: str = ""
    shingles: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint32))


@dataclass(slots=True)
class Draft:
    """A post while it is examined: its text so far, which rules changed that, and what is known of its clean text."""

    post: Post
    options: CleanOptions
    text: str
    changed: list[str] = field(default_factory=list)
    settled: dict[str, str] = field(default_factory=dict)  # by rule the text that it leaves as it is, or that advertises nothing
    language: str = ""
    language_score: float = 0.0


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule by the name that DOCS.md and dropped.jsonl give it.

    ``change`` returns a changed text, is pure, and leaves its own result as it is. ``drop`` returns why a post is dropped, or None. The
    rules with neither drop duplicates.
    """

    name: str
    description: str
    change: Callable[[str, CleanOptions], str] | None = None
    drop: Callable[[Draft], str | None] | None = None


def rule_names() -> list[str]:
    """Return the names of all rules in their order."""
    return [rule.name for rule in RULES]


def refuse_unknown(options: CleanOptions) -> None:
    """Return if the rules and the language that ``options`` name exist.

    Raises:
        UsageError: one doesn't.
    """
    if unknown := sorted(set(options.skip_rule) - set(rule_names())):
        raise UsageError(f"--skip-rule {unknown[0]}: no such rule", "the rules: " + ", ".join(rule_names()))
    if options.language != "any":
        language.refuse_unknown(options.language, "--language")


def examine(post: Post, options: CleanOptions) -> Verdict:
    """Return what the rules make of ``post`` alone; rules after the one that drops it are not asked."""
    draft = Draft(post, options, (post.caption or "").strip(_SPACES))
    likes = -1 if post.likes is None else post.likes
    if reason := next(filter(None, _reasons(draft)), None):
        return Verdict(post.shortcode, draft.text.strip(), likes, *reason, tuple(draft.changed), draft.language)
    folded = fold(draft.text) or draft.text
    shingles = duplicates.shingles(folded)
    return Verdict(post.shortcode, draft.text, likes, "", "", tuple(draft.changed), draft.language, folded, shingles)


def rewrite(text: str, options: CleanOptions) -> tuple[str, tuple[str, ...], Reason | None]:
    """Return ``text`` as the rules change it, the names of those that did, and the reason why it is dropped on the way, if it is."""
    draft = Draft(Post("", text, None, None, "", ""), options, text)
    reason = next(filter(None, _changes(draft)), None)
    return draft.text, tuple(draft.changed), reason


def explain(post: Post, options: CleanOptions) -> str:
    """Return what each rule did to ``post``, a line for each that did something.

    Raises:
        UsageError: ``refuse_unknown``.
    """
    refuse_unknown(options)
    draft = Draft(post, replace(options, skip_rule=(*options.skip_rule, "unfinished")), (post.caption or "").strip(_SPACES))
    lines = [f"{console.printable(post.shortcode)}: {console.shorten(draft.text.strip(), 400)}"]
    for rule in CHANGES if len(draft.text) <= LONGEST else ():
        before = draft.text
        _apply(rule, draft)
        if draft.text != before:
            lines.append(f"  {rule.name}: {console.shorten(draft.text, 400)}")
    verdict = examine(post, options)
    ending = f"dropped: {verdict.reason} ({verdict.detail})" if verdict.reason else "kept, unless a duplicate has more likes"
    return "\n".join([*lines, f"  {ending}"])


def _reasons(draft: Draft) -> Iterator[Reason | None]:
    """Yield for each rule in turn the reason to drop a post, or None; the caption is changed meanwhile."""
    if len(draft.text) > LONGEST:
        yield "too-long", str(len(draft.text))
    for rule in RULES:
        if rule is CHANGES[0]:
            yield from _changes(draft)
            draft.language, draft.language_score = language.detect(draft.text)
        if rule.drop and rule.name not in draft.options.skip_rule and (detail := rule.drop(draft)) is not None:
            yield rule.name, detail


def _changes(draft: Draft) -> Iterator[Reason | None]:
    """Apply the rules that change a caption until each leaves it as it is, and yield after each the reason to drop it already, or None.

    Whether it advertises is checked with its tags, with its credits, with the words of its tags while it has handles and links, and when
    all that is gone: "More photos up at example.com now" advertises without its link as well. What is surely in another language, a
    quarter of all captions, is dropped before the costly rules.
    """
    yield _discloses(draft)
    for turn in range(MAX_ROUNDS):
        before = draft.text
        for rule in CHANGES:
            if rule.name in ("credits", "emails"):
                yield _advertises(draft)
            if rule.name == "credits" and turn == 0:
                yield _is_surely_in_another_language(draft)
            yield _apply(rule, draft)
        if draft.text == before:
            break
    draft.text = draft.text.strip()
    yield _advertises(draft)


def _apply(rule: Rule, draft: Draft) -> Reason | None:
    """Apply ``rule`` to the text of ``draft``; return the reason to drop it if a sentence that can't be repaired was dropped."""
    if rule.change is None or rule.name in draft.options.skip_rule or draft.settled.get(rule.name) == draft.text:
        return None
    after = rule.change(draft.text, draft.options)
    if normalize.GONE in after:
        if "unfinished" not in draft.options.skip_rule:
            return "unfinished", rule.name
        after = normalize.tidy(after.replace(normalize.GONE, ""))
    if after != draft.text:
        draft.text = after
        if rule.name not in draft.changed:
            draft.changed.append(rule.name)
    else:
        draft.settled[rule.name] = after
    return None


def _discloses(draft: Draft) -> Reason | None:
    words = "" if "promotion" in draft.options.skip_rule else promotion.disclosure(draft.text)
    return ("promotion", words) if words else None


def _advertises(draft: Draft) -> Reason | None:
    if "promotion" in draft.options.skip_rule or draft.settled.get("promotion") == draft.text:
        return None
    draft.settled["promotion"] = draft.text
    words = promotion.advertised(draft.text)
    return ("promotion", words) if words else None


def _is_surely_in_another_language(draft: Draft) -> Reason | None:
    if draft.options.language == "any" or "language" in draft.options.skip_rule:
        return None
    code, score = language.detect(draft.text)
    if code in (draft.options.language, language.UNKNOWN) or score < SURELY:
        return None
    draft.language = code
    return "language", f"{code} {score:.2f}"


def _hides_likes(draft: Draft) -> str | None:
    return "" if draft.post.likes is None and draft.options.unknown_likes == "drop" else None


def _has_few_likes(draft: Draft) -> str | None:
    likes = draft.post.likes
    return str(likes) if likes is not None and likes < draft.options.min_likes else None


def _promotes(draft: Draft) -> str | None:
    return promotion.trades(language.words_of(draft.text)) or ("only asks" if promotion.only_asks(draft.text) else None)


def _is_unfinished(draft: Draft) -> str | None:
    if _REMOVE_WORDS.isdisjoint(draft.changed):
        return None
    unfinished = normalize.ends_open(draft.text) or normalize.lost_its_other_half(draft.post.caption or "", draft.text)
    return draft.text[-20:] if unfinished else None


def _is_in_another_language(draft: Draft) -> str | None:
    code, score, options = draft.language, draft.language_score, draft.options
    if options.language == "any":
        return None
    if code != options.language or score < options.min_language_score:
        return f"{code} {score:.2f}"
    second = language.second(draft.text, code)
    return f"{code} with {second}" if second else None


def _has_few_words(draft: Draft) -> str | None:
    count = word_count(draft.text, draft.options.min_words)
    return str(count) if count < draft.options.min_words else None


def _is_long(draft: Draft) -> str | None:
    return str(len(draft.text)) if len(draft.text) > draft.options.max_chars else None


def _always(change: Callable[[str], str]) -> Callable[[str, CleanOptions], str]:
    """Return ``change`` for a rule that no option affects."""
    return lambda text, options: change(text)


RULES = (
    Rule("no-caption", "no caption at all", drop=lambda draft: None if draft.text.strip() else ""),
    Rule("unknown-likes", "with --unknown-likes drop: the count is hidden", drop=_hides_likes),
    Rule("too-few-likes", "fewer likes than --min-likes", drop=_has_few_likes),
    Rule("encoding", "undo mojibake, HTML entities and <U+...> escapes", _always(normalize.repair_encoding)),
    Rule("characters", "NFC, plain spaces and letters; nothing invisible, no space before a mark", _always(normalize.plain_characters)),
    Rule("separators", "remove lines of dots and dashes, and such marks alone at line ends", _always(normalize.without_separators)),
    Rule("credits", "remove credits of pictures and reposts, lists of who did what, make-up or camera settings", _always(without_credits)),
    Rule(
        "tags",
        "remove tag lines, runs of tags, tags after the last sentence of a line and the trailing block; --inline-tags for the others",
        lambda text, options: tags.without_tags(text, options.inline_tags),
    ),
    Rule("emails", "remove the sentences that hold an e-mail address", _always(privacy.without_emails)),
    Rule("urls", "remove URLs, with the sentence that needs them", _always(privacy.without_urls)),
    Rule("phones", "remove the sentences that hold a phone number", _always(privacy.without_phones)),
    Rule("handles", "remove @handles, with the sentence that might not read without them", _always(privacy.without_handles)),
    Rule("runs", "keep at most three of the same mark or emoji in a row", _always(normalize.short_runs)),
    Rule(
        "emoji", "with --emoji drop: remove emoji", lambda text, options: normalize.without_emoji(text) if options.emoji == "drop" else text
    ),
    Rule(
        "promotion",
        "advertises or begs: paid posts, link in bio, giveaways, codes, prices, tag a friend, bare questions, commercial words",
        drop=_promotes,
    ),
    Rule("no-text", "no letter is left", drop=lambda draft: None if any(map(str.isalpha, draft.text)) else ""),
    Rule(
        "unfinished", "a sentence can't do without a tag, handle or link that was removed; one bracket of two is left", drop=_is_unfinished
    ),
    Rule(
        "language",
        "another language than --language, less sure than --min-language-score, or partly in a second one",
        drop=_is_in_another_language,
    ),
    Rule("too-few-words", "fewer words than --min-words", drop=_has_few_words),
    Rule("too-long", "more characters than --max-chars", drop=_is_long),
    Rule("exact-duplicate", "the same clean caption as a post with more likes"),
    Rule("folded-duplicate", "the same but for case, punctuation, emoji and tags"),
    Rule("near-duplicate", "above --near-threshold like a post with more likes"),
)
CHANGES = tuple(rule for rule in RULES if rule.change)
DROPS = {rule.name: rule.description for rule in RULES if not rule.change}
