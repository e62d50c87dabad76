"""forget: posts leave every file, the models that saw them are named, and a killed run is finished by the next."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import ROOT

import pull_and_clean
from hugging_captions.cleaner import forget
from hugging_captions.errors import InputError
from hugging_captions.storage import Store, read_captions

CAPTIONS = (
    "The lake froze over in the night",
    "A marmot ate the map",
    "The lake froze over in the night!",
    "We walked until the stars came",
)


@pytest.fixture
def corpus(root: Path, capsys: pytest.CaptureFixture[str]) -> Store:
    """Four posts of tag rmnp, cleaned: the third is a copy of the first with fewer likes."""
    root.mkdir()
    source = root / "posts.jsonl"
    posts = [{"shortcode": f"code{i}", "caption": text, "likes": 90 - i} for i, text in enumerate(CAPTIONS)]
    source.write_text("".join(json.dumps(post) + "\n" for post in posts), encoding="utf-8")
    assert run(root, "--from", str(source), "--language", "any") == 0
    capsys.readouterr()
    return Store(root)


def run(root: Path, *arguments: str) -> int:
    return pull_and_clean.main(["--root", str(root), "--tag", "rmnp", *arguments])


def traces(store: Store, shortcode: str, text: str) -> list[str]:
    return [path.name for path in (store.root / "text" / "rmnp").iterdir() if shortcode in path.read_text() or text in path.read_text()]


def test_a_forgotten_post_is_in_no_file(corpus: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert sorted(traces(corpus, '"code1"', CAPTIONS[1])) == ["captions.txt", "posts.jsonl"]
    assert run(corpus.root, "--forget", "code1", "unheard") == 0
    assert capsys.readouterr().out == "#rmnp: 1 posts forgotten\nnot here: unheard\n"
    assert traces(corpus, '"code1"', CAPTIONS[1]) == []
    assert json.loads(corpus.cleaning("rmnp").read_text())["posts"] == 3


def test_the_options_of_the_cleaning_stay(corpus: Store) -> None:
    before = json.loads(corpus.cleaning("rmnp").read_text())["options"]
    run(corpus.root, "--forget", "code3")
    assert json.loads(corpus.cleaning("rmnp").read_text())["options"] == before


def test_the_copy_of_a_forgotten_post_takes_its_place(corpus: Store) -> None:
    assert CAPTIONS[2] not in read_captions(corpus.captions("rmnp"))
    run(corpus.root, "--forget", "code0")
    assert read_captions(corpus.captions("rmnp")) == [CAPTIONS[1], CAPTIONS[2], CAPTIONS[3]]


def test_a_file_lists_shortcodes(corpus: Store) -> None:
    listed = corpus.root / "forget.txt"
    listed.write_text("code0\ncode2\n", encoding="utf-8")
    assert run(corpus.root, "--forget", str(listed)) == 0
    assert read_captions(corpus.captions("rmnp")) == [CAPTIONS[1], CAPTIONS[3]]


def test_the_last_post_takes_the_corpus_with_it(corpus: Store) -> None:
    assert run(corpus.root, "--forget", "code0", "code1", "code2", "code3") == 0
    assert corpus.posts("rmnp").read_text() == ""
    assert not corpus.captions("rmnp").exists()


def test_a_damaged_line_that_names_the_post_goes_too(corpus: Store) -> None:
    with open(corpus.posts("rmnp"), "ab") as posts:
        posts.write(b'{"shortcode": "code9", "caption": "torn \xff\n{"shortcode": "code8", "caption": 7}\n')
    run(corpus.root, "--forget", "code9")
    text = corpus.posts("rmnp").read_text()
    assert "code9" not in text
    assert "code8" in text


def test_the_index_over_the_captions_goes_too(corpus: Store) -> None:
    """Earlier versions kept one."""
    for name in ("rmnp", "rmnp+estes", "other"):
        path = corpus.root / "text" / name.partition("+")[0] / f"{name}-0000000000000000.novelty.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    run(corpus.root, "--forget", "code1")
    assert [path.name for path in corpus.root.glob("text/*/*.npz")] == ["other-0000000000000000.novelty.npz"]


def test_models_that_saw_the_corpus_are_named(corpus: Store, capsys: pytest.CaptureFixture[str]) -> None:
    models = corpus.root / "trained_models"
    for name, tags in (("rmnp+estes", ["rmnp", "estes"]), ("other", ["other"]), ("rmnp.previous", ["rmnp"])):
        (models / name).mkdir(parents=True)
        (models / name / "run.json").write_text(json.dumps({"tags": tags}))
    (models / "rmnp.training").mkdir()
    run(corpus.root, "--forget", "code1")
    named = [line.split(" was trained")[0].rsplit("/", 1)[1] for line in capsys.readouterr().out.splitlines() if "was trained" in line]
    assert named == ["rmnp+estes", "rmnp.previous", "rmnp.training"]


def test_a_killed_run_is_finished_by_the_next(corpus: Store) -> None:
    forget._without({"code1"}, corpus.posts("rmnp"))  # killed here: the captions are still those of four posts
    assert CAPTIONS[1] in read_captions(corpus.captions("rmnp"))
    run(corpus.root, "--forget", "code1")
    assert CAPTIONS[1] not in read_captions(corpus.captions("rmnp"))


def test_what_can_not_be_forgotten_is_said(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        forget.forget(["code1"], ["rmnp"], Store(root))
    empty = tmp_path / "empty.txt"
    empty.touch()
    with pytest.raises(InputError, match="holds no shortcode"):
        forget.read_shortcodes([str(empty)])


def test_a_report_is_drawn(root: Path) -> None:
    assert run(root, "--from", str(ROOT / "examples" / "rmnp_posts.jsonl"), "--report") == 0
    picture = Store(root).cleaning_picture("rmnp").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 20_000


def test_the_next_pull_does_not_take_forgotten_posts_for_lost_ones(corpus: Store) -> None:
    state = {"tag": "rmnp", "feed": "sections", "cursor": None, "pages": 1, "finished": True}
    corpus.pull_state("rmnp").write_text(json.dumps(state | {"posts": 4}))
    assert run(corpus.root, "--forget", "code1") == 0
    assert json.loads(corpus.pull_state("rmnp").read_text()) == state
