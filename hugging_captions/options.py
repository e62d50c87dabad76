"""Every option of both scripts: name, default, one-line help, limits, and options that can't be combined.

One frozen dataclass for each group; a field is an option, a parameter, a key in the JSON files.
Imports nothing heavy, so that ``--help`` and usage errors appear immediately.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import logging
import operator
import re
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

from . import versions
from .errors import UsageError
from .storage import read_json

log = logging.getLogger(__name__)

#: The options that most people need: ``--help`` lists them first.
COMMON = ("tag", "dry_run", "caption_queries", "from_paths", "skip_pull", "login", "cookies", "min_likes",
          "train", "generate", "base_model", "prompt", "num_captions", "overwrite")  # fmt: skip

O = TypeVar("O")  # noqa: E741 - one of the option classes below


def option(default: Any, help: str, **settings: Any) -> Any:
    """Declare a dataclass field that is also a command-line option.

    Args:
        default: the value when the option is not given.
        help: one line, without the default (it is added).
        settings: argparse settings (``metavar``, ``choices``, ``nargs``, ``type``), ``flag`` for
            another spelling than the field's, and ``at_least``, ``at_most``, ``above`` as limits.
    """
    return field(default=default, metadata={"help": help, **settings})


@dataclass(frozen=True)
class RunOptions:
    """Folders and messages."""

    tag: tuple[str, ...] = option((), "hashtag; several make one corpus and one model", nargs="+", metavar="TAG")
    root: Path = option(Path("."), "folder that holds text/ and trained_models/", type=Path, metavar="DIR")
    dry_run: bool = option(False, "print what the command would do, without doing it")
    verbose: bool = option(False, "show details, examples and tracebacks")
    options_from: Path | None = option(None, "repeat the options of a run.json, _gen.json or cleaning.json", type=Path, metavar="FILE")
    quiet: bool = option(False, "show errors and results only")
    log_file: Path | None = option(None, "append all messages and results, with times", type=Path, metavar="PATH")


@dataclass(frozen=True)
class PullCommand:
    """Inspecting and removing posts."""

    explain: str | None = option(None, "show the result for each sentence of this post, and stop", type=str, metavar="SHORTCODE")
    review: int | None = option(None, "print N dropped and changed captions per reason, and stop", type=int, at_least=1, metavar="N")
    report: bool = option(False, "write a report page: text/<tag>/cleaning.html")
    forget: tuple[str, ...] = option((), "delete these posts, or those listed in a file", nargs="+", type=str, metavar="SHORTCODE")


#: The values of --feed: every feed of the scraper, and auto.
FEEDS = ("auto", "search", "search-graphql", "sections", "web-info", "graphql", "graph-api")


@dataclass(frozen=True)
class PullOptions:
    """Pulling and importing."""

    caption_queries: int = option(60, "pages of posts to request from Instagram, per tag", at_least=1, metavar="N")
    from_paths: tuple[Path, ...] = option((), "import these files or folders", flag="from", nargs="+", type=Path, metavar="PATH")
    column: tuple[str, ...] = option((), "names of the columns with caption, likes, date, shortcode", nargs="+", metavar="FIELD=NAME")
    skip_pull: bool = option(False, "clean the stored posts without pulling")
    login: str | None = option(None, "account whose saved session to use; asks for the password", type=str, metavar="USER")
    session_file: Path | None = option(None, "instaloader session file to use", type=Path, metavar="PATH")
    cookies: Path | None = option(None, "Netscape cookies.txt with Instagram's cookies", type=Path, metavar="PATH")
    cookies_from: str | None = option(None, "browser with Instagram's cookies (needs browser_cookie3)", type=str, metavar="BROWSER")
    feed: tuple[str, ...] = option((), "feeds to walk, in this order (default: auto)", nargs="+", choices=FEEDS, metavar="FEED")
    untagged: str = option("skip", "skip or keep search results without the tag", choices=("skip", "keep"))
    max_posts: int | None = option(None, "stop after N new posts, per tag", type=int, at_least=1, metavar="N")
    since: str | None = option(None, "skip posts before this day (UTC)", type=str, metavar="YYYY-MM-DD")
    until: str | None = option(None, "skip posts after this day (UTC)", type=str, metavar="YYYY-MM-DD")


@dataclass(frozen=True)
class CleanOptions:
    """Cleaning."""

    min_likes: int = option(10, "drop posts with fewer likes", at_least=0, metavar="N")
    unknown_likes: str = option("keep", "keep or drop posts with hidden likes", choices=("keep", "drop"))
    language: str = option("en", "ISO 639-1 code of the language to keep, or any", metavar="CODE")
    min_language_score: float = option(0.0, "drop captions with a lower language certainty", at_least=0, at_most=1, metavar="P")
    min_words: int = option(3, "drop captions with fewer words", at_least=1, metavar="N")
    max_chars: int = option(2200, "drop captions with more characters", at_least=1, metavar="N")
    inline_tags: str = option("word", "replace a tag in a sentence by its words, keep it, or drop it", choices=("word", "keep", "drop"))
    handles: str = option("remove", "remove @handles and the sentences that need them, or keep them", choices=("remove", "keep"))
    promotion_threshold: float = option(
        0.5, "drop promotion above this probability; lower values drop more", above=0, at_most=1, metavar="P"
    )
    emoji: str = option("keep", "keep or drop emoji", choices=("keep", "drop"))
    near_threshold: float = option(0.7, "Jaccard similarity of near duplicates", above=0, at_most=1, metavar="J")
    skip_rule: tuple[str, ...] = option((), "rules to skip, by their names in DOCS.md", nargs="+", metavar="NAME")
    workers: int | None = option(None, "processes that clean (default: the cores)", type=int, at_least=1, metavar="N")


@dataclass(frozen=True)
class TuneCommand:
    """What to do."""

    train: bool = option(False, "fine-tune the base model on the captions")
    generate: bool = option(False, "write captions with the model of this tag")
    interactive: bool = option(False, "read prompts, one a line, and print captions at once")
    name: str | None = option(None, "name of this run: results are called <tag>_<NAME>", type=str, metavar="NAME")


@dataclass(frozen=True)
class TrainOptions:
    """Training."""

    base_model: str = option("gpt2", "hub name, local folder, GGUF file, smollm2 or scratch", metavar="MODEL")
    recipe: str = option("measured", "measured defaults, or the recipe of 2020 for comparison", choices=("measured", "classic"))
    epochs: int | None = option(None, "passes over the captions, at most (default: by base model)", type=int, at_least=1, metavar="N")
    learning_rate: float | None = option(None, "peak learning rate (default: by base model)", type=float, above=0, at_most=1, metavar="LR")
    batch_tokens: int | None = option(None, "tokens in a step (default: by corpus size)", type=int, at_least=16, metavar="N")
    gradient_accumulation_steps: int = option(1, "parts of a step; more parts need less memory", at_least=1, metavar="N")
    gradient_checkpointing: bool = option(False, "use less memory and a third more time")
    lora: int | None = option(
        None, "rank of the trained adapters; 0: all weights (default: by base model)", type=int, at_least=0, metavar="RANK"
    )
    val_fraction: float = option(0.1, "share of captions held out for validation", at_least=0, at_most=0.5, metavar="F")
    patience: int = option(3, "stop after N epochs without a better held-out loss", at_least=1, metavar="N")
    sample_every_epoch: bool = option(False, "also show three captions for the first prompt after each epoch")
    save_minutes: float = option(5.0, "minutes between checkpoints for resuming", at_least=0, at_most=10**6, metavar="MIN")
    resume: str = option("auto", "continue an unfinished training with the same options", choices=("auto", "always", "never"))
    report_to: str = option("none", "also log the figures to a tracker", choices=("none", "tensorboard", "wandb"))


@dataclass(frozen=True)
class GenerateOptions:
    """Generating."""

    prompt: tuple[str, ...] | None = option(None, 'how captions begin (default: "My day")', action="append", metavar="TEXT")
    prompt_file: Path | None = option(None, "file with more prompts, one a line", type=Path, metavar="FILE")
    num_captions: int = option(40, "captions to write for each prompt", at_least=1, metavar="N")
    max_length: int = option(60, "most tokens in a caption, prompt included", at_least=2, metavar="N")
    min_length: int = option(8, "fewest tokens in a caption, prompt included", at_least=0, metavar="N")
    temperature: float = option(
        0.7, "sampling temperature: lower is safer, higher more varied", nargs="+", above=0, at_most=10, metavar="T"
    )
    top_k: int = option(50, "sample among the k likeliest tokens; 0: all", nargs="+", at_least=0, metavar="K")
    top_p: float = option(0.95, "sample among the likeliest tokens that sum to p", nargs="+", above=0, at_most=1, metavar="P")
    repetition_penalty: float = option(
        1.0, "above 1 makes tokens that already occurred less likely", nargs="+", above=0, at_most=10, metavar="F"
    )
    rank: str = option("score", "how captions are selected and ordered", choices=("score", "likelihood", "contrast", "none"))
    max_copied_span: int = option(8, "reject captions that copy more words in a row", at_least=1, metavar="WORDS")
    keep_language: str | None = option(None, "reject captions in another language (ISO 639-1)", type=str, metavar="CODE")
    attempts_per_caption: float = option(8.0, "attempts per kept caption; the best is kept", at_least=1, at_most=10**6, metavar="F")
    keep_all: bool = option(False, "write the first --num-captions attempts unfiltered")
    compare_base: bool = option(False, "also write the base model's captions for the same seeds")
    decode_rows: int | None = option(None, "captions decoded together (default: by free memory)", type=int, at_least=1, metavar="N")


@dataclass(frozen=True)
class HardwareOptions:
    """Hardware and reproducibility."""

    device: str = option("auto", "device to compute on", choices=("auto", "cpu", "cuda", "mps"))
    precision: str = option("auto", "number format", choices=("auto", "fp32", "bf16", "fp16"))
    compile: str = option("auto", "torch.compile; auto: only if the run is long", choices=("auto", "on", "off"))
    seed: int = option(0, "seed of the split, the batches and the sampling", at_least=0, at_most=2**32 - 1, metavar="N")
    overwrite: bool = option(False, "replace a kept .previous and an unfinished training")


def add_options(parser: argparse.ArgumentParser, options_class: type) -> None:
    """Add each field of ``options_class`` to ``parser``, in a group titled by its docstring.

    The options in ``COMMON`` go into the first group. An option that isn't given leaves no attribute: ``given`` relies on that.
    """
    parser._optionals.title = "Most used options"
    group = parser.add_argument_group((options_class.__doc__ or "").rstrip("."))
    for item in dataclasses.fields(options_class):
        settings = {key: value for key, value in item.metadata.items() if key not in ("flag", "help", *_LIMITS)}
        text = item.metadata["help"]
        if item.default is False:
            settings["action"] = "store_true"
        elif item.default not in ((), None):
            settings.setdefault("type", type(item.default))
            text += f" (default: {item.default})"
        place = parser if item.name in COMMON else group
        place.add_argument(_flag(item), dest=item.name, default=argparse.SUPPRESS, help=text.replace("%", "%%"), **settings)


def from_arguments(options_class: type[O], arguments: argparse.Namespace) -> O:
    """Return the ``options_class`` that the parsed ``arguments`` describe, with defaults for options that aren't given.

    Several values of an option in ``SAMPLING`` become a tuple, which ``combinations`` splits.
    """
    values = {name: value for name in _names(options_class) if (value := getattr(arguments, name, None)) is not None}
    return options_class(**{name: _as_field(name, value) if isinstance(value, list) else value for name, value in values.items()})


def _as_field(name: str, values: list[Any]) -> Any:
    if name in SAMPLING:
        values = list(dict.fromkeys(values))
    return values[0] if name in SAMPLING and len(values) == 1 else tuple(values)


def combinations(options: GenerateOptions) -> list[GenerateOptions]:
    """Return the options for each combination of the values of ``SAMPLING``, the last one varying fastest."""
    values = [value if isinstance(value := getattr(options, name), tuple) else (value,) for name in SAMPLING]
    return [dataclasses.replace(options, **dict(zip(SAMPLING, chosen))) for chosen in itertools.product(*values)]


def several(options: GenerateOptions) -> list[str]:
    """Return the names of the options that have several values."""
    return [name for name in SAMPLING if isinstance(getattr(options, name), tuple)]


def with_setting(options: GenerateOptions, flag: str, text: str) -> GenerateOptions:
    """Return ``options`` with another value of one of ``SAMPLING``, whose ``flag`` is written without the leading hyphens.

    Raises:
        UsageError: there is no such option, or the value is invalid or outside its limits.
    """
    name = flag.replace("-", "_")
    if name not in SAMPLING:
        raise UsageError(f"/{flag} is neither a command nor a setting", "see  /help")
    default = getattr(GenerateOptions(), name)
    try:
        changed = dataclasses.replace(options, **{name: type(default)(text)})
    except ValueError:
        raise UsageError(f"/{flag} needs a number, not {text!r}", f"for example  /{flag} {default}") from None
    if complaints := _out_of_range(changed):
        raise UsageError(complaints[0].removeprefix("--"))
    return changed


def given(arguments: argparse.Namespace) -> frozenset[str]:
    """Return the names of the options on the command line."""
    return frozenset(vars(arguments)) - frozenset(getattr(arguments, "repeated", ()))


def repeat(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Add to ``arguments`` the options, tags, name and command of the record in --options-from; options that are given stay.

    --root and --overwrite are not repeated: this run decides where it writes. Options that a record of an earlier version
    lacks keep their defaults, with a warning. Another warning lists Python and packages that have other versions than in the record.

    Args:
        parser: the parser of the script, which checks the values.

    Raises:
        InputError: the record is missing or damaged.
        UsageError: the record has no options, options that this script doesn't have, or an invalid value.
    """
    path: Path | None = getattr(arguments, "options_from", None)
    if path is None:
        return
    record = read_json(path)
    if not isinstance(record, dict) or not isinstance(record.get("options"), dict):
        raise UsageError(f"{path} has no options of a run", "give a run.json, _gen.json or cleaning.json")
    options = {name: record[name] for name in ("seed",) if name in record} | record["options"]  # earlier versions stored it only there
    actions = {action.dest: action for action in parser._actions}
    known = {name: actions[name] for group in _RECORDED for name in _names(group) if name in actions}
    if unknown := sorted(map(str, options.keys() - known.keys())):
        raise UsageError(
            f"{path} has options that {parser.prog} doesn't have: {', '.join(unknown[:8])}",
            "give the record of the same script and version, or remove them from a copy of it",
        )
    argv = [word for name, value in options.items() if name != "overwrite" for word in _as_words(_FLAGS[name], value, known[name].nargs)]
    argv += _as_words("--tag", record.get("cleaned_with") or record.get("tags"), "+")
    argv += _as_words("--name", record.get("name"), None) if "name" in actions else []
    if not vars(arguments).keys() & {*_COMMANDS, "explain", "review", "forget", *_names(PullOptions)}:
        argv += [_FLAGS[name] for name in _COMMANDS if name in actions and _FLAGS[name] in str(record.get("command")).split()]
    try:
        found = vars(parser.parse_args(argv))
    except UsageError as error:
        raise UsageError(f"{path}: {error}", error.hint) from error
    arguments.repeated = found.keys() - vars(arguments).keys()
    vars(arguments).update({name: found[name] for name in arguments.repeated})
    _warn_of_defaults(path, record, options)
    _warn_of_versions(path, record)


def _warn_of_defaults(path: Path, record: dict[str, Any], options: dict[str, Any]) -> None:
    """Warn if the record at ``path`` lacks options of a group from which it has others."""
    own = {name for group in _RECORDED if set(_names(group)) & options.keys() for name in _names(group)}
    missing = sorted(own - options.keys() - {"workers", "overwrite"})
    if missing:
        versions = record.get("versions")
        version = versions.get("hugging_captions") if isinstance(versions, dict) else None
        default = "has its default" if len(missing) == 1 else "have their defaults"
        log.warning("%s is of another version (%s): %s %s", path, version or "unknown", _flags(missing), default)


def _warn_of_versions(path: Path, record: dict[str, Any]) -> None:
    """Warn if Python or packages have other versions than in the record at ``path``."""
    recorded = record.get("versions")
    if not isinstance(recorded, dict):
        return
    now = versions(*recorded)
    changed = [f"{name} {version} (now {now.get(name, 'not installed')})" for name, version in recorded.items() if now.get(name) != version]
    if changed:
        log.warning("%s was written with other versions, so results may differ: %s", path, ", ".join(changed))


# -- what can't be combined: one sentence for each complaint


def pull_complaints(command: PullCommand, tags: Sequence[str], pull: PullOptions, clean: CleanOptions, given: Set[str]) -> list[str]:
    """Return the complaints about a command line of pull_and_clean.py; ``tags`` are normalised, ``given`` names its options."""
    found = [] if tags else ["--tag is missing"]
    found += _out_of_range(command) + _out_of_range(pull) + _out_of_range(clean) + _wrong_days(pull) + _loud_and_quiet(given)
    alone = {
        "explain": command.explain,
        "review": command.review,
        "forget": command.forget,
        "from_paths": pull.from_paths,
        "skip_pull": pull.skip_pull,
    }
    if len(commands := [name for name, value in alone.items() if value]) > 1:
        found.append(f"{_flags(commands)} can't be combined: give one at a time")
    elif commands:
        found += _ignored(given, _IGNORED_WITH[commands[0]], f"with {_flags(commands)}")
    if not commands:
        found += _ignored(given, ["column"], "without --from")
    found += [
        f"--column takes caption=NAME, likes=NAME, date=NAME or shortcode=NAME, not {column!r}"
        for column in pull.column
        if not re.fullmatch(r"(caption|likes|date|shortcode)=.*\S.*", column)
    ]
    if pull.from_paths and len(tags) > 1:
        found.append("--from fills one tag at a time: give one --tag")
    if len(sources := [name for name in ("session_file", "cookies", "cookies_from") if name in given]) > 1:
        found.append(f"{_flags(sources)} are alternatives: choose one")
    if pull.cookies or pull.cookies_from:
        found += _ignored(given, ["login"], "with cookies")
    if len(pull.feed) > 1 and "auto" in pull.feed:
        found.append("--feed auto chooses the feeds: give it alone, or name the feeds")
    if {*pull.feed} == {"graph-api"}:
        found += _ignored(given, ["login", "session_file", "cookies", "cookies_from"], "with --feed graph-api, which needs no session")
    if pull.feed and {*pull.feed}.isdisjoint({"auto", "search", "search-graphql"}):
        found += _ignored(given, ["untagged"], "with feeds that don't search")
    for rule in clean.skip_rule:
        found += _ignored(given, _OPTIONS_OF_RULES.get(rule, ()), f"with --skip-rule {rule}")
    if clean.language == "any":
        found += _ignored(given, ["min_language_score"], "with --language any")
    return found


def tune_complaints(
    command: TuneCommand, tags: Sequence[str], train: TrainOptions, generate: GenerateOptions, hardware: HardwareOptions, given: Set[str]
) -> list[str]:
    """Return the complaints about a command line of tune_transformer.py; ``given`` names its options."""
    found = [] if tags else ["--tag is missing"]
    found += _out_of_range(train) + _out_of_range(generate) + _out_of_range(hardware) + _loud_and_quiet(given)
    if not (command.train or command.generate or command.interactive):
        return [*found, "nothing to do: give --train, --generate or --interactive"]
    if command.interactive:
        if others := sorted(given & {"train", "generate"}):
            found.append(f"--interactive can't be combined with {_flags(others)}")
        found += _ignored(given, ["prompt", "prompt_file", "compare_base"], "with --interactive, which reads prompts")
        found += _ignored(given, ["dry_run"], "with --interactive")
        if many := several(generate):
            found.append(f"--interactive takes one value of {_flags(many)}")
    if train.base_model == "builtin":
        found.append("--base-model builtin was removed: give smollm2 (a better model), or scratch to train on the captions alone")
    if not command.train:
        found += _ignored(given, [*_names(TrainOptions), "compile"], "without --train")
    if not (command.generate or command.interactive):
        used = _EPOCH_SAMPLE if train.sample_every_epoch else ()
        found += _ignored(given, [name for name in _names(GenerateOptions) if name not in used], "without --generate")
    if train.lora and (train.recipe == "classic" or train.base_model == "scratch"):
        other = "--recipe classic" if train.recipe == "classic" else "--base-model scratch"
        found.append(f"--lora {train.lora} and {other} can't be combined: the latter trains all weights")
    if train.recipe == "classic" and (train.batch_tokens or CLASSIC_BLOCK) < CLASSIC_BLOCK:
        found.append(f"--batch-tokens {train.batch_tokens} is less than a block of --recipe classic, {CLASSIC_BLOCK:,} tokens")
    if train.recipe == "classic" or train.val_fraction == 0:
        found += _ignored(given, ["patience"], "with --recipe classic" if train.recipe == "classic" else "with --val-fraction 0")
    if generate.keep_all:
        found += _ignored(given, ["max_copied_span", "keep_language", "attempts_per_caption"], "with --keep-all")
    elif generate.rank == "none":
        found += _ignored(given, ["attempts_per_caption"], "with --rank none, which takes the first")
    if not generate.keep_all and generate.min_length >= generate.max_length:
        found.append(f"--min-length {generate.min_length} is too high: captions could not end before --max-length {generate.max_length}")
    if generate.top_k == 1:
        found += _ignored(given, ["temperature", "top_p"], "with --top-k 1, which always takes the likeliest token")
    return found


def _loud_and_quiet(given: Set[str]) -> list[str]:
    return ["--verbose and --quiet contradict each other: give one"] if {"verbose", "quiet"} <= given else []


def raise_if_any(complaints: Sequence[str], script: str) -> None:
    """Raise one ``UsageError`` with all ``complaints``, if there are any."""
    if complaints:
        raise UsageError("; ".join(complaints), f"run  python {script} --help  for every option")


def _names(options_class: type) -> list[str]:
    return [item.name for item in dataclasses.fields(options_class)]


#: Tokens of a block in the classic recipe.
CLASSIC_BLOCK = 1024
#: --num-captions of --interactive: what a person reads at once.
FEW_CAPTIONS = 5
#: Sampling options that take several values: every combination is generated.
SAMPLING = ("temperature", "top_k", "top_p", "repetition_penalty")
#: What a record of a run has options of, and the commands that it can name.
_RECORDED = (CleanOptions, TrainOptions, GenerateOptions, HardwareOptions)
_COMMANDS = ("train", "generate", "interactive", "skip_pull")
_PULLING = tuple(name for name in _names(PullOptions) if name not in ("from_paths", "skip_pull"))
#: The options of generating that --sample-every-epoch uses.
_EPOCH_SAMPLE = ("prompt", "prompt_file", "max_length", "min_length", "temperature", "top_k", "top_p", "repetition_penalty")
#: The options that a command of pull_and_clean.py does not use.
_IGNORED_WITH: dict[str, tuple[str, ...]] = {
    "explain": (*_PULLING, "report", "dry_run", "near_threshold", "workers"),
    "review": (*_PULLING, "report", "dry_run", "near_threshold", "workers"),
    "forget": (*_PULLING, "report", "dry_run", *_names(CleanOptions)),
    "from_paths": tuple(name for name in _PULLING if name != "column"),
    "skip_pull": _PULLING,
}
_OPTIONS_OF_RULES = {
    "unknown-likes": ("unknown_likes",),
    "too-few-likes": ("min_likes",),
    "language": ("language", "min_language_score"),
    "too-few-words": ("min_words",),
    "too-long": ("max_chars",),
    "near-duplicate": ("near_threshold",),
    "tags": ("inline_tags",),
    "handles": ("handles",),
    "promotion": ("promotion_threshold",),
    "emoji": ("emoji",),
}


def _ignored(given: Set[str], names: Iterable[str], when: str) -> list[str]:
    """Return a complaint about the given options of ``names``, which this command ignores."""
    found = [name for name in names if name in given]
    verb, them = ("does", "it") if len(found) == 1 else ("do", "them")
    return [f"{_flags(found)} {verb} nothing {when}: leave {them} out"] if found else []


def _flags(names: Iterable[str]) -> str:
    return " and ".join(_FLAGS[name] for name in names)


def _wrong_days(pull: PullOptions) -> list[str]:
    days = {"--since": pull.since, "--until": pull.until}
    wrong = [f"{flag} must be a day such as 2024-06-30, not {day!r}" for flag, day in days.items() if day and not _is_day(day)]
    if not wrong and pull.since and pull.until and pull.since > pull.until:
        return [f"--since {pull.since} is after --until {pull.until}"]
    return wrong


def _out_of_range(options: Any) -> list[str]:
    """Return one complaint for each field of ``options`` outside its limits."""
    found = []
    for item in dataclasses.fields(options):
        value = getattr(options, item.name)
        for one in value if isinstance(value, tuple) else (value,):
            for limit, is_within in _LIMITS.items():
                bound = item.metadata.get(limit)
                if one is not None and bound is not None and not is_within(one, bound):
                    found.append(f"{_flag(item)} must be {limit.replace('_', ' ')} {bound}, not {one}")
                    break
    return found


def as_json(options: Any) -> dict[str, Any]:
    """Return the fields of ``options`` as JSON values, paths as strings."""
    values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(options), default=str))
    return values


def as_arguments(*groups: Any) -> list[str]:
    """Return the command-line arguments for the fields of these options that differ from their defaults."""
    found: list[str] = []
    for group in groups:
        for item in dataclasses.fields(group):
            value = getattr(group, item.name)
            if value != item.default:
                found += _as_words(_flag(item), value, item.metadata.get("nargs"))
    return found


def _as_words(flag: str, value: Any, nargs: Any) -> list[str]:
    """Return the arguments that set an option to a value from a dataclass or JSON; none for None and false."""
    if value is None or isinstance(value, bool):
        return [flag] if value else []
    texts = list(map(str, value)) if isinstance(value, (list, tuple)) else [str(value)]
    if nargs != "+" or any(text.startswith("-") for text in texts):
        return [word for text in texts for word in ([f"{flag}={text}"] if text.startswith("-") else [flag, text])]
    return [flag, *texts] if texts else []


# A comparison with NaN is false, so NaN is outside every limit.
_LIMITS: dict[str, Callable[[float, float], bool]] = {"at_least": operator.ge, "above": operator.gt, "at_most": operator.le}


def _flag(item: dataclasses.Field[Any]) -> str:
    return "--" + str(item.metadata.get("flag", item.name)).replace("_", "-")


_FLAGS = {
    item.name: _flag(item)
    for group in (RunOptions, PullCommand, PullOptions, CleanOptions, TuneCommand, TrainOptions, GenerateOptions, HardwareOptions)
    for item in dataclasses.fields(group)
}


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
