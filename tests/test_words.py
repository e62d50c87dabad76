"""Phrases that read as translated or home-made, in code, documents and templates."""

from __future__ import annotations

import re

import pytest
from conftest import ROOT

SKIPPED = {"fixtures", "golden", "examples", "demo", "text", "trained_models", "out"}
UNCHECKED = {"test_words.py"}
FILES = [
    path
    for pattern in ("*.py", "*.md", "*.html")
    for path in sorted(ROOT.rglob(pattern))
    if path.name not in UNCHECKED and not any(part in SKIPPED or part.startswith(".") for part in path.relative_to(ROOT).parts)
]
BANNED = {
    r"\bmend(?:s|ed|ing)?\b": "repair, normalize",
    r"\b(?:is|are|was) told\b": "is reported",
    r"\bsays so\b|\bsay so\b|\bsaid at once\b": "report",
    r"\banew\b|\bonce more\b": "again",
    r"\bbeside (?:the|its|this)\b": "next to, compared with",
    r"\bwhat (?:came|became|becomes) of\b|\bwhat came out\b": "result",
    r"\bjudgement\b|\bjudged by\b|\breaders judged\b": "rated, labelled",
    r"\b(?:of|a \w+ of) ours\b|\bof (?:Instagram|instaloader|gallery-dl|Meta|Excel)'s(?![ \w-])": "of this project, of Instagram",
    r"\bgives? word\b|\bsurely\b": "report; certainly",
    r"\bthe dice\b|\bdice\b": "random numbers, seed, rng",
    r"\bas (?:many|long) as (?:it is )?asked for\b": "requested",
    r"\brows under way\b": "active rows",
    r"\b(?:bring|brings) a session\b|\bshows the road\b|\bof that world\b": "log in with; demonstrates",
    r"\b(?:is|are) no \w+(?= that| of)": "is not a",
    r"\bnothing but\b": "only",
    r"\bput into .{1,20}'s mouth\b": "invented",
    r"\bgoes on where\b|\bhow to go on\b": "continues",
    r"\bleft behind\b|\bleaves behind\b": "left",
}


@pytest.mark.parametrize("phrase", BANNED)
def test_no_text_has_a_banned_phrase(phrase: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in FILES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(phrase, line, re.IGNORECASE)
    ]
    assert found == [], f"write instead: {BANNED[phrase]}"
