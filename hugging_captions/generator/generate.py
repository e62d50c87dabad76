"""Generate captions with a checkpoint, keep the good ones, report why the others were rejected.

Reads trained_models/<corpus>/, text/<tag>/captions.txt and the prompts; writes
text/generated_text/<corpus>_gen.txt, .jsonl, .csv, .json and .html, and with --compare-base .compare.txt.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from .. import console, language, models, storage, versions
from ..errors import HuggingCaptionsError, InputError, NothingLeftError, UsageError
from ..options import GenerateOptions, HardwareOptions, as_arguments, as_json, combinations, several
from ..storage import Store, corpus_name
from ..text import holds_private_data, word_count
from . import selection
from .results import GenerateResult, Setting, Values, label, result_paths, write

if TYPE_CHECKING:  # imports torch, after usage errors are reported
    from .candidates import Candidates, Caption
    from .novelty import Figures, Reference

log = logging.getLogger(__name__)

DEFAULT_PROMPT = "My day"
#: Fewest words of a prompt whose language is checked.
WORDS_OF_A_LANGUAGE = 3
#: Attempts of the sample at the end of a training.
SAMPLE_CAPTIONS = 100
#: Captions that --sample-every-epoch shows.
EPOCH_CAPTIONS = 3
#: The novelty figures that go into history.jsonl and the model card.
SAMPLE_FIGURES = ("novelty_3", "novelty_4", "novelty_5", "novelty_8", "mean_copied_span", "longest_copied_span", "copied_share",
                  "exact_copies", "folded_copies", "near_copies", "distinct_2")  # fmt: skip


@dataclass(frozen=True)
class Writer:
    """A loaded checkpoint.

    ``model`` is the name of its folder, ``reference`` the captions for comparison; ``base`` is None if it isn't needed or available.
    """

    model: str
    loaded: models.LoadedModel
    reference: Reference
    base: models.LoadedModel | None

    def attempt(
        self, prompts: Sequence[str], options: GenerateOptions, seed: int, label: str = "", shown: Sequence[str] = ()
    ) -> tuple[list[Caption], list[Caption]]:
        """Return the captions to keep, by prompt and best first, and all attempts with their reasons for rejection.

        Args:
            options: one value for each option.
            label: name of these options, for warnings.
            shown: earlier captions, which must not be repeated.
        """
        from .candidates import Candidates

        start = time.perf_counter()
        candidates = Candidates(self.loaded, prompts, options, seed, self.reference, shown)
        ranked = candidates.collect()
        seconds, decoder = time.perf_counter() - start, candidates.decoder
        kept = choose(rank(ranked, options.rank, self.base), options.rank, options.num_captions)
        _report_missing(candidates, len(kept), label)
        log.info(
            "%s, %d tokens in %.1f s on %s", console.count(len(candidates.attempts), "attempt"), decoder.tokens, seconds, decoder.device
        )
        return kept, candidates.attempts


def open_writer(tags: Sequence[str], name: str, options: GenerateOptions, hardware: HardwareOptions, store: Store) -> Writer:
    """Load the checkpoint for ``tags`` and ``name``, and the captions for comparison.

    Raises:
        InputError: there is no usable checkpoint.
        UsageError: the checkpoint belongs to another tag or name.
    """
    from . import novelty

    model = store.find_model(tags, name)
    loaded = prepare(models.load_checkpoint(model, store), hardware)
    needs_base = options.compare_base or options.rank == "contrast"
    return Writer(model, loaded, novelty.load_reference(tags, store, model), _load_base(model, store, loaded) if needs_base else None)


def generate(tags: Sequence[str], options: GenerateOptions, hardware: HardwareOptions, store: Store, name: str = "") -> GenerateResult:
    """Write ``options.num_captions`` captions in the voice of ``tags`` for each prompt and each combination of the sampling options.

    They are the best of ``options.attempts_per_caption`` times as many attempts. The same options, seed and machine give the
    same bytes. If too few attempts can be kept, more are made; if that doesn't help, fewer captions are written, with a
    warning. Every setting uses the same prompts and random numbers.

    Args:
        name: name of this run: the files are called <corpus>_<name>_gen, and the model of that name is used if there is one.

    Raises:
        InputError: there is no usable checkpoint, or no prompt file.
        NothingLeftError: no attempt was good enough.
        UsageError: a prompt can't be used, --keep-language isn't a language, a .previous would be lost, or the files belong to
            another tag or name.
    """
    paths = result_paths(tags, name, store)
    storage.refuse_loss(list(paths.values()), hardware.overwrite)
    prompts = read_prompts(options)
    writer = open_writer(tags, name, options, hardware, store)
    combined = combinations(options)
    values = [{name: getattr(one, name) for name in several(options)} for one in combined]
    runs = [writer.attempt(prompts, one, hardware.seed, label(own)) for one, own in zip(combined, values)]
    settings = settings_of(values, runs, writer.reference, corpus_name(tags, name))
    comparison = _compare_settings(writer.base, settings, combined) if options.compare_base else None
    record = record_of(tags, name, prompts, options, hardware, writer, settings, store)
    write(paths, settings, record, writer.reference.training, comparison, hardware.overwrite)
    return GenerateResult(paths[".txt"], settings, writer.reference.note)


def settings_of(
    values: Sequence[Values], runs: Sequence[tuple[Sequence[Caption], Sequence[Caption]]], reference: Reference, corpus: str
) -> tuple[Setting, ...]:
    """Return the settings with their ``values``, kept captions and attempts (``runs``), and figures.

    Raises:
        NothingLeftError: no caption was kept in any of them.
    """
    if not any(kept for kept, _ in runs):
        raise nothing_left(corpus, [attempts for _, attempts in runs])
    figures = all_figures(runs, reference)
    return tuple(
        Setting(own, tuple(kept), tuple(attempts), count_reasons(attempts), measured)
        for own, (kept, attempts), measured in zip(values, runs, figures)
    )


def count_reasons(attempts: Sequence[Caption]) -> dict[str, int]:
    """Return how many of ``attempts`` were rejected for each reason, the commonest first."""
    return dict(Counter(caption.reason for caption in attempts if caption.reason).most_common())


def nothing_left(corpus: str, attempts: Sequence[Sequence[Caption]]) -> NothingLeftError:
    """Return the error to raise if no caption of these attempts is kept."""
    every = [caption for own in attempts for caption in own]
    return NothingLeftError(
        f"cannot generate for tag {corpus!r}: none of {console.count(len(every), 'attempt')} was good enough ({_biggest(every)})",
        "train longer, raise --max-length, or see what it writes with --keep-all",
    )


def record_of(
    tags: Sequence[str], name: str, prompts: Sequence[str], options: GenerateOptions, hardware: HardwareOptions,
    writer: Writer, settings: Sequence[Setting], store: Store, script: str = "--generate",
) -> dict[str, object]:  # fmt: skip
    """Return the .json file: the run, the command that repeats it, and counts and figures, by setting if there are several."""
    named = ["--name", name] if name else []
    counts = settings[0].counts()
    if len(settings) > 1:
        every = [caption for setting in settings for caption in setting.attempts]
        counts = {"kept": sum(len(setting.captions) for setting in settings), "attempts": len(every), "rejected": count_reasons(every)}
        counts["settings"] = [setting.values | setting.counts() for setting in settings]
    return {
        "tags": list(tags), "name": name or None,
        "command": store.command("tune_transformer.py", "--tag", *tags, script, *named, *as_arguments(options, hardware)),
        "prompts": list(prompts), "options": as_json(options) | as_json(hardware), "seed": hardware.seed,
        "model": writer.model, "model_sha256": _model_sha256(store.model(writer.model)), **counts, "note": writer.reference.note,
        "base_model": _base_model(store.model(writer.model)), "versions": versions("torch", "transformers"),
    }  # fmt: skip


def sample(model: models.LoadedModel, training: Sequence[str], held_out: Sequence[str], hardware: HardwareOptions) -> models.Sample | None:
    """Generate ``SAMPLE_CAPTIONS`` captions with ``model`` and return their figures and the three likeliest; no file is written.

    The model keeps its device and precision. Without held-out captions to compare with, the result is None.
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
    columns = all_figures([(captions, captions)], reference)[0]
    figures: dict[str, object] = {"sampled": len(captions), "ended_share": sum(caption.ended for caption in captions) / len(captions)}
    figures |= {key: columns["kept"][key] for key in SAMPLE_FIGURES}
    figures |= {f"held_out_{key}": columns["held out"][key] for key in SAMPLE_FIGURES}
    best = rank([caption for caption in captions if caption.ended and not caption.is_empty], "score", None)[:3]
    return models.Sample(figures, tuple(caption.text for caption in best))


def epoch_writer(options: GenerateOptions, hardware: HardwareOptions) -> Callable[[models.LoadedModel], list[str]]:
    """Return a function that generates ``EPOCH_CAPTIONS`` captions for the first prompt of ``options`` without changing the model.

    Raises:
        InputError: ``read_prompts``.
    """
    prompt = read_prompts(replace(options, keep_all=True))[0]
    few = replace(combinations(options)[0], prompt=(prompt,), prompt_file=None, num_captions=EPOCH_CAPTIONS, keep_all=True)

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
    """Return the model on its device, in the precision that the device accelerates, ready to decode."""
    device = models.choose_device(hardware.device)
    loaded.model.to(device, models.dtype_of(models.choose_precision(device, hardware.precision))).eval()
    return loaded


def rank(captions: Sequence[Caption], by: str, base: models.LoadedModel | None) -> list[Caption]:
    """Return ``captions`` by prompt, best first within each, with their ``score`` set.

    ``score``: the probability that a reader finds it fit to post (``selection``). ``likelihood``: mean log-probability of the
    sampled tokens. ``contrast``: that minus the base model's value for the same text, per sampled token (after
    Li et al. 2023); ``likelihood`` if there is no base model.

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
    """Return ``wanted`` captions of each prompt, the first ones, or with ``score`` good, different ones; mark the rest ``outranked``."""
    for prompt in dict.fromkeys(caption.prompt for caption in ranked):
        own = [caption for caption in ranked if caption.prompt == prompt]
        chosen = list(range(min(wanted, len(own))))
        if by == "score":
            scores = [caption.score or 0.0 for caption in own]
            chosen = selection.choose([caption.text for caption in own], scores, prompt, wanted)
        for number in {*range(len(own))} - {*chosen}:
            own[number].reason = "outranked"
    return [caption for caption in ranked if caption.reason is None]


def all_figures(runs: Sequence[tuple[Sequence[Caption], Sequence[Caption]]], reference: Reference) -> list[dict[str, Figures]]:
    """Return for each run (kept captions, attempts) the figures of both and of the held-out human captions.

    Figures that depend on the amount of text use as many captions of each set as the smallest set has.
    """
    from . import novelty

    held_out = list(reference.held_out)
    size = min(len(texts) for texts in (*(texts for run in runs for texts in run), held_out) if texts)

    def measured(captions: Sequence[Caption]) -> Figures:
        return novelty.figures([caption.text for caption in captions], [caption.copied for caption in captions], size)

    people = {"held out": novelty.figures(held_out, reference.search(held_out), size)} if held_out else {}
    return [{"kept": measured(kept), "attempts": measured(attempts)} | people for kept, attempts in runs]


def _report_missing(candidates: Candidates, kept: int, label: str) -> None:
    """Warn if there are fewer captions than requested in the setting called ``label``."""
    from .candidates import REASONS

    attempts, wanted, of = console.count(len(candidates.attempts), "attempt"), candidates.wanted, f"{label}: " if label else ""
    for prompt, reason in candidates.failing():
        log.warning("%sgave up on the prompt %s: each of its attempts %s", of, console.shorten(repr(prompt), 50), REASONS[reason])
    if fixed := candidates.fixed():
        log.warning("%sthese settings (--top-k, --top-p, --temperature) leave no choice of tokens: one caption for each of %s", of, fixed)
    if kept < wanted and (kept or label):
        captions = console.count(kept, "caption")
        log.warning("%s%s instead of %d after %s: %s", of, captions, wanted, attempts, _biggest(candidates.attempts))


def _biggest(attempts: Sequence[Caption]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in list(count_reasons(attempts).items())[:3])


def _model_sha256(folder: Path) -> str | dict[str, str]:
    files = sorted(folder.glob("*.safetensors"))
    return storage.sha256(files[0]) if len(files) == 1 else {path.name: storage.sha256(path) for path in files}


def _base_model(folder: Path) -> str | None:
    """Return the name of the base model in the run.json of a model's folder, None where it has none."""
    try:
        return str(storage.read_json(folder / "run.json")["options"]["base_model"])
    except (HuggingCaptionsError, KeyError, TypeError):
        return None


# -- comparison with the base model


def _load_base(corpus: str, store: Store, tuned: models.LoadedModel) -> models.LoadedModel | None:
    """Return the base model of ``tuned`` on the same device, or None with a warning."""
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
        why = "its run.json has no base model"
    log.warning("no comparison with the base model: %s", why)
    return None


def _compare_settings(base: models.LoadedModel | None, settings: Sequence[Setting], combined: Sequence[GenerateOptions]) -> str:
    """Return the comparisons of all settings, each below its name if there are several."""
    parts = []
    for setting, options in zip(settings, combined):
        if setting.captions:
            parts.append((f"{label(setting.values)}\n\n" if setting.values else "") + compare(base, setting.captions, options))
    return "\n".join(parts)


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
    """Return each caption with the caption of ``base`` for the same prompt and random numbers below it."""
    from .candidates import decode, encode_prompt
    from .decoder import Decoder, Row

    if base is None:
        return "no base model to compare with\n"
    prompts = list(dict.fromkeys(caption.prompt for caption in captions))
    try:
        encoded = [encode_prompt(base, prompt, options) for prompt in prompts]
    except UsageError as error:  # its tokenizer and its positions may differ
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
