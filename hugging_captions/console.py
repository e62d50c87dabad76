"""Terminal output: log lines, progress, tables, and two-line errors.

Results go to stdout (the scripts print them); everything else here writes to stderr.
"""

from __future__ import annotations

import argparse
import difflib
import io
import logging
import os
import re
import shlex
import signal
import sys
import textwrap
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TextIO, TypeVar

from . import __version__
from .errors import DISK_ERRNOS, HuggingCaptionsError, InputError, ResourceError, UsageError, from_os_error, is_out_of_memory

T = TypeVar("T")

#: Width of a summary in columns.
WIDTH = 80

# C0 and C1 controls, and the bidirectional overrides that can reorder a terminal line.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


class _Handler(logging.Handler):
    """Write to the current stderr, above a progress bar if one is drawn; color ``warning:`` and ``error:`` on a terminal."""

    def emit(self, record: logging.LogRecord) -> None:
        text = printable(record.getMessage())
        if record.levelno >= logging.WARNING:
            label = record.levelname.lower() + ":"
            if sys.stderr.isatty() and "NO_COLOR" not in os.environ:
                label = f"\x1b[{33 if record.levelno == logging.WARNING else 31}m{label}\x1b[0m"
            text = f"{label} {text}"
        tqdm = sys.modules.get("tqdm")
        if tqdm is not None and sys.stderr.isatty():
            tqdm.tqdm.write(text, file=sys.stderr)
        else:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()


class _LogFile(logging.FileHandler):
    """Append to the file of --log-file; every line has time, level and text."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", errors="backslashreplace")
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def format(self, record: logging.LogRecord) -> str:
        """Return ``record`` on one printable line."""
        return printable(super().format(record))

    def line(self, level: str, text: str) -> None:
        """Write each line of ``text`` with ``level``."""
        for line in text.split("\n"):
            self.handle(logging.makeLogRecord({"levelname": level, "msg": line}))


class _Tee:
    """A stdout that also writes its lines to the log file."""

    def __init__(self, stdout: TextIO, log_file: _LogFile) -> None:
        self._stdout, self._log_file, self._begun = stdout, log_file, ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stdout, name)

    def write(self, text: str) -> int:
        """Write ``text``; a line is written to the file once it is complete."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._log_file.line("RESULT", line)
        return self._stdout.write(text)


def set_up_logging(verbose: bool, quiet: bool = False, log_file: Path | None = None) -> None:
    """Send the package's log to stderr: information and above, everything with ``verbose``, errors with ``quiet``.

    ``log_file`` gets everything. Of several processes only the first writes to it.

    Raises:
        ResourceError: ``log_file`` can't be written.
    """
    logger = logging.getLogger("hugging_captions")
    screen = _Handler(logging.ERROR if quiet else logging.DEBUG if verbose else logging.INFO)
    logger.handlers[:] = [screen]
    logger.propagate = False
    if log_file and is_main_process():
        try:
            logger.addHandler(_LogFile(log_file))
        except OSError as error:
            problem = f"cannot write {log_file}: {error.strerror or error}"
            raise ResourceError(problem, "give another --log-file, in a folder that exists") from error
    logger.setLevel(logging.DEBUG if log_file else screen.level)


def _log_file() -> _LogFile | None:
    return next((handler for handler in logging.getLogger("hugging_captions").handlers if isinstance(handler, _LogFile)), None)


def _close_log_file() -> None:
    if log_file := _log_file():
        logging.getLogger("hugging_captions").removeHandler(log_file)
        log_file.close()


def printable(text: str) -> str:
    """Return ``text`` with control characters written as escapes, so no file can drive the terminal."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def shorten(text: str, width: int = 72) -> str:
    """Return ``text`` on one printable line of at most ``width`` characters."""
    line = printable(text.replace("\n", " / "))
    return line if len(line) <= width else line[: width - 1] + "…"


def wrap(text: str, indent: int = 4) -> str:
    """Return ``text`` on lines of at most ``WIDTH`` characters, all but the first indented."""
    return textwrap.fill(text, WIDTH, subsequent_indent=" " * indent, break_on_hyphens=False)


def short_path(path: Path, width: int = WIDTH - 8) -> str:
    """Return ``path``, with ``…`` in the middle if it is longer than ``width``; the file name at the end stays."""
    text = printable(str(path))
    return text if len(text) <= width else f"{text[: width // 4]}…{text[len(text) + 1 + width // 4 - width :]}"


def rows(title: str, facts: Sequence[tuple[str, str]]) -> str:
    """Return ``title`` and, below it, one wrapped line per label and fact."""
    width = max(len(label) for label, _ in facts) + 4
    return "\n".join([wrap(title), *(wrap(f"  {label:{width - 2}}{text}", width) for label, text in facts)])


def duration(seconds: float) -> str:
    """Return a rounded duration in a suitable unit: ``40 s``, ``12 min``, ``3.5 h``."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def listed(names: Sequence[str], most: int = 8) -> str:
    """Return at most ``most`` of ``names`` with commas between them, then how many more there are; ``none`` without any."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more


def count(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 post``, ``1,204 posts``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def table(rows: Iterable[Sequence[object]], header: Sequence[str]) -> str:
    """Return a plain-text table: the first column aligned left, the others right."""
    cells = [list(header)] + [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = [
        "  ".join(cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))) for row in cells
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def progress(items: Iterable[T] | None = None, *, total: int | None = None, unit: str, label: str) -> Any:
    """Return a tqdm bar over ``items`` (or one that the caller updates), drawn only on a terminal."""
    from tqdm import tqdm

    hidden = not draws_progress()
    return tqdm(items, total=total, unit=unit, unit_scale=unit == "B", desc=label, file=sys.stderr, disable=hidden, leave=False)


def draws_progress() -> bool:
    """Return whether progress bars are drawn: on a terminal, by one process, without --quiet."""
    handlers = logging.getLogger("hugging_captions").handlers
    quiet = any(isinstance(handler, _Handler) and handler.level > logging.INFO for handler in handlers)
    return sys.stderr.isatty() and is_main_process() and not quiet


def is_main_process() -> bool:
    """Return whether this process prints and writes: it is the only one, or the first that torchrun or accelerate started."""
    return os.environ.get("RANK", "0") == "0"


def run(work: Callable[[argparse.Namespace], None], parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> int:
    """Parse ``argv``, do the ``work``, and return the exit code of its result.

    An expected failure prints one ``error:`` line and, where there is one, a ``hint:`` line. A traceback appears only with
    ``--verbose`` and in the file of ``--log-file``. SIGTERM is treated like Ctrl-C. ``@FILE`` as the first argument is replaced by
    the arguments in that file. ``arguments.command_line`` is the whole command line, for messages with the next command.
    """
    arguments = argparse.Namespace()
    argv = sys.argv[1:] if argv is None else argv
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a character that the terminal can't encode must not end the run
    try:
        argv = _expanded(argv)
        arguments = parser.parse_args(argv, argparse.Namespace())
        arguments.command_line = shlex.join(["python", parser.prog, *argv])
        set_up_logging(*(getattr(arguments, name, None) for name in ("verbose", "quiet", "log_file")))  # type: ignore[arg-type]
        if log_file := _log_file():
            log_file.line("COMMAND", arguments.command_line)
        tee = redirect_stdout(_Tee(sys.stdout, log_file)) if log_file else nullcontext()
        with _sigterm_interrupts(), tee:
            work(arguments)
            sys.stdout.flush()
        return 0
    except SystemExit as exit_:  # argparse after --help
        return int(exit_.code or 0)
    except KeyboardInterrupt as interrupt:
        _report(str(interrupt) or "interrupted; what was written so far is kept", "", arguments)
        return 130
    except BrokenPipeError:  # the reader of stdout closed it: `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if known := _known(error, parser.prog):
            _report(str(known), known.hint, arguments)
            return known.exit_code
        _report(f"unexpected {type(error).__name__}: {error} (this is a bug; --verbose shows where)", "", arguments)
        return 1
    finally:
        _close_log_file()


def _expanded(argv: Sequence[str]) -> list[str]:
    """Return ``argv`` with the lines of FILE in place of a first argument ``@FILE``.

    Each line is one argument, stripped; empty lines and lines that begin with # are skipped.

    Raises:
        InputError: the file can't be read.
        UsageError: it begins with another ``@FILE``.
    """
    if not argv or not argv[0].startswith("@"):
        return list(argv)
    path, hint = argv[0][1:], "write one option or value a line"
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read {path or 'a file without a name'}: {error.strerror}", hint) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text", hint) from error
    lines = [line for line in map(str.strip, text.split("\n")) if line and not line.startswith("#")]
    if "\0" in text or (lines and lines[0].startswith("@")):
        why = "is not text" if "\0" in text else f"begins with {lines[0]}: a file of arguments can't include another, or itself"
        raise UsageError(f"{path} {why}", hint)
    return [*lines, *argv[1:]]


def converse(answer: Callable[[str], None]) -> None:
    """Call ``answer`` with each line of stdin until it ends. An expected failure prints one line; Ctrl-C stops one answer.

    Prompts go to stderr where stdout isn't the terminal, so that stdout holds only answers.

    Raises:
        KeyboardInterrupt: Ctrl-C while waiting for a pipe, or SIGTERM.
    """
    terminal = sys.stdin.isatty()
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    if terminal:
        with suppress(ImportError):
            import readline  # noqa: F401 - gives input() a history
    while True:
        try:
            answer(_read_line(terminal))
        except EOFError:
            return
        except KeyboardInterrupt as interrupt:
            if str(interrupt):
                raise
            sys.stderr.write("\nstopped; Ctrl-D ends\n")
        except Exception as error:
            if (known := _known(error, "tune_transformer.py")) is None:
                raise
            _report(str(known), known.hint, argparse.Namespace())


def _read_line(terminal: bool) -> str:
    """Return the next line of stdin; raise EOFError at its end."""
    sys.stderr.flush()
    if terminal and sys.stdout.isatty():
        return input("> ")
    if terminal:
        sys.stderr.write("> ")
        sys.stderr.flush()
    try:
        line = sys.stdin.readline()
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(str(interrupt) or ("" if terminal else "interrupted")) from None
    if not line:
        raise EOFError
    return line


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGTERM, so that both signals save the state in the same way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt("stopped by SIGTERM; what was written so far is kept")

    def unraisable(problem: Any) -> None:
        # Python prints and drops an exception raised in a finalizer: send the signal again shortly after.
        if problem.exc_type is KeyboardInterrupt:
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
        else:
            sys.__unraisablehook__(problem)

    before, hook = signal.signal(signal.SIGTERM, interrupt), sys.unraisablehook
    sys.unraisablehook = unraisable
    try:
        yield
    finally:
        sys.unraisablehook = hook
        signal.signal(signal.SIGTERM, before)


def _known(error: Exception, script: str) -> HuggingCaptionsError | None:
    """Return ``error`` of ``script`` as one of this package's errors, or None if it is unexpected."""
    if isinstance(error, HuggingCaptionsError):
        return error
    if is_out_of_memory(error):
        training = "try --gradient-checkpointing or a smaller --base-model (training), or a smaller --decode-rows (generating)"
        advice = training if script == "tune_transformer.py" else "try --workers 1"
        return ResourceError(f"not enough memory: {error}".rstrip(": "), advice)
    if isinstance(error, OSError) and (error.filename is not None or error.errno in DISK_ERRNOS):
        return from_os_error(error, "use", error.filename or "the disk")
    return None


def _report(message: str, hint: str, arguments: argparse.Namespace) -> None:
    if getattr(arguments, "verbose", False):
        sys.stderr.write("\n".join(map(printable, traceback.format_exc().split("\n"))))
    lines = [f"error: {printable(message)}"] + [f"hint: {printable(hint)}"] * bool(hint)
    sys.stderr.write("\n".join([*lines, ""]))
    if log_file := _log_file():
        log_file.line("ERROR", "\n".join([*lines, traceback.format_exc().rstrip()]))


class Parser(argparse.ArgumentParser):
    """An ArgumentParser with --version and without abbreviations, which raises ``UsageError`` instead of exiting."""

    def __init__(self, **kwargs: Any) -> None:
        usage = "python %(prog)s --tag TAG [options]"
        super().__init__(usage=usage, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **kwargs)
        self.add_argument("--version", action="version", version=f"Hugging Captions {__version__}")

    def parse_args(self, argv: Sequence[str], namespace: Any = None) -> Any:  # type: ignore[override]
        """Parse as argparse does, but refuse empty values (of all but --prompt) and text that is not UTF-8; paths may be any bytes.

        Raises:
            UsageError: an option is unknown or its value is invalid.
        """
        option = "1"
        for text in argv:
            option = text.partition("=")[0] if text.startswith("--") else option
            if option != "--prompt" and (text == "" or text == f"{option}="):
                self.error(f"argument {option}: the value is empty")
        arguments, unknown = self.parse_known_args([_as_utf8(text) for text in argv], namespace)
        if unknown:
            near = difflib.get_close_matches(unknown[0].split("=")[0], self._option_string_actions, n=1)
            self.error(f"unrecognized arguments: {' '.join(unknown)}" + (f" (did you mean {near[0]}?)" if near else ""))
        for name, value in vars(arguments).items():
            texts = [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
            if any("\ud800" <= char <= "\udfff" for text in texts for char in text):
                self.error(f"argument --{name.replace('_', '-')}: not UTF-8 text: {texts}")
        return arguments

    def error(self, message: str) -> NoReturn:
        """Raise ``message`` as a ``UsageError``."""
        hint = f"run  python {self.prog} --help  for every option"
        if match := re.fullmatch(r"argument (--[\w-]+): expected (one|at least one) argument", message):
            hint = f"a value that begins with - is written with =, as in {match[1]}=-abc"
        raise UsageError(message, hint)


def _as_utf8(argument: str) -> str:
    """Return an argument decoded as UTF-8 where a locale such as C left it as bytes, otherwise unchanged."""
    try:
        return os.fsencode(argument).decode("utf-8")
    except UnicodeError:
        return argument
