"""The language of short captions: English or not, on hand-written captions and on the labelled files of ../shared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import ROOT, SHARED

from hugging_captions import language, storage
from hugging_captions.errors import InputError

CAPTIONS = ROOT / "tests" / "fixtures" / "language_captions.jsonl"
TWEETS = SHARED / "data" / "lid_tweets_8lang.jsonl"
SENTENCES = SHARED / "data" / "lid_sentences_75lang.jsonl"


@pytest.mark.parametrize(
    ("path", "accuracy", "recall"),
    [(CAPTIONS, 0.95, 0.90), (TWEETS, 0.95, 0.90), (SENTENCES, 0.97, 0.90)],
    ids=["captions", "tweets", "sentences"],
)
def test_english_is_recognised_among_other_languages(path: Path, accuracy: float, recall: float) -> None:
    """A minimum; currently all 150 captions are correct."""
    if not path.exists():
        pytest.skip(f"{path} is not there")
    with open(path, encoding="utf-8") as handle:
        rows = [(row["caption"], row["lang"] == "en") for row in map(json.loads, handle)]
    judged = [(language.detect(caption)[0] == "en", is_english) for caption, is_english in rows]
    assert sum(said == is_english for said, is_english in judged) / len(judged) >= accuracy
    assert sum(said for said, is_english in judged if is_english) / sum(is_english for _, is_english in judged) >= recall


def test_the_hand_written_captions_are_balanced() -> None:
    rows = [json.loads(line) for line in CAPTIONS.read_text(encoding="utf-8").split("\n") if line]
    assert (len(rows), sum(row["lang"] == "en" for row in rows), len({row["lang"] for row in rows})) == (150, 75, 16)
    assert len({row["caption"] for row in rows}) == 150


@pytest.mark.parametrize(
    "caption",
    [
        "",
        "🌊🌊🌊",
        "Yes!!",
        "five5",
        "#mountains #sunrise",
        "@some.body @another.one",
        "https://example.com/morning",
        "12.07.2019 ☀️ 14,259",
    ],
)
def test_fewer_than_six_letters_are_in_no_language(caption: str) -> None:
    assert language.detect(caption) == ("unknown", 0.0)


def test_six_letters_are_enough() -> None:
    assert language.detect("mañana")[0] == "es"


@pytest.mark.parametrize(
    ("caption", "code"),
    [
        ("The whole family went hiking before breakfast", "en"),
        ("The whole family went hiking before breakfast 🥾🥾 @schöne.berge #wanderlust #urlaubindenbergen", "en"),
        ("Die ganze Familie war vor dem Frühstück wandern", "de"),
        ("Die ganze Familie war vor dem Frühstück wandern 🥾🥾 @best.trails.ever #lovethemountains #hiking", "de"),
    ],
)
def test_tags_handles_and_emoji_do_not_count(caption: str, code: str) -> None:
    assert language.detect(caption)[0] == code


def test_the_same_caption_gets_the_same_answer() -> None:
    rows = [json.loads(line)["caption"] for line in CAPTIONS.read_text(encoding="utf-8").split("\n") if line]
    first = [language.detect(caption) for caption in rows]
    assert [language.detect(caption) for caption in reversed(rows)] == first[::-1]


def test_a_missing_model_is_an_input_error_with_the_command_that_restores_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "DATA", tmp_path)
    with pytest.raises(InputError, match=r"lid\.176\.ftz: it does not exist") as caught:
        storage.data_file("lid.176.ftz")
    assert "git checkout -- " in caught.value.hint
