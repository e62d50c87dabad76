"""A measurement in a process of its own: nothing that another one left in memory helps or hinders it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import ParamSpec, TypeVar

P, T = ParamSpec("P"), TypeVar("T")


def alone(work: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Return ``work(*arguments, **options)`` as a fresh process finds it."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(work, *arguments, **options).result()
