"""Each reason for leaving a generated caption out, and what is not one."""

from __future__ import annotations

import pytest

from hugging_captions.generator.copies import CopyIndex
from hugging_captions.generator.novelty import Reference
from hugging_captions.generator.selection import REASONS, Candidate, Selection, is_broken
from hugging_captions.options import GenerateOptions

CORPUS = [
    "The first snow of the year came down on the old wooden bridge tonight, quietly.",
    "Coffee first, then the long way around the lake with the dogs ☕",
    "Nothing beats a warm bowl of soup after a day of rain and mud on the trail up here",
]

CASES = [
    ("The view today", "The view", True, None),
    ("The view", "The view", True, "empty"),
    ("The view \n ", "The view", True, "empty"),
    ("", "", True, "empty"),
    ("The view from up", "The view", False, "cut_off"),
    ("THE VIEW, today!! 😍 #wow", "THE VIEW", True, "duplicate"),
    (CORPUS[0], "The", True, "exact_copy"),
    ("coffee first; then the long way around the lake, with the DOGS", "coffee", True, "folded_copy"),
    ("Nothing beats a warm bowl of soup after a day of rain and mud on the trail up there", "Nothing", True, "near_copy"),
    ("My knees say no but then the long way around the lake with the neighbours it is", "My", True, "copied_span"),
    ("My knees say no but the long way around the lake with nobody at all it is", "My", True, None),
    ("Ask @kim about the trail", "Ask", True, "private_data"),
    ("Call 555-867-5309 for a tour", "Call", True, "private_data"),
    ('She said "go home and left', "She", True, "broken"),
    ("Der Regen hört heute gar nicht mehr auf und wir bleiben einfach zu Hause", "Der", True, "wrong_language"),
    ("🌲🌲🌲", "", True, None),
    ("🌲🌲🌲", "", True, "duplicate"),
]


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(CopyIndex.build(CORPUS))


def _reasons(reference: Reference, options: GenerateOptions) -> list[str | None]:
    selection = Selection(options, reference)
    copied = reference.search([text for text, *_ in CASES])
    return [selection.reason(Candidate(text, prompt, ended, found)) for (text, prompt, ended, _), found in zip(CASES, copied)]


def test_every_reason_is_found_in_its_order(reference: Reference) -> None:
    reasons = _reasons(reference, GenerateOptions(keep_language="en"))
    assert reasons == [reason for *_, reason in CASES]
    assert {reason for reason in reasons if reason} == set(REASONS)


def test_keep_all_keeps_all(reference: Reference) -> None:
    assert _reasons(reference, GenerateOptions(keep_all=True)) == [None] * len(CASES)


def test_without_captions_nothing_is_a_copy_and_the_rest_still_holds() -> None:
    reasons = _reasons(Reference(None), GenerateOptions())
    expected = [None if str(reason).endswith(("_copy", "_span", "_language")) else reason for *_, reason in CASES]
    assert reasons == expected


@pytest.mark.parametrize(("span", "reason"), [(8, None), (7, "copied_span")])
def test_the_span_allowed_is_an_option(span: int, reason: str | None, reference: Reference) -> None:
    text = "My knees say no but then the long way around the lake with nobody at all it is"
    found = reference.search([text])[0]
    assert found is not None
    assert found.span == 8
    assert Selection(GenerateOptions(max_copied_span=span), reference).reason(Candidate(text, "My", True, found)) == reason


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("all fine (really) :) and “so” is [this] 'too'", False),
        ("an open (bracket", True),
        ("a closed) bracket", True),
        ("crossed (brackets [here) now]", True),
        ("one “ of two", True),
        ('a 6" trout', False),
        ("1) wake up\n2) go out", False),
        ("what a day :( but ok ;-) <3", False),
        ("half a letter \ufffd", True),
        ("a joiner \u200d alone", True),
        ("family 👨‍👩‍👧 and 👍🏽 and ❤️", False),
        ("a flag 🇫🇷 and half of one 🇫", True),
        ("ends with a joiner 👨\u200d", True),
        ("a skin tone alone 🏽", True),
    ],
)
def test_broken_texts(text: str, broken: bool) -> None:
    assert is_broken(text) == broken
