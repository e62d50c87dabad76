"""Every option of both scripts: its name, default, one-line help, limits and contradictions.

One frozen dataclass for each stage; a field is an option, a parameter, a key in the JSON files.
Imports nothing heavy, so that ``--help`` and a usage error answer at once.
"""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

from .errors import UsageError

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
    """What both scripts share."""

    tag: tuple[str, ...] = option((), "hashtag; several make one corpus and one model", nargs="+", metavar="TAG")
    root: Path = option(Path("."), "folder that holds text/ and trained_models/", type=Path, metavar="DIR")
    verbose: bool = option(False, "show details, examples and tracebacks")


@dataclass(frozen=True)
class PullOptions:
    """Where posts come from."""

    caption_queries: int = option(60, "pages of posts to ask Instagram for, per tag", at_least=1, metavar="N")
    from_paths: tuple[Path, ...] = option(
        (), "files or folders of posts to import instead of pulling", flag="from", nargs="+", type=Path, metavar="PATH"
    )
    skip_pull: bool = option(False, "clean the posts that are already here again")
    login: str | None = option(
        None, "account whose saved instaloader session to use; asks for the password if there is none", type=str, metavar="USER"
    )
    session_file: Path | None = option(None, "instaloader session file to use", type=Path, metavar="PATH")
    cookies: Path | None = option(None, "Netscape cookies.txt with Instagram's cookies", type=Path, metavar="PATH")
    cookies_from: str | None = option(None, "browser to take Instagram's cookies from (needs browser_cookie3)", type=str, metavar="BROWSER")
    feed: str = option("auto", "which of Instagram's feeds to ask", choices=("auto", "sections", "graphql"))
    max_posts: int | None = option(None, "stop after so many new posts, per tag", type=int, at_least=1, metavar="N")
    since: str | None = option(None, "leave out posts before this day (UTC)", type=str, metavar="YYYY-MM-DD")
    until: str | None = option(None, "leave out posts after this day (UTC)", type=str, metavar="YYYY-MM-DD")

    def contradictions(self, tags: tuple[str, ...]) -> list[str]:
        """Return what cannot be done together, one sentence each."""
        found = []
        if self.from_paths and self.skip_pull:
            found.append("--from imports posts and --skip-pull reads none: choose one")
        if self.from_paths and len(tags) > 1:
            found.append("--from fills one tag at a time: give one --tag")
        limits = {"--max-posts": self.max_posts, "--since": self.since, "--until": self.until}
        if self.from_paths and (limiting := [flag for flag, value in limits.items() if value]):
            found.append(f"{' and '.join(limiting)} limit a pull, and --from imports everything: leave them out")
        sources = {"--session-file": self.session_file, "--cookies": self.cookies, "--cookies-from": self.cookies_from}
        given = [flag for flag, value in sources.items() if value]
        if len(given) > 1:
            found.append(f"{' and '.join(given)} are ways to the same thing: choose one")
        days = {"--since": self.since, "--until": self.until}
        wrong = [flag for flag, day in days.items() if day and not _is_day(day)]
        found += [f"{flag} must be a day such as 2024-06-30, not {days[flag]!r}" for flag in wrong]
        if not wrong and self.since and self.until and self.since > self.until:
            found.append(f"--since {self.since} is after --until {self.until}")
        return found


@dataclass(frozen=True)
class CleanOptions:
    """Which captions are worth training on."""

    min_likes: int = option(10, "drop posts with fewer likes", at_least=0, metavar="N")
    unknown_likes: str = option("keep", "what to do with posts whose likes are hidden", choices=("keep", "drop"))
    language: str = option("en", "ISO 639-1 code of the language to keep, or any", metavar="CODE")
    min_language_score: float = option(0.0, "drop captions whose language is less sure", at_least=0, at_most=1, metavar="P")
    min_words: int = option(3, "drop captions with fewer words", at_least=1, metavar="N")
    max_chars: int = option(2200, "drop captions with more characters", at_least=1, metavar="N")
    inline_tags: str = option("word", "of a tag inside a sentence keep its word, the tag, or nothing", choices=("word", "keep", "drop"))
    emoji: str = option("keep", "keep or drop emoji", choices=("keep", "drop"))
    near_threshold: float = option(0.7, "Jaccard similarity above which captions are near duplicates", above=0, at_most=1, metavar="J")
    skip_rule: tuple[str, ...] = option((), "rules to leave out, by the names in DOCS.md", nargs="+", metavar="NAME")
    workers: int | None = option(None, "processes for the heavy rules (default: the cores)", type=int, at_least=1, metavar="N")


@dataclass(frozen=True)
class TrainOptions:
    """Fine-tuning."""

    base_model: str = option("gpt2", "what to start from: hub name, local folder, builtin or scratch", metavar="MODEL")
    recipe: str = option("measured", "measured defaults, or the recipe of 2020 for comparison", choices=("measured", "classic"))
    epochs: int | None = option(None, "passes over the captions, at most (default: by base model)", type=int, at_least=1, metavar="N")
    learning_rate: float | None = option(None, "peak learning rate (default: by base model)", type=float, above=0, at_most=1, metavar="LR")
    batch_tokens: int | None = option(
        None, "tokens in an optimizer step, padding included (default: by base model)", type=int, at_least=16, metavar="N"
    )
    gradient_accumulation_steps: int = option(1, "parts to compute a step in: more take less memory", at_least=1, metavar="N")
    gradient_checkpointing: bool = option(False, "less memory for a third more time")
    lora: int | None = option(None, "train adapters of this rank only, then merge them (needs peft)", type=int, at_least=1, metavar="RANK")
    val_fraction: float = option(0.1, "share of captions held out for validation", at_least=0, at_most=0.5, metavar="F")
    patience: int = option(3, "stop after so many epochs without a better held-out loss", at_least=1, metavar="N")
    save_minutes: float = option(5.0, "minutes between checkpoints that training can resume from", at_least=0, at_most=10**6, metavar="MIN")
    resume: str = option(
        "auto", "continue an unfinished training: if it is the same one, always, or begin again", choices=("auto", "always", "never")
    )
    report_to: str = option("none", "also send the figures there", choices=("none", "tensorboard", "wandb"))


@dataclass(frozen=True)
class GenerateOptions:
    """Writing captions."""

    prompt: tuple[str, ...] | None = option(
        None, 'how captions begin; may be empty, and given several times (default: "My day")', action="append", metavar="TEXT"
    )
    prompt_file: Path | None = option(None, "file with more prompts, one a line", type=Path, metavar="FILE")
    num_captions: int = option(40, "captions to write for each prompt", at_least=1, metavar="N")
    max_length: int = option(60, "most tokens in a caption, prompt included", at_least=2, metavar="N")
    min_length: int = option(20, "fewest tokens in a caption, prompt included", at_least=0, metavar="N")
    temperature: float = option(1.0, "below 1 plays safe, above 1 takes risks", above=0, at_most=10, metavar="T")
    top_k: int = option(50, "sample among the k likeliest tokens; 0 for all, 1 for the likeliest", at_least=0, metavar="K")
    top_p: float = option(0.95, "sample among the likeliest tokens that sum to p", above=0, at_most=1, metavar="P")
    repetition_penalty: float = option(1.0, "above 1, tokens that were there already come less often", above=0, at_most=10, metavar="F")
    rank: str = option("likelihood", "what makes a caption come first", choices=("likelihood", "contrast", "none"))
    max_copied_span: int = option(8, "leave out captions with more words in a row from a training caption", at_least=1, metavar="WORDS")
    keep_language: str | None = option(None, "leave out captions in another language (ISO 639-1)", type=str, metavar="CODE")
    max_attempts: float = option(20.0, "give up after so many times --num-captions attempts", at_least=1, at_most=10**6, metavar="F")
    keep_all: bool = option(False, "write the first --num-captions attempts, whatever they are")
    compare_base: bool = option(False, "also write what the base model makes of the same prompts and seeds")
    quantize: str = option("none", "int8: faster on a CPU, another text (not on a GPU)", choices=("none", "int8"))
    decode_rows: int | None = option(None, "captions decoded together (default: by free memory)", type=int, at_least=1, metavar="N")

    def contradictions(self) -> list[str]:
        """Return what cannot be done together, one sentence each."""
        found = []
        if self.min_length > self.max_length:
            found.append(f"--min-length {self.min_length} is above --max-length {self.max_length}")
        if self.keep_all and self.keep_language:
            found.append("--keep-all leaves nothing out and --keep-language does: choose one")
        return found


@dataclass(frozen=True)
class HardwareOptions:
    """The machine and the dice."""

    device: str = option("auto", "where to compute", choices=("auto", "cpu", "cuda", "mps"))
    precision: str = option("auto", "number format of the computation", choices=("auto", "fp32", "bf16", "fp16"))
    compile: str = option("auto", "torch.compile: auto when the run is long enough to pay for it", choices=("auto", "on", "off"))
    seed: int = option(0, "seed of the split, the batches and the sampling", at_least=0, at_most=2**32 - 1, metavar="N")
    overwrite: bool = option(False, "replace results even where an earlier .previous is already kept")


def add_options(parser: argparse.ArgumentParser, options_class: type) -> None:
    """Add each field of ``options_class`` to ``parser``, in a group titled by its docstring."""
    group = parser.add_argument_group((options_class.__doc__ or "").rstrip("."))
    for item in dataclasses.fields(options_class):
        settings = {key: value for key, value in item.metadata.items() if key not in ("flag", "help", *_LIMITS)}
        text = item.metadata["help"]
        if item.default is False:
            settings["action"] = "store_true"
        elif item.default not in ((), None):
            settings.setdefault("type", type(item.default))
            text += f" (default: {_shown(item.default)})"
        group.add_argument(_flag(item), dest=item.name, default=item.default, help=text.replace("%", "%%"), **settings)


def from_arguments(options_class: type[O], arguments: argparse.Namespace) -> O:
    """Return the ``options_class`` that the parsed ``arguments`` describe."""
    values = {item.name: getattr(arguments, item.name) for item in dataclasses.fields(options_class)}  # type: ignore[arg-type]
    return options_class(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def out_of_range(options: Any) -> list[str]:
    """Return one sentence for each field of ``options`` outside its limits."""
    found = []
    for item in dataclasses.fields(options):
        value = getattr(options, item.name)
        for limit, (is_within, words) in _LIMITS.items():
            bound = item.metadata.get(limit)
            if value is not None and bound is not None and not is_within(value, bound):
                found.append(f"{_flag(item)} must be {words} {bound}, not {value}")
                break
    return found


def raise_if_any(complaints: list[str], script: str) -> None:
    """Raise one ``UsageError`` that holds all ``complaints``, or return."""
    if complaints:
        raise UsageError("; ".join(complaints), f"run  python {script} --help  for every option")


def as_json(options: Any) -> dict[str, Any]:
    """Return the fields of ``options`` as JSON values, paths as strings."""
    return {key: _json_value(value) for key, value in dataclasses.asdict(options).items()}


# A comparison with NaN is false, so NaN is outside every limit.
_LIMITS = {
    "at_least": (lambda value, bound: value >= bound, "at least"),
    "above": (lambda value, bound: value > bound, "above"),
    "at_most": (lambda value, bound: value <= bound, "at most"),
}


def _flag(item: dataclasses.Field[Any]) -> str:
    return "--" + item.metadata.get("flag", item.name).replace("_", "-")


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _shown(default: Any) -> str:
    return f'"{default}"' if isinstance(default, str) and " " in default else str(default)


def _json_value(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (tuple, list)):
        return [_json_value(item) for item in value]
    return value
