"""The documents are up to date: generated parts, links, commands."""

from __future__ import annotations

import re

import pytest
from conftest import ROOT

import pull_and_clean
import tune_transformer
from tools import docs


def test_docs_match_the_parsers() -> None:
    text = (ROOT / "DOCS.md").read_text(encoding="utf-8")
    assert text == docs.fill_in(text, docs.generated_parts()), "run  make docs"


@pytest.mark.parametrize("document", ["README.md", "DOCS.md", "CONTRIBUTING.md"])
def test_links_have_targets(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    headings = {re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in text.splitlines() if line.startswith("#")}
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings, target
        elif not target.startswith("http"):
            assert (ROOT / target.split("#")[0]).exists(), target


@pytest.mark.parametrize("document", ["README.md"])
def test_every_command_in_the_documents_parses(document: str) -> None:
    parsers = {"pull_and_clean.py": pull_and_clean.build_parser(), "tune_transformer.py": tune_transformer.build_parser()}
    commands = re.findall(
        r"^(?:    )?(?:\w.* )?(pull_and_clean\.py|tune_transformer\.py)((?: [^\n#|]*)?)",
        (ROOT / document).read_text(encoding="utf-8"),
        re.M,
    )
    checked = 0
    for script, rest in commands:
        if "--tag" not in rest or "..." in rest or "[" in rest:
            continue
        import shlex

        parsers[script].parse_args(shlex.split(rest.split("  ")[0]))
        checked += 1
    assert checked > 2
