"""Generate captions with a checkpoint, keep the good ones, report why the others were rejected.

Reads trained_models/<corpus>/, text/<tag>/captions.txt and the prompts; writes
text/generated_text/<corpus>_gen.txt, .jsonl, .csv, .json and .html, and with --compare-base .compare.txt.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from .. import console, language, models, storage, versions
from ..errors import HuggingCaptionsError, InputError, NothingLeftError, UsageError
from ..options import GenerateOptions, HardwareOptions, as_arguments, as_json, combinations, several
from ..storage import Store, corpus_name
from ..text import holds_private_data, word_count
from . import novelty, selection
from .novelty import Figures, Reference
from .results import GenerateResult, Setting, Values, joined, result_paths, write
from .selection import Caption

# candidates and decoder import torch: they are imported where they are used, after usage errors are reported

log = logging.getLogger(__name__)

DEFAULT_PROMPT = "My day"
#: Fewest words of a prompt whose language is checked.
WORDS_OF_A_LANGUAGE = 3
#: Captions of the sample at the end of a training, of --sample-every-epoch, and of the measurement of --dry-run.
SAMPLE_CAPTIONS, EPOCH_CAPTIONS, PROBED = 100, 3, 8
#: The novelty figures that go into history.jsonl and the model card.
SAMPLE_FIGURES = ("novelty_3", "novelty_4", "novelty_5", "novelty_8", "mean_copied_span", "longest_copied_span", "copied_share",
                  "exact_copies", "folded_copies", "near_copies", "distinct_2")  # fmt: skip


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
    prompts = check(tags, options, hardware, store, name)  # refused now, not after the work
    writer = Writer(tags, options, hardware, store, name)
    settings = [
        writer.attempt(prompts, one, hardware.seed, {option: getattr(one, option) for option in several(options)})
        for one in combinations(options)
    ]
    return writer.save(name, prompts, settings)


def check(tags: Sequence[str], options: GenerateOptions, hardware: HardwareOptions, store: Store, name: str) -> list[str]:
    """Return the prompts, after the checks of ``generate`` that need no model.

    Raises:
        InputError, UsageError: as ``generate``.
    """
    result_paths(tags, name, store, hardware.overwrite)
    return read_prompts(options)


def plan(tags: Sequence[str], options: GenerateOptions, hardware: HardwareOptions, store: Store, name: str, after_training: bool) -> str:
    """Return what ``generate`` would do, for stdout; the time is measured on ``PROBED`` captions, which are not kept.

    Args:
        after_training: whether the same command trains the model first.

    Raises:
        HuggingCaptionsError: any error of ``generate`` before the first attempt.
    """
    paths = result_paths(tags, name, store, hardware.overwrite)
    prompts, settings, attempts = read_prompts(options), combinations(options), selection.fewest_attempts(options)
    model, total = store.find_model(tags, name), attempts * len(prompts) * len(settings)
    described, duration = "the one that is trained first", "known after the training"
    if not after_training:
        loaded = load_model(model, hardware, store)
        start = time.perf_counter()
        made = len(_sample(loaded, prompts[0], settings[0], PROBED, hardware.seed, "measuring the speed"))
        seconds = time.perf_counter() - start
        described = console.short_path(store.model(model), 60)
        about, measured = console.duration(seconds / made * total), console.count(made, "attempt")
        duration = f"about {about} if enough attempts can be kept: {measured} took {seconds:.1f} s just now"
    facts = [
        ("model", described),
        ("prompts", f"{len(prompts):,}: {console.shorten(', '.join(map(repr, prompts)), 60)}"),
        ("settings", console.count(len(settings), "combination")),
        ("captions", f"{options.num_captions:,} for each prompt, the best of {console.count(attempts, 'attempt')}, {total:,} in all"),
        ("tokens", f"at most {total * options.max_length:,}, more if too few attempts can be kept"),
        ("time", duration),
        (
            "write",
            console.short_path(paths[".txt"], 60).removesuffix(".txt")
            + ", ".join(suffix for suffix in paths if suffix != ".compare.txt" or options.compare_base),
        ),
    ]
    if here := [path.name for path in paths.values() if path.exists()]:
        facts.append(("replace", f"{', '.join(here)}; kept as .previous"))
    return console.rows(f"would generate captions of {console.listed([f'#{tag}' for tag in tags])}", facts)


class Writer:
    """A loaded checkpoint for ``tags``: makes attempts, and saves the captions of several.

    ``base`` is None if it isn't needed or available.
    """

    def __init__(self, tags: Sequence[str], options: GenerateOptions, hardware: HardwareOptions, store: Store, name: str) -> None:
        """Load the checkpoint for ``tags`` and ``name``, and the captions for comparison.

        Raises:
            InputError: there is no usable checkpoint.
            UsageError: the checkpoint belongs to another tag or name.
        """
        self.tags, self.options, self.hardware, self.store = tags, options, hardware, store
        self.model = store.find_model(tags, name)
        self.loaded = load_model(self.model, hardware, store)
        self.reference = novelty.load_reference(tags, store, self.model)
        needs_base = options.compare_base or options.rank == "contrast"
        self.base = _load_base(store.model(self.model), self.loaded) if needs_base else None

    def attempt(
        self, prompts: Sequence[str], options: GenerateOptions, seed: int, values: Values | None = None, shown: Sequence[str] = ()
    ) -> Setting:
        """Return the captions to keep, by prompt and best first, and all attempts with their reasons for rejection.

        Args:
            options: one value for each option.
            values: those of ``options`` that vary, for warnings.
            shown: earlier captions, which must not be repeated.
        """
        from .candidates import Candidates

        start = time.perf_counter()
        candidates = Candidates(self.loaded, prompts, options, seed, self.reference, shown)
        fit = candidates.collect()
        seconds, decoder = time.perf_counter() - start, candidates.decoder
        setting = Setting(values or {}, selection.select(fit, options.rank, options.num_captions, self.base), candidates.attempts)
        candidates.warn_of_missing(setting.label)
        attempts = console.count(len(candidates.attempts), "attempt")
        log.info("%s, %d tokens in %.1f s on %s", attempts, decoder.tokens, seconds, decoder.device)
        return setting

    def save(
        self, name: str, prompts: Sequence[str], settings: Sequence[Setting], lines: Sequence[str] = (), again: bool = False
    ) -> GenerateResult:
        """Write the files of a run called ``name``; earlier ones are kept as .previous unless this session wrote them (``again``).

        Args:
            lines: what was typed, if the run was interactive.

        Raises:
            NothingLeftError: no caption was kept in any of ``settings``.
            UsageError: a .previous would be lost, or the files belong to another tag or name.
        """
        if not any(setting.captions for setting in settings):
            raise nothing_left(corpus_name(self.tags, name), settings)
        settings = with_figures(settings, self.reference)
        compared = _compare_settings(self.base, settings, self.options) if self.options.compare_base else None
        record = self._record(name, prompts, settings, "--interactive" if lines else "--generate") | ({"lines": lines} if lines else {})
        paths = result_paths(self.tags, name, self.store, self.hardware.overwrite or again)
        write(paths, settings, record, self.reference.training, compared, self.hardware.overwrite, again)
        return GenerateResult(paths[".txt"], settings, self.reference.note)

    def _record(self, name: str, prompts: Sequence[str], settings: Sequence[Setting], command: str) -> dict[str, object]:
        """Return the .json file: the run, the command that repeats it, and counts and figures, by setting if there are several."""
        counts, folder = settings[0].counts(), self.store.model(self.model)
        if len(settings) > 1:
            counts = joined(settings).counts() | {"settings": [setting.values | setting.counts() for setting in settings]}
        arguments = ["--tag", *self.tags, command, *(["--name", name] if name else []), *as_arguments(self.options, self.hardware)]
        try:
            base_model = _base_model(folder)
        except HuggingCaptionsError:
            base_model = None
        return {
            "tags": list(self.tags), "name": name or None, "command": self.store.command("tune_transformer.py", *arguments),
            "prompts": list(prompts), "options": as_json(self.options) | as_json(self.hardware), "seed": self.hardware.seed,
            "model": self.model, "model_sha256": _model_sha256(folder), **counts, "note": self.reference.note,
            "base_model": base_model, "versions": versions("torch", "transformers"),
        }  # fmt: skip


def with_figures(settings: Sequence[Setting], reference: Reference) -> list[Setting]:
    """Return ``settings`` with the figures of their kept captions, of all their attempts and of the held-out human captions.

    Figures that depend on the amount of text use as many captions of each set as the smallest set has.
    """
    held_out = list(reference.held_out)
    sets = [held_out, *(captions for setting in settings for captions in (setting.captions, setting.attempts))]
    size = min(len(captions) for captions in sets if captions)

    def measured(captions: Sequence[Caption]) -> Figures:
        return novelty.figures([caption.text for caption in captions], [caption.copied for caption in captions], size)

    people = {"held out": novelty.figures(held_out, reference.search(held_out), size)} if held_out else {}
    return [replace(one, figures={"kept": measured(one.captions), "attempts": measured(one.attempts)} | people) for one in settings]


def nothing_left(corpus: str, settings: Sequence[Setting]) -> NothingLeftError:
    """Return the error to raise if no caption of ``settings`` is kept."""
    attempts = joined(settings).attempts
    reasons, tried = selection.biggest_reasons(attempts), console.count(len(attempts), "attempt")
    return NothingLeftError(
        f"cannot generate for tag {corpus!r}: none of {tried} was good enough ({reasons})",
        "train longer, raise --max-length, or see what it writes with --keep-all",
    )


def _sample(
    loaded: models.LoadedModel, prompt: str, options: GenerateOptions, count: int, seed: int, label: str, reference: Reference | None = None
) -> list[Caption]:
    """Return ``count`` captions as the model writes them, without changing its mode; ``label`` names the progress bar."""
    from .candidates import Candidates

    was_training = loaded.model.training
    loaded.model.eval()
    try:
        few = replace(options, num_captions=count, keep_all=True)
        return Candidates(loaded, [prompt], few, seed, reference or Reference(None)).collect(label)
    finally:
        loaded.model.train(was_training)


def sample(model: models.LoadedModel, training: Sequence[str], held_out: Sequence[str], hardware: HardwareOptions) -> models.Sample | None:
    """Generate ``SAMPLE_CAPTIONS`` captions with ``model`` and return their figures and the three with the best score; no file is written.

    The model keeps its device and precision. Without held-out captions to compare with, the result is None.
    """
    if not held_out:
        return None
    reference, options = Reference(novelty.CopyIndex(training), tuple(held_out)), GenerateOptions(min_length=0)
    captions = _sample(model, "", options, SAMPLE_CAPTIONS, hardware.seed, "sampling for the model card", reference)
    columns = with_figures([Setting({}, captions, captions)], reference)[0].figures
    figures: dict[str, object] = {"sampled": len(captions), "ended_share": sum(caption.ended for caption in captions) / len(captions)}
    figures |= {key: columns["kept"][key] for key in SAMPLE_FIGURES}
    figures |= {f"held_out_{key}": columns["held out"][key] for key in SAMPLE_FIGURES}
    whole = [caption for caption in captions if next(selection.rejections(caption, options, ()), None) is None]
    best = sorted(whole, key=lambda caption: -selection.score(selection.features(caption.text, caption.mean_logprob)))[:3]
    return models.Sample(figures, tuple(caption.text for caption in best))


def epoch_writer(options: GenerateOptions, hardware: HardwareOptions) -> Callable[[models.LoadedModel], list[str]]:
    """Return a function that generates ``EPOCH_CAPTIONS`` captions for the first prompt of ``options`` without changing the model.

    Raises:
        InputError: ``read_prompts``.
    """
    prompt, first = read_prompts(replace(options, keep_all=True))[0], combinations(options)[0]

    def write(model: models.LoadedModel) -> list[str]:
        return [caption.text for caption in _sample(model, prompt, first, EPOCH_CAPTIONS, hardware.seed, "sampling")]

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


def load_model(corpus: str, hardware: HardwareOptions, store: Store) -> models.LoadedModel:
    """Return the checkpoint of ``corpus`` on its device, in the precision that the device accelerates, ready to decode.

    Raises:
        InputError: there is no usable checkpoint.
    """
    loaded, device = models.load_checkpoint(corpus, store), models.choose_device(hardware.device)
    loaded.model.to(device, models.dtype_of(models.choose_precision(device, hardware.precision))).eval()
    return loaded


def _model_sha256(folder: Path) -> str | dict[str, str]:
    files = sorted(folder.glob("*.safetensors"))
    return storage.sha256(files[0]) if len(files) == 1 else {path.name: storage.sha256(path) for path in files}


def _base_model(folder: Path) -> str:
    """Return the name of the base model in the run.json of a model's folder.

    Raises:
        InputError: there is none.
    """
    try:
        return str(storage.read_json(folder / "run.json")["options"]["base_model"])
    except (KeyError, TypeError):
        raise InputError("its run.json has no base model") from None


# -- comparison with the base model


def _load_base(folder: Path, tuned: models.LoadedModel) -> models.LoadedModel | None:
    """Return the base model of ``tuned`` on the same device, or None with a warning."""
    try:
        name = _base_model(folder)
        if name == "scratch":
            raise InputError("it was trained from scratch")
        log.info("loading the base model %s", name)
        base = models.load_base(name, (), seed=0)
        base.model.to(tuned.model.device).eval()
        return base
    except HuggingCaptionsError as error:
        log.warning("no comparison with the base model: %s", error)
        return None


def _compare_settings(base: models.LoadedModel | None, settings: Sequence[Setting], options: GenerateOptions) -> str:
    """Return the comparisons of all settings, each below its name if there are several."""
    parts = []
    for setting in settings:
        if setting.captions:
            name = f"{setting.label}\n\n" if setting.values else ""
            parts.append(name + compare(base, setting.captions, replace(options, **setting.values)))
    return "\n".join(parts)


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
