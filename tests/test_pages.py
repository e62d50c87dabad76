"""Hostile text on the two pages has no effect: parsed, and opened in a real browser."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import pull_and_clean
from hugging_captions.generator import novelty
from hugging_captions.generator.results import SAMPLES, Setting, page
from hugging_captions.generator.selection import REASONS, Caption
from hugging_captions.pages import evenly
from hugging_captions.storage import Store

#: Texts that try to run code, link or load. ``%s`` is the address of a local server.
HOSTILE = [
    "<script>document.title='pwned'</script>",
    '<a href="javascript:document.title=1">here</a>',
    '"><img src=%s/x onerror="document.title=2">',
    "'><svg onload=document.title=3>",
    "{{ 7 * 7 }} {% raw %} {# no #}",
    "</style><style>@import url(%s/style)</style>",
    "</p></main><iframe src=%s/frame></iframe><base href=%s><!--",
    "<meta http-equiv=refresh content='0;url=%s/away'>",
    "&lt;b&gt; &amp;lt; &#60;script&#62;",
]
TRAINING = ["We saw the moon over the lake and stayed", "one two three four"]


class Parsed(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def captions(texts: list[str], prompt: str = "", reason: str | None = None) -> list[Caption]:
    found = [Caption(text, prompt, 0, row, 9, 8, True, -1.5, reason=reason, score=0.5) for row, text in enumerate(texts)]
    for caption, copied in zip(found, novelty.CopyIndex(TRAINING).search(texts)):
        caption.copied = copied
    return found


def setting(kept: list[Caption], rejected: list[Caption] = (), **values: float) -> Setting:  # type: ignore[assignment]
    figures = {
        name: novelty.figures([caption.text for caption in kept], [caption.copied for caption in kept]) for name in ("kept", "held out")
    }
    return Setting(values, kept, [*kept, *rejected], figures)


def generated(evil: list[str], several: bool = False) -> str:
    """Return a page with ``evil`` in place of every text."""
    kept = [caption for prompt in evil for caption in captions([prompt + text for text in evil], prompt)]
    one = setting(kept, captions(evil, evil[0], "private_data"), temperature=0.7)
    settings = [one, replace(one, values={"temperature": 1.0})] if several else [one]
    record = {"tags": evil, "options": {"prompt": evil}, "note": evil[0], "versions": {evil[0]: evil[0]}, "model_sha256": {evil[0]: "0"}}
    return page(evil, evil, settings, [text + " " + TRAINING[0] for text in evil], record)


def cleaning(evil: list[str], root: Path) -> str:
    posts = [{"shortcode": text, "caption": text, "likes": 40} for text in evil]
    posts += [{"shortcode": f"k{i}", "caption": f"We woke up early and saw {i} owls {text}", "likes": 40} for i, text in enumerate(evil)]
    root.mkdir(parents=True, exist_ok=True)
    (root / "posts.json").write_text(json.dumps(posts), encoding="utf-8")
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--from", str(root / "posts.json"), "--report"]) == 0
    return Store(root).cleaning_page("rmnp").read_text(encoding="utf-8")


def test_hostile_captions_are_shown_as_text(root: Path) -> None:
    evil = [text.replace("%s", "http://127.0.0.1:9") for text in HOSTILE]
    for html in (generated(evil), generated(evil, several=True), cleaning(evil, root)):
        parsed = Parsed(html)
        for tag, attributes in parsed.elements:
            assert tag not in ("script", "iframe", "svg", "base", "form", "object", "link"), attributes
            assert not any(name.startswith("on") or name == "style" for name in attributes)
            assert (attributes.get("href") or "#").startswith("#")
            assert (attributes.get("src") or "data:image/png;base64,").startswith("data:image/png;base64,")
        assert [attributes.get("http-equiv") for tag, attributes in parsed.elements if tag == "meta" and "http-equiv" in attributes] == [
            "Content-Security-Policy"
        ]
    for text in evil:
        assert parsed.text.count(text) >= 1
        assert Parsed(generated(evil)).text.count(text) > 20


def test_controls_and_overrides_are_written_out_and_right_to_left_text_is_isolated() -> None:
    html = generated(["a\u202eb\x00c\x1b[31m", "שלום עולם"])
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", html)
    assert "a\\u202eb\\x00c\\x1b[31m" in html
    assert '<p class="caption" dir="auto">' in html
    assert "<bdi>“שלום עולם”</bdi>" in html


def test_headings_tables_and_language_are_there_for_a_screen_reader(root: Path) -> None:
    for html in (generated(["Hello"]), generated(["Hello"], several=True), cleaning(["Hello to all of you"], root)):
        elements = Parsed(html).elements
        assert ("html", {"lang": "en"}) in elements
        levels = [int(tag[1]) for tag, _ in elements if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
        tags = Counter(tag for tag, _ in elements)
        assert tags["table"] == tags["caption"] > 3
        assert all(attributes.get("scope") in ("row", "col") for tag, attributes in elements if tag == "th")
        assert all(attributes.get("alt") for tag, attributes in elements if tag == "img")
        targets = {attributes.get("id") for _, attributes in elements}
        assert {(attributes["href"] or "")[1:] for tag, attributes in elements if tag == "a"} <= targets


@pytest.mark.parametrize(
    ("text", "marked", "nearest"),
    [
        ("Then we SAW the moon, over here", "we SAW the moon, over", "We saw the moon over"),
        ("Wé saw the 🌲 moon… over #tag the lake!", "saw the 🌲 moon… over #tag the lake", "saw the moon over the lake"),
        ("the moon", None, None),
        ("nothing at all", None, None),
    ],
)
def test_the_longest_copied_run_is_marked_in_both(text: str, marked: str | None, nearest: str | None) -> None:
    html = page(["corgi"], [""], [setting(captions([text]))], TRAINING, {})
    found = re.findall("<mark>(.*?)</mark>", html)[1:]  # the first is the explanation of the mark
    assert found == ([marked, nearest] if marked else [])


def test_a_long_training_caption_is_cut_around_the_copied_words() -> None:
    html = page(["corgi"], [""], [setting(captions(["saw the moon over"]))], ["x " * 500 + TRAINING[0] + " y" * 500], {})
    near = re.search('<p class="near" dir="auto">(.*?)</p>', html)
    assert near
    assert 280 < len(re.sub("<.*?>", "", near[1])) < 330
    assert (near[1].count("…"), near[1][-1]) == (2, "…")
    assert "<mark>saw the moon over</mark>" in near[1]


def test_rejected_attempts_are_collapsed_with_counts_and_at_most_so_many_samples() -> None:
    rejected = [
        caption for reason in ("loop", "exact_copy") for caption in captions([f"{TRAINING[1]} {i}" for i in range(500)], "", reason)
    ]
    html = page(["corgi"], [""], [setting(captions(["fine"]), rejected)], TRAINING, {})
    parts = re.findall("<details>(.*?)</details>", html, re.DOTALL)
    assert [part.count("<li>") for part in parts] == [SAMPLES, SAMPLES]
    assert [re.search("<summary>(.*?)</summary>", part)[1] for part in parts] == [  # type: ignore[index]
        f"{name}, 500 attempts: {REASONS[name]}" for name in ("loop", "exact_copy")
    ]
    assert ["caption 2:" in part for part in parts] == [False, True]
    assert "500 (50%)" in html


def test_settings_stand_side_by_side_and_one_alone_has_no_columns() -> None:
    one, other = (setting(captions(texts, "Hi"), temperature=t) for t, texts in ((0.7, ["Hi a", "Hi b"]), (1.0, ["Hi c"])))
    alone, both = page(["corgi"], ["Hi"], [one], [], {}), page(["corgi"], ["Hi", "Ho"], [one, other], [], {})
    assert "Comparison" not in alone
    assert 'class="columns"' not in alone
    assert re.findall("<h4>(.*?)</h4>", both) == ["temperature 0.7", "temperature 1.0"] * 2
    assert '<th scope="row">temperature 1.0</th><td>1</td><td>1</td><td>0.500</td>' in both
    assert both.count("No caption was kept.") == 2


def test_evenly() -> None:
    assert list(evenly(range(10), 3)) == [0, 3, 6]
    assert list(evenly(range(3), 3)) == [0, 1, 2]


# -- in a real browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium")


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """Yield the address of a local server, and the paths that were requested."""
    requested: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requested.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", requested
        running.shutdown()


def opened(path: Path, *arguments: str) -> tuple[str, list[str]]:
    """Return chromium's document of a page after its scripts ran, and the console output."""
    quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"]
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", *quiet, f"--user-data-dir={path.parent / 'profile'}"]
    command += ["--enable-logging=stderr", *arguments, "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=90)
    assert done.returncode == 0, done.stderr
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@needs_chromium
def test_the_browser_check_detects_an_unsafe_page(server: tuple[str, list[str]], tmp_path: Path) -> None:
    address, requested = server
    path = tmp_path / "careless.html"
    path.write_text("<title>t</title>" + "".join(HOSTILE[:3]).replace("%s", address) + "<script>console.error('no')</script>")
    document, console = opened(path)
    assert "<title>2</title>" in document or "<title>pwned</title>" in document
    assert requested
    assert any("no" in line for line in console)


@needs_chromium
@pytest.mark.parametrize("kind", ["generated", "several", "cleaning"])
def test_in_a_browser_nothing_runs_loads_or_fails(kind: str, server: tuple[str, list[str]], tmp_path: Path) -> None:
    address, requested = server
    evil = [text.replace("%s", address) for text in HOSTILE]
    html = cleaning(evil, tmp_path / "root") if kind == "cleaning" else generated(evil, kind == "several")
    path = tmp_path / "page.html"
    path.write_text(html, encoding="utf-8")
    title = re.search("<title>.*?</title>", html, re.DOTALL)
    document, console = opened(path, f"--screenshot={tmp_path / 'page.png'}")
    assert title
    assert title[0].replace("&#39;", "'").replace("&#34;", '"') in document
    assert "<script" not in document.replace("&lt;script", "")
    assert (console, requested) == ([], [])


@needs_chromium
def test_the_style_is_applied_in_light_and_dark(tmp_path: Path) -> None:
    """The policy allows this one style by its hash: a wrong hash would leave a bare page, and an error in the console."""
    path, pictures = tmp_path / "page.html", []
    path.write_text(generated(["Hello"]), encoding="utf-8")
    for scheme in ("1", "0"):
        picture = tmp_path / f"{scheme}.png"
        subprocess.run(
            [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
             f"--blink-settings=preferredColorScheme={scheme}", "--window-size=600,600", f"--screenshot={picture}", path.as_uri()],
            capture_output=True, timeout=90, check=True,
        )  # fmt: skip
        pictures.append(_corner(picture))
    assert pictures == [(255, 255, 255), (23, 23, 23)]


def _corner(path: Path) -> tuple[int, ...]:
    import matplotlib.image

    return tuple(round(255 * float(value)) for value in matplotlib.image.imread(path)[2, 2, :3])
