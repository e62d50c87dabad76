"""The files between the stages: paths, atomic writes and locks.

The only module that spells a path below ``text/`` or ``trained_models/``. Files are written to a
temporary file, synced and renamed, so none is ever half-written (only posts.jsonl is appended to: see ``posts``).
One process writes a tag at a time; it holds ``.<name>.lock`` next to the tag's folder, with its process id.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import sys
import time
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partialmethod
from pathlib import Path
from typing import IO, Any

from .errors import BusyError, InputError, UsageError, from_os_error
from .text import hash64

#: The folder of generated captions: no tag may have this name.
GENERATED = "generated_text"
#: Most bytes in the name of a tag or corpus. The longest file name adds 40 bytes, and most file systems allow 255.
LONGEST_NAME = 200
#: Most bytes of a --name, which is part of those names.
LONGEST_RUN_NAME = 60


def normalise_tag(tag: str) -> str:
    """Return ``tag`` lower-cased, in NFC and without a leading ``#``.

    A tag is made of letters, marks, digits, underscores and emoji of any script, as on Instagram, so it
    can never lead out of its folder.

    Raises:
        UsageError: it holds anything else or nothing, is longer than ``LONGEST_NAME`` bytes, or is ``GENERATED``.
    """
    plain = unicodedata.normalize("NFC", tag.strip().removeprefix("#")).lower()
    if not plain or not _is_word(plain):
        why = "it must be letters, digits, underscores and emoji"
    elif len(plain.encode()) > LONGEST_NAME:
        why = f"it is longer than {LONGEST_NAME} bytes"
    elif plain == GENERATED:
        why = "text/generated_text/ holds the generated captions"
    else:
        return plain
    raise UsageError(f"{tag!r} can't be used as a hashtag: {why}", "give it without spaces, dots or slashes: --tag rmnp")


def _is_word(text: str) -> bool:
    if all(char == "_" or unicodedata.category(char)[0] in "LMN" for char in text):
        return True
    import emoji

    rest = emoji.replace_emoji(text, "")
    return rest != text and _is_word(rest)


def normalise_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return each tag normalised, in the order given, once."""
    return tuple(dict.fromkeys(map(normalise_tag, tags)))


def normalise_name(name: str | None) -> str:
    """Return the ``name`` of a run in NFC, an empty string for None.

    Raises:
        UsageError: it is empty, longer than ``LONGEST_RUN_NAME`` bytes, or holds anything but letters, digits, underscores, hyphens.
    """
    if name is None:
        return ""
    plain = unicodedata.normalize("NFC", name)
    if not plain or not all(char in "_-" or unicodedata.category(char)[0] in "LMN" for char in plain):
        why = "it must be letters, digits, underscores and hyphens"
    elif len(plain.encode()) > LONGEST_RUN_NAME:
        why = f"it is longer than {LONGEST_RUN_NAME} bytes"
    else:
        return plain
    raise UsageError(f"{name!r} can't be used as a name: {why}", "give it without spaces, dots or slashes: --name warm")


def corpus_name(tags: Sequence[str], name: str = "") -> str:
    """Return the name of the corpus that several tags make, ``rmnp+estespark``, or of a run on it called ``name``: ``rmnp_warm``.

    One longer than ``LONGEST_NAME`` bytes is cut and gets a hash of all its tags.
    """
    corpus, ending = "+".join(tags), f"_{name}" if name else ""
    if len(corpus.encode() + ending.encode()) <= LONGEST_NAME:
        return corpus + ending
    ending = f"+{hash64(corpus):016x}{ending}"
    return corpus.encode()[: LONGEST_NAME - len(ending.encode())].decode(errors="ignore") + ending


class Store:
    """All paths below one root folder, the locks, and the renames that publish a model."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def folders(self) -> tuple[Path, Path]:
        """Return the two folders that contain all others."""
        return self.root / "text", self.root / "trained_models"

    def command(self, script: str, *arguments: str) -> str:
        """Return the command line that runs ``script`` on this root, for a hint."""
        root = [] if self.root == Path() else ["--root", str(self.root)]
        return shlex.join(["python", script, *root, *arguments])

    # -- text/<tag>/

    def _in_text(self, name: str, tag: str) -> Path:
        return self.root / "text" / tag / name

    posts = partialmethod(_in_text, "posts.jsonl")
    pull_state = partialmethod(_in_text, "pull.json")
    captions = partialmethod(_in_text, "captions.txt")
    dropped = partialmethod(_in_text, "dropped.jsonl")
    cleaning = partialmethod(_in_text, "cleaning.json")
    cleaning_picture = partialmethod(_in_text, "cleaning.png")
    cleaning_page = partialmethod(_in_text, "cleaning.html")

    def tags_with_captions(self) -> list[str]:
        """Return the tags that have a captions.txt here, sorted."""
        return sorted(path.parent.name for path in self.root.glob("text/*/captions.txt"))

    # -- trained_models/<corpus>/ and text/generated_text/

    def model(self, corpus: str) -> Path:
        return self.root / "trained_models" / corpus

    def training(self, corpus: str) -> Path:
        """Return the folder of an unfinished training; it becomes ``model(corpus)`` in one rename."""
        return self.root / "trained_models" / f"{corpus}.training"

    def find_model(self, tags: Sequence[str], name: str) -> str:
        """Return the corpus whose model writes for ``tags`` under ``name``: the one of that name if it exists, else the one without a name.

        Raises:
            UsageError: the existing files belong to another tag or name.
        """
        named = corpus_name(tags, name)
        self.recover_model(named)
        if name and (not self.model(named).is_dir() or owner(self.model(named)) not in (None, (tuple(tags), name))):
            return self.find_model(tags, "")
        refuse_foreign(self.model(named), tags, name)
        return named

    def generated(self, corpus: str, suffix: str) -> Path:
        return self.root / "text" / GENERATED / f"{corpus}_gen{suffix}"

    def generated_pages(self) -> list[tuple[Path, Path]]:
        """Return the pages of generated captions, .previous ones too, each with the path of its record."""
        pages = sorted((self.root / "text" / GENERATED).glob("[!.]*_gen.html*"))
        return [(page, page.with_name(page.name.replace("_gen.html", "_gen.json"))) for page in pages]

    def novelty_indices(self, tag: str) -> list[Path]:
        """Return the word indices of corpora with ``tag``, which earlier versions stored and which contain its captions."""
        return [path for path in self.root.glob("text/*/*.novelty.npz") if tag in path.name.rpartition("-")[0].split("+")]

    def publish_model(self, corpus: str, overwrite: bool) -> Path:
        """Turn the finished ``training(corpus)`` into ``model(corpus)``, keep the one before as .previous.

        The folder's run.json must have been written last: it marks the folder as complete.
        """
        keep_previous([self.model(corpus)], overwrite)
        os.replace(self.training(corpus), self.model(corpus))
        sync_folder(self.model(corpus).parent)
        return self.model(corpus)

    def model_folders(self) -> list[Path]:
        """Return the folders below trained_models/, unfinished and earlier ones too, sorted."""
        return sorted(path for path in (self.root / "trained_models").glob("[!.]*") if path.is_dir())

    def recover_model(self, corpus: str) -> None:
        """Finish a ``publish_model`` that was killed between its two renames."""
        if not self.model(corpus).exists() and (self.training(corpus) / "run.json").exists():
            os.replace(self.training(corpus), self.model(corpus))

    def corpora_with_models(self) -> list[str]:
        """Return the corpora that have a finished model here, sorted."""
        found = (path.parent.name for path in self.root.glob("trained_models/*/config.json"))
        return sorted(name for name in found if "." not in name)

    # -- one writer per tag

    @contextmanager
    def lock(self, folder: str, names: Sequence[str]) -> Iterator[None]:
        """Hold the right to write ``folder``/<name> for each name, against other processes.

        Args:
            folder: ``"text"``, ``"text/generated_text"`` or ``"trained_models"``.

        Raises:
            BusyError: another process holds one; the message says which and since when.
            UsageError: one of them is a symbolic link to somewhere else.
        """
        with ExitStack() as stack:
            for name in sorted(names):
                stack.enter_context(_lock(self.root / folder, name))
            yield


@contextmanager
def _lock(folder: Path, name: str) -> Iterator[None]:
    """Hold ``folder``/.<name>.lock; the system releases it when the process ends for any reason."""
    from filelock import FileLock, Timeout

    path = folder / f".{name}.lock"
    for written in (folder / name, folder / f"{name}.training", path):
        if written.is_symlink() and not written.resolve().is_relative_to(folder.resolve()):  # the folder itself may be a link
            raise UsageError(
                f"{written} is a symbolic link that leads out of {folder}", "remove it, or give --root DIR with the data's folder"
            )
    lock = FileLock(path, timeout=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        holder = ""
        with suppress(OSError):
            holder = path.read_text(encoding="utf-8").strip()
        raise BusyError(
            f"tag {name!r} is being written by {holder or 'another process'}", "wait until it has finished, then repeat the command"
        ) from None
    except OSError as error:
        raise from_os_error(error, "write", path) from error
    with lock:
        _write_holder(path, f"process {os.getpid()} ({Path(sys.argv[0]).name}), since {time.strftime('%F %T')}")
        try:
            yield
        finally:
            _write_holder(path, "")


def _write_holder(path: Path, text: str) -> None:
    with suppress(PermissionError):  # Windows doesn't allow writing to a locked file
        path.write_text(text, encoding="utf-8")


def no_links(path: str, flags: int) -> int:
    """Open a file for ``open(..., opener=no_links)``: raise an OSError for a symbolic link, which could lead anywhere."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


@contextmanager
def atomic_write(path: Path, binary: bool = False) -> Iterator[IO[Any]]:
    """Open a UTF-8 text file (or a ``binary`` one) that replaces ``path`` only when the block ends without an error.

    Raises:
        ResourceError: the disk is full or cannot be written; ``path`` is as it was.
    """
    with atomic_writes([path], binary) as [handle]:
        yield handle


@contextmanager
def atomic_writes(paths: Sequence[Path], binary: bool = False) -> Iterator[list[IO[Any]]]:
    """Open a file for each of ``paths``; all are replaced, in order, once the block ends without an error and all are on disk.

    Raises:
        ResourceError: the disk is full or cannot be written; the files are as they were.
    """
    temporaries = [path.with_name(f".{path.name}.tmp") for path in paths]  # one writer per tag: leftovers of a kill are overwritten
    text: dict[str, Any] = {} if binary else {"encoding": "utf-8", "newline": "\n"}
    try:
        with ExitStack() as stack:
            handles = []
            for temporary in temporaries:
                temporary.parent.mkdir(parents=True, exist_ok=True)
                handles.append(stack.enter_context(open(temporary, "wb" if binary else "w", opener=no_links, **text)))
            yield handles
            for handle in handles:
                handle.flush()
                os.fsync(handle.fileno())
        for temporary, path in zip(temporaries, paths):
            os.replace(temporary, path)
        for folder in {path.parent for path in paths}:
            sync_folder(folder)
    except OSError as error:
        raise from_os_error(error, "write", paths[0]) from error
    finally:
        for temporary in temporaries:
            temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the renames in ``folder`` survive a power cut."""
    if sys.platform == "win32":  # Windows can't open folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Any) -> None:
    """Replace ``path`` by ``value`` as indented JSON with a final newline."""
    with atomic_write(path, binary=True) as handle:
        handle.write(json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """Return ``value`` as indented JSON with a final newline, in UTF-8; a lone surrogate is escaped."""
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode("utf-8", "backslashreplace")


def read_json(path: Path) -> Any:
    """Return the JSON value in ``path``.

    Raises:
        InputError: it is missing, cannot be read or is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise from_os_error(error, "read", path) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: {error}") from error


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    try:
        with open(path, "rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise from_os_error(error, "read", path) from error


#: In the checkpoints of an unfinished training: its tags and its name.
OWNER = "owner.json"


def owner(path: Path) -> tuple[tuple[str, ...], str] | None:
    """Return the tags and the name to which a model's folder or a .json of generated captions belongs, None without a record."""
    for record in (path / "run.json", path / "checkpoints" / OWNER) if path.is_dir() else (path,):
        with suppress(InputError, KeyError, TypeError, AttributeError):
            found = read_json(record)
            return tuple(found["tags"]), found.get("name") or ""
    return None


def refuse_foreign(path: Path, tags: Sequence[str], name: str) -> None:
    """Raise a ``UsageError`` if ``path`` belongs to other ``tags`` or another ``name``; tags may contain underscores too."""
    found = owner(path)
    if found is not None and found != (tuple(tags), name):
        theirs = f"tag {'+'.join(found[0])!r}" + (f" with --name {found[1]}" if found[1] else "")
        raise UsageError(f"{path} belongs to {theirs}", "choose another --name" if name else "give that tag and name")


def refuse_loss(paths: Sequence[Path], overwrite: bool) -> None:
    """Raise a ``UsageError`` if replacing ``paths`` would delete a result that is kept as .previous."""
    for path in paths:
        previous = _previous(path)
        if path.exists() and previous.exists() and not overwrite:
            raise UsageError(
                f"{path} would be replaced, and {previous.name} already keeps an earlier one",
                "move them away, or repeat the command with --overwrite",
            )


def keep_previous(paths: Sequence[Path], overwrite: bool) -> None:
    """Move each of ``paths`` that exists to ``<name>.previous``.

    Raises:
        UsageError: a .previous exists and ``overwrite`` is false; nothing was moved.
    """
    refuse_loss(paths, overwrite)
    for path in paths:
        if path.exists():
            if _previous(path).is_dir():
                shutil.rmtree(_previous(path))
            os.replace(path, _previous(path))


def _previous(path: Path) -> Path:
    return path.with_name(path.name + ".previous")


# -- captions.txt and <tag>_gen.txt: one caption a line


def escape_caption(caption: str) -> str:
    r"""Return ``caption`` on one line: a line break as ``\n``, a backslash as ``\\``."""
    return caption.replace("\\", "\\\\").replace("\n", "\\n")


def unescape_caption(line: str) -> str:
    """Return the caption that ``escape_caption`` wrote as ``line``."""
    return re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], line)


def write_captions(path: Path, captions: Iterable[str]) -> None:
    """Replace ``path`` by ``captions``, one a line."""
    with atomic_write(path) as handle:
        handle.writelines(escape_caption(caption) + "\n" for caption in captions)


def read_captions(path: Path) -> list[str]:
    r"""Return the captions of a captions.txt (or a file of prompts), in order, without empty lines; ``\r\n`` and a BOM are accepted.

    Raises:
        InputError: it is missing, cannot be read or is not UTF-8.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="\n") as handle:
            return [unescape_caption(line.rstrip("\r\n")) for line in handle if not line.isspace()]
    except OSError as error:
        raise from_os_error(error, "read", path) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: byte {error.start} ({error.reason})", "save it as UTF-8, or clean again") from error


#: The data files of the package.
DATA = Path(__file__).parent / "data"


def cache_folder() -> Path:
    """Return the folder for files that can be recreated: ``hugging_captions`` in $XDG_CACHE_HOME, or in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hugging_captions"


def settings_file(name: str) -> Path:
    """Return the path of a settings file: ``hugging_captions`` of $XDG_CONFIG_HOME, or of ~/.config."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "hugging_captions" / name


def data_file(name: str) -> Path:
    """Return the path of a data file of the package, in hugging_captions/data.

    Raises:
        InputError: it is missing.
    """
    path = DATA / name
    if not path.is_file():
        raise InputError(f"cannot read {path}: it does not exist", f"install the package again, or run: git checkout -- {path}")
    return path
