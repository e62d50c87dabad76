"""--dry-run of --generate: what it would read, try and write.

Reads the checkpoint if it exists, and writes nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from .. import console, models
from ..options import GenerateOptions, HardwareOptions, combinations
from ..storage import Store, refuse_loss
from .generate import prepare, read_prompts
from .results import result_paths

#: Captions generated to measure the time.
PROBED = 8


def plan(tags: Sequence[str], options: GenerateOptions, hardware: HardwareOptions, store: Store, name: str, after_training: bool) -> str:
    """Return what ``generate`` would do, for stdout; the time is measured on ``PROBED`` captions, which are not kept.

    Args:
        after_training: whether the same command trains the model first.

    Raises:
        HuggingCaptionsError: any error of ``generate`` before the first attempt.
    """
    paths = result_paths(tags, name, store)
    refuse_loss(list(paths.values()), hardware.overwrite)
    prompts, settings = read_prompts(options), combinations(options)
    model = store.find_model(tags, name)
    ranked = not (options.keep_all or options.rank == "none")
    attempts = math.ceil(options.num_captions * options.attempts_per_caption) if ranked else options.num_captions
    total = attempts * len(prompts) * len(settings)
    facts = [
        ("model", "the one that is trained first" if after_training else console.short_path(store.model(model), 60)),
        ("prompts", f"{len(prompts):,}: {console.shorten(', '.join(map(repr, prompts)), 60)}"),
        ("settings", console.count(len(settings), "combination")),
        ("captions", f"{options.num_captions:,} for each prompt, the best of {console.count(attempts, 'attempt')}, {total:,} in all"),
        ("tokens", f"at most {total * options.max_length:,}, more if too few attempts can be kept"),
        ("time", "known after the training" if after_training else _time(model, prompts, settings[0], hardware, store, total)),
    ]
    return console.rows(f"would generate captions of {console.listed([f'#{tag}' for tag in tags])}", facts + _files(paths))


def _files(paths: Mapping[str, Path]) -> list[tuple[str, str]]:
    here = [path.name for path in paths.values() if path.exists()]
    written = console.short_path(paths[".txt"], 60).removesuffix(".txt") + ", ".join([*paths][:-1])
    return [("write", written)] + ([("replace", f"{', '.join(here)}; kept as .previous")] if here else [])


def _time(model: str, prompts: Sequence[str], options: GenerateOptions, hardware: HardwareOptions, store: Store, attempts: int) -> str:
    from .candidates import Candidates
    from .novelty import Reference

    loaded = prepare(models.load_checkpoint(model, store), hardware)
    few = replace(options, num_captions=PROBED, keep_all=True)
    start = time.perf_counter()
    candidates = Candidates(loaded, prompts[:1], few, hardware.seed, Reference(None))
    candidates.collect("measuring the speed")
    seconds = time.perf_counter() - start
    made = len(candidates.attempts)
    return f"at most about {console.duration(seconds / made * attempts)}: {console.count(made, 'attempt')} took {seconds:.1f} s just now"
