"""Each reason to reject a generated caption, and captions that must be kept."""

from __future__ import annotations

import pytest

from hugging_captions import console
from hugging_captions.generator.novelty import Copied, CopyIndex, Reference
from hugging_captions.generator.selection import REASONS, Caption, identity, is_broken, rejections
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
    ("The elk and the elk and the elk saw the elk", "The", True, "loop"),
    ("🌲🌲🌲", "", True, None),
    ("🌲🌲🌲", "", True, "duplicate"),
]


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(CopyIndex(CORPUS))


def _caption(text: str, prompt: str, ended: bool, copied: Copied | None) -> Caption:
    return Caption(text, prompt, seed=0, row=0, tokens=9, sampled=9, ended=ended, mean_logprob=-1.0, copied=copied)


def _reasons(reference: Reference, options: GenerateOptions) -> list[str | None]:
    found, kept = [], set()
    for (text, prompt, ended, _), copied in zip(CASES, reference.search([text for text, *_ in CASES])):
        found.append(next(rejections(_caption(text, prompt, ended, copied), options, kept), None))
        if found[-1] is None:
            kept.add(identity(text))
    return found


def test_every_reason_is_found_in_its_order(reference: Reference) -> None:
    reasons = _reasons(reference, GenerateOptions(keep_language="en"))
    assert reasons == [reason for *_, reason in CASES]
    assert {reason for reason in reasons if reason} == set(REASONS) - {"outranked"}


def test_a_caption_with_every_fault_has_them_in_the_order_of_the_table() -> None:
    text = "(Der Regen hört heute gar nicht mehr auf, sagt @kim: Regen Regen Regen"
    copied = CopyIndex([text]).search([text])[0]
    found = rejections(_caption(text, text, False, copied), GenerateOptions(keep_language="en", max_copied_span=3), {identity(text)})
    assert list(found) == [name for name in REASONS if name not in ("folded_copy", "near_copy", "outranked")]


def test_without_captions_nothing_is_a_copy_and_the_rest_still_applies() -> None:
    reasons = _reasons(Reference(None), GenerateOptions())
    assert reasons == [None if str(reason).endswith(("_copy", "_span", "_language")) else reason for *_, reason in CASES]


@pytest.mark.parametrize(("span", "reasons"), [(8, []), (7, ["copied_span"])])
def test_the_span_allowed_is_an_option(span: int, reasons: list[str], reference: Reference) -> None:
    text = "My knees say no but then the long way around the lake with nobody at all it is"
    copied = reference.search([text])[0]
    assert copied is not None
    assert copied.span == 8
    assert list(rejections(_caption(text, "My", True, copied), GenerateOptions(max_copied_span=span), set())) == reasons


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
        ("a skin tone on a cherry 🍒🏼", True),
        ("three of one 🎉🎉🎉", False),
        ("four of one 🎉🎉🎉🎉", True),
        ("as many in all, in two places 🎉🎉 and 🎉🎉", False),
        ("a row of eight 🌲🎉🌲🎉🌲🎉🌲🎉", True),
        ("one family too many 👧‍👧‍👧‍👧‍👧‍👧‍👧‍👧", True),
        ("up at 5:41 a.m., home at 23:10", False),
        ("up at 27:10", True),
        ("up at 14 pm", True),
        ("a special token <|endoftext|> in it", True),
    ],
)
def test_broken_texts(text: str, broken: bool) -> None:
    assert is_broken(text) == broken


def test_the_table_of_reasons_fits_eighty_columns() -> None:
    table = console.table([[text, 123_456, "100%"] for text in REASONS.values()], ("why captions were rejected", "captions", "of attempts"))
    assert max(map(len, table.splitlines())) <= 80
