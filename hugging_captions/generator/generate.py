"""Write captions with a checkpoint, keep the good ones, say what became of the others.

Reads trained_models/<corpus>/, text/<tag>/captions.txt and the prompts; writes
text/generated_text/<corpus>_gen.txt, .jsonl and .json, and with --compare-base .compare.txt.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import console, language, models
from ..errors import InputError, NothingLeftError, UsageError, from_os_error
from ..options import GenerateOptions, HardwareOptions, as_json
from ..storage import (
    Store,
    atomic_write,
    corpus_name,
    keep_previous,
    refuse_loss,
    sha256,
    unescape_caption,
    write_captions,
    write_json,
)  # fmt: skip
from . import base_comparison, novelty, quantized
from .candidates import Candidates, Caption
from .copies import CopyIndex
from .selection import REASONS

log = logging.getLogger(__name__)

DEFAULT_PROMPT = "My day"
#: Attempts of the sample that a training ends with.
HISTORY_CAPTIONS = 100
#: What of the novelty figures goes into history.jsonl and the model card.
HISTORY_FIGURES = ("novelty_3", "novelty_4", "novelty_5", "novelty_8", "mean_copied_span", "longest_copied_span", "copied_share",
                   "exact_copies", "folded_copies", "near_copies", "distinct_2")  # fmt: skip


@dataclass(frozen=True)
class GenerateResult:
    """What was kept, best first within each prompt, where it is, and why the rest was not."""

    path: Path
    captions: tuple[Caption, ...]
    attempts: int
    rejected: dict[str, int]
    figures: dict[str, dict[str, Any]]
    note: str

    def summary(self) -> str:
        """Return the best ten captions, the rejected ones by reason and the novelty table, for stdout."""
        best = [f"{number:3}. {console.shorten(caption.text, 200)}" for number, caption in enumerate(self.captions[:10], start=1)]
        parts = ["\n".join(best)]
        if self.rejected:
            shares = [[REASONS[name], count, f"{count / self.attempts:.0%}"] for name, count in self.rejected.items()]
            parts.append(console.table(shares, ("left out of " + f"{self.attempts:,} attempts", "captions", "share")))
        parts.append(novelty.table(self.figures) + (f"\n{self.note}" if self.note else ""))
        return "\n\n".join([*parts, f"{len(self.captions):,} captions of {self.attempts:,} attempts -> {self.path}"])


def generate(tags: Sequence[str], options: GenerateOptions, machine: HardwareOptions, store: Store) -> GenerateResult:
    """Write ``options.num_captions`` captions for each prompt in the voice of ``tags``.

    The same options, seed and machine give the same bytes. Fewer captions than asked for are written, with a
    warning, where ``options.max_attempts`` did not give more.

    Raises:
        InputError: there is no usable checkpoint, or no prompt file.
        NothingLeftError: not one attempt was good enough.
        UsageError: a prompt cannot be used, --keep-language names no language, or a .previous would be lost.
    """
    corpus = corpus_name(tags)
    suffixes = (".txt", ".jsonl", ".json", ".compare.txt")  # the last one of an earlier run must not stay beside other captions
    paths = [store.generated(corpus, suffix) for suffix in suffixes]
    refuse_loss(paths, machine.overwrite)
    prompts = read_prompts(options)
    if options.keep_language:
        language.refuse_unknown(options.keep_language, "--keep-language")
    checkpoint = prepare(models.load_checkpoint(corpus, store), options, machine)
    reference = novelty.load_reference(tags, store)
    start = time.perf_counter()
    candidates = Candidates(checkpoint, prompts, options, machine.seed, reference)
    kept = candidates.collect()
    seconds = time.perf_counter() - start
    rejected = dict(Counter(caption.reason for caption in candidates.attempts if caption.reason).most_common())
    _say_what_is_missing(candidates, kept, rejected, options.num_captions * len(prompts), corpus)
    needs_base = options.compare_base or options.rank == "contrast"
    base = base_comparison.load_base_of(corpus, store, "the comparison with the base model") if needs_base else None
    if base is not None:
        base.model.to(checkpoint.model.device).eval()
    ranked, scores = rank(kept, options.rank, base, prompts)
    figures = all_figures(ranked, candidates.attempts, reference)
    keep_previous(paths, machine.overwrite)
    write_captions(paths[0], [caption.text for caption in ranked])
    with atomic_write(paths[1]) as handle:
        handle.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in map(_json_line, ranked, scores))
    if options.compare_base:
        with atomic_write(paths[3]) as handle:
            handle.write(base_comparison.comparison(base, ranked, options) if base else "no base model at hand\n")
    record = {
        "tags": list(tags), "prompts": prompts, "options": as_json(options), "seed": machine.seed,
        "model_sha256": _model_sha256(store.model(corpus)), "kept": len(ranked), "attempts": len(candidates.attempts),
        "rejected": rejected, "figures": figures, "note": reference.note,
    }  # fmt: skip
    write_json(paths[2], record)
    log.info(
        "%d attempts, %d tokens in %.1f s on %s", len(candidates.attempts), candidates.decoder.tokens, seconds, candidates.decoder.device
    )
    return GenerateResult(paths[0], tuple(ranked), len(candidates.attempts), rejected, figures, reference.note)


def read_prompts(options: GenerateOptions) -> list[str]:
    """Return the prompts of --prompt, then of --prompt-file, each once; without either ``DEFAULT_PROMPT``.

    Raises:
        InputError: the file cannot be read, or no line of it is a prompt.
    """
    prompts = list(options.prompt or ())
    if options.prompt_file is not None:
        try:
            lines = options.prompt_file.read_text(encoding="utf-8-sig").split("\n")
        except OSError as error:
            raise from_os_error(error, "read", options.prompt_file) from error
        except UnicodeDecodeError as error:
            raise InputError(
                f"{options.prompt_file} is not UTF-8 text: byte {error.start}", "save it as UTF-8, one prompt a line"
            ) from error
        found = [unescape_caption(line.rstrip("\r")) for line in lines if line.strip()]
        if not found:
            raise InputError(f"{options.prompt_file} holds no prompt", "write one prompt a line")
        prompts += found
    return list(dict.fromkeys(prompts or [DEFAULT_PROMPT]))


def prepare(loaded: models.LoadedModel, options: GenerateOptions, machine: HardwareOptions) -> models.LoadedModel:
    """Return the model on its device, in the number format that the device accelerates, ready to decode.

    Raises:
        UsageError: the device, the precision or the quantization is not to be had here.
    """
    device = models.choose_device(machine.device)
    if options.quantize == "int8":
        if device != "cpu":
            raise UsageError(f"--quantize int8 computes on the CPU, not on {device}", "add --device cpu, or leave --quantize out")
        if machine.precision != "auto":
            raise UsageError(f"--quantize int8 leaves no room for --precision {machine.precision}", "leave one of them out")
        return models.LoadedModel(quantized.quantize(loaded.model.eval()), loaded.tokenizer)
    precision = models.choose_precision(device, machine.precision)
    loaded.model.to(device, models.dtype_of(precision)).eval()
    return loaded


def rank(
    captions: Sequence[Caption], by: str, base: models.LoadedModel | None, prompts: Sequence[str]
) -> tuple[list[Caption], list[float | None]]:
    """Return ``captions`` by prompt, best first within each, and their scores.

    ``likelihood``: mean log-probability of the sampled tokens. ``contrast``: by how much that exceeds what the base model
    gives the same text, per sampled token (after Li et al. 2023); ``likelihood`` where there is no base model.
    """
    if by == "none":
        return list(captions), [None] * len(captions)
    scores = [caption.mean_logprob for caption in captions]
    if by == "contrast" and base is not None:
        scores = [round(c.mean_logprob - base_comparison.log_likelihood(base, c) / c.sampled, 5) for c in captions]
    order = sorted(range(len(captions)), key=lambda i: (prompts.index(captions[i].prompt), -scores[i], captions[i].row))
    return [captions[i] for i in order], [scores[i] for i in order]


def all_figures(kept: Sequence[Caption], attempts: Sequence[Caption], reference: novelty.Reference) -> dict[str, dict[str, Any]]:
    """Return the figures of the kept captions, of all attempts and of the held-out human captions.

    What depends on the amount of text is measured on as many of each as the smallest set has.
    """
    held_out = list(reference.held_out)
    sample = min(len(texts) for texts in (kept, attempts, held_out) if texts)
    figures = {
        name: novelty.figures([c.text for c in captions], [c.copied for c in captions], reference.index, sample)
        for name, captions in (("kept", kept), ("attempts", attempts))
    }
    if held_out:
        figures["held out"] = novelty.figures(held_out, reference.search(held_out), reference.index, sample)
    return figures


def sample(model: models.LoadedModel, training: Sequence[str], held_out: Sequence[str], hardware: HardwareOptions) -> models.Sample | None:
    """Let ``model`` write ``HISTORY_CAPTIONS`` captions and return their figures and the three likeliest; no file is written.

    The model stays on its device and in its number format. None where no captions were held out, because there is no measure.
    """
    if not held_out:
        return None
    reference = novelty.Reference(CopyIndex.build(training), tuple(held_out))
    options = GenerateOptions(prompt=("",), num_captions=HISTORY_CAPTIONS, min_length=0, keep_all=True)
    was_training = model.model.training
    model.model.eval()
    captions = Candidates(model, [""], options, hardware.seed, reference).collect("sampling for the model card")
    model.model.train(was_training)
    columns = all_figures(captions, captions, reference)
    figures: dict[str, object] = {"sampled": len(captions), "ended_share": sum(caption.ended for caption in captions) / len(captions)}
    figures |= {key: columns["kept"][key] for key in HISTORY_FIGURES}
    figures |= {f"held_out_{key}": columns["held out"][key] for key in HISTORY_FIGURES}
    best = rank([caption for caption in captions if caption.ended], "likelihood", None, [""])[0][:3]
    return models.Sample(figures, tuple(caption.text for caption in best))


def _say_what_is_missing(candidates: Candidates, kept: Sequence[Caption], rejected: dict[str, int], wanted: int, corpus: str) -> None:
    attempts = len(candidates.attempts)
    for prompt, reason in candidates.given_up():
        log.warning("gave up on the prompt %s: each of its attempts %s", console.shorten(repr(prompt), 50), REASONS[reason])
    biggest = ", ".join(f"{count:,} {name}" for name, count in list(rejected.items())[:3])
    if not kept:
        raise NothingLeftError(
            f"cannot generate for tag {corpus!r}: none of {attempts:,} attempts was good enough ({biggest})",
            "train longer, raise --max-length, or see what it writes with --keep-all",
        )
    if len(kept) < wanted:
        log.warning(
            "%d captions instead of %d after %s attempts: %s; --max-attempts allows more", len(kept), wanted, f"{attempts:,}", biggest
        )


def _json_line(caption: Caption, score: float | None) -> dict[str, Any]:
    copied = caption.copied
    line = vars(replace(caption, copied=None)) | {"score": score}
    line = {key: value for key, value in line.items() if key not in ("copied", "reason", "sampled")}
    if copied is not None:
        line |= {"copied_span": copied.span, "copied_words": copied.span_words, "nearest": copied.nearest}
    return line


def _model_sha256(folder: Path) -> str | dict[str, str]:
    files = sorted(folder.glob("*.safetensors"))
    return sha256(files[0]) if len(files) == 1 else {path.name: sha256(path) for path in files}
