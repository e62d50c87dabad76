"""A caption cut into sentences, and put together again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hugging_captions.cleaner.sentences import join, split


@pytest.mark.parametrize(
    ("caption", "sentences"),
    [
        ("Fog. Rain! Snow?", ["Fog.", "Rain!", "Snow?"]),
        ("We met Dr. Hill at 5 a.m. and walked", ["We met Dr. Hill at 5 a.m. and walked"]),
        ("Fog... and rain", ["Fog... and rain"]),
        ("Fog on the lake 🌤 Rain by noon", ["Fog on the lake 🌤", "Rain by noon"]),
        ("Fog on the lake 🌤 and rain by noon", ["Fog on the lake 🌤 and rain by noon"]),
        ("First line\nSecond line", ["First line", "Second line"]),
        ("Fog\n.\n.\nRain", ["Fog", ".", ".", "Rain"]),
        ("The lake | The hut // The pass • The road", ["The lake", "The hut", "The pass", "The road"]),
        ("We made it! 😀 The soup was hot", ["We made it! 😀", "The soup was hot"]),
        ("We made it. 📸 @some.body", ["We made it.", "📸 @some.body"]),
        ("Up there with @some.body She fell twice", ["Up there with @some.body", "She fell twice"]),
        ("Two foxes (one asleep). Then rain", ["Two foxes (one asleep).", "Then rain"]),
        ("“Is it windy?” asked the man (hi!) in the hut", ["“Is it windy?” asked the man (hi!) in the hut"]),
        ("It ended yesterday.Today it snows", ["It ended yesterday.", "Today it snows"]),
        ("🌴 Tag the one who knows", ["🌴 Tag the one who knows"]),
        ("Up before the birds . . . #hiking", ["Up before the birds", "#hiking"]),
        ("", []),
    ],
)
def test_a_caption_is_cut_into_sentences(caption: str, sentences: list[str]) -> None:
    assert [sentence.source for sentence in split(caption)] == sentences


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(["Fog", "rain", ". ", "! ", "\n", " | ", "😀 ", "(", ") ", "... ", "a.m. ", "@x ", "#y ", " "]), max_size=20)
)
def test_no_letter_is_lost(parts: list[str]) -> None:
    caption = "".join(parts)
    found = "".join(sentence.source for sentence in split(caption))
    assert [char for char in found if char.isalnum()] == [char for char in caption if char.isalnum()]
    assert [char for char in join(split(caption)) if char.isalnum()] == [char for char in caption if char.isalnum()]


def test_removed_sentences_leave_their_line_breaks() -> None:
    sentences = split("Fog. Tag somebody. Rain.\nLink in bio\nSnow")
    for number in (1, 3):
        sentences[number].remove("promotion")
    assert join(sentences) == "Fog. Rain.\n\nSnow"
