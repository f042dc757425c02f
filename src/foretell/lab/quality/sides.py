"""The configurations that a person names: a level, a preset, a pipeline's file, or what an earlier run recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretell.api import Model
from foretell.errors import UsageError
from foretell.ir.ops import Pipeline
from foretell.lab.contest import Contender
from foretell.lab.quality.record import Answer, Recorded, read
from foretell.lab.quality.report import Side
from foretell.passes.levels import LEVELS
from foretell.runtime.settings import Settings

# What a recorded run must have in common with this one for its answers to be compared.
_SAME = ("task", "data_digest", "max_tokens", "temperature", "limits")


@dataclass(frozen=True, slots=True)
class Earlier:
    """An earlier run, to be compared against. path: its record."""

    path: Path
    recorded: Recorded


Named = str | Pipeline | Earlier  # a level is a text


def level(text: str) -> str | None:
    """The level that a text names, written 0, O0 or -O0; None when it names none."""
    name = text.removeprefix("-").removeprefix("O")
    return f"O{name}" if f"O{name}" in LEVELS else None


def earlier(path: Path) -> Earlier:
    """The run that a record is of."""
    return Earlier(path, read(path))


def contender(named: str | Pipeline, model: Model) -> Contender:
    """A configuration of a loaded model."""
    if isinstance(named, str):
        return Contender(named, "level", model.pipeline(Settings(level=named)))
    return Contender(named.name, "file", named)


def check_comparable(each: Earlier, facts: Mapping[str, Any]) -> None:
    """Raise UsageError when a recorded run asked other questions, or in another way."""
    for name in _SAME:
        if each.recorded.facts.get(name) != facts[name]:
            raise UsageError(
                f"{each.path} was recorded with {name} {each.recorded.facts.get(name)!r}, this is {facts[name]!r}: "
                "they cannot be compared"
            )


def side(configuration: str, facts: Mapping[str, Any], answers: Sequence[Answer], name: str = "") -> Side:
    """The answers of one configuration. facts: of its run. name: what it is called, if not as it was."""
    target = f"{facts['model']} {facts['model_digest']} at seed {facts['seed']}"
    exact = facts["configurations"][configuration]["class"] == "exact"
    mine = {each.id: each for each in answers if each.configuration == configuration}
    return Side(name or configuration, target, exact, mine)


def earlier_sides(each: Earlier) -> list[Side]:
    """All configurations of an earlier run, under names that say whose they are."""
    facts = each.recorded.facts
    return [
        side(name, facts, each.recorded.entries, f"{facts['model']} {name} ({each.path.name})")
        for name in facts["configurations"]
    ]
