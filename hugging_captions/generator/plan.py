"""What a run of --generate would read, try and write, without doing it: --dry-run.

Reads the checkpoint, if it is there, and writes nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .. import console, models
from ..options import GenerateOptions, HardwareOptions
from ..storage import Store, corpus_name, refuse_loss
from .generate import SUFFIXES, prepare, read_prompts

#: Captions that are written to measure the time.
PROBED = 8


def plan(tags: Sequence[str], options: GenerateOptions, hardware: HardwareOptions, store: Store, after_training: bool) -> str:
    """Return what ``generate`` would do, for stdout; time is measured by writing ``PROBED`` captions, which are not kept.

    Args:
        after_training: whether the same command trains the model first.

    Raises:
        HuggingCaptionsError: what ``generate`` would raise before the first attempt.
    """
    corpus = corpus_name(tags)
    paths = [store.generated(corpus, suffix) for suffix in SUFFIXES]
    refuse_loss(paths, hardware.overwrite)
    prompts = read_prompts(options)
    ranked = not (options.keep_all or options.rank == "none")
    attempts = math.ceil(options.num_captions * options.attempts_per_caption) if ranked else options.num_captions
    total = attempts * len(prompts)
    facts = [
        ("model", "the one that is trained first" if after_training else console.short_path(store.model(corpus), 60)),
        ("prompts", f"{len(prompts):,}: {console.shorten(', '.join(map(repr, prompts)), 60)}"),
        ("captions", f"{options.num_captions:,} for each prompt, the best of {console.count(attempts, 'attempt')}, {total:,} in all"),
        ("tokens", f"at most {total * options.max_length:,}, more if too few attempts can be kept"),
        ("time", "known after the training" if after_training else _time(corpus, prompts, options, hardware, store, total)),
    ]
    return console.rows(f"would generate captions of {console.listed([f'#{tag}' for tag in tags])}", facts + _files(paths))


def _files(paths: Sequence[Path]) -> list[tuple[str, str]]:
    here = [path.name for path in paths if path.exists()]
    written = console.short_path(paths[0], 60).removesuffix(".txt") + ", ".join(SUFFIXES[:-1])
    return [("write", written)] + ([("replace", f"{', '.join(here)}; kept as .previous")] if here else [])


def _time(corpus: str, prompts: Sequence[str], options: GenerateOptions, hardware: HardwareOptions, store: Store, attempts: int) -> str:
    from .candidates import Candidates
    from .novelty import Reference

    loaded = prepare(models.load_checkpoint(corpus, store), hardware)
    few = replace(options, num_captions=PROBED, keep_all=True)
    start = time.perf_counter()
    candidates = Candidates(loaded, prompts[:1], few, hardware.seed, Reference(None))
    candidates.collect("measuring the speed")
    seconds = time.perf_counter() - start
    made = len(candidates.attempts)
    return f"at most about {console.duration(seconds / made * attempts)}: {console.count(made, 'attempt')} took {seconds:.1f} s just now"
