"""A measurement in a process of its own, independent of what others left in memory."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import ParamSpec, TypeVar

P, T = ParamSpec("P"), TypeVar("T")


def alone(work: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Return ``work(*arguments, **options)`` from a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(work, *arguments, **options).result()
