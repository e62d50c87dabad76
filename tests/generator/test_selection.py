"""The score and its features, on texts with an obvious order."""

from __future__ import annotations

import pytest

from hugging_captions.generator import selection

PLAIN = "Beautiful evening up at the lake with the kids."


def score(text: str, mean_logprob: float = -2.0) -> float:
    return selection.score(selection.features(text, mean_logprob))


@pytest.mark.parametrize(
    "worse",
    [
        "Beautiful evening up at the lake with the kids at the lake with the kids at the lake.",
        PLAIN + " It was the evening that the lake had been, and then the evening went to the lake, and we had the lake for the evening.",
        PLAIN + " 🐸🚒🍩🧦",
    ],
)
def test_a_plain_caption_ranks_above_repetitive_long_or_emoji_filled_ones(worse: str) -> None:
    assert 0 < score(worse) < score(PLAIN) < 1


def test_a_likelier_caption_comes_first() -> None:
    assert score(PLAIN, mean_logprob=-1.0) > score(PLAIN, mean_logprob=-3.0)


@pytest.mark.parametrize("text", ["", "🌲", "9", "\n", "湖が好き"])
def test_any_text_has_a_score(text: str) -> None:
    assert 0 < score(text) < 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", 4),
        ("a line\nanother line", 2),
        ("He said “stop.” Then he left.", 2),
        ("3.5 miles at 7 a.m. today", 2),
        ("one 🌲. 🌲", 1),
        ("", 0),
    ],
)
def test_sentences(text: str, expected: int) -> None:
    assert len(selection.sentences(text)) == expected


@pytest.mark.parametrize(
    ("text", "loop"),
    [
        ("The lake and the trail and the elk and the sky", False),
        ("The elk saw an elk beside an elk", False),
        ("The elk saw an elk beside an elk with an elk", True),
        ("We went up to the lake and we went up to the lake", True),
        ("No no no no no", False),
    ],
)
def test_a_loop_says_the_same_content_again(text: str, loop: bool) -> None:
    assert selection.is_loop(text) == loop
