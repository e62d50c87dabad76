"""Write captions with a checkpoint, keep the good ones, report why the others were rejected.

Reads trained_models/<corpus>/, text/<tag>/captions.txt and the prompts; writes
text/generated_text/<corpus>_gen.txt, .jsonl, .csv and .json, and with --compare-base .compare.txt.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from .. import console, language, models, storage
from ..errors import HuggingCaptionsError, InputError, NothingLeftError, UsageError
from ..options import GenerateOptions, HardwareOptions, as_json
from ..storage import Store, corpus_name
from ..text import holds_private_data, word_count
from . import selection

if TYPE_CHECKING:  # imports torch: a usage error is reported before that
    from .candidates import Candidates, Caption
    from .novelty import Figures, Reference

log = logging.getLogger(__name__)

DEFAULT_PROMPT = "My day"
#: What a run writes or, as .compare.txt without --compare-base, moves away: it must not stay next to other captions.
SUFFIXES = (".txt", ".jsonl", ".csv", ".json", ".compare.txt")
#: A prompt of fewer words says little about the language of its captions.
WORDS_OF_A_LANGUAGE = 3
#: Attempts of the sample that a training ends with.
SAMPLE_CAPTIONS = 100
#: Captions that --sample-every-epoch shows.
EPOCH_CAPTIONS = 3
#: The novelty figures that go into history.jsonl and the model card.
SAMPLE_FIGURES = ("novelty_3", "novelty_4", "novelty_5", "novelty_8", "mean_copied_span", "longest_copied_span", "copied_share",
                  "exact_copies", "folded_copies", "near_copies", "distinct_2")  # fmt: skip


@dataclass(frozen=True)
class GenerateResult:
    """The kept captions, by prompt and best first, where they are, and why the others were rejected."""

    path: Path
    captions: tuple[Caption, ...]
    attempts: int
    rejected: dict[str, int]
    figures: dict[str, Figures]
    note: str

    def summary(self, verbose: bool = False) -> str:
        """Return the best ten captions, the rejected ones by reason and the novelty figures (all with ``verbose``), for stdout."""
        from .candidates import REASONS
        from .novelty import table

        best = sorted(self.captions, key=lambda caption: -(caption.score or 0.0))[:10]
        parts = ["\n".join(console.wrap(f"{number:3}. {console.shorten(caption.text, 200)}", 5) for number, caption in enumerate(best, 1))]
        if self.rejected:
            shares = [[REASONS[name], count, f"{count / self.attempts:.0%}"] for name, count in self.rejected.items()]
            parts.append(console.table(shares, ("why captions were rejected", "captions", "of attempts")))
        parts.append(table(self.figures, verbose) + (f"\n{console.wrap(self.note)}" if self.note else ""))
        kept = f"{console.count(len(self.captions), 'caption')} of {console.count(self.attempts, 'attempt')}"
        return "\n\n".join([*parts, console.wrap(f"{kept} -> {console.short_path(self.path)}")])


def generate(tags: Sequence[str], options: GenerateOptions, hardware: HardwareOptions, store: Store) -> GenerateResult:
    """Write ``options.num_captions`` captions for each prompt in the voice of ``tags``.

    They are the best of ``options.attempts_per_caption`` times as many attempts. The same options, seed and machine give the
    same bytes. Where fewer than asked for are fit to be kept, more attempts are made, and if that doesn't help, fewer
    captions are written, with a warning.

    Raises:
        InputError: there is no usable checkpoint, or no prompt file.
        NothingLeftError: not one attempt was good enough.
        UsageError: a prompt can't be used, --keep-language isn't a language, or a .previous would be lost.
    """
    corpus = corpus_name(tags)
    paths = {suffix: store.generated(corpus, suffix) for suffix in SUFFIXES}
    storage.refuse_loss(list(paths.values()), hardware.overwrite)
    prompts = read_prompts(options)
    from . import novelty
    from .candidates import Candidates

    loaded = prepare(models.load_checkpoint(corpus, store), hardware)
    reference = novelty.load_reference(tags, store)
    candidates = Candidates(loaded, prompts, options, hardware.seed, reference)
    start = time.perf_counter()
    kept = candidates.collect()
    seconds = time.perf_counter() - start
    base = _load_base(corpus, store, loaded) if options.compare_base or options.rank == "contrast" else None
    ranked = choose(rank(kept, options.rank, base), options.rank, options.num_captions)
    rejected = dict(Counter(caption.reason for caption in candidates.attempts if caption.reason).most_common())
    _report_missing(candidates, len(ranked), rejected, corpus)
    figures = all_figures(ranked, candidates.attempts, reference)
    comparison = compare(base, ranked, options) if options.compare_base else None
    record: dict[str, object] = {
        "tags": list(tags), "prompts": prompts, "options": as_json(options), "seed": hardware.seed,
        "model_sha256": _model_sha256(store.model(corpus)), "kept": len(ranked), "attempts": len(candidates.attempts),
        "rejected": rejected, "figures": figures, "note": reference.note,
    }  # fmt: skip
    _write(paths, ranked, record, comparison, hardware.overwrite)
    tokens, device = candidates.decoder.tokens, candidates.decoder.device
    log.info("%s, %d tokens in %.1f s on %s", console.count(len(candidates.attempts), "attempt"), tokens, seconds, device)
    return GenerateResult(paths[".txt"], tuple(ranked), len(candidates.attempts), rejected, figures, reference.note)


def sample(model: models.LoadedModel, training: Sequence[str], held_out: Sequence[str], hardware: HardwareOptions) -> models.Sample | None:
    """Let ``model`` write ``SAMPLE_CAPTIONS`` captions and return their figures and the three likeliest; no file is written.

    The model stays on its device and in its number format. None where no captions were held out, because there is no measure.
    """
    if not held_out:
        return None
    from . import novelty
    from .candidates import Candidates

    reference = novelty.Reference(novelty.CopyIndex(training), tuple(held_out))
    options = GenerateOptions(prompt=("",), num_captions=SAMPLE_CAPTIONS, min_length=0, keep_all=True)
    was_training = model.model.training
    model.model.eval()
    captions = Candidates(model, [""], options, hardware.seed, reference).collect("sampling for the model card")
    model.model.train(was_training)
    columns = all_figures(captions, captions, reference)
    figures: dict[str, object] = {"sampled": len(captions), "ended_share": sum(caption.ended for caption in captions) / len(captions)}
    figures |= {key: columns["kept"][key] for key in SAMPLE_FIGURES}
    figures |= {f"held_out_{key}": columns["held out"][key] for key in SAMPLE_FIGURES}
    best = rank([caption for caption in captions if caption.ended and not caption.is_empty], "score", None)[:3]
    return models.Sample(figures, tuple(caption.text for caption in best))


def epoch_writer(options: GenerateOptions, hardware: HardwareOptions) -> Callable[[models.LoadedModel], list[str]]:
    """Return what lets a model write ``EPOCH_CAPTIONS`` captions for the first prompt of ``options``; it leaves the model as it was.

    Raises:
        InputError: ``read_prompts``.
    """
    prompt = read_prompts(replace(options, keep_all=True))[0]
    few = replace(options, prompt=(prompt,), prompt_file=None, num_captions=EPOCH_CAPTIONS, keep_all=True)

    def write(model: models.LoadedModel) -> list[str]:
        from . import novelty
        from .candidates import Candidates

        was_training = model.model.training
        model.model.eval()
        try:
            candidates = Candidates(model, [prompt], few, hardware.seed, novelty.Reference(None))
            return [caption.text for caption in candidates.collect("sampling")]
        finally:
            model.model.train(was_training)

    return write


def read_prompts(options: GenerateOptions) -> list[str]:
    """Return the prompts of --prompt, then of --prompt-file, each once; without either ``DEFAULT_PROMPT``.

    Raises:
        InputError: the file can't be read, or no line of it is a prompt.
        UsageError: --keep-language isn't a language, or every caption with a prompt would be rejected.
    """
    prompts = list(options.prompt or ())
    if options.prompt_file is not None:
        found = storage.read_captions(options.prompt_file)
        if not found:
            raise InputError(f"{options.prompt_file} holds no prompt", "write one prompt a line")
        prompts += found
    prompts = list(dict.fromkeys(prompts or [DEFAULT_PROMPT]))
    if options.keep_language:
        language.refuse_unknown(options.keep_language, "--keep-language")
    for prompt in () if options.keep_all else prompts:
        named, wanted = f"the prompt {console.shorten(repr(prompt), 50)}", options.keep_language
        if holds_private_data(prompt):
            hint = "change the prompt, or add --keep-all"
            raise UsageError(f"{named} holds a handle, a URL, an e-mail address or a phone number: each caption would be rejected", hint)
        if wanted and word_count(prompt) >= WORDS_OF_A_LANGUAGE and (code := language.detect(prompt)[0]) not in (wanted, language.UNKNOWN):
            raise UsageError(f"{named} is in language {code!r}, not in --keep-language {wanted}", "change one of them")
    return prompts


def prepare(loaded: models.LoadedModel, hardware: HardwareOptions) -> models.LoadedModel:
    """Return the model on its device, in the number format that the device accelerates, ready to decode."""
    device = models.choose_device(hardware.device)
    loaded.model.to(device, models.dtype_of(models.choose_precision(device, hardware.precision))).eval()
    return loaded


def rank(captions: Sequence[Caption], by: str, base: models.LoadedModel | None) -> list[Caption]:
    """Return ``captions`` by prompt, best first within each, with their ``score`` set.

    ``score``: how probably a reader would find it fit to post (``selection``). ``likelihood``: mean log-probability of the
    sampled tokens. ``contrast``: by how much that exceeds what the base model gives the same text, per sampled token (after
    Li et al. 2023); ``likelihood`` where there is no base model.

    Args:
        captions: by prompt, then row.
    """
    if by == "none":
        return list(captions)
    for caption in console.progress(captions, unit="caption", label="scoring"):
        caption.score = caption.mean_logprob
        if by == "score":
            caption.score = selection.score(selection.features(caption.text, caption.mean_logprob))
        if by == "contrast" and base is not None:
            caption.score = round(caption.mean_logprob - log_likelihood(base, caption) / caption.sampled, 5)
    prompts = list(dict.fromkeys(caption.prompt for caption in captions))
    return sorted(captions, key=lambda caption: (prompts.index(caption.prompt), -(caption.score or 0.0), caption.row))


def choose(ranked: Sequence[Caption], by: str, wanted: int) -> list[Caption]:
    """Return ``wanted`` captions of each prompt, the first ones, or by ``score`` good ones that differ; the others are ``outranked``."""
    for prompt in dict.fromkeys(caption.prompt for caption in ranked):
        own = [caption for caption in ranked if caption.prompt == prompt]
        chosen = list(range(min(wanted, len(own))))
        if by == "score":
            scores = [caption.score or 0.0 for caption in own]
            chosen = selection.choose([caption.text for caption in own], scores, prompt, wanted)
        for number in {*range(len(own))} - {*chosen}:
            own[number].reason = "outranked"
    return [caption for caption in ranked if caption.reason is None]


def all_figures(kept: Sequence[Caption], attempts: Sequence[Caption], reference: Reference) -> dict[str, Figures]:
    """Return the figures of the kept captions, of all attempts and of the held-out human captions.

    What depends on the amount of text is measured on as many of each as the smallest set has.
    """
    from . import novelty

    held_out = list(reference.held_out)
    size = min(len(texts) for texts in (kept, attempts, held_out) if texts)
    figures = {
        name: novelty.figures([caption.text for caption in captions], [caption.copied for caption in captions], size)
        for name, captions in (("kept", kept), ("attempts", attempts))
    }
    if held_out:
        figures["held out"] = novelty.figures(held_out, reference.search(held_out), size)
    return figures


def _report_missing(candidates: Candidates, kept: int, rejected: dict[str, int], corpus: str) -> None:
    """Warn where there are fewer captions than were asked for.

    Raises:
        NothingLeftError: there is none.
    """
    from .candidates import REASONS

    attempts, wanted = console.count(len(candidates.attempts), "attempt"), candidates.wanted
    for prompt, reason in candidates.failing():
        log.warning("gave up on the prompt %s: each of its attempts %s", console.shorten(repr(prompt), 50), REASONS[reason])
    if fixed := candidates.fixed():
        log.warning("these settings (--top-k, --top-p, --temperature) leave no choice of tokens: one caption for each of %s", fixed)
    biggest = ", ".join(f"{count:,} {name}" for name, count in list(rejected.items())[:3])
    if not kept:
        raise NothingLeftError(
            f"cannot generate for tag {corpus!r}: none of {attempts} was good enough ({biggest})",
            "train longer, raise --max-length, or see what it writes with --keep-all",
        )
    if kept < wanted:
        captions = console.count(kept, "caption")
        log.warning("%s instead of %d after %s: %s", captions, wanted, attempts, biggest)


def _write(paths: dict[str, Path], captions: Sequence[Caption], record: object, comparison: str | None, overwrite: bool) -> None:
    """Replace the files together, once all are on disk; earlier ones are kept as .previous."""
    import pandas as pd

    records = [caption.record() for caption in captions]
    cells = [{key: _as_text(cell) for key, cell in line.items()} for line in records]
    texts = {
        ".txt": "".join(storage.escape_caption(caption.text) + "\n" for caption in captions),
        ".jsonl": "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in records),
        ".csv": pd.DataFrame(cells, dtype=object).to_csv(index=False, lineterminator="\n"),
        ".json": storage.json_bytes(record).decode(),
    }
    if comparison is not None:
        texts[".compare.txt"] = comparison
    with storage.atomic_writes([paths[suffix] for suffix in texts]) as handles:
        for handle, text in zip(handles, texts.values()):
            handle.write(text)
            handle.flush()  # a full disk must be found before the earlier files are moved
        storage.keep_previous(list(paths.values()), overwrite)


def _as_text(cell: object) -> object:
    """Return a cell that no spreadsheet takes for a formula (OWASP, CSV injection)."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def _model_sha256(folder: Path) -> str | dict[str, str]:
    files = sorted(folder.glob("*.safetensors"))
    return storage.sha256(files[0]) if len(files) == 1 else {path.name: storage.sha256(path) for path in files}


# -- the base model next to the tuned one


def _load_base(corpus: str, store: Store, tuned: models.LoadedModel) -> models.LoadedModel | None:
    """Return the base model that ``tuned`` was trained from, on the same device, or None, with a warning."""
    try:
        name = storage.read_json(store.model(corpus) / "run.json")["options"]["base_model"]
        if name != "scratch":
            log.info("loading the base model %s", name)
            base = models.load_base(name, (), seed=0)
            base.model.to(tuned.model.device).eval()
            return base
        why = "it was trained from scratch"
    except HuggingCaptionsError as error:
        why = str(error)
    except (KeyError, TypeError):
        why = "its run.json does not name the base model"
    log.warning("no comparison with the base model: %s", why)
    return None


def log_likelihood(base: models.LoadedModel, caption: Caption) -> float:
    """Return the log-probability (nats) of ``caption`` after its prompt, its end included, under ``base``."""
    import torch

    tokenizer = base.tokenizer
    start = 1 + len(tokenizer(caption.prompt, add_special_tokens=False)["input_ids"])
    ids = [base.start, *tokenizer(caption.text, add_special_tokens=False)["input_ids"]]
    ids = (ids + [base.end] * caption.ended)[: base.max_positions]
    tensor = torch.tensor([ids], device=base.model.device)
    with torch.inference_mode():
        logprobs = torch.log_softmax(base.model(input_ids=tensor, use_cache=False).logits[0, :-1].float(), dim=-1)
    return float(logprobs.gather(1, tensor[0, 1:, None])[start - 1 :].sum())


def compare(base: models.LoadedModel | None, captions: Sequence[Caption], options: GenerateOptions) -> str:
    """Return a text for people: each caption, and below it what ``base`` writes from the same prompt and random numbers."""
    from .candidates import decode, encode_prompt
    from .decoder import Decoder, Row

    if base is None:
        return "no base model to compare with\n"
    prompts = list(dict.fromkeys(caption.prompt for caption in captions))
    try:
        encoded = [encode_prompt(base, prompt, options) for prompt in prompts]
    except UsageError as error:  # its tokenizer and its length may differ
        return f"no comparison with the base model: {error}\n"
    rows = [Row(prompts.index(caption.prompt), caption.row) for caption in captions]
    waiting = iter(rows)
    steps = Decoder(base, encoded, options, captions[0].seed).run(lambda free: list(islice(waiting, free)))
    for _ in console.progress(steps, unit="step", label="the base model's captions"):
        pass
    parts = []
    for number, (caption, row) in enumerate(zip(captions, rows), start=1):
        written = decode(base.tokenizer, [*encoded[row.prompt].ids[1:], *row.ids[: len(row.ids) - row.ended]])
        more = "" if row.ended else " …"
        parts.append(f"{number}. tuned\n{_indented(caption.text)}\n\n{number}. base\n{_indented(written)}{more}\n")
    return "\n".join(parts)


def _indented(text: str) -> str:
    return "\n".join("    " + console.printable(line) for line in text.split("\n"))
