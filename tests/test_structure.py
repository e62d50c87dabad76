"""The layout that CONTRIBUTING.md describes: imports between folders, length of functions, no prints and exits."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = ROOT / "hugging_captions"
FOLDERS = ("scraper", "cleaner", "dataset", "trainer", "generator")
MODULES = sorted(PACKAGE.rglob("*.py"))


def imports(code: str, package: tuple[str, ...]) -> Iterator[str]:
    """Yield the full name of every import in ``code``, a module of ``package``, at any depth."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            yield from (".".join([*above, *filter(None, [node.module]), alias.name]) for alias in node.names)


def folder_of(name: str) -> str:
    """Return the folder of ``hugging_captions`` that a full name belongs to, or an empty string for the core."""
    parts = name.split(".")
    return parts[1] if parts[0] == "hugging_captions" and len(parts) > 1 and parts[1] in FOLDERS else ""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_folder_imports_the_core_and_never_another(path: Path) -> None:
    own = path.parent.name if path.parent != PACKAGE else ""
    allowed = {"", own} | ({"dataset"} if own == "trainer" else set())
    found = imports(path.read_text(encoding="utf-8"), path.relative_to(ROOT).parent.parts)
    assert {name for name in found if folder_of(name) not in allowed} == set()


@pytest.mark.parametrize(
    ("line", "folder"),
    [
        ("from ..trainer import train", "trainer"),
        ("from .. import scraper", "scraper"),
        ("from ..cleaner.rules import RULES", "cleaner"),
        ("import hugging_captions.cleaner.rules", "cleaner"),
        ("def f():\n    from hugging_captions.dataset import load", "dataset"),
        ("from ..models import LoadedModel", ""),
        ("from .decoder import Decoder", "generator"),
    ],
)
def test_every_kind_of_import_is_seen(line: str, folder: str) -> None:
    assert [folder_of(name) for name in imports(line, ("hugging_captions", "generator"))] == [folder]


def test_no_function_is_longer_than_sixty_lines_and_most_are_short() -> None:
    lengths = {}
    for path in [*MODULES, *ROOT.glob("*.py"), *ROOT.glob("tools/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.end_lineno:
                lengths[f"{path.relative_to(ROOT)}:{node.name}"] = node.end_lineno - node.lineno + 1
    assert {name: length for name, length in lengths.items() if length > 60} == {}
    assert sorted(lengths.values())[len(lengths) // 2] <= 13


def test_the_package_neither_prints_nor_exits() -> None:
    for path in MODULES:
        calls = [node.func for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        names = {call.id for call in calls if isinstance(call, ast.Name)} | {call.attr for call in calls if isinstance(call, ast.Attribute)}
        assert not names & {"print", "exit"}, path  # os._exit in a worker process is allowed
