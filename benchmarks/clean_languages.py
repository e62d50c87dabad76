"""English or not, by each detector that is installed, on labelled captions: accuracy, precision, recall, captions a second.

Reads JSONL files of ``caption`` and ``lang``. Each detector gets the same text without tags, handles, URLs, emoji and
digits, and is loaded before the clock starts; that of 2020 gets the raw caption.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import clean_2020

from hugging_captions.console import table
from hugging_captions.storage import data_file
from hugging_captions.text import HANDLE, TAG

IsEnglish = Callable[[str], bool]

_NOT_LANGUAGE = re.compile(rf"{TAG}|{HANDLE}|https?://\S+|[^\w\s'’.,!?-]|[\d_]")


def print_tables(paths: Sequence[Path], sample: int | None) -> None:
    """Print accuracy and speed of each installed detector of English for each labelled file."""
    files = {path.stem: read_labelled(path, sample) for path in paths if path.exists()}
    missing = [f"{path} does not exist" for path in paths if not path.exists()]
    rows: dict[str, list[tuple[object, ...]]] = {name: [] for name in files}
    for detector, load in detectors().items():
        try:
            is_english = load()
        except ImportError as error:
            missing.append(f"{detector} was not measured: {error}")
            continue
        for name, captions in files.items():
            found = measure(is_english, captions)
            rows[name].append((detector, *(f"{found[key]:.3f}" for key in ("accuracy", "precision", "recall")), f"{found['rate']:,.0f}"))
    for name, captions in files.items():
        title = f"English or not: {name}, {len(captions):,}"
        print(table(rows[name], (title, "accuracy", "precision", "recall", "captions/s, one process")), "\n")
    print("\n".join(missing))


def read_labelled(path: Path, sample: int | None) -> list[tuple[str, bool]]:
    """Return the captions of ``path`` and whether each is English; with ``sample`` a seeded random sample."""
    with open(path, encoding="utf-8") as handle:
        rows = [(str(row["caption"]), row["lang"] == "en") for row in map(json.loads, handle)]
    return rows if sample is None or sample >= len(rows) else random.Random(0).sample(rows, sample)


def detectors() -> dict[str, Callable[[], IsEnglish]]:
    """Return the loader of each detector by name; it raises ImportError if the detector is not installed."""
    return {
        "ours (words, CLD2, fastText)": _ours,
        "py3langid": _py3langid,
        "fastText lid.176 alone": _fasttext,
        "CLD2 (pycld2)": _pycld2,
        "lingua": _lingua,
        "langdetect": _langdetect,
        "langdetect, raw caption (2020)": _langdetect_raw,
    }


def measure(is_english: IsEnglish, rows: list[tuple[str, bool]]) -> dict[str, float]:
    """Return accuracy, precision, recall of English and captions a second of ``is_english`` on ``rows``."""
    for caption, _ in rows[:20]:  # models are loaded before the clock is started
        is_english(caption)
    start = time.perf_counter()
    said = [is_english(caption) for caption, _ in rows]
    seconds = time.perf_counter() - start
    hits = sum(guess and truth for guess, (_, truth) in zip(said, rows))
    return {
        "accuracy": sum(guess == truth for guess, (_, truth) in zip(said, rows)) / len(rows),
        "precision": hits / max(1, sum(said)),
        "recall": hits / max(1, sum(truth for _, truth in rows)),
        "rate": len(rows) / seconds,
    }


def _bare(caption: str) -> str:
    return " ".join(_NOT_LANGUAGE.sub(" ", caption).split())


def _ours() -> IsEnglish:
    from hugging_captions import language

    return lambda caption: language.detect(caption)[0] == "en"


def _py3langid() -> IsEnglish:
    from py3langid import langid

    identifier = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE)
    return lambda caption: bool(identifier.classify(_bare(caption).lower())[0] == "en")


def _fasttext() -> IsEnglish:
    import fasttext

    model = fasttext.load_model(str(data_file("lid.176.ftz")))
    return lambda caption: model.predict(_bare(caption).lower(), 1)[0] == ("__label__en",)


def _pycld2() -> IsEnglish:
    import pycld2

    def is_english(caption: str) -> bool:
        try:
            return bool(pycld2.detect(_bare(caption), bestEffort=True)[2][0][1] == "en")
        except pycld2.error:  # it refuses some characters
            return False

    return is_english


def _lingua() -> IsEnglish:
    from lingua import Language, LanguageDetectorBuilder

    detector = LanguageDetectorBuilder.from_all_languages().with_preloaded_language_models().build()
    return lambda caption: detector.detect_language_of(_bare(caption)) == Language.ENGLISH


def _langdetect() -> IsEnglish:
    import langdetect  # noqa: F401 - fails at once where it is missing

    return lambda caption: clean_2020.detect(_bare(caption)) == "en"


def _langdetect_raw() -> IsEnglish:
    import langdetect  # noqa: F401

    return lambda caption: clean_2020.detect(caption) == "en"
