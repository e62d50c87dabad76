"""The generated parts of DOCS.md: every option of both scripts and every cleaning rule.

    python tools/docs.py            write DOCS.md
    python tools/docs.py --check    exit 1 if DOCS.md is not up to date

A generated part is between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a script's own folder is there instead

from hugging_captions.errors import InputError  # noqa: E402
from hugging_captions.storage import atomic_write  # noqa: E402

SCRIPTS = ("pull_and_clean", "tune_transformer")


def options_table(parser: argparse.ArgumentParser) -> str:
    """Return one Markdown table for each group of ``parser``'s options."""
    parts = []
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.option_strings and action.dest != "help"]
        if not actions:
            continue
        rows = [f"| `{_spelling(action)}` | {_escape(action.help or '')} |" for action in actions]
        parts.append("\n".join([f"**{group.title}**\n", "| option | what it does |", "|---|---|", *rows]))
    return "\n\n".join(parts)


def rules_table() -> str:
    """Return a Markdown table of the cleaning rules in their order."""
    from hugging_captions.cleaner import rules

    rows = [f"| `{rule.name}` | {_escape(rule.description)} | {_example(rule.before)} | {_example(rule.after)} |" for rule in rules.RULES]
    return "\n".join(["| rule | what it does | before | after |", "|---|---|---|---|", *rows])


def _example(text: str) -> str:
    return _escape(text).replace("\n", "<br>")


def generated_parts() -> dict[str, str]:
    """Return the text of each generated part of DOCS.md by its name."""
    parts = {name: options_table(importlib.import_module(name).build_parser()) for name in SCRIPTS}
    return {**parts, "rules": rules_table()}


def fill_in(text: str, parts: dict[str, str]) -> str:
    """Return ``text`` with each generated part replaced.

    Raises:
        InputError: ``text`` has no markers for a part.
    """
    for name, part in parts.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        if begin not in text or end not in text:
            raise InputError(f"DOCS.md has no markers for {name}", f"add {begin} and {end}")
        text = re.sub(f"{begin}.*?{end}", lambda _: f"{begin}\n{part}\n{end}", text, flags=re.DOTALL)  # noqa: B023
    return text


def main(argv: Sequence[str]) -> int:
    """Write DOCS.md, or with ``--check`` compare it; return the exit code."""
    path = ROOT / "DOCS.md"
    before = path.read_text(encoding="utf-8")
    after = fill_in(before, generated_parts())
    if "--check" in argv:
        return int(before != after)
    with atomic_write(path) as handle:
        handle.write(after)
    return 0


def _spelling(action: argparse.Action) -> str:
    value = action.metavar or ("|".join(map(str, action.choices)) if action.choices else "")
    more = " ..." if action.nargs == "+" else ""
    return f"{action.option_strings[-1]} {value}{more}".replace("|", "\\|").strip()


def _escape(text: str) -> str:
    return text.replace("%%", "%").replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
