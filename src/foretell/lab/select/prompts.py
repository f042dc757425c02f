"""What candidates are judged on: a person's own prompts, or the built-in ones, a few of each class."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from foretell.lab.suite import Prompt, read_suite
from foretell.profile.prompts import built_in, read_prompts

MOST: Final = 16  # prompts in all, unless said otherwise
_ROUNDS: Final = 2  # built-in prompts of each kind


def chosen(path: Path | None, most: int = MOST) -> list[Prompt]:
    """At most so many prompts, the classes taking turns.

    path: a suite (`klass`, `id`, `prompt` on each line), or prompts as `foretell profile run --prompts` reads them;
    None: the built-in ones. Raises ForetellError for a file that is neither.
    """
    if path is not None and _is_suite(path):
        prompts = read_suite(path)
    else:
        found = built_in(_ROUNDS) if path is None else read_prompts(path)
        prompts = [Prompt(each.kind, str(number), each.text) for number, each in enumerate(found, 1)]
    return _in_turns(prompts)[:most]


def _is_suite(path: Path) -> bool:
    """Whether its first line has a class. What cannot be read is none: whoever reads it next says why."""
    try:
        with path.open(encoding="utf-8") as file:
            first = next((line for line in file if line.strip()), "")
        record = json.loads(first)
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and "klass" in record


def _in_turns(prompts: Sequence[Prompt]) -> list[Prompt]:
    """The first of each class, then the second of each."""
    seen: dict[str, int] = {}
    ranks = []
    for prompt in prompts:
        ranks.append(seen.get(prompt.klass, 0))
        seen[prompt.klass] = ranks[-1] + 1
    return [prompt for _, prompt in sorted(zip(ranks, prompts, strict=True), key=lambda pair: pair[0])]
