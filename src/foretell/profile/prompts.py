"""What is asked to measure on: a few prompts of each kind of text, in a file beside, or a person's own."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from foretell.errors import UsageError, why

OWN: Final = "own"  # the kind of prompts that don't say theirs
_MARK: Final = "=== "


@dataclass(frozen=True, slots=True)
class Prompt:
    """kind: of text, what counts are kept by. text: what is asked."""

    kind: str
    text: str


def built_in(rounds: int) -> tuple[Prompt, ...]:
    """So many prompts of each kind, one of each before the second ones; all when there are fewer."""
    parts = (files("foretell.profile") / "prompts.txt").read_text(encoding="utf-8").split(_MARK)[1:]
    prompts = [Prompt(kind, text.strip()) for kind, _, text in (part.partition("\n") for part in parts)]
    seen: dict[str, int] = {}
    chosen = []
    for prompt in prompts:
        seen[prompt.kind] = seen.get(prompt.kind, 0) + 1
        if seen[prompt.kind] <= rounds:
            chosen.append(prompt)
    return tuple(chosen)


def read_prompts(path: Path) -> tuple[Prompt, ...]:
    """A person's own prompts: one on each line, or on each line a JSON object with `prompt` and perhaps `kind`.

    Raises:
        UsageError: there is no such file, or no prompt in it, or one that is empty or no text.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read prompts from {path}: {why(error)}; give a text file") from error
    found = tuple(_prompts(lines, path))
    if not found:
        raise UsageError(f"there is no prompt in {path}: write one on each line")
    return found


def _prompts(lines: list[str], path: Path) -> Iterator[Prompt]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if not line.lstrip().startswith("{"):
            yield Prompt(OWN, line)
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise UsageError(f"{path}, line {number}: not a JSON object ({error})") from error
        text, kind = record.get("prompt"), record.get("kind", OWN)
        if not (isinstance(text, str) and text.strip() and isinstance(kind, str) and kind):
            raise UsageError(f"{path}, line {number}: give a text as `prompt`, and as `kind` if you name it")
        yield Prompt(kind, text)
