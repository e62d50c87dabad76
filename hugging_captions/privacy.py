"""Take out what leads to a person: e-mail addresses, URLs, phone numbers, handles.

Pure text functions. What stays still reads: a mention goes with the words that lead to it, becomes
"a friend" where the sentence needs somebody, or takes its sentence with it.
"""

from __future__ import annotations

import re

from .repair import BROKEN, EMOJI, HANDLE, HOLE, close_holes, tidy, words

_URL = re.compile(
    r"(?:\b(?:(?:(?:read|see|find|learn|hear)\s+)?more\s+)?(?:at|on|via|visit|see|from|by|here)\b:?\s*)?(?:(?:https?://|\bwww\.(?=\w))[^\s<>]+|(?<![@.\w-])(?:[a-z0-9-]+\.)+(?:com|edu|gov|org|net|info|io|co|ly|me|tv|uk|de|fr|es|it|ca|au|la|nl|eu|us|biz|xyz|fm|ru|jp|br|se|dk|pl|shop|store|blog|app)\b(?:/[^\s<>]*)?)",
    re.IGNORECASE,
)
#: What a URL has at least, if not "://".
_MAYBE_URL = re.compile(r"\.(?:(?<=[A-Za-z0-9-]\.)[A-Za-z]{2}|(?<=[Ww]{3}\.)\w)")
#: An e-mail address, also one that was cut off ("somebody@mail..."), or a name glued to a word; looked for from its @, in a tenth of the time.
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]*[^\W_]@(?=\w)[\w.-]*\w(?:\.{2,})?")
_MAYBE_EMAIL = re.compile(r"@(?<=[^\W_]@)\w")
_PHONE = re.compile(r"(?<![\w.,])(?:\+|00)?\(?\d[\d\s().\-/]{5,18}\d(?!\w)")
#: The digits that a phone number has at least.
_MAYBE_PHONE = re.compile(r"\d(?:[\s().\-/]*\d){6}")
_HANDLE = re.compile(rf"@(?<![^\W_]@){HANDLE[1:]}")
#: A word with an underscore in it is somebody's name on a platform; "o_O" is not.
_BARE_HANDLE = re.compile(
    r"(?<![\w@#/.])(?=[\w.]{4})(?![\w.]*\.(?:jpe?g|png|gif|mov|mp4|pdf|txt)\b)[A-Za-z0-9.]+_[A-Za-z0-9_.]*[A-Za-z0-9]"
)
#: What a text with a handle has, for RE2: an at sign, or an underscore between the characters of a name.
HANDLE_SIGNS = r"@|[A-Za-z0-9._]_[A-Za-z0-9_.]"
#: Several handles, one behind the other.
HANDLES = rf"{HANDLE}(?:(?:\s*,\s*(?:and|&)\s+|\s*[,&+/|]\s*|\s+and\s+|\s+){HANDLE})*"
_COMPANY = "together with|with|w/|w|cc|feat|ft|featuring|and|&|x"
_PREPOSITION = rf"{_COMPANY}|by|from|via|to|for|at|of|in|on|off|into|like|than|around"
#: A list of handles with what leads to it: prepositions, a camera, an article.
_MENTION = re.compile(
    rf"(?P<lead>(?:[ ,(|]*(?<!\w)(?:{_PREPOSITION}|[📷📸🎥📹]\ufe0f?)(?![\w/])[.:]*)*)(?P<article>[ ]*\b(?:the|my|our|your|this|these|a|an|his|her|their)\b)?"
    rf"(?P<gap>[ (]*)_*(?<![^\W_]){HANDLES}(?P<possessive>[ ]?['’]s\b)?\)?",
    re.IGNORECASE,
)
_ANY_WORD = re.compile(r"\w+")
_LEADS = words(rf"{_PREPOSITION}|the|my|our|your|this|these|a|an|his|her|their".replace("|", " ").replace("w/", ""))
#: The characters before an @ that can lead to it.
_LEAD = 40
#: A list of people goes on behind them: "with @x and so many others".
_LISTS = re.compile(r"(?:^|\W)with[ ]*$", re.IGNORECASE)
#: What speaks of a handle that has gone: "shared by @x, my favourite", "in the words of @x 'never'".
_QUOTED = re.compile(r"[ ]*[\"“‘']\w")
_APPOSED = re.compile(r"[ ]*,[ ]*(?=\w)(?!and\b|but\b|so\b)(?P<speaks>(?:who|whose|my|our|the|an?|he|she|they)\b)?")
#: These say nothing without whom they belong with.
_NEEDS_MORE_BEHIND: frozenset[str] = words(
    "collab collaboration collaborating collaborated partnership partnered partnering partner teamed teaming according compared belongs listening "
    "shoutout courtesy words dressed wearing wore rocking available exclusively inspired powered sponsored brought "
    "presented hosted provided gifted signed obsessed only introduced collaborate look looking love loving new pair"
)
#: What is done by somebody: "a car owned by @x".
_DONE = ("ed", "wn", "ven", "ken", "ten", "orn", "ght")
_TWO_WORDS = re.compile(r"[ ]*\w+(?:,|[ ]+[\w“\"])")
#: What a handle behind it was the noun of.
_OF_ADJECTIVES = ("ous", "ful", "able", "ible", "less", "est")
#: What is praised so is no friend's.
_PRAISES: frozenset[str] = words(
    "new newest latest first own amazing beautiful incredible marvelous wonderful gorgeous awesome great best official upcoming fabulous"
)
#: Before these it is somebody's who owns what follows: "the cats in @x's kitchen", "this is @x's bench".
_BEFORE_OWNER: frozenset[str] = words("is was are were did does love loved like see saw")
#: These say nothing without the "of" behind them.
_NEEDS_OF: frozenset[str] = words(
    "help front because member part founder owner rest side top one some all most lots courtesy home founders members"
)
#: "My ring and @brand lipstick" says nothing without the brand.
_JOINS = re.compile(r"(?:and|&)[ ]*$", re.IGNORECASE)
#: What can follow a companion with a capital letter: the start of a sentence, a day; anything else may be a product.
_BEGINS: frozenset[str] = words(
    "I I'm I've The This That These It We You He She They My Our What Who How Such So Had Have Love Loved Happy Can Can't Now Thanks Thank "
    "Looking Not And But With At In On For To From "
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
)
_MADE: frozenset[str] = words("made built painted written drawn baked styled sewn knitted carved crafted")
_COMPANION = re.compile(rf"(?:^|[\W\d_])(?:{_COMPANY})[ ,(.:]*$", re.IGNORECASE)
#: Before these a bare handle is an address ("thanks @x!") and can go.
_ADDRESSING = frozenset(
    "thanks you thx ty love sorry hi hey hello birthday bday welcome congrats congratulations miss follow tag".split()  # noqa: SIM905
)
#: After these a bare handle is somebody: "so did @x", "ask @x about it".
_BEFORE_SOMEBODY: frozenset[str] = words("did does ask asked told tell met saw traded gave give made let said says")
#: After these it is, if it does something: "when @x nails it", but not "when @x pants got here".
_BEFORE_CLAUSE: frozenset[str] = words("that when if but because while then and as")
#: What somebody at the start of a sentence can do; "a friend" in front of any other word ("@brand boots") might be a thing.
_DOES: frozenset[str] = words(
    "and who said says made makes took takes went goes came comes got gets gave gives told tells knows knew "
    "just always never can could will would did does found finds saw sees thinks thought let lets left brought caught fell "
    "ran runs kept keeps still taking making going getting looking doing being having coming"
)
#: These follow things as well: "@brand is designed".
_VERBS: frozenset[str] = words("is was has had are were have")
#: All that somebody does, and what ends like it and is only had.
_ACTS = _DOES | _VERBS | words("drove wrote shot won sang built taught sent bought began rode spent")
#: What a thing does besides: "the @brand looks warm".
_STANDS = words("looks feels seems offers opens opened sits stands shows hosts hosted features presents")
_THINGS: frozenset[str] = words("pants jeans boots shoes shorts leggings glasses sunglasses earrings products photos pics")
_IS_SOMEBODY = re.compile(
    r"[ ]*(?:is|was|has|had)[ ]+(?:the|my|our|so|such|here|back|always|still|not|never|just|been|(?!offer|launch|host|hav|giv|sell|runn|releas|open|bring)\w+ing)\b"
)
#: What can follow a place or a person that was taken out: "dinner at @x with the family".
_GOES_ON: frozenset[str] = words(
    "to and in on for this today tonight last with but where when while before after as because yesterday tomorrow then so "
    "until during at by from near is was who whose about over under along across through around up down out inside outside instead"
)
#: What led to a handle that has gone: "Shirt:", "Consulting:".
_LABEL = re.compile(
    rf"(?:^|(?<=[.!?,;|/()•{EMOJI}]))[ ]*[^\W\d_][\w& ]{{0,23}}:[ ]*{HOLE}(?=\s*(?:[),|/•]|$))",
    re.MULTILINE,
)
#: What a removal leaves: brackets with nothing in them or half of them, a label of nothing, commas before other marks, marks at the ends.
_EMPTY_BRACKETS = re.compile(r"\((?:[^\s()][^()\n]{0,40}\s|\s*)\)|\[\s*\]|(?<!\S)@(?!\S)")
_LONE_BRACKET = re.compile(r"(?<=\s)\)(?=\s|$)")
_LABEL_OF_NOTHING = re.compile(r"(?<![^.!?\n|])[^.!?\n|]*:[.!?]+")
_STRAY_MARK = re.compile(r"[ ,]+([,.!?;]|:(?![-)(DP]))")
_LONE_COLON = re.compile(r"(?<=[.!?]) ?: ")
_LOOSE_ENDS = re.compile(r"(?m)^(?:[ ,;:|/]+|\.(?!\.) *)+|[ ,(]+$")
_NEXT_WORD = re.compile(r"[ ]*([A-Za-z]+|&)")
#: One or two words between a break and a handle, the label of one that has gone: "Great chair. Artist @x".
_TAIL = re.compile(rf"(?<=[.!?\n|/({EMOJI}])[ ]*(?:[\w'’&]+[ ]*){{1,2}}{HOLE}(?=\s*(?:$|[\n|/{EMOJI}]))")


def mark_handles(text: str) -> str:
    """Return ``text`` with an @ before each handle that has none."""
    if "_" not in text or not any("_" in word and word[0] != "@" for word in text.split()):
        return text
    return _BARE_HANDLE.sub(r"@\g<0>", text)


def holds_handle(text: str) -> bool:
    """Return whether ``text`` holds a handle."""
    return "@" in text and bool(_HANDLE.search(text))


def without_emails(text: str) -> str:
    """Return ``text`` without the sentences that hold an e-mail address."""
    return _mend_gaps(close_holes(_EMAIL.sub(BROKEN, text))) if _MAYBE_EMAIL.search(text) else text


def without_urls(text: str) -> str:
    """Return ``text`` without URLs and bare domains, and without the sentences that need them."""
    return _mend_gaps(close_holes(_URL.sub(HOLE, text))) if "://" in text or _MAYBE_URL.search(text) else text


def without_phones(text: str) -> str:
    """Return ``text`` without the sentences that hold a phone number."""
    if not _MAYBE_PHONE.search(text):
        return text
    return _mend_gaps(close_holes(_PHONE.sub(lambda match: BROKEN if _is_phone(match[0]) else match[0], text)))


def without_handles(text: str) -> str:
    """Return ``text`` without handles, so that it still reads.

    A handle goes with the preposition that leads to it; one that the sentence needs becomes "a friend";
    a sentence that would not surely read either way goes as a whole.
    """
    text = mark_handles(text)
    if "@" not in text:
        return text
    text = _without_mentions(text)
    if HOLE in text:
        text = _TAIL.sub("", _LABEL.sub("", text) if ":" in text else text)
    return _mend_gaps(close_holes(text))


def _without_mentions(text: str) -> str:
    """Return ``text`` with ``_without_mention`` in the place of each; looked for around each @ only, which saves nine tenths of the time."""
    done, end = [], 0
    while (at := text.find("@", end)) >= 0 and (match := _MENTION.search(text, _behind_last_word(text, max(end, at - _LEAD), at))):
        done += [text[end : match.start()], _without_mention(match)]
        end = match.end()
    return "".join([*done, text[end:]])


def _behind_last_word(text: str, start: int, at: int) -> int:
    """Return the end of the last word of ``text`` between ``start`` and a handle ``at`` that can't lead to it: no mention begins before."""
    for word in reversed(list(_ANY_WORD.finditer(text, start, at))):
        if (bare := word[0].lower().strip("_")) and bare not in _LEADS:
            return word.end()
    return start


def _without_mention(match: re.Match[str]) -> str:
    """Return what stays of a mention: nothing where it can go, "a friend" where the sentence needs somebody.

    Where neither surely reads, a mark that takes the whole sentence with it.
    """
    before = match.string[: match.start()].rstrip(" ")
    follows = _NEXT_WORD.match(match.string, match.end())
    name = follows[1] if follows else ""
    lead, article, gap = match["lead"], match["article"] or "", match["gap"] or ""
    word = name.lower() if name != "&" or lead else ""
    space = " " if match[0][:1] == " " else ""
    last = re.split(r"\W+", before)[-1].lower()
    starts = not before or before[-1] in '.!?:\n"“' or before[-1] >= "\u2190"  # behind an emoji too
    if match["possessive"]:
        owns = word and name.islower() and word not in _PRAISES and (lead.strip() or starts or last in _BEFORE_OWNER)
        return f"{lead}{space or gap}{'A' if starts and not lead.strip() else 'a'} friend's" if owns else BROKEN
    if lead.strip() or article:
        apposed = _APPOSED.match(match.string, match.end())
        if _QUOTED.match(match.string, match.end()) or (apposed and (apposed["speaks"] or not _COMPANION.search(lead))):
            return BROKEN
    if article:
        reads = word and name.islower() and word not in _ACTS and word not in _STANDS and word not in _GOES_ON
        return f"{lead}{article}" if reads else HOLE if lead.strip() and not word else BROKEN
    if "(" in lead and match[0].endswith(")"):
        return HOLE
    if lead.strip(" ,(|"):
        needs = (last in _NEEDS_OF and lead.strip().lower() == "of") or last in _NEEDS_MORE_BEHIND
        return BROKEN if needs else _without_led_mention(last, lead, name, starts)
    if (
        not word
        and re.match(r"[ ]*,[ ]*\w", match.string[match.end() :])
        and not before.endswith(",")
        and last not in _ADDRESSING
        and not starts
    ):
        return BROKEN
    if last in _ADDRESSING and last != "you" and (word in ("and", "&") or (name[:1].isupper() and name not in _BEGINS)):
        return BROKEN
    if last in ("o", "without") and word:  # the end of "w/o", too
        return BROKEN
    if not word and before[-1:].isalpha() and (last.endswith(_OF_ADJECTIVES) or last in _NEEDS_MORE_BEHIND):
        return BROKEN
    if (
        not word
        or word in ("you", "your", "u", "ur")
        or last in _ADDRESSING
        or (before.endswith(",") and word not in _VERBS and word != "and")
    ):
        return HOLE
    if starts:
        surely = (
            (word in _DOES and name.islower())
            or (word.endswith("ed") and name.islower() and _TWO_WORDS.match(match.string, match.end()))
            or _IS_SOMEBODY.match(match.string, match.end())
        )
        return f"{space or gap}A friend" if surely else BROKEN
    does = word in _ACTS or (name.islower() and word.endswith(("ed", "s")) and word not in _THINGS)
    return f"{space or gap}a friend" if last in _BEFORE_SOMEBODY or (last in _BEFORE_CLAUSE and does) else BROKEN


def _without_led_mention(last: str, lead: str, name: str, starts: bool) -> str:
    """Return what stays of a mention behind the word ``last`` and a preposition, before the word ``name``."""
    word = name.lower()
    if not word and lead.strip().lower() == "by" and (last in _MADE or last.endswith(_DONE)):
        return f"{lead} a friend" if last in _MADE else BROKEN
    if (word in ("who", "whose") and lead.strip().lower() != "by") or (word and last == "proud"):
        return f"{lead} a friend"
    if word in ("a", "an") and lead.strip().lower() == "with":
        return f"{lead} a friend,"
    if starts and word:
        return BROKEN
    if word in ("and", "or", "&") and (_LISTS.search(lead) or last in _ADDRESSING or (last in _MADE and lead.strip().lower() == "by")):
        return f"{lead} a friend"
    if _JOINS.search(lead) and name.islower() and word != "and" and (word in _ACTS or word.endswith("ed")):
        return f"{lead} a friend"
    if not word or word in _GOES_ON:
        return HOLE
    return HOLE if _COMPANION.search(lead) and name in _BEGINS else BROKEN


def _mend_gaps(text: str) -> str:
    """Return ``text`` without the empty brackets and stray commas that a removal leaves."""
    text = _EMPTY_BRACKETS.sub("", text)
    text = _LONE_BRACKET.sub("", text) if " )" in text and "(" not in text else text
    text = _LABEL_OF_NOTHING.sub("", text) if ":." in text else text
    text = _LONE_COLON.sub(" ", _STRAY_MARK.sub(r"\1", text))
    return tidy(_LOOSE_ENDS.sub("", text))


def holds_private_data(text: str) -> bool:
    """Return whether ``text`` holds a handle, a URL, an e-mail address or a phone number."""
    return bool(holds_handle(text) or _URL.search(text) or _EMAIL.search(text) or any(map(_is_phone, _PHONE.findall(text))))


def _is_phone(text: str) -> bool:
    """Return whether a run of digits and marks has the 7 to 15 digits of a phone number (E.164) and is no date or amount."""
    digits = re.sub(r"\D", "", text)
    if not 7 <= len(digits) <= 15 or re.fullmatch(r"\s*\d{1,4}[./-]\d{1,2}[./-]\d{1,4}\s*", text):
        return False
    return text.lstrip().startswith(("+", "00", "(")) or len(digits) >= 9 or bool(re.search(r"\d[\s.\-]\d{4}$", text))
