"""--interactive: one prompt after another with a model that is loaded once.

Reads the same files as ``generate``; /save writes the same files, called <corpus>_interactive_gen if the run has no name.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..console import count
from ..errors import UsageError
from ..options import SAMPLING, GenerateOptions, HardwareOptions, with_setting
from ..storage import Store, corpus_name, escape_caption, unescape_caption
from .generate import Writer, nothing_left, read_prompts
from .results import Setting, joined

log = logging.getLogger(__name__)

#: The name for saving a session without a name.
DEFAULT_NAME = "interactive"
HELP = (
    r"a line: captions that begin with it (\n is a line break); an empty line: more for the same prompt",
    "/temperature 0.8, /top-k 50, /top-p 0.9, /repetition-penalty 1.1: change the setting for the next captions",
    "/save: write all captions so far; Ctrl-C: stop these captions; Ctrl-D: end",
)


@dataclass(frozen=True)
class _Answer:
    prompt: str
    options: GenerateOptions
    result: Setting


class Session:
    """A loaded model and its captions so far. The same lines give the same captions."""

    def __init__(self, tags: Sequence[str], options: GenerateOptions, hardware: HardwareOptions, store: Store, name: str = "") -> None:
        """Load the model of ``tags``, or the one called ``name`` if there is one.

        Raises:
            InputError: there is no usable checkpoint.
            UsageError: --keep-language isn't a language, or the checkpoint belongs to another tag or name.
        """
        read_prompts(options)
        self._writer = Writer(tags, options, hardware, store, name)
        self._name = name or DEFAULT_NAME
        self._options, self._prompt = options, ""
        self._answers: list[_Answer] = []
        self._lines: list[str] = []
        self._is_saved = False
        log.info("ready: each prompt gives %s; /help lists the commands", count(options.num_captions, "caption"))

    def answer(self, line: str) -> list[str]:
        """Return the output for one line: captions as in captions.txt, or nothing for a command that begins with ``/``.

        An interrupt leaves the session unchanged.

        Raises:
            NothingLeftError: no attempt was good enough.
            UsageError: the prompt, the command or its value can't be used, or saving would delete a .previous.
        """
        line = line.strip()
        self._lines.append(line)
        try:
            if not line.startswith("/"):
                return self._write(unescape_caption(line) or self._prompt)
            command, _, value = line[1:].partition(" ")
            self._run_command(command, value.strip())
            return []
        except KeyboardInterrupt:
            self._lines.pop()
            raise

    def _run_command(self, command: str, value: str) -> None:
        if command == "save":
            self._save()
        elif command == "help":
            for text in HELP:
                log.info("%s", text)
        else:
            self._options = with_setting(self._options, command, value)
            log.info("%s is %s from now on", command, value)

    def _write(self, prompt: str) -> list[str]:
        """Return captions for ``prompt``, none of which was shown before; a repeated prompt with the same options gets another seed."""
        options, writer = self._options, self._writer
        read_prompts(replace(options, prompt=(prompt,)))
        earlier = [one for one in self._answers if one.prompt == prompt]
        seed = writer.hardware.seed + sum(one.options == options for one in earlier)
        result = writer.attempt([prompt], options, seed, shown=[caption.text for one in earlier for caption in one.result.captions])
        self._prompt = prompt
        self._answers.append(_Answer(prompt, options, result))
        if not result.captions:
            raise nothing_left(corpus_name(writer.tags), [result])
        return [escape_caption(caption.text) for caption in result.captions]

    def _save(self) -> None:
        """Write the captions so far by setting; files of this session are replaced, earlier ones kept as .previous."""
        if not any(one.result.captions for one in self._answers):
            raise UsageError("there is no caption to save yet")
        used = list(dict.fromkeys(one.options for one in self._answers))
        vary = [name for name in SAMPLING if len({getattr(options, name) for options in used}) > 1]
        settings = [
            replace(
                joined([one.result for one in self._answers if one.options == options]),
                values={name: getattr(options, name) for name in vary},
            )
            for options in used
        ]
        prompts = list(dict.fromkeys(one.prompt for one in self._answers))
        with self._writer.store.lock("text/generated_text", [corpus_name(self._writer.tags, self._name)]):
            result = self._writer.save(self._name, prompts, settings, self._lines, again=self._is_saved)
        self._is_saved = True
        log.info("saved %s", result.path)
