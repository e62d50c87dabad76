"""Kill a pull at any moment: the next one ends with every post, each once.

Not part of ``make test``: ``make faults`` runs it in a few minutes.
"""

from __future__ import annotations

import json
import random
import signal
import sys
from functools import partial
from pathlib import Path

import pytest
from harness import COUNTS, PULL, assert_reported, disturb, run

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from instagram_server import SESSION_ID, FakeInstagram, media, route_process, section, serving

from hugging_captions.storage import Store

pytestmark = pytest.mark.timeout(900)
KILLS = {signal.SIGKILL: 50, signal.SIGTERM: 15}
PAGES = 40


def _instagram() -> FakeInstagram:
    fake = FakeInstagram()
    fake.sections = [[section(*(media(f"s{page}x{i}") for i in range(9)))] for page in range(PAGES)]
    return fake


@pytest.mark.parametrize("number", KILLS, ids=["kill", "term"])
def test_a_killed_pull_loses_and_doubles_nothing(number: signal.Signals, tmp_path: Path) -> None:
    cookies = tmp_path / "cookies.txt"
    row = ".instagram.com\tTRUE\t/\tTRUE\t4102444800\t"
    cookies.write_text(f"# Netscape HTTP Cookie File\n{row}sessionid\t{SESSION_ID}\n{row}ds_user_id\t1\n{row}csrftoken\tabc\n")
    everything = {f"s{page}x{i}" for page in range(PAGES) for i in range(9)}
    rng = random.Random(int(number))
    unfinished = 0
    with serving(_instagram()) as port:
        setup = partial(route_process, port)
        for attempt in range(KILLS[number]):
            root = tmp_path / f"root{attempt}"
            argv = ["--root", root, "--tag", "rmnp", "--cookies", cookies, "--skip-rule", "exact-duplicate", "--workers", "1"]
            ended = disturb(PULL, argv, tmp_path / "log", partial(_has_posts, root, rng.randrange(len(everything))), number, setup)
            assert_reported(ended, [0, 130, -number])
            COUNTS[f"pull: {number.name} and a rerun"] += 1
            before = _stored(root)
            assert len(before) == len(set(before))
            unfinished += 0 < len(before) < len(everything)
            assert_reported(run(PULL, argv, tmp_path / "log", setup), [0])
            after = _stored(root)
            assert len(after) == len(set(after))
            assert set(before) <= set(after) == everything
    assert unfinished > KILLS[number] // 3, "the kills came too early or too late to try anything"


def _has_posts(root: Path, count: int) -> bool:
    return len(_stored(root)) >= count


def _stored(root: Path) -> list[str]:
    path = Store(root).posts("rmnp")
    if not path.exists():
        return []
    whole = path.read_bytes().rpartition(b"\n")[0]
    return [json.loads(line)["shortcode"] for line in whole.splitlines()]
