"""Fine-tune a language model on a hashtag's captions and write new ones.

    python tune_transformer.py --tag rmnp --train --generate --prompt "The view"
    python tune_transformer.py --tag rmnp --generate --num-captions 200

Reads text/<tag>/captions.txt; writes trained_models/<tag>/ and text/generated_text/<tag>_gen.*.
DOCS.md describes every option.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from hugging_captions import console, options
from hugging_captions.storage import Store, corpus_name, normalise_name, normalise_tags

log = logging.getLogger("hugging_captions.scripts")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script; DOCS.md is generated from it."""
    parser = console.Parser(prog="tune_transformer.py", description="\n\n".join((__doc__ or "").split("\n\n")[:2]))
    for group in (options.RunOptions, options.TuneCommand, options.TrainOptions, options.GenerateOptions, options.HardwareOptions):
        options.add_options(parser, group)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code (DOCS.md, Exit codes)."""
    return console.run(tune, build_parser(), argv)


def tune(arguments: argparse.Namespace) -> None:
    """Train, generate, or both, and print the results."""
    options.repeat(arguments, build_parser())
    command = options.from_arguments(options.TuneCommand, arguments)
    run = options.from_arguments(options.RunOptions, arguments)
    train = options.from_arguments(options.TrainOptions, arguments)
    generate = options.from_arguments(options.GenerateOptions, arguments)
    if command.interactive and not hasattr(arguments, "num_captions"):
        generate = replace(generate, num_captions=options.FEW_CAPTIONS)
    hardware = options.from_arguments(options.HardwareOptions, arguments)
    tags = normalise_tags(run.tag)
    complaints = options.tune_complaints(command, tags, train, generate, hardware, options.given(arguments))
    options.raise_if_any(complaints, "tune_transformer.py")
    store, name = Store(run.root), normalise_name(command.name)
    if run.dry_run:
        print_plan(tags, command, train, generate, hardware, store, name)
        return
    first = console.is_main_process()  # only one of torchrun's processes writes
    with ExitStack() as stack:
        if command.train and first:
            stack.enter_context(store.lock("trained_models", [corpus_name(tags, name)]))
        if command.generate and first:
            stack.enter_context(store.lock("text/generated_text", [corpus_name(tags, name)]))
        if command.train and command.generate and first:
            from hugging_captions import generator

            generator.check(tags, generate, hardware, store, name)
        if command.train:
            print_training(tags, train, generate, hardware, store, name)
        if command.generate and first:
            print_generation(tags, generate, hardware, store, name, run.verbose)
        if command.interactive and first:
            answer_prompts(tags, generate, hardware, store, name)


def print_plan(
    tags: Sequence[str],
    command: options.TuneCommand,
    train: options.TrainOptions,
    generate: options.GenerateOptions,
    hardware: options.HardwareOptions,
    store: Store,
    name: str,
) -> None:
    """Print what the same command without --dry-run would do."""
    log.info("loading torch to measure memory and time")
    if command.train:
        from hugging_captions import trainer

        planned = trainer.plan(tags, train, hardware, store, name)
        if console.is_main_process():
            print(planned)
    if command.generate and console.is_main_process():
        from hugging_captions import generator

        print(generator.plan(tags, generate, hardware, store, name, command.train))


def print_training(
    tags: Sequence[str],
    train: options.TrainOptions,
    generate: options.GenerateOptions,
    hardware: options.HardwareOptions,
    store: Store,
    name: str,
) -> None:
    """Train on the captions of ``tags``, and print the model's folder and figures."""
    if console.is_main_process():
        log.info("loading torch and the captions of %s", console.listed([f"#{tag}" for tag in tags]))
    from hugging_captions import generator, trainer

    write = generator.epoch_writer(generate, hardware) if train.sample_every_epoch else None
    result = trainer.train(tags, train, hardware, store, generator.sample, write, name)
    if console.is_main_process():
        print(result.summary())


def print_generation(
    tags: Sequence[str], generate: options.GenerateOptions, hardware: options.HardwareOptions, store: Store, name: str, verbose: bool
) -> None:
    """Write captions with the model of ``tags``; print the best ten, what was rejected and the novelty figures."""
    log.info("loading torch and the model of %s", console.listed([f"#{tag}" for tag in tags]))
    from hugging_captions import generator

    print(generator.generate(tags, generate, hardware, store, name).summary(verbose))


def answer_prompts(
    tags: Sequence[str], generate: options.GenerateOptions, hardware: options.HardwareOptions, store: Store, name: str
) -> None:
    """Load the model of ``tags`` and print captions for each prompt from stdin."""
    log.info("loading torch and the model of %s", console.listed([f"#{tag}" for tag in tags]))
    from hugging_captions import generator

    session = generator.Session(tags, generate, hardware, store, name)

    def answer(line: str) -> None:
        for caption in session.answer(line):
            print(console.printable(caption), flush=True)

    console.converse(answer)


if __name__ == "__main__":
    sys.exit(main())
