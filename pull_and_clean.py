"""Pull a hashtag's posts from Instagram, or import them, and clean their captions.

    python pull_and_clean.py --tag rmnp --caption-queries 60 --min-likes 10
    python pull_and_clean.py --tag rmnp --from examples/rmnp_posts.jsonl

Writes text/<tag>/posts.jsonl (every post), captions.txt (the clean corpus), dropped.jsonl and
cleaning.json (the dropped posts with reasons). DOCS.md describes every option.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from hugging_captions import console, options
from hugging_captions.errors import InputError
from hugging_captions.storage import Store, normalise_tags

log = logging.getLogger("hugging_captions.scripts")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script; DOCS.md is generated from it."""
    parser = console.Parser(prog="pull_and_clean.py", description="\n\n".join((__doc__ or "").split("\n\n")[:2]))
    for group in (options.RunOptions, options.PullOptions, options.CleanOptions, options.PullCommand):
        options.add_options(parser, group)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code (DOCS.md, Exit codes)."""
    return console.run(pull_and_clean, build_parser(), argv)


def pull_and_clean(arguments: argparse.Namespace) -> None:
    """Import or pull the posts of each tag, then clean them and print the result."""
    options.repeat(arguments, build_parser())
    command = options.from_arguments(options.PullCommand, arguments)
    run = options.from_arguments(options.RunOptions, arguments)
    pull = options.from_arguments(options.PullOptions, arguments)
    clean = options.from_arguments(options.CleanOptions, arguments)
    tags = normalise_tags(run.tag)
    options.raise_if_any(options.pull_complaints(command, tags, pull, clean, options.given(arguments)), "pull_and_clean.py")
    store = Store(run.root)
    if {"language", "skip_rule"} & options.given(arguments):
        from hugging_captions import cleaner

        cleaner.refuse_unknown(clean)  # before a pull that may take hours
    if command.explain:
        print_explanation(command.explain, tags, clean, store)
        return
    if command.review:
        from hugging_captions import cleaner

        print("\n".join(cleaner.review(tag, command.review, clean, store) for tag in tags))
        return
    if run.dry_run:
        print_plan(tags, pull, clean, store, command.report)
        return
    if command.forget:
        print_forgotten(command.forget, tags, store)
        return
    with store.lock("text", tags):
        fetch_posts(tags, pull, store, arguments.command_line)
        print_cleaning(tags, clean, store, run.verbose, command.report)


def print_plan(tags: Sequence[str], pull: options.PullOptions, clean: options.CleanOptions, store: Store, report: bool) -> None:
    """Print what the same command without --dry-run would do."""
    log.info("reading the stored files")
    from hugging_captions import cleaner, scraper

    if pull.from_paths:
        print(scraper.plan_import(pull.from_paths, tags[0], store, pull.column))
    elif not pull.skip_pull:
        print(scraper.plan_pull(tags, pull, store))
    print(cleaner.plan(tags, clean, store, not pull.skip_pull, report))


def fetch_posts(tags: Sequence[str], pull: options.PullOptions, store: Store, command: str) -> None:
    """Add the posts from --from or Instagram to each tag's posts.jsonl, and print one line for each tag."""
    if pull.skip_pull:
        return
    if pull.from_paths:
        log.info("importing %s for #%s", console.listed([str(path) for path in pull.from_paths]), tags[0])
        from hugging_captions.scraper import import_posts

        print(import_posts(pull.from_paths, tags[0], store, pull.column).summary())
        return
    log.info("opening an Instagram session")
    from hugging_captions import scraper

    context = scraper.open_session(pull)
    for tag in tags:
        print(scraper.pull(tag, pull, context, store, command).summary())


def print_explanation(shortcode: str, tags: Sequence[str], clean: options.CleanOptions, store: Store) -> None:
    """Print the result of the rules for each sentence of the post ``shortcode``."""
    from hugging_captions import cleaner, posts

    print(cleaner.explain(posts.find_post(shortcode, [store.posts(tag) for tag in tags]), clean))


def print_forgotten(given: Sequence[str], tags: Sequence[str], store: Store) -> None:
    """Remove the posts in ``given`` from ``tags`` and print the result, with the models trained on them."""
    from hugging_captions import cleaner

    result = cleaner.forget(given, tags, store)
    print(result.summary())
    if result.missing:
        names = " ".join(result.missing)
        raise InputError(
            f"no post of tag {'+'.join(tags)!r} has the shortcode {names}", f"find its tag:  grep -l {names.split()[0]} {store.posts('*')}"
        )


def print_cleaning(tags: Sequence[str], clean: options.CleanOptions, store: Store, verbose: bool, report: bool) -> None:
    """Clean the posts of ``tags`` and print a table of kept and dropped posts."""
    log.info("cleaning the posts of %s", console.listed([f"#{tag}" for tag in tags]))
    from hugging_captions import cleaner

    for result in cleaner.clean(tags, clean, store):
        print(result.summary(verbose))
        if report:
            print(console.wrap(f"report: {console.short_path(cleaner.report(result, store))}"))


if __name__ == "__main__":
    sys.exit(main())
