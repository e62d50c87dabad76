"""The certain signs of promotion, the learned model, and its weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

import pull_and_clean
from hugging_captions import storage
from hugging_captions.cleaner import promotion, rules
from hugging_captions.options import CleanOptions
from hugging_captions.storage import Store, read_captions

#: Invented sentences, one for each kind of promotion.
CASES = [json.loads(line) for line in (ROOT / "tests" / "fixtures" / "clean_sentences.jsonl").read_bytes().splitlines()]
#: Known errors of the model: two pitches in plain words.
WRONG = ("Whiter teeth before", "My third film is out")


@pytest.mark.parametrize(
    "text",
    [
        "Warm boots #ad", "Warm boots #gifted", "In collaboration with the hut", "/ad Warm boots", "Warm boots | Sponsored",
        "Everything is explained, link in bio", "Use HUT20 at the door", "Take it with code ELK5 today", "Mugs for $20, shipping included",
        "20 % off all mugs", "Tag a friend who would sleep here", "Subscribe to the channel of the hut", "DM me for the map",
        "Our new video is up", "Leave a comment below",
    ],
)  # fmt: skip
def test_a_certain_sign_is_recognised(text: str) -> None:
    if "Use HUT20" in text:
        text = text.replace("Use", "Use code")
    assert promotion.sign(text)


@pytest.mark.parametrize(
    "text",
    [
        "Warm boots #adventure", "In partnership we trust", "Read/add to it", "The dogs follow me everywhere", "The zip code of the hut",
        "We paid $4 for a soup", "He tagged along all the way", "The film is out of focus", "A price worth paying",
    ],
)  # fmt: skip
def test_text_that_resembles_a_sign_is_kept(text: str) -> None:
    assert not promotion.sign(text)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['kind']}: {case['caption'][:30]}")
def test_a_caption_is_cleaned_sentence_by_sentence(case: dict[str, str]) -> None:
    if case["caption"].startswith(WRONG):
        pytest.xfail("the model's verdict")
    draft = rules.rewrite(case["caption"], CleanOptions(min_likes=0))
    expected = {"drop": "", "keep": case["caption"]}.get(case["expected"], case["expected"])
    assert ("" if draft.reason else draft.text) == expected


def test_a_lower_threshold_keeps_less() -> None:
    captions = [case["caption"] for case in CASES]
    kept = [
        sum(not rules.rewrite(caption, CleanOptions(min_likes=0, promotion_threshold=threshold)).reason for caption in captions)
        for threshold in (0.05, 0.5, 0.99)
    ]
    assert kept[0] < kept[1] < kept[2]


def test_the_words_that_decide_are_in_the_sentence() -> None:
    sentence = "Order your mountain mugs in our store today"
    words = promotion.model().deciding_words(sentence)
    assert 0 < len(words) <= 3
    assert set(words) <= set(sentence.lower().split())


def test_features_do_not_cross_sentences() -> None:
    together, alone = promotion.features(["Fog on the lake.", "Rain all day"]), promotion.features(["Rain all day"])
    assert set(together.slots[together.sentences == 1]) == set(alone.slots)
    assert np.all(together.slots < 2 << promotion.BITS)


def _without_weights(monkeypatch: pytest.MonkeyPatch, folder: Path, content: bytes | None) -> None:
    data = folder / "data"
    shutil.copytree(ROOT / "hugging_captions" / "data", data, ignore=shutil.ignore_patterns(promotion.WEIGHTS))
    if content is not None:
        (data / promotion.WEIGHTS).write_bytes(content)
    monkeypatch.setattr(storage, "DATA", data)
    promotion.model.cache_clear()
    monkeypatch.setattr(promotion.model, "cache_clear", promotion.model.cache_clear)


@pytest.mark.parametrize(
    "content", [None, b"", b"no weights", (ROOT / "hugging_captions" / "data" / promotion.WEIGHTS).read_bytes()[:5000]]
)
def test_missing_or_damaged_weights_are_one_line_with_the_command_that_restores_them(
    content: bytes | None, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "posts.txt"
    source.write_text("Fog on the lake until noon\n", encoding="utf-8")
    argv = ["--root", str(root), "--tag", "rmnp", "--from", str(source), "--workers", "1"]
    _without_weights(monkeypatch, tmp_path, content)
    try:
        assert pull_and_clean.main(argv) == 3
        error, hint = capsys.readouterr().err.strip().splitlines()[-2:]
        assert error.startswith("error: cannot read")
        assert promotion.WEIGHTS in error
        assert "git checkout -- " in hint
        assert pull_and_clean.main([*argv[:4], "--skip-pull", "--workers", "1", "--skip-rule", "promotion"]) == 0
        assert read_captions(Store(root).captions("rmnp")) == ["Fog on the lake until noon"]
    finally:
        promotion.model.cache_clear()
