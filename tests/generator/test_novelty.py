"""The search for copies compared with a simple one, and the figures with manual counts."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hugging_captions.generator import novelty
from hugging_captions.generator.novelty import CopyIndex
from hugging_captions.storage import Store, write_captions
from hugging_captions.text import folded_words, hash64, word_places

CORPUS = ["One two three four five.", "Six seven, eight nine! One two three.", "ten 🌲", "#tags #only", "今日は雨です"]


def _plain_matches(words: list[str], corpus: list[list[str]]) -> list[int]:
    """Return the result of the index by comparing all pairs."""
    found = []
    for i in range(len(words)):
        best = 0
        for other in corpus:
            for j in range(len(other)):
                length = 0
                while i + length < len(words) and j + length < len(other) and words[i + length] == other[j + length]:
                    length += 1
                best = max(best, length)
        found.append(best)
    return found


def test_the_longest_matches_are_those_of_a_plain_search() -> None:
    chance = random.Random(5)
    corpus = [" ".join(chance.choices("abcd", k=chance.randint(1, 40))) for _ in range(60)]
    texts = [" ".join(chance.choices("abcde", k=chance.randint(1, 30))) for _ in range(40)] + [corpus[3] + " " + corpus[4], "", "zz", "🌲"]
    index = CopyIndex(corpus)
    plain = [folded_words(caption) for caption in corpus]
    for text, found in zip(texts, index.search(texts)):
        assert list(found.matches) == _plain_matches(folded_words(text), plain), text
        assert found.span == max(found.matches, default=0)
        holding = [i for i, words in enumerate(plain) if f" {found.span_words} " in f" {' '.join(words)} "]
        assert found.nearest == (holding[0] if found.span else None)


@pytest.mark.parametrize(
    ("text", "kind", "span", "nearest"),
    [
        ("One two three four five.", "exact", 5, 0),
        ("one, two: THREE four five 🌲 #yes", "folded", 5, 0),
        ("six seven eight nine one two three four", "near", 7, 1),
        ("two three four", None, 3, 0),
        ("nothing of it", None, 0, None),
        ("今日は雨でした", None, 5, 4),
        ("#tags #only", "exact", 0, None),
        ("#tags", None, 0, None),
    ],
)
def test_kinds_of_copies(text: str, kind: str | None, span: int, nearest: int | None) -> None:
    found = CopyIndex(CORPUS).search([text])[0]
    assert (found.kind, found.span, found.nearest) == (kind, span, nearest)


@settings(max_examples=300, deadline=None)
@given(st.text(st.one_of(st.characters(), st.sampled_from("ab #@1é'- \u0301½ﬁｶﾞ日กำ가ß\nİ")), max_size=12))
def test_each_folded_word_has_its_place_in_the_text(text: str) -> None:
    words, places = folded_words(text), word_places(text)
    assert len(words) == len(places)
    for word, (begin, end) in zip(words, places):
        found = folded_words(text[begin:end])
        assert word in (*found, "".join(found))


def test_near_copies_are_those_of_a_plain_search() -> None:
    chance = random.Random(3)
    corpus = [" ".join(chance.choices("abcdefgh", k=chance.randint(3, 14))) for _ in range(200)]
    texts = [caption.replace("a", "zz", 1) for caption in corpus]

    def triples(text: str) -> set[tuple[str, ...]]:
        words = text.split()
        return {tuple(words[i : i + 3]) for i in range(len(words) - 2)}

    def is_near(text: str) -> bool:
        mine = triples(text)
        return any(len(mine & triples(other)) > 0.7 * len(mine | triples(other)) for other in corpus)

    expected = ["exact" if text in corpus else "near" if is_near(text) else None for text in texts]
    assert [found.kind for found in CopyIndex(corpus).search(texts)] == expected
    assert {"exact", "near", None} == set(expected)


def test_figures_are_those_counted_by_hand() -> None:
    index = CopyIndex(CORPUS)
    texts = ["one two three zebra", "One two three four five.", "a b a b 🌲 #tag"]
    found = novelty.figures(texts, index.search(texts))
    assert found.pop("compression_ratio") > 0
    assert found == {
        "captions": 3, "mean_words": 4.3333,
        "novelty_3": 0.4286,  # of 2 + 3 + 2 three are new
        "novelty_4": 0.5, "novelty_5": 0.0, "novelty_8": None,
        "mean_copied_span": 2.6667, "longest_copied_span": 5, "copied_share": 0.5833,
        "exact_copies": 1, "folded_copies": 0, "near_copies": 0,
        "distinct_1": 0.6154, "distinct_2": 0.7, "distinct_3": 0.8571, "emoji_share": 0.3333, "tag_share": 0.3333,
    }  # fmt: skip


def test_without_an_index_diversity_is_still_measured() -> None:
    found = novelty.figures(["a b a b"], [None])
    assert found["novelty_3"] is found["exact_copies"] is None
    assert (found["distinct_1"], found["distinct_2"]) == (0.5, 0.6667)
    assert novelty.table({"kept": found}).splitlines()[4].split() == ["novelty_3", "-"]


def test_held_out_captions_are_not_in_the_index(root: Path) -> None:
    captions = [f"caption {i} of the small dog number {i * 7}" for i in range(300)]
    store, held_out = Store(root), captions[::30]
    write_captions(store.captions("corgi"), captions)
    store.model("corgi").mkdir(parents=True)
    run = {"corpus_sha256": "", "held_out": [f"{hash64(caption):016x}" for caption in held_out]}
    (store.model("corgi") / "run.json").write_text(json.dumps(run), encoding="utf-8")
    reference = novelty.load_reference(["corgi"], store, "corgi")
    assert reference.held_out == tuple(held_out)
    found = reference.search(captions)
    assert [copied is not None and copied.kind == "exact" for copied in found] == [caption not in held_out for caption in captions]
    assert [copied.nearest for copied in found if copied and copied.kind] == [i for i in range(300) if i % 30]
    assert not list(root.rglob("*.npz"))


def test_without_captions_the_note_lists_the_skipped_checks(root: Path) -> None:
    reference = novelty.load_reference(["corgi"], Store(root), "corgi")
    path = Store(root).captions("corgi")
    assert reference.index is None
    assert reference.note == f"copies and novelty could not be checked: cannot read {path}: No such file or directory"
