"""The HTML pages that the scripts write: one self-contained file each, without JavaScript.

The templates are data/*.html, their style data/page.css. Captions are other people's text, so every value is escaped, and
control characters and bidirectional overrides are written as escapes. The Content-Security-Policy allows only that style and
embedded pictures.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from .console import printable
from .storage import DATA, data_file

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True)
class Marked:
    """A text with an optional marked part."""

    before: str
    marked: str = ""
    after: str = ""


def render(template: str, **values: Any) -> str:
    """Return ``data/<template>`` filled with ``values``; the same values give the same page.

    Raises:
        InputError: the style is missing.
    """
    return _environment().get_template(template).render(values)


def picture(png: bytes) -> str:
    """Return a PNG picture as a data URL."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def evenly(items: Sequence[Any], most: int) -> Sequence[Any]:
    """Return ``most`` of ``items``, evenly spaced, or all if there are fewer."""
    return items if len(items) <= most else [items[number * len(items) // most] for number in range(most)]


def rows(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return names and values as rows of a table, with one line for each entry of a mapping or list."""
    return [(name, "\n".join(_lines(value))) for name, value in values.items()]


def _lines(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [f"{name}: {inner}" for name, inner in value.items()]
    return list(map(str, value)) if isinstance(value, list | tuple) else ["-" if value is None else str(value)]


@cache
def _environment() -> Environment:
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(DATA), autoescape=True, undefined=jinja2.StrictUndefined,
        finalize=_harmless, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    style = data_file("page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    environment.globals.update(style=Markup(style), style_hash=f"sha256-{digest}")
    return environment


def _harmless(value: object) -> object:
    """Return a text without control characters other than line breaks; a template's own output is unchanged."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return "\n".join(map(printable, value.split("\n")))
    return value
