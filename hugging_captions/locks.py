"""Who may write: one process per tag, and only below --root.

Writes ``.<name>.lock`` beside the folder that it stands for; its text says who holds it.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import BusyError, UsageError, from_os_error


@contextmanager
def lock_file(folder: Path, name: str) -> Iterator[None]:
    """Hold an advisory lock on ``folder``/.<name>.lock; the kernel frees it when the process ends, however it ends.

    Raises:
        BusyError: another process holds it.
        ResourceError: it can't be written.
        UsageError: ``folder``/<name> leads out of ``folder``.
    """
    _refuse_link(folder, name)
    path = folder / f".{name}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = open(path, "a+", encoding="utf-8", opener=no_links)
    except OSError as error:
        raise from_os_error(error, "write", path) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            holder = handle.read().strip() or "another process"
            raise BusyError(f"tag {name!r} is being written by {holder}", "wait until it has finished, then repeat the command") from None
        handle.truncate(0)
        try:
            os.write(handle.fileno(), f"process {os.getpid()} ({Path(sys.argv[0]).name}), since {time.strftime('%F %T')}".encode())
        except OSError as error:
            raise from_os_error(error, "write", path) from error
        try:
            yield
        finally:
            handle.truncate(0)


def no_links(path: str, flags: int) -> int:
    """Open a file for ``open(..., opener=no_links)``: an OSError where it is a symbolic link, which could lead anywhere."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def _refuse_link(folder: Path, name: str) -> None:
    """Raise a ``UsageError`` if what is to be written would land outside ``folder`` (which may be a link itself)."""
    for path in (folder / name, folder / f"{name}.training"):
        if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
            raise UsageError(
                f"{path} is a symbolic link that leads out of {folder}", "remove it, or give --root DIR with the data's folder"
            )
