"""The HTML pages that the scripts write: one file each, without scripts and without anything from elsewhere.

The templates are data/*.html, their style data/page.css. All that they show is escaped, and control characters and
bidirectional overrides are written out, because captions are other people's text. A Content-Security-Policy lets a browser apply
that one style and show pictures that are part of the page, nothing else.
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
    """A text of which a part may be marked."""

    before: str
    marked: str = ""
    after: str = ""


def render(template: str, **values: Any) -> str:
    """Return the page that ``data/<template>`` makes of ``values``; the same values give the same page.

    Raises:
        InputError: the style is missing.
    """
    return _environment().get_template(template).render(values)


def picture(png: bytes) -> str:
    """Return a PNG picture as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def evenly(items: Sequence[Any], most: int) -> Sequence[Any]:
    """Return ``most`` of ``items``, evenly spaced, or all where there are fewer."""
    return items if len(items) <= most else [items[number * len(items) // most] for number in range(most)]


def rows(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return names and values as rows of a table; what a mapping or a list holds, a line for each."""
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
    """Return a text without control characters but line breaks; what a template has made already stays."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return "\n".join(map(printable, value.split("\n")))
    return value
