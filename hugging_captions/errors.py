"""The expected errors: message, hint and exit code.

Raised by every stage, turned into two lines and an exit code by ``console``.
"""

from __future__ import annotations

import errno
from pathlib import Path

#: OSError numbers that mean "this disk can't be written", not "this file is invalid".
DISK_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO})


class HuggingCaptionsError(Exception):
    """An expected failure; ``exit_code`` is the exit code of the process, ``hint`` the next command to try."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(HuggingCaptionsError):
    """The command line contradicts itself or asks for something that does not exist."""

    exit_code = 2


class BusyError(UsageError):
    """Another process is writing the files of the same tag."""


class InputError(HuggingCaptionsError):
    """A file or folder that the command needs is missing or cannot be read."""

    exit_code = 3


class InstagramError(HuggingCaptionsError):
    """Instagram refused, asked for verification by a person, or could not be reached."""

    exit_code = 4


class NothingLeftError(HuggingCaptionsError):
    """The input was valid, but nothing is left to work on."""

    exit_code = 5


class ResourceError(HuggingCaptionsError):
    """Not enough memory or disk space, or a disk that cannot be written."""

    exit_code = 6


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether ``error`` says that memory ran out; torch words this differently on a GPU, on the CPU and in its allocator."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in ("out of memory", "not enough memory", "allocate memory"))


def from_os_error(error: OSError, action: str, path: Path | str) -> HuggingCaptionsError:
    """Return the error for a failed ``action`` on ``path``: ``ResourceError`` for a failed write or a disk problem, else ``InputError``."""
    message = f"cannot {action} {path}: {error.strerror or error}"
    if error.errno in DISK_ERRNOS:
        return ResourceError(message, "free some space or choose another --root; existing files are unchanged")
    if action == "write":
        return ResourceError(message, "check the folder's permissions or choose another --root")
    return InputError(message)
