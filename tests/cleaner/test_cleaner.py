"""Cleaning: invariants, duplicates, explain and review, interrupts and failures."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

import pull_and_clean
from hugging_captions import cleaner
from hugging_captions.cleaner import duplicates, rules
from hugging_captions.errors import UsageError
from hugging_captions.options import CleanOptions
from hugging_captions.posts import Post, PostLog
from hugging_captions.storage import Store, read_captions
from hugging_captions.text import holds_private_data

OPTIONS = CleanOptions()
#: The rules without the model, for any language.
RULES_ALONE = CleanOptions(language="any", skip_rule=("promotion",))
GOLDEN = ROOT / "tests" / "golden"


def _post(caption: str | None, likes: int | None = 50, shortcode: str = "x") -> Post:
    return Post(shortcode, caption, likes, None, "rmnp", "test")


def test_hidden_likes_are_kept_or_dropped_as_asked() -> None:
    post = _post("A perfectly good caption", None)
    assert rules.examine(post, OPTIONS).reason == ""
    assert rules.examine(post, CleanOptions(unknown_likes="drop")).reason == "unknown-likes"


@pytest.mark.parametrize("name", [name for name in rules.rule_names() if "duplicate" not in name])
def test_every_rule_can_be_skipped(name: str) -> None:
    caption = "It&#39;s on​ly 970-555-0134 a@example.com example.com @x!!!!!! 😍\n...\n📷 @y\n#a #b"
    options = CleanOptions(language="any", skip_rule=(name,), emoji="drop", unknown_likes="drop")
    draft = rules.rewrite(caption, options)
    assert name not in draft.changed
    assert rules.examine(_post(None, None), options).reason != name


def test_an_unknown_rule_or_language_is_refused(root: Path) -> None:
    with pytest.raises(UsageError, match="--skip-rule nonsense: no such rule"):
        cleaner.clean(["rmnp"], CleanOptions(skip_rule=("nonsense",)), Store(root))
    with pytest.raises(UsageError, match="--language english: no such language"):
        cleaner.clean(["rmnp"], CleanOptions(language="english"), Store(root))
    with pytest.raises(UsageError, match="--skip-rule nonsense: no such rule"):
        cleaner.explain(_post("A good caption"), CleanOptions(skip_rule=("nonsense",)))


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=120))
def test_nothing_private_is_left(caption: str) -> None:
    assert not holds_private_data(rules.rewrite(caption, RULES_ALONE).text)


PIECES = st.sampled_from(
    ["@some.body", "#tag", "with", "the", "and", "a@example.com", "example.com/x", "970-555-0134", "+1 (970) 555 0134", "📷", ":", ",", ".", "\n", "!",
     "lake", "We", "love", "😍", "(", ")", "'s", "-", "•", "...", "https://x.org/a", "#a#b", "@", "#", "w/", "&amp;", "\u200d", "Photo by", "link"]
)  # fmt: skip
_TROUBLE = st.lists(st.tuples(PIECES, st.sampled_from(["", " ", "  "])), max_size=14).map(lambda pairs: "".join(map("".join, pairs)))


@settings(max_examples=400, deadline=None)
@given(_TROUBLE)
def test_no_private_data_is_left_in_generated_captions_either(caption: str) -> None:
    assert not holds_private_data(rules.rewrite(caption, RULES_ALONE).text)
    kept = rules.examine(_post(caption), CleanOptions(language="any", min_words=1))
    assert kept.reason or not holds_private_data(kept.text)


@settings(max_examples=300, deadline=None)
@given(_TROUBLE)
def test_no_word_is_put_into_a_caption(caption: str) -> None:
    """Only the words of split tags are new, and those are letters of the caption."""
    letters = Counter(char for char in caption.lower() if char.isalpha())
    assert not Counter(char for char in rules.rewrite(caption, RULES_ALONE).text.lower() if char.isalpha()) - letters


def test_a_long_caption_of_tags_is_cleaned_in_time() -> None:
    """An earlier pattern for blocks of tags backtracked for minutes here."""
    for caption in (
        "Hello there friends " + "#tag . " * 400 + "end",
        "#" * 2000,
        "@a " * 700,
        ". " * 1100,
        "a." * 1100 + "@",
        "📷" * 1000,
        "1 " * 1000,
    ):
        rules.rewrite(caption, RULES_ALONE)


def _store(root: Path, captions: list[tuple[str | None, int | None]]) -> Store:
    store = Store(root)
    with PostLog(store.posts("rmnp")) as log:
        log.append(_post(caption, likes, f"s{i:05}") for i, (caption, likes) in enumerate(captions))
    return store


LONG = "We walked all the way around the lake in the wind and ate cold soup on a flat rock by the inlet"


def test_the_duplicate_with_the_most_likes_stays(root: Path) -> None:
    store = _store(
        root,
        [(LONG, 20), (f"{LONG} #rmnp", 90), (f"{LONG.upper()}!! 😍", 300), (f"{LONG} today", 10), ("A very different caption indeed", 10)],
    )
    [result] = cleaner.clean(["rmnp"], OPTIONS, store)
    assert read_captions(store.captions("rmnp")) == [f"{LONG.upper()}!! 😍", "A very different caption indeed"]
    dropped = [tuple(json.loads(line).values())[:3] for line in store.dropped("rmnp").read_text().splitlines()]
    assert dropped == [
        ("s00000", "exact-duplicate", "s00001"),
        ("s00001", "folded-duplicate", "s00002"),
        ("s00003", "near-duplicate", "s00002"),
    ]
    assert (result.posts, result.kept) == (5, 2)


def _captions(kind: str, seed: int) -> list[str]:
    """Return a few hundred folded captions: of random words and cut copies, of one template, or of one core with different ends."""
    rng = random.Random(f"{kind} {seed}")
    word = lambda count: f"w{rng.randrange(count)}"  # noqa: E731
    if kind == "random":
        texts = [" ".join(word(60) for _ in range(rng.randint(1, 20))) for _ in range(100)]
        return [*texts, *(text.rsplit(" ", rng.randint(1, 3))[0] for text in texts), *(f"{text} more" for text in texts)]
    core = [f"core{i}" for i in range(rng.choice((4, 20, 120)))]
    if kind == "template":
        slots = rng.randint(1, 5)
        return [" ".join(word(6) if i % 5 == 2 and i < 5 * slots else text for i, text in enumerate(core)) for _ in range(300)]
    return [" ".join([*core, word(3), *core[:5], *(word(10**6) for _ in range(rng.randint(0, 12)))]) for _ in range(300)]


def _brute_force(texts: list[str], threshold: float) -> dict[int, int]:
    """Return the expected result of ``duplicates.near``, by comparing each caption with each kept one."""
    sets = [frozenset(duplicates.shingles(text).tolist()) for text in texts]
    kept: list[int] = []
    found = {}
    for i, own in enumerate(sets):
        better = next((j for j in kept if len(own & sets[j]) / len(own | sets[j]) > threshold), None)
        if better is None:
            kept.append(i)
        else:
            found[i] = better
    return found


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.7, 0.9, 1.0])
@pytest.mark.parametrize("kind", ["random", "template", "core"])
def test_near_duplicates_are_those_that_a_comparison_of_all_pairs_finds(kind: str, threshold: float) -> None:
    for seed in range(6):
        texts = _captions(kind, seed)
        sets = duplicates.ShingleSets()
        for text in texts:
            sets.append(duplicates.shingles(text))
        assert duplicates.near(sets, range(len(sets)), threshold) == _brute_force(texts, threshold), seed


def test_duplicates_are_found_across_tags(root: Path) -> None:
    store = _store(root, [(LONG, 20), ("My dog slept through the whole storm and I did not", 20)])
    with PostLog(store.posts("estes")) as log:
        log.append([_post(LONG, 500, "other"), _post("And this only the second one", 30, "more")])
    cleaner.clean(["rmnp", "estes"], OPTIONS, store)
    assert read_captions(store.captions("rmnp")) == ["My dog slept through the whole storm and I did not"]
    assert read_captions(store.captions("estes")) == [LONG, "And this only the second one"]


@pytest.mark.parametrize("skip_rule", [(), ("exact-duplicate",), ("exact-duplicate", "folded-duplicate")])
def test_a_post_under_several_tags_stays_with_one_of_them(root: Path, skip_rule: tuple[str, ...]) -> None:
    store = _store(root, [(LONG, 20), ("My dog slept through the whole storm and I did not", 20)])
    with PostLog(store.posts("estes")) as log:
        log.append([_post(LONG, 20, "s00000"), _post("And this only the second one", 30, "more")])
    cleaner.clean(["rmnp", "estes"], CleanOptions(skip_rule=skip_rule), store)
    assert read_captions(store.captions("rmnp")) == [LONG, "My dog slept through the whole storm and I did not"]
    assert read_captions(store.captions("estes")) == ["And this only the second one"]


def test_a_post_that_is_twice_in_a_file_stays_once(root: Path) -> None:
    store = _store(root, [(LONG, 20), ("A very different caption indeed", 10)])
    store.posts("rmnp").write_text(store.posts("rmnp").read_text() * 2)
    [result] = cleaner.clean(["rmnp"], OPTIONS, store)
    assert read_captions(store.captions("rmnp")) == [LONG, "A very different caption indeed"]
    assert (result.posts, result.dropped, result.superseded_lines) == (2, {}, 2)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.none() | st.text(max_size=30), st.none() | st.integers(0, 100)), min_size=1, max_size=20))
def test_kept_and_dropped_are_all_posts(tmp_path_factory: pytest.TempPathFactory, captions: list[tuple[str | None, int | None]]) -> None:
    store = _store(tmp_path_factory.mktemp("root"), [*captions, ("A caption that is certainly kept", 50)])
    [result] = cleaner.clean(["rmnp"], OPTIONS, store)
    assert result.kept + sum(result.dropped.values()) == result.posts == len(captions) + 1


def test_the_number_of_workers_changes_no_byte(root: Path) -> None:
    store = _store(root, [(f"{LONG} number {i} {'of many ' * (i % 7)}", i % 60) for i in range(5_000)])
    written = []
    for workers in (1, 2):
        cleaner.clean(["rmnp"], CleanOptions(workers=workers, near_threshold=0.95), store)
        written.append([path.read_bytes() for path in (store.captions("rmnp"), store.dropped("rmnp"), store.cleaning("rmnp"))])
    assert written[0] == written[1]
    assert json.loads(written[0][2])["posts"] == 5_000


@pytest.mark.parametrize("line", ['{"shortcode": ', json.dumps(asdict(_post("A caption", 10**30)))])
def test_a_damaged_line_is_skipped_with_its_number(line: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = _store(root, [("A caption that is certainly kept", 50)])
    store.posts("rmnp").write_text(line + "\n" + store.posts("rmnp").read_text())
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--skip-pull"]) == 0
    assert "posts.jsonl of tag 'rmnp', line 1 is damaged and was skipped" in capsys.readouterr().err


def _results(store: Store, *tags: str) -> list[bytes]:
    return [path(tag).read_bytes() for tag in tags for path in (store.captions, store.dropped, store.cleaning)]


def test_nothing_left_names_the_reasons_and_keeps_the_last_result(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = _store(root, [("A caption that is kept", 50)])
    argv = ["--root", str(root), "--tag", "rmnp", "--skip-pull", "--emoji", "drop"]
    assert pull_and_clean.main(argv) == 0
    before = _results(store, "rmnp")
    assert pull_and_clean.main([*argv, "--min-likes", "99"]) == 5
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "error: no caption of tag 'rmnp' is left: too-few-likes 1",
        f"hint: run  python pull_and_clean.py --root {root} --tag rmnp --skip-pull --min-likes 0 --emoji drop",
    ]
    assert _results(store, "rmnp") == before


def test_a_failure_with_the_second_tag_keeps_the_last_result_of_both(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = _store(root, [(LONG, 20)])
    with PostLog(store.posts("estes")) as log:
        log.append([_post("And this only the second one", 30, "more")])
    argv = ["--root", str(root), "--tag", "rmnp", "estes", "--skip-pull"]
    assert pull_and_clean.main(argv) == 0
    before = _results(store, "rmnp", "estes")
    store.dropped("estes").with_name(".dropped.jsonl.tmp").symlink_to("elsewhere")  # so the second tag's file can't be written
    assert pull_and_clean.main([*argv, "--emoji", "drop"]) == 6
    assert "error: cannot write " in capsys.readouterr().err
    assert _results(store, "rmnp", "estes") == before


def test_explain_shows_the_result_of_the_rules(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _store(root, [("It&#39;s snowing again and I walked home slowly with my sister @someone \U0001f328\n.\nTag a friend\n#a #b", 3)])
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--explain", "s00000"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[0] == "s00000: It&#39;s snowing again and I walked home slowly with my sister @someone \U0001f328 / . / Tag a friend / #a #b"
    )
    assert re.fullmatch(
        r"  k 0\.\d\d  It's snowing again and I walked home slowly with my sister @someone \U0001f328  -> It's snowing again and I walked home slowly with my sister \U0001f328",
        lines[1],
    )
    assert re.fullmatch(r"  p \d\.\d\d  Tag a friend  <- promotion: Tag a", lines[2])
    assert re.fullmatch(r"  c \d\.\d\d  #a #b  <- tags: #a #b", lines[3])
    assert re.fullmatch(r"  caption \d\.\d\d, dropped at 0\.50", lines[4])
    assert lines[5] == "  dropped: too-few-likes (3)"
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--explain", "nope"]) == 3
    assert "no post 'nope' in " in capsys.readouterr().err
    assert pull_and_clean.main(["--root", str(root), "--tag", "other", "--explain", "nope"]) == 3
    assert f"{Store(root).posts('other')} does not exist" in capsys.readouterr().err


def test_review_prints_samples_of_dropped_and_changed_captions(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--root", str(root), "--tag", "rmnp"]
    assert pull_and_clean.main([*argv, "--review", "2"]) == 3
    assert "it was not cleaned yet" in capsys.readouterr().err
    assert pull_and_clean.main([*argv, "--from", str(ROOT / "examples" / "rmnp_posts.jsonl")]) == 0
    capsys.readouterr()
    assert pull_and_clean.main([*argv, "--review", "2"]) == 0
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    for line in Store(root).dropped("rmnp").read_bytes().splitlines():
        assert any(shown.startswith(f"dropped by {json.loads(line)['reason']}: ") for shown in lines)
    assert lines.count("  becomes") == 2
    assert pull_and_clean.main([*argv, "--review", "2"]) == 0
    assert capsys.readouterr().out == printed
    assert pull_and_clean.main([*argv, "--review", "0"]) == 2
    assert "--review must be at least 1" in capsys.readouterr().err


def _cleaning_of_many(root: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """Return a cleaning in a session of its own, and its worker processes."""
    _store(root, [(f"Number {number} of the days that it rained on our tent", 50) for number in range(60_000)])
    command = [sys.executable, str(ROOT / "pull_and_clean.py"), "--root", str(root), "--tag", "rmnp", "--skip-pull", "--workers", "2"]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True)
    while running.poll() is None and len(_workers(running.pid)) < 2:
        time.sleep(0.01)
    time.sleep(0.3)
    return running, _workers(running.pid)


def _workers(main: int) -> list[int]:
    """Return the children of ``main`` that run the script; Python 3.14 also has a resource tracker."""
    children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
    return [int(child) for child in children if b"pull_and_clean.py" in Path(f"/proc/{child}/cmdline").read_bytes()]


def _has_ended(process: int) -> bool:
    for _ in range(200):
        if not Path(f"/proc/{process}").exists() or "State:\tZ" in Path(f"/proc/{process}/status").read_text():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("number", "times", "send", "reason"),
    [
        (signal.SIGINT, 1, os.killpg, "interrupted"),  # to the whole group, like a terminal
        (signal.SIGTERM, 1, os.killpg, "stopped by SIGTERM"),
        (signal.SIGTERM, 2, os.kill, "stopped by SIGTERM"),
    ],
)
def test_an_interrupt_ends_all_processes_and_only_the_main_one_reports_it(
    number: signal.Signals, times: int, send: Callable[[int, int], None], reason: str, root: Path
) -> None:
    running, workers = _cleaning_of_many(root)
    for _ in range(times):
        send(running.pid, number)
        time.sleep(0.05)
    _, err = running.communicate(timeout=50)
    assert (running.returncode, err) == (130, f"cleaning the posts of #rmnp\nerror: {reason}; what was written so far is kept\n")
    assert all(map(_has_ended, workers))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_killed_worker_is_reported_with_a_command_that_needs_less_memory(root: Path) -> None:
    running, workers = _cleaning_of_many(root)
    os.kill(workers[0], signal.SIGKILL)  # like the kernel when memory runs out
    _, err = running.communicate(timeout=50)
    assert running.returncode == 6
    assert err.splitlines()[1:] == [
        "error: cannot clean tag 'rmnp': a cleaning process was ended by the system, probably for lack of memory",
        f"hint: run  python pull_and_clean.py --root {root} --tag rmnp --skip-pull --workers 1",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_end_when_the_main_process_is_killed(root: Path) -> None:
    running, workers = _cleaning_of_many(root)
    running.kill()
    running.communicate(timeout=50)
    assert all(map(_has_ended, workers))


def test_missing_posts_are_reported(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--skip-pull"]) == 3
    assert "posts.jsonl does not exist" in capsys.readouterr().err


def test_the_example_is_cleaned_as_checked_by_a_reader(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Golden files: after a change of the rules check the difference, then copy the new files."""
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--from", str(ROOT / "examples" / "rmnp_posts.jsonl")]) == 0
    assert Store(root).captions("rmnp").read_bytes() == (GOLDEN / "rmnp_captions.txt").read_bytes()
    assert Store(root).dropped("rmnp").read_bytes() == (GOLDEN / "rmnp_dropped.jsonl").read_bytes()
    assert capsys.readouterr().out == (GOLDEN / "rmnp_summary.txt").read_text(encoding="utf-8")


def test_no_caption_of_the_example_has_a_word_that_its_post_lacks() -> None:
    """Except for the words of split tags."""
    for line in (ROOT / "examples" / "rmnp_posts.jsonl").read_bytes().splitlines():
        caption = json.loads(line)["caption"] or ""
        post = rules.rewrite(caption, CleanOptions(min_likes=0, inline_tags="keep", skip_rule=("promotion", "language", "handles", "tags")))
        words = set(re.findall(r"\w+", post.text.lower() + " " + caption.lower()))
        tags = " ".join(re.findall(r"#(\w+)", caption.lower())).replace("_", "")
        for word in re.findall(r"\w+", rules.rewrite(caption, OPTIONS).text.lower()):
            assert word in words or word in tags, (word, caption)


def test_handles_and_tags_stay_if_asked() -> None:
    caption = "We walked home through the fog with @ann.lee and the #wetdog"
    draft = rules.rewrite(caption, CleanOptions(min_likes=0, handles="keep", inline_tags="keep", skip_rule=("promotion",)))
    assert (draft.text, draft.reason) == (caption, "")


@pytest.mark.parametrize(
    ("caption", "kept"),
    [
        (
            "The lake is still frozen and so are we. El lago todavía está congelado y nosotros también.",
            "The lake is still frozen and so are we.",
        ),
        ("We walked home in the rain\nмы шли домой под дождём и смеялись", "We walked home in the rain"),
        ("Lago di Sorapis\nWe walked for a week and the water really is that colour", None),
    ],
)
def test_a_caption_in_two_languages_keeps_the_sentences_in_the_wanted_one(caption: str, kept: str | None) -> None:
    draft = rules.rewrite(caption, CleanOptions(min_likes=0, skip_rule=("promotion",)))
    assert (draft.text, draft.reason) == (caption if kept is None else kept, "")
