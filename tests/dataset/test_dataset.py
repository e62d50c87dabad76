"""Captions to batches: the split, the encoding, the cut, the shares of many processes."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from hugging_captions import dataset, models
from hugging_captions.dataset import batches
from hugging_captions.dataset.corpus import split_captions
from hugging_captions.errors import InputError, NothingLeftError
from hugging_captions.storage import Store, sha256, write_captions

CAPTIONS = ["Golden hour at the lake", "The view from the top was worth every step", "Elk in the meadow 🦌\nagain"]


@pytest.fixture(scope="module")
def tokenizer() -> models.Tokenizer:
    return models.train_tokenizer(CAPTIONS, 300)


def test_a_caption_of_several_tags_stays_with_the_first(tmp_path: Path) -> None:
    write_captions(tmp_path / "text/lake/captions.txt", ["one", "two\nlines", "one"])
    write_captions(tmp_path / "text/peak/captions.txt", ["three", "two\nlines"])
    corpus = dataset.load(["lake", "peak"], Store(tmp_path), 0, 0)
    assert (corpus.captions, corpus.tags) == (("one", "two\nlines", "three"), ("lake", "lake", "peak"))


def test_a_file_written_by_hand_has_line_ends_and_empty_lines_of_any_kind(tmp_path: Path) -> None:
    path = Store(tmp_path).captions("lake")
    path.parent.mkdir(parents=True)
    path.write_bytes("\ufeffone lake\r\n\r\n  \t\r\ntwo\u2028lines\\nhere\r\n \nform\x0cfeed\x85 and more\n\n".encode())
    captions = dataset.load(["lake"], Store(tmp_path), 0, 0).captions
    assert captions == ("one lake", "two\u2028lines\nhere", "form\x0cfeed\x85 and more")


@pytest.mark.parametrize(
    ("cleaning", "warned"),
    [
        (None, False),
        ('{"captions_sha256": "5f3b8de5b5c1b8ad9a8b2a3b1a0c0c5b0b0c7c1d3e5f70819a2b3c4d5e6f7081"}', True),
        ('{"captions_sha256": "SHA"}', False),
        ('{"captions_', True),
        ("[]", True),
    ],
)
def test_a_warning_says_that_captions_changed_since_they_were_cleaned(
    cleaning: str | None, warned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("hugging_captions"), "propagate", True)
    store = Store(tmp_path)
    write_captions(store.captions("lake"), ["one", "two"])
    if cleaning:
        store.cleaning("lake").write_text(cleaning.replace("SHA", sha256(store.captions("lake"))))
    assert dataset.load(["lake"], store, 0, 0).captions == ("one", "two")
    assert ("was changed since it was cleaned" in caplog.text) == warned


def test_missing_and_empty_corpora_are_named(tmp_path: Path) -> None:
    write_captions(tmp_path / "text/empty/captions.txt", [])
    with pytest.raises(NothingLeftError, match="'empty'"):
        dataset.load(["empty"], Store(tmp_path), 0, 0)
    with pytest.raises(InputError, match="'peak'") as caught:
        dataset.load(["peak"], Store(tmp_path), 0, 0)
    assert caught.value.hint.endswith("tags with captions here: empty")


@pytest.mark.parametrize(
    ("count", "fraction", "held_out"),
    [(199, 0.1, 0), (200, 0.1, 20), (200, 0.01, 20), (200, 0.0, 0), (1000, 0.1, 100), (1000, 0.5, 500), (50_000, 0.1, 2000)],
)
def test_the_split_has_bounds_and_loses_nothing(count: int, fraction: float, held_out: int) -> None:
    split = split_captions(count, fraction, seed=7)
    assert len(split.val) == held_out
    assert sorted(split.train + split.val) == list(range(count))
    assert split == split_captions(count, fraction, seed=7)
    assert held_out == 0 or split != split_captions(count, fraction, seed=8)


def _base(tokenizer: models.Tokenizer, positions: int, start: int = 5) -> models.LoadedModel:
    return models.LoadedModel(SimpleNamespace(config=SimpleNamespace(n_positions=positions)), tokenizer, start)  # type: ignore[arg-type]


def test_a_caption_stands_between_start_and_end_and_reads_back(tokenizer: models.Tokenizer) -> None:
    rows, cut = batches.encode_captions(CAPTIONS, _base(tokenizer, 64))
    eos = tokenizer.eos_token_id
    assert cut == 0
    assert [tokenizer.decode(row[1:-1]) for row in rows] == CAPTIONS
    assert all(row[0] == 5 and row[-1] == eos and eos not in row[1:-1] for row in rows)


def test_captions_encoded_a_few_at_a_time_are_the_same(tokenizer: models.Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = batches.encode_captions(CAPTIONS, _base(tokenizer, 64))
    monkeypatch.setattr(batches, "ENCODED_AT_ONCE", 2)
    assert len(CAPTIONS) % 2
    assert batches.encode_captions(CAPTIONS, _base(tokenizer, 64)) == whole


@pytest.mark.parametrize("positions", [4, 7, 12])
def test_a_long_caption_is_cut_at_a_word_without_an_end(tokenizer: models.Tokenizer, positions: int) -> None:
    text = "summit lake " * 30
    (row,), cut = batches.encode_captions([text], _base(tokenizer, positions))
    decoded = tokenizer.decode(row[1:])
    assert cut == 1
    assert 1 < len(row) <= positions
    assert row[-1] != tokenizer.eos_token_id
    assert text.startswith(decoded)
    if positions == 12:
        assert text[len(decoded)] == " "


@pytest.mark.parametrize("budget", [10, 128])
def test_batches_hold_every_row_once_under_the_budget(budget: int) -> None:
    lengths = [3 + (7 * i) % 40 for i in range(200)]
    epoch = batches.TokenBatches(lengths, budget, seed=1)
    found = list(epoch)
    assert sorted(i for batch in found for i in batch) == list(range(200))
    assert all(epoch.positions(batch) <= budget or len(batch) == 1 for batch in found)
    assert len(found) == len(epoch)
    assert list(batches.TokenBatches(lengths, budget, seed=1)) == found != list(batches.TokenBatches(lengths, budget, seed=2))
    assert budget == 10 or sum(lengths) / sum(map(epoch.positions, found)) > 0.85


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_the_shares_of_all_processes_are_the_whole(processes: int) -> None:
    whole = batches.TokenBatches([60, 5, 6, 7, 5, 5, 50], 64, seed=3)
    shares = [list(batches.RankBatches(whole, process, processes)) for process in range(processes)]
    assert {len(share) for share in shares} == {len(whole)}
    assert [sorted(i for share in step for i in share) for step in zip(*shares)] == [sorted(batch) for batch in whole]


def test_collate_trains_the_final_eos_and_no_padding() -> None:
    x = batches.IGNORED
    batch = batches.collate([(9, 1, 2, 9), (9, 3, 9)])
    assert batch["input_ids"].tolist() == [[9, 1, 2, 9], [9, 3, 9, 0]]
    assert batch["labels"].tolist() == [[x, 1, 2, 9], [x, 3, 9, x]]
    assert batches.collate([])["labels"].tolist() == [[x, x]]


def test_parts_are_the_whole_without_the_padding() -> None:
    batch = batches.collate([(9, 1, 2, 3, 9), (9, 3, 9), (9, 4, 9)])
    parts = batches.parts(batch, 2)
    assert [part["input_ids"].tolist() for part in parts] == [[[9, 1, 2, 3, 9], [9, 3, 9, 0, 0]], [[9, 4, 9]]]
    assert sum(int((part["labels"] != batches.IGNORED).sum()) for part in batches.parts(batch, 8)) == 8
    assert torch.equal(batches.parts(batch, 1)[0]["labels"], batch["labels"])


def test_blocks_continue_across_captions() -> None:
    rows = [(9, 1, 2, 9), (9, 3, 9), (9, 4, 5, 6, 9)]
    assert [list(block) for block in batches.blocks(rows, 4)] == [[9, 1, 2, 9], [3, 9, 4, 5]]
    assert [list(block) for block in batches.blocks(rows, 99)] == [[9, 1, 2, 9, 3, 9, 4, 5, 6, 9]]
