"""The rules in order, and their result for one post: its clean text, or the reason why it is dropped.

Pure functions from a post and the options to a draft. Duplicates need all posts: the pipeline drops them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import console, language
from ..errors import UsageError
from ..options import CleanOptions
from ..posts import Post
from ..text import holds_private_data, word_count
from . import normalize, privacy, promotion, tags
from .credits import without_credits
from .sentences import SHORT, WORD, Sentence, join, remove_what_depends, split

#: More characters than any caption has, even if each of Instagram's 2,200 is escaped as <U+0001F5A4>; longer ones are dropped unread.
LONGEST = 12 * 2200
#: The sentence threshold lies above the caption threshold by this share of the distance to 1.
SENTENCE_MARGIN = 0.25
#: Most rounds of the rules that change a sentence.
MAX_ROUNDS = 4
#: Characters stripped first; other spaces may be bytes of mojibake: "à" and "✅" end in \xa0 and \x85.
_SPACES = " \t\r\n"


@dataclass(slots=True)
class Draft:
    """A caption while it is cleaned: its text, then its sentences, which rules changed them, and its scores.

    ``reason`` is the rule that drops the post, or empty, and ``detail`` why: the words that advertise, the count of likes.
    """

    post: Post
    options: CleanOptions
    text: str
    sentences: list[Sentence] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    language: str = ""
    score: float = 0.0
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, by its name in DOCS.md and dropped.jsonl; ``before`` and ``after`` are an example (an empty ``after``: dropped).

    ``change`` returns the changed caption, before it is split into sentences. ``each`` returns the changed sentence, empty to remove it.
    ``remove`` removes sentences. ``drop`` returns why a post is dropped, or None. The rules with none of these drop duplicates.
    ``relaxed`` are the options to change if it drops everything; a rule without any can be skipped.
    """

    name: str
    description: str
    before: str = ""
    after: str = ""
    change: Callable[[str], str] | None = None
    each: Callable[[str, CleanOptions], str] | None = None
    remove: Callable[[Draft], None] | None = None
    drop: Callable[[Draft], str | None] | None = None
    relaxed: Mapping[str, Any] = field(default_factory=dict)


def rule_names() -> list[str]:
    """Return the names of all rules in order."""
    return [rule.name for rule in RULES]


def refuse_unknown(options: CleanOptions) -> None:
    """Check that the rules and the language in ``options`` exist, and that the weights of the promotion rule can be read.

    Raises:
        UsageError: a rule or the language doesn't exist.
        InputError: the weights are missing or damaged.
    """
    if unknown := sorted(set(options.skip_rule) - set(rule_names())):
        raise UsageError(f"--skip-rule {unknown[0]}: no such rule", "the rules: " + ", ".join(rule_names()))
    if options.language != "any":
        language.refuse_unknown(options.language, "--language")
    if "promotion" not in options.skip_rule and options.language in ("en", "any"):
        promotion.model()


def examine(post: Post, options: CleanOptions) -> Draft:
    """Return the result of the rules for ``post`` alone; the rule that drops it is the last that runs."""
    draft = Draft(post, options, (post.caption or "").strip(_SPACES))
    if len(draft.text) > LONGEST:
        draft.reason, draft.detail = "too-long", str(len(draft.text))
    for rule in RULES:
        if draft.reason:
            break
        if rule is SENTENCE_RULES[0]:
            draft.sentences = split(draft.text)
            _change_sentences(draft)
        elif rule.name not in options.skip_rule and not rule.each:
            _apply(rule, draft)
    return draft


def _change_sentences(draft: Draft) -> None:
    """Apply the rules that change sentences until none does: one rule's removal can make an earlier rule match."""
    chosen = [rule for rule in SENTENCE_RULES if rule.name not in draft.options.skip_rule]
    changed: set[str] = set()
    waiting = draft.sentences
    for _ in range(MAX_ROUNDS):
        waiting = [sentence for sentence in waiting if sentence.text and _change(sentence, chosen, draft.options, changed)]
        if not waiting:
            break
    if changed:
        remove_what_depends(draft.sentences)
    draft.text = join(draft.sentences)
    if _PRIVATE.isdisjoint(draft.options.skip_rule) and draft.options.handles == "remove" and privacy.may_be_private(draft.text):
        _remove_what_is_private(draft)
    draft.changed += [rule.name for rule in chosen if rule.name in changed]


def _change(sentence: Sentence, chosen: Sequence[Rule], options: CleanOptions, changed: set[str]) -> bool:
    """Apply the ``chosen`` rules to a sentence, add the names of those that change it, and return whether one did."""
    before = sentence.text
    for rule in chosen:
        text = rule.each(sentence.text, options)  # type: ignore[misc]
        if text == sentence.text:
            continue
        changed.add(rule.name)
        if not text:
            sentence.remove(rule.name)
            break
        sentence.text = text
    return sentence.text != before


def _remove_what_is_private(draft: Draft) -> None:
    """Remove the sentences that still contain private data, or all if it appears only in the joined text."""
    while holds_private_data(draft.text):
        holding = [sentence for sentence in draft.sentences if holds_private_data(sentence.text)]
        for sentence in holding or draft.sentences:
            sentence.remove("handles")
        draft.text = join(draft.sentences)


def _apply(rule: Rule, draft: Draft) -> None:
    """Apply ``rule`` to ``draft``, and mark it as dropped if the rule drops it."""
    before, whole = draft.text, draft.post.caption or ""
    if rule.change:
        draft.text = rule.change(draft.text)
    if rule.remove:
        rule.remove(draft)
        draft.text = normalize.without_lone_halves(whole, join(draft.sentences)) if draft.sentences else draft.text
    if draft.text != before:
        draft.changed.append(rule.name)
    if rule.drop and (detail := rule.drop(draft)) is not None:
        draft.reason, draft.detail = rule.name, detail
        if rule.name in _OF_WHAT_IS_LEFT:
            _blame_what_removed_most(draft)


def _blame_what_removed_most(draft: Draft) -> None:
    """Make the rule that removed most words of ``draft``, if one did, its reason, with the removed text."""
    words: Counter[str] = Counter()
    for sentence in draft.sentences:
        if sentence.reason:
            words[sentence.reason] += 1 + word_count(sentence.source)
    if words:
        draft.reason = words.most_common(1)[0][0]
        draft.detail = console.shorten(next(sentence.detail for sentence in draft.sentences if sentence.reason == draft.reason), 80)


def rewrite(text: str, options: CleanOptions) -> Draft:
    """Return the result of the rules for a caption."""
    return examine(Post("", text, None, None, "", ""), options)


def _hides_likes(draft: Draft) -> str | None:
    return "" if draft.post.likes is None and draft.options.unknown_likes == "drop" else None


def _has_few_likes(draft: Draft) -> str | None:
    likes = draft.post.likes
    return str(likes) if likes is not None and likes < draft.options.min_likes else None


def _is_english(draft: Draft) -> bool:
    wanted = draft.options.language
    return wanted == "en" or (wanted == "any" and (draft.language or language.detect(draft.text)[0]) == "en")


def _remove_foreign(draft: Draft) -> None:
    """Remove the sentences that are certainly not in the wanted language."""
    if draft.options.language == "any" or len(draft.sentences) == 1:  # a single sentence: the caption is kept or dropped as a whole
        return
    for sentence in draft.sentences:
        if sentence.text and (code := language.foreign(sentence.text, draft.options.language)):
            sentence.remove("language", code)


def _is_in_another_language(draft: Draft) -> str | None:
    options = draft.options
    if _has_no_text(draft) is not None:
        draft.language = next((sentence.detail for sentence in draft.sentences if sentence.reason == "language"), "")
        return None
    draft.language, score = language.detect(draft.text)
    if options.language == "any" or (draft.language == options.language and score >= options.min_language_score):
        return None
    return f"{draft.language} {score:.2f}"


def _remove_promotion(draft: Draft) -> None:
    """Score the caption and its sentences; remove the sentences above the threshold."""
    limit = draft.options.promotion_threshold
    if not draft.sentences:
        return
    found = facts(draft)
    for sentence, fact in zip(draft.sentences, found):
        if fact.sign and sentence.text:
            sentence.remove("promotion", promotion.sign(sentence.source))
    if _is_english(draft):
        scores, draft.score = promotion.model().scores([sentence.source for sentence in draft.sentences], found)
        before = None
        for sentence, score in zip(draft.sentences, scores):
            sentence.score = score
            if score >= limit + SENTENCE_MARGIN * (1 - limit) and WORD.search(sentence.text) and not _belongs_to(before, sentence):
                sentence.remove("promotion")
            before = sentence
    remove_what_depends(draft.sentences)


def _belongs_to(before: Sentence | None, sentence: Sentence) -> bool:
    """Return whether ``sentence`` is the short second part of a line with a bar: "Lago di Sorapis | Italy"."""
    return before is not None and bool(before.text) and "|" in before.gap and word_count(sentence.text, SHORT + 1) <= SHORT


def facts(draft: Draft) -> list[promotion.Facts]:
    """Return the findings of the rules about each sentence."""
    signs = bool(promotion.sign("\n".join(sentence.source for sentence in draft.sentences)))
    return [
        promotion.Facts(promotion.word_count(sentence.source), sentence.reason, signs and bool(promotion.sign(sentence.source)))
        for sentence in draft.sentences
    ]


def _promotes(draft: Draft) -> str | None:
    if _has_no_text(draft) is not None:  # the reason is then the rule that removed most of it
        return None
    return f"score {draft.score:.2f}" if draft.score >= draft.options.promotion_threshold else None


def _has_no_text(draft: Draft) -> str | None:
    return None if any(map(str.isalpha, draft.text)) else ""


def _has_few_words(draft: Draft) -> str | None:
    count = word_count(draft.text, draft.options.min_words)
    return str(count) if count < draft.options.min_words else None


def _is_long(draft: Draft) -> str | None:
    return str(len(draft.text)) if len(draft.text) > draft.options.max_chars else None


def _alone(function: Callable[[str], str]) -> Callable[[str, CleanOptions], str]:
    """Return ``function`` with an unused second argument, for a rule without options."""
    return lambda text, options: function(text)


RULES = (
    Rule("no-caption", "no caption at all", drop=lambda draft: None if draft.text.strip() else ""),
    Rule("unknown-likes", "with --unknown-likes drop: the count is hidden", drop=_hides_likes, relaxed={"unknown_likes": "keep"}),
    Rule("too-few-likes", "fewer likes than --min-likes", drop=_has_few_likes, relaxed={"min_likes": 0}),
    Rule("encoding", "undo mojibake, HTML entities and <U+...> escapes",
         "Nobody told the owls of the old cafÃ© &amp; bar", "Nobody told the owls of the old café & bar",
         change=normalize.repair_encoding),
    Rule("characters", "normalize to NFC and plain letters; remove invisible characters and spaces before punctuation",
         "The lake is so 𝓬𝓪𝓵𝓶 today !", "The lake is so calm today!", change=normalize.plain_characters),
    Rule("separators", "remove lines of dots or dashes, and isolated marks at line ends",
         "Fog again this morning\n.\n.\nand then the rain", "Fog again this morning\n\nand then the rain",
         change=normalize.without_separators),
    Rule("credits", "remove credits, reposts, lists of roles, clothes or gear; what follows a credit stays",
         "Photo by @ann.lee. Two foxes were asleep on the rails this morning.", "Two foxes were asleep on the rails this morning.",
         each=_alone(without_credits)),
    Rule("tags", "remove tags around a sentence; one inside becomes its words (--inline-tags), or the sentence goes",
         "We slept through another #earthday up there #hiking #fog", "We slept through another earth day up there",
         each=lambda text, options: tags.without_tags(text, options.inline_tags)),
    Rule("emails", "remove the sentences that hold an e-mail address",
         "We slept in the hut and heard the owls. Write to owl@example.com.", "We slept in the hut and heard the owls.",
         each=_alone(privacy.without_emails)),
    Rule("urls", "remove URLs, and the sentences that need them",
         "The walk took us nine hours and I loved it. example.com/walk", "The walk took us nine hours and I loved it.",
         each=_alone(privacy.without_urls)),
    Rule("phones", "remove the sentences that hold a phone number",
         "We were so tired when we made it up there. Call +1 970 555 0100.", "We were so tired when we made it up there.",
         each=_alone(privacy.without_phones)),
    Rule("handles", "remove @handles with their introduction, and the sentences that need them (--handles keep: none)",
         "I walked home through the fog with @ann.lee and I loved it. @bea slept.", "I walked home through the fog and I loved it.",
         each=lambda text, options: text if options.handles == "keep" else privacy.without_handles(text)),
    Rule("runs", "keep at most three of the same mark or emoji in a row",
         "It snowed on us in June!!!!!!", "It snowed on us in June!!!", each=_alone(normalize.short_runs)),
    Rule("emoji", "with --emoji drop: remove emoji",
         each=lambda text, options: normalize.without_emoji(text) if options.emoji == "drop" else text),
    Rule("language", "remove sentences in other languages than --language; drop captions in another one or below --min-language-score",
         "The lake is still frozen. El lago todavía está congelado.", "The lake is still frozen.",
         remove=_remove_foreign, drop=_is_in_another_language, relaxed={"language": "any", "min_language_score": 0.0}),
    Rule("promotion", "remove sentences that sell, beg or aren't natural text; drop promotional captions (--promotion-threshold)",
         "I walked home through the fog and it was lovely. Link in bio!", "I walked home through the fog and it was lovely.",
         remove=_remove_promotion, drop=_promotes),
    Rule("no-text", "no letter is left", drop=_has_no_text),
    Rule("too-few-words", "fewer words than --min-words", drop=_has_few_words, relaxed={"min_words": 1}),
    Rule("too-long", "more characters than --max-chars", drop=_is_long, relaxed={"max_chars": 10_000}),
    Rule("exact-duplicate", "the same clean caption as a post with more likes"),
    Rule("folded-duplicate", "the same except for case, punctuation, emoji and tags"),
    Rule("near-duplicate", "similarity above --near-threshold to a post with more likes", relaxed={"near_threshold": 1.0}),
)  # fmt: skip
SENTENCE_RULES = tuple(rule for rule in RULES if rule.each)
_PRIVATE = frozenset(("emails", "urls", "phones", "handles"))
#: If too little of a caption is left, the reason is the rule that removed most of it.
_OF_WHAT_IS_LEFT = frozenset(("no-text", "too-few-words"))
