"""forget: posts are removed from every file, models trained on them are listed, and a rerun finishes a killed run."""

from __future__ import annotations

import base64
import html
import json
import re
from pathlib import Path

import pytest
from conftest import ROOT, unwrapped

import pull_and_clean
from hugging_captions.storage import Store, read_captions
from hugging_captions.text import word_count

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
    assert run(corpus.root, "--forget", "code1") == 0
    assert capsys.readouterr().out == "#rmnp: 1 post forgotten\n"
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


def test_forgetting_the_last_post_removes_the_corpus(corpus: Store) -> None:
    assert run(corpus.root, "--forget", "code0", "code1", "code2", "code3") == 0
    assert corpus.posts("rmnp").read_text() == ""
    assert not corpus.captions("rmnp").exists()


def test_a_damaged_line_with_the_shortcode_is_removed_too(corpus: Store) -> None:
    with open(corpus.posts("rmnp"), "ab") as posts:
        posts.write(b'{"shortcode": "code9", "caption": "torn \xff\n{"shortcode": "code8", "caption": 7}\n')
    run(corpus.root, "--forget", "code9")
    text = corpus.posts("rmnp").read_text()
    assert "code9" not in text
    assert "code8" in text


def test_the_index_over_the_captions_is_removed_too(corpus: Store) -> None:
    """Earlier versions stored an index."""
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
    named = re.findall(r"/([^/\s]+)\s+was\s+trained", capsys.readouterr().out)
    assert named == ["rmnp+estes", "rmnp.previous", "rmnp.training"]


def test_a_shortcode_that_no_post_has_is_an_error_and_the_others_are_forgotten(corpus: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(corpus.root, "--forget", "code1", "unheard", "of") == 3
    out, err = capsys.readouterr()
    assert out == "#rmnp: 1 post forgotten\n"
    assert err.splitlines()[-2:] == [
        "error: no post of tag 'rmnp' has the shortcode unheard of",
        f"hint: find its tag:  grep -l unheard {corpus.root}/text/*/posts.jsonl",
    ]
    assert traces(corpus, '"code1"', CAPTIONS[1]) == []


def test_a_killed_run_is_finished_by_the_next(corpus: Store) -> None:
    lines = corpus.posts("rmnp").read_text().splitlines(keepends=True)
    corpus.posts("rmnp").write_text("".join(line for line in lines if "code1" not in line))  # killed here
    assert CAPTIONS[1] in read_captions(corpus.captions("rmnp"))
    assert run(corpus.root, "--forget", "code1") == 3
    assert CAPTIONS[1] not in read_captions(corpus.captions("rmnp"))


@pytest.fixture
def two_tags(corpus: Store, capsys: pytest.CaptureFixture[str]) -> Store:
    """Tag estes has a copy of a post of rmnp with fewer likes; both were cleaned together."""
    post = {"shortcode": "copy0", "caption": CAPTIONS[0], "likes": 20, "date_utc": None, "tag": "estes", "source": "test"}
    corpus.posts("estes").parent.mkdir()
    corpus.posts("estes").write_text(json.dumps(post) + "\n" + json.dumps(post | {"shortcode": "own", "caption": "An elk in fog"}) + "\n")
    assert pull_and_clean.main(["--root", str(corpus.root), "--tag", "rmnp", "estes", "--skip-pull", "--language", "any"]) == 0
    capsys.readouterr()
    return corpus


def test_tags_that_were_cleaned_together_are_cleaned_together_again(two_tags: Store) -> None:
    assert "code0" in two_tags.dropped("estes").read_text()
    assert run(two_tags.root, "--forget", "code0", "code2") == 0
    assert "code0" not in two_tags.dropped("estes").read_text()
    assert read_captions(two_tags.captions("estes")) == [CAPTIONS[0], "An elk in fog"]


def test_a_tag_that_another_process_is_writing_stops_it_before_it_begins(two_tags: Store, capsys: pytest.CaptureFixture[str]) -> None:
    before = two_tags.posts("rmnp").read_bytes(), two_tags.captions("estes").read_bytes()
    with two_tags.lock("text", ["estes"]):
        assert run(two_tags.root, "--forget", "code0") == 2
    assert "tag 'estes' is being written by" in capsys.readouterr().err
    assert (two_tags.posts("rmnp").read_bytes(), two_tags.captions("estes").read_bytes()) == before


def test_no_file_holds_forgotten_posts_when_no_caption_is_left(corpus: Store) -> None:
    lines = corpus.posts("rmnp").read_text().splitlines(keepends=True)
    few_likes = json.dumps(json.loads(lines[0]) | {"shortcode": "few", "likes": 1, "caption": "Nobody liked this one"})
    corpus.posts("rmnp").write_text("".join([*lines, few_likes + "\n"]))
    assert run(corpus.root, "--forget", "code0", "code1", "code2", "code3") == 0
    assert "few" in corpus.posts("rmnp").read_text()
    assert not any(path("rmnp").exists() for path in (corpus.captions, corpus.dropped, corpus.cleaning))


@pytest.mark.parametrize(("content", "message"), [("code1", "posts.jsonl does not exist"), ("", "holds no shortcode")])
def test_nothing_to_forget_is_an_error(content: str, message: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root.mkdir()
    (root / "codes.txt").write_text(content)
    assert run(root, "--forget", str(root / "codes.txt")) == 3
    assert message in capsys.readouterr().err


def test_a_report_has_the_figures_and_samples_of_the_cleaning(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root, "--from", str(ROOT / "examples" / "rmnp_posts.jsonl"), "--report", "--workers", "1") == 0
    store = Store(root)
    assert re.search(r"report: .*/text/rmnp/cleaning.html\n$", capsys.readouterr().out)
    picture, page = store.cleaning_picture("rmnp").read_bytes(), store.cleaning_page("rmnp").read_text(encoding="utf-8")
    assert picture.startswith(b"\x89PNG")
    assert f'<img src="data:image/png;base64,{base64.b64encode(picture).decode()}"' in page
    record = json.loads(store.cleaning("rmnp").read_text(encoding="utf-8"))
    for name, count in {"posts": record["posts"], "kept": record["kept"], **record["dropped"], "en": record["languages"]["en"]}.items():
        assert f'<th scope="row">{name}</th><td>{count:,}</td>' in page
    shown = {reason: part.count("<li>") for reason, part in re.findall("<summary>([a-z-]+), .*?</summary>(.*?)</details>", page, re.DOTALL)}
    assert shown == {reason: min(count, 20) for reason, count in record["dropped"].items()}
    rows = [json.loads(line) for line in store.dropped("rmnp").read_text(encoding="utf-8").splitlines()]
    handles = next(row for row in rows if row["reason"] == "handles")
    assert f"<bdi>{handles['shortcode']}</bdi> · <bdi>{html.escape(handles['detail'])}</bdi>" in page
    median = sorted(word_count(caption) for caption in read_captions(store.captions("rmnp")))[record["kept"] // 2]
    assert f'<th scope="row">median</th><td>{median}</td>' in page
    assert f'<th scope="row">posts_sha256</th><td>{record["posts_sha256"]}</td>' in page
    assert '<th scope="row">min_likes</th><td>10</td>' in page
    assert run(root, "--skip-pull", "--report", "--workers", "1") == 0
    assert store.cleaning_page("rmnp").read_text(encoding="utf-8") == page


def test_pages_that_quote_the_corpus_are_removed_too(corpus: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(corpus.root, "--skip-pull", "--language", "any", "--report") == 0
    gone, kept = [], []
    for name, tags in (("rmnp_warm", ["rmnp"]), ("rmnp+estes", None), ("rmnp_other", ["rmnp_other"]), ("estes", ["estes"])):
        for suffix in ("", ".previous"):
            page, record = corpus.generated(name, f".html{suffix}"), corpus.generated(name, f".json{suffix}")
            page.parent.mkdir(exist_ok=True)
            page.write_text(CAPTIONS[1])
            if tags:
                record.write_text(json.dumps({"tags": tags}))
            (kept if name in ("rmnp_other", "estes") else gone).append(page)
    capsys.readouterr()
    assert run(corpus.root, "--forget", "code1") == 0
    out = capsys.readouterr().out
    for page in (*gone, corpus.cleaning_page("rmnp")):
        assert not page.exists()
        assert f"{page.name} quoted this corpus and was removed" in unwrapped(out)
    assert all(page.exists() for page in kept)


def test_the_next_pull_does_not_treat_forgotten_posts_as_lost(corpus: Store) -> None:
    state = {"tag": "rmnp", "feed": "sections", "cursor": None, "pages": 1, "finished": True}
    corpus.pull_state("rmnp").write_text(json.dumps(state | {"posts": 4}))
    assert run(corpus.root, "--forget", "code1") == 0
    assert json.loads(corpus.pull_state("rmnp").read_text()) == state


def test_a_damaged_file_of_a_joint_cleaning_deletes_no_captions(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, example = Store(root), str(ROOT / "examples" / "rmnp_posts.jsonl")
    for tag in ("one", "two"):
        assert pull_and_clean.main(["--root", str(root), "--tag", tag, "--from", example, "--workers", "1"]) == 0
    assert pull_and_clean.main(["--root", str(root), "--tag", "one", "two", "--skip-pull", "--workers", "1"]) == 0
    shortcode = json.loads(store.posts("one").read_text(encoding="utf-8").splitlines()[0])["shortcode"]
    store.posts("two").chmod(0o600)
    store.posts("two").unlink()
    store.posts("two").mkdir()
    assert pull_and_clean.main(["--root", str(root), "--tag", "one", "--forget", shortcode]) == 3
    assert store.captions("one").exists()
    assert store.captions("two").exists()
    assert "error: " in capsys.readouterr().err


def test_a_dropped_file_of_another_version_is_one_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, argv = Store(root), ["--root", str(root), "--tag", "rmnp"]
    assert pull_and_clean.main([*argv, "--from", str(ROOT / "examples" / "rmnp_posts.jsonl"), "--workers", "1"]) == 0
    for line in ('{"shortcode": "a", "reason": "old-rule"}', '{"shortcode": "a', "[]"):
        store.dropped("rmnp").write_text(line + "\n", encoding="utf-8")
        assert pull_and_clean.main([*argv, "--review", "2"]) == 3
        err = capsys.readouterr().err
        assert f"error: {store.dropped('rmnp')}, line 1 is damaged, or of another version" in err
