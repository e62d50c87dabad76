"""The language of a short caption, without tags, handles, URLs, emoji and digits.

Two fast passes, then a slower one for the uncertain rest. A text with enough of the commonest English words is English. CLD2 then detects
other languages: of the tweets that it assigns to one with certainty, 2 of 4,000 are English. Where CLD2 detects English, the words are
checked as well, because it mistakes romanised Hindi for English. The uncertain rest, a sixth of real captions, goes to fastText
(data/lid.176.ftz) with a high threshold for English. Accuracy of English or not: 0.957 on 6,000 tweets in 8 languages and 0.998 on 7,500
sentences in 75, at 25,000 captions a second. py3langid alone is as accurate at a third of the speed (see benchmarks/clean.py).
"""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from .errors import UsageError
from .storage import data_file
from .text import word_set

#: Fewest letters of a caption whose language can be detected.
MIN_LETTERS = 6
UNKNOWN = "unknown"
#: A text with at least this many different words of ``_ENGLISH``, and this share of them, is English without further checks.
ENGLISH_WORDS, ENGLISH_SHARE = 2, 0.25
#: Where CLD2 detects English, this share of ``_SUPPORTS``, at least one word, confirms it.
SUPPORTED_SHARE = 0.25
#: Words of a text among which one may look like a word of another language.
TOKENS_WITH_ONE = 12
#: For a text of at most ``SHORT`` words the detectors only guess: it is English if at least this share and this number of its words are
#: among the commonest English ones.
SHORT, COMMON_SHARE, COMMON_WORDS, COMMONEST = 8, 0.7, 2, 20000
#: The per cent of a text that CLD2 must find in one language, and the characters that fastText reads (its time grows with them).
MOST_OF_IT, ENOUGH = 80, 160
#: The probability of English that fastText must reach where CLD2 agrees and no word contradicts it, and elsewhere.
LIKELY, SURE = 0.25, 0.7
#: The same for a second language that CLD2 doesn't name, and for one that words support where CLD2 detects English.
SURE_OF_SECOND, HALF_SURE = 0.6, 0.4
#: A part with fewer words, or fewer lower-case words, is a name: "Lago di Sorapis".
FEWEST_FOREIGN, SMALL_IN_FOREIGN = 4, 2
#: A part with this many letters makes a caption bilingual if both detectors find another language. A longer part does if one of them does
#: and this many of its words are in lower case, or all are in capitals (names have no language).
LEAST_OF_SECOND, MIN_LETTERS_OF_SECOND, SMALL_WORDS = 8, 13, 3

#: Words of English that are rare in other languages of the Latin script: not "love", "like", "good", which many have borrowed.
_ENGLISH = word_set(
    "the and of you your my this that with for it it's we at was be have from our i'm not what when all just so by out up are they their "
    "there been were would could should about can't don't didn't how why who which these those because than then them him his her has had "
    "more some very into over after before where being where's that's he's she's we're you're i've i'll we'll isn't doesn't "
    "one get got going back here now every always never thing things people still"
)
#: Words that support CLD2 when it detects English: not "do" and "no", which are also Portuguese.
_SUPPORTS = _ENGLISH | word_set("a an is in on to i me i'm as if or go day days good love happy new life best time morning night today")
#: Words that English doesn't have, of languages that are mistaken for it: romanised Hindi, German, the Romance languages, Dutch,
#: Swedish, Indonesian, Tagalog, Turkish. With one of them CLD2's English is checked again.
_NOT_ENGLISH = word_set(
    "hai hain nahi nahin nhi ni kya ka ki ke ko se mein mai hota hoti hoga hua hui bhi aur toh tha thi kar kr karo karna karte "
    "raha rahi rahe rha rhi wala wale wali yeh ye woh wo jo jab tab agar lekin par ek apna apne mera meri mere tera teri tere aap "
    "kuch koi kaise kyun kyu abhi bhai yaar ji gaya gayi liye dekho bol bolo baat kaam zindagi pyar dil desh sirf phir fir chahiye "
    "sakta naam bade kaha kaun acha accha bahut bohot sahi mil milta jai bharat hamara humko mujhe tujhe kisi kahin jaye hori und "
    "ist nicht ich du ihr ein eine mit auf für von zu dem auch noch nur wie sind aber oder el la los las una un que de y con lo "
    "del al mi tu su es muy pero como más está esta este hoy todo yo les des une est et pas je il elle nous vous dans pour sur "
    "avec au aux ce cette qui mais très bien sont mon mes gli che di non sono della nel alla più ti ci si anche questo questa oggi "
    "o os uma não nao e dos das com muito meu minha seu sua você het een van en niet ik dat op voor met zijn och att det som på "
    "är av för inte jag ett ang ng mga ako mo po lang yang ini itu dengan untuk dari tidak aku kamu ada bir bu da için ile çok"
)
#: CLD2's codes that differ from ISO 639-1, and the languages for which it mistakes informal English.
_CLD2_CODES = {"iw": "he", "jw": "jv", "zh-Hant": "zh"}
_LOOSE_ENGLISH = frozenset(("sco", "un"))
_TAG_HANDLE_OR_URL = re.compile(r"[#@][\w.]+|https?://\S+")
_ENOUGH_LETTERS = re.compile(rf"(?:[^\W\d_][\W\d_]*){{{MIN_LETTERS}}}")

#: Most non-letters outside ASCII; each is a break.
_SYMBOLS = re.compile(
    "[\u00a1-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u00d7\u00f7\u2000-\u2017\u2020-\u2bff\u3000-\u303f\ufe00-\ufe0f\uff01-\uff20"
    "\u2018\u201a\u201b\u201e\u201f\u060c\u061b\u061f\u0660-\u0669\u06d4\u06f0-\u06f9\u0964\u0966-\u096f"
    "\U0001f000-\U0001faff]+"
)
#: For ``bytes.translate``: letters and apostrophes stay, marks where the language may change become line breaks, other ASCII spaces.
_PIECES = bytes(
    10 if char in "\n.!?|/~()" else code if char == "'" or char.isalpha() or code > 127 else 32
    for code, char in enumerate(map(chr, range(256)))
)
_ANOTHER_SCRIPT = re.compile(r"[^\W\d_A-Za-zªºÀ-ɏɐ-ʯʰ-˿Ḁ-ỿⱠ-Ɀ꜠-ꟿﬀ-ﬆ]")


def detect(text: str) -> tuple[str, float]:
    """Return the ISO 639-1 code of ``text``'s language (639-3 where it has none) and a certainty.

    The certainty is 1 where the words alone decide, else CLD2's share of the text or fastText's probability. A text with fewer than
    ``MIN_LETTERS`` letters is ``unknown`` with 0, unless it is plain English; a text that might be English is ``unknown`` with its
    probability. The same text always gives the same result.
    """
    tokens = _in_pieces(text).lower().split()
    bare = " ".join(tokens)
    if bare.isascii() and len(_ENGLISH.intersection(tokens)) >= ENGLISH_WORDS and _count(tokens, _ENGLISH) >= ENGLISH_SHARE * len(tokens):
        return "en", 1.0
    if not _ENOUGH_LETTERS.search(bare):
        return UNKNOWN, 0.0
    code, share = _by_cld2(bare)
    foreign = _count(tokens, _NOT_ENGLISH) > len(tokens) // TOKENS_WITH_ONE
    if code and (code != "en" or (not foreign and _count(tokens, _SUPPORTS) >= max(1, SUPPORTED_SHARE * len(tokens)))):
        return code, share
    careful, probability = _by_fasttext(bare)
    if careful == "en" and len(tokens) <= SHORT and bare.isascii() and not foreign and _is_common(tokens, probability):
        return "en", max(SURE, probability)
    if careful == "en" and probability < (LIKELY if code and not foreign else SURE):
        return UNKNOWN, probability
    return careful, probability


def _is_common(tokens: Sequence[str], probability: float = 1.0) -> bool:
    """Return whether most of ``tokens`` are common English words, or all where English is less than ``LIKELY``."""
    common = sum(token in _common_words() for token in tokens)
    return common >= max(COMMON_WORDS, (COMMON_SHARE if probability >= LIKELY else 1) * len(tokens))


@cache
def _common_words() -> frozenset[str]:
    limit = math.log(COMMONEST * math.log(len(word_costs())))
    common = {word for word, cost in word_costs().items() if cost <= limit and len(word) > 1}
    return frozenset(common - _NOT_ENGLISH - {"http", "https", "com"} | {"a", "i"})


@cache
def word_costs() -> dict[str, float]:
    """Return the negative log-likelihood of each of 126,000 English words, by Zipf's law from its rank."""
    ranked = gzip.decompress(data_file("wordninja_words.txt.gz").read_bytes()).decode().split()
    return dict(zip(ranked, np.log(np.arange(1, len(ranked) + 1) * math.log(len(ranked))).tolist()))


def refuse_unknown(code: str, flag: str) -> None:
    """Refuse a ``code`` of a language that ``detect`` can't find.

    Raises:
        UsageError: ``code`` is not among the languages.
    """
    import pycld2

    known = {_CLD2_CODES.get(found, found) for _, found in pycld2.LANGUAGES} - _LOOSE_ENGLISH
    if code not in known:
        raise UsageError(f"{flag} {code}: no such language", "the codes (ISO 639-1): " + " ".join(sorted(c for c in known if len(c) == 2)))


def foreign(text: str, wanted: str) -> str:
    """Return the language of ``text``, a part of a caption, if it is certain and not ``wanted``, else an empty string.

    Text mostly in a script other than Latin is not English. Names and single words have no language.
    """
    if wanted == "en" and not text.isascii() and 2 * len(_ANOTHER_SCRIPT.findall(text)) > sum(map(str.isalpha, text)):
        code, _ = detect(text)
        return code if code not in (wanted, UNKNOWN) else "another script"
    pieces = _in_pieces(text).replace("\n", " ")
    tokens = pieces.split()
    if wanted == "en" and len(tokens) <= SHORT and text.isascii() and _is_common([token.lower() for token in tokens]):
        return ""
    if len(tokens) < FEWEST_FOREIGN and sum(token[0].islower() for token in tokens) < SMALL_IN_FOREIGN and text.isascii():
        return ""
    return _other_language(pieces, wanted)


def _other_language(piece: str, code: str) -> str:
    """Return the language of ``piece`` if it is certain and not ``code``, else an empty string."""
    tokens = piece.split()
    letters = sum(map(len, tokens))
    if letters < LEAST_OF_SECOND:
        return ""
    words = [token.lower() for token in tokens]
    if code == "en" and _count(words, _ENGLISH) > len(words) // TOKENS_WITH_ONE:
        return ""
    bare = " ".join(words)
    fast, _ = _by_cld2(bare)
    denied = code == "en" and not _NOT_ENGLISH.isdisjoint(words)
    if fast == code and not denied:
        return ""
    careful, probability = _by_fasttext(bare)
    other = careful if fast == code or (not fast and probability >= SURE_OF_SECOND) else fast
    if not other or other == code or (fast == code and probability < HALF_SURE):
        return ""
    small = len(tokens) if piece.isupper() else sum(token[0].islower() for token in tokens)
    both = careful == fast and len(set(tokens)) > 1
    no_name = small >= SMALL_WORDS or (denied and len(tokens) >= SMALL_WORDS)
    return other if both or (letters >= MIN_LETTERS_OF_SECOND and no_name) else ""


def _in_pieces(text: str) -> str:
    """Return the part of ``text`` that language detection uses: its letters, with a line break where another language may begin."""
    if "#" in text or "@" in text or "://" in text:
        text = _TAG_HANDLE_OR_URL.sub(" ", text)
    if not text.isascii():
        text = _SYMBOLS.sub("\n", text.replace("’", "'").replace("“", " ").replace("”", " "))
    return text.encode("utf-8", "replace").translate(_PIECES).decode()  # str.translate takes twenty times as long


def _count(tokens: Sequence[str], words: frozenset[str]) -> int:
    return sum(map(words.__contains__, tokens))


def _by_cld2(bare: str) -> tuple[str, float]:
    """Return the one language that CLD2 reliably finds in ``bare`` and its share, or an empty string where it is unreliable."""
    import pycld2

    try:
        reliable, _, found = pycld2.detect(bare)
    except pycld2.error:  # characters that it refuses
        return "", 0.0
    _, code, percent, _ = found[0]
    if not reliable or percent < MOST_OF_IT or code in _LOOSE_ENGLISH:
        return "", 0.0
    return _CLD2_CODES.get(code, code), percent / 100


def _by_fasttext(bare: str) -> tuple[str, float]:
    """Return the likeliest language of the beginning of ``bare``, and its probability."""
    labels, probabilities = _fasttext_predict()(bare[:ENOUGH], 1)
    return (labels[0].removeprefix("__label__"), min(1.0, round(probabilities[0], 4))) if labels else (UNKNOWN, 0.0)


@cache
def _fasttext_predict() -> Callable[[str, int], tuple[Sequence[str], Sequence[float]]]:
    import fasttext

    predict: Callable[[str, int], tuple[Sequence[str], Sequence[float]]] = fasttext.load_model(str(data_file("lid.176.ftz"))).predict
    return predict
