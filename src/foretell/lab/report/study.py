"""Rows that may be compared with each other: one plan on one machine with one engine; its sides and its prompts.

Times and joules of two machines, or of two builds of the engine, are never put together. Nor are answers at different
temperatures.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from statistics import fmean, median
from typing import Final

import numpy as np
from numpy.typing import NDArray

from foretell.errors import ForetellError
from foretell.lab.experiment.rows import ALONE, Row

BASELINE: Final = "O2"  # what a lossy setting has to beat: the best that is had without losing anything
_LEVELS: Final = ("O0", "O1", "O2", "O3", "Oe")
_PROMISES: Final = ("exact", "distribution", "lossy")

Question = tuple[str, str, str, int]  # suite, class, id, most tokens: what is drawn when prompts are resampled
SideKey = tuple[str, str, str]  # model, draft, configuration

# What is known of each prompt and side, summed over prompts. `…s`: of how many prompts it is known.
METRICS: Final = (
    "answers",
    "response_s",
    "decode_s",
    "decoded",
    "processor_s",
    "processors",
    "score",
    "scores",
    "joules",
    "joules_low",
    "joules_high",
    "energies",
    "energy_tokens",
    "guessed",
    "accepted",
    "tokens",
    "rounds",
    "draft_passes",
)


@dataclass(frozen=True, slots=True)
class Side:
    """A configuration of a model and a draft, with its rows. name: what it is called in the report."""

    name: str
    key: SideKey
    rows: tuple[Row, ...]

    @property
    def model(self) -> str:
        """The target's name."""
        return self.key[0]

    @property
    def draft(self) -> str:
        """The draft model's name, or ""."""
        return self.key[1]

    @property
    def configuration(self) -> str:
        """Its name in the plan."""
        return self.key[2]

    @property
    def promise(self) -> str:
        """The weakest that its rows have: exact, distribution or lossy."""
        return max((row.promise for row in self.rows), key=_PROMISES.index)

    @property
    def level(self) -> str:
        """The -O level that it is, or ""."""
        return self.rows[0].level

    @property
    def energy_kind(self) -> str:
        """Measured, modelled or unavailable; modelled when some rows of several kinds are."""
        kinds = {row.joules_kind for row in self.rows if row.joules is not None}
        return "unavailable" if not kinds else kinds.pop() if len(kinds) == 1 else "modelled"


@dataclass(frozen=True)
class Study:
    """What may be compared.

    sides: in the order in which they are shown. classes: of each class the prompts that all sides have answered that
    have answered any of it. left_out: how many other prompts there are.
    """

    plan: str
    machine: str
    engine: str
    temperature: float
    sides: tuple[Side, ...]
    classes: Mapping[str, tuple[Question, ...]]
    left_out: int

    @property
    def rows(self) -> list[Row]:
        """All of them."""
        return [row for side in self.sides for row in side.rows]

    @property
    def prompts(self) -> int:
        """How many there are in all classes."""
        return sum(map(len, self.classes.values()))

    @cached_property
    def target(self) -> str:
        """The model that others stand in for: of those that ran alone the slowest, else the one with the most rows."""
        alone = [side for side in self.sides if side.level == ALONE]
        if not alone:
            models = [row.model for row in self.rows]
            return max(dict.fromkeys(models), key=models.count)
        return min(alone, key=_speed).model

    @cached_property
    def reference(self) -> Side:
        """The target alone; where it did not run, an exact side, or the first one."""
        mine = [side for side in self.sides if side.model == self.target] or list(self.sides)
        return next(
            (each for each in mine if each.level == ALONE),
            next((each for each in mine if each.promise == "exact"), mine[0]),
        )

    @cached_property
    def baseline(self) -> Side | None:
        """The target at -O2."""
        return self.side(BASELINE)

    def side(self, level: str) -> Side | None:
        """The target at this level."""
        return next((s for s in self.sides if s.model == self.target and s.level == level), None)

    def alone(self, side: Side) -> Side | None:
        """The same model by itself."""
        return next((s for s in self.sides if s.model == side.model and s.level == ALONE), None)

    @cached_property
    def table(self) -> dict[str, NDArray[np.float64]]:
        """Class → float64 [prompts, sides, METRICS]: of repeats the median, of seeds the mean; 0 where unknown."""
        nothing = [0.0] * len(METRICS)
        found = {
            side.key: {question: _middle(rows) for question, rows in _by_question(side.rows).items()}
            for side in self.sides
        }
        return {
            klass: np.array([[found[side.key].get(each, nothing) for side in self.sides] for each in questions])
            for klass, questions in self.classes.items()
        }

    @cached_property
    def scored(self) -> list[str]:
        """Classes in which answers were judged."""
        score = METRICS.index("scores")
        return [klass for klass, table in self.table.items() if table[:, :, score].any()]


def studies(rows: Sequence[Row]) -> list[Study]:
    """The rows by what may be compared. ForetellError when there are none."""
    if not rows:
        raise ForetellError("there are no rows: give a results folder that `foretell lab run` has written answers to")
    for row in rows:
        _check(row)
    groups: dict[tuple[str, str, str, float], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.plan, row.machine, row.engine, row.temperature), []).append(row)
    return [_study(key, group) for key, group in groups.items()]


def _check(row: Row) -> None:
    """Raise ForetellError where a row that somebody edited cannot be reckoned with."""
    for name in _NUMBERS:
        value = getattr(row, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0):
            where = f"the answer of {row.configuration} to {row.suite} {row.id}"
            raise ForetellError(f"{where} has {name} {value!r}: give rows that `foretell lab run` wrote")
    if row.promise not in _PROMISES or row.response_s is None or row.tokens is None:
        where = f"the answer of {row.configuration} to {row.suite} {row.id}"
        raise ForetellError(f"{where} lacks its promise, tokens or time: give rows that `foretell lab run` wrote")


_NUMBERS: Final = (
    "tokens",
    "first_token_s",
    "response_s",
    "tokens_per_s",
    "rounds",
    "draft_passes",
    "guessed",
    "acceptance",
    "processor_s",
    "joules",
    "joules_low",
    "joules_high",
    "score",
)


def _study(key: tuple[str, str, str, float], rows: Sequence[Row]) -> Study:
    by_side: dict[SideKey, list[Row]] = {}
    for row in rows:
        by_side.setdefault((row.model, row.draft, row.configuration), []).append(row)
    names = _names(by_side)
    sides = [Side(names[each], each, tuple(its)) for each, its in by_side.items()]
    sides.sort(key=_order)
    answered = [set(_by_question(side.rows)) for side in sides]
    everything = sorted(set().union(*answered))
    classes: dict[str, tuple[Question, ...]] = {}
    for place, name in _classes(everything).items():
        asked = [{each for each in its if each[:2] == place} for its in answered]
        common = set.intersection(*(each for each in asked if each))
        if common:
            classes[name] = tuple(sorted(common))
    left_out = len(everything) - sum(map(len, classes.values()))
    plan, machine, engine, temperature = key
    return Study(plan, machine, engine, temperature, tuple(sides), dict(sorted(classes.items())), left_out)


def _classes(questions: Iterable[Question]) -> dict[tuple[str, str], str]:
    """(suite, class) → what it is called: the class, and its suite where several have such a class."""
    places = dict.fromkeys((suite, klass) for suite, klass, _, _ in questions)
    classes = [klass for _, klass in places]
    return {(suite, klass): klass if classes.count(klass) == 1 else f"{suite}: {klass}" for suite, klass in places}


def _names(keys: Iterable[SideKey]) -> dict[SideKey, str]:
    """As short as tells them apart: levels with a dash, the model and the draft only where there are several."""
    keys = list(keys)
    out = {}
    for model, draft, configuration in keys:
        same = [(m, d) for m, d, c in keys if c == configuration]
        name = f"-{configuration}" if configuration in _LEVELS else configuration
        name += f" · {short(model)}" if len({m for m, _ in same}) > 1 else ""
        name += f" + {short(draft)}" if draft and len({d for m, d in same if m == model}) > 1 else ""
        out[model, draft, configuration] = name
    return out


def short(model: str) -> str:
    """A model's name without folders and endings.

    >>> short("/models/tiny-q4_1.gguf"), short("qwen2.5-coder-0.5b")
    ('tiny-q4_1', 'qwen2.5-coder-0.5b')
    """
    return PurePath(model).name.removesuffix(".gguf")


def _order(side: Side) -> tuple[object, ...]:
    """Levels, then what else is exact, then what is not; of a configuration on several models in turn."""
    level = _LEVELS.index(side.configuration) if side.configuration in _LEVELS else len(_LEVELS)
    return level, _PROMISES.index(side.promise), side.configuration, side.model, side.draft


def _speed(side: Side) -> float:
    known = [row.tokens_per_s for row in side.rows if row.tokens_per_s]
    return median(known) if known else 0.0


def _by_question(rows: Iterable[Row]) -> dict[Question, list[Row]]:
    out: dict[Question, list[Row]] = {}
    for row in rows:
        out.setdefault((row.suite, row.klass, row.id, row.max_tokens), []).append(row)
    return out


def _middle(rows: Sequence[Row]) -> list[float]:
    """The METRICS of one side and one prompt."""
    by_seed: dict[int, list[Row]] = {}
    for row in rows:
        by_seed.setdefault(row.seed, []).append(row)
    each_seed = [_of_repeats(its) for its in by_seed.values()]
    return [fmean(column) for column in zip(*each_seed, strict=True)]


def _of_repeats(rows: Sequence[Row]) -> list[float]:
    response_s = median(row.response_s for row in rows)
    first_s = _median([row.first_token_s for row in rows])
    rate = _median([row.tokens_per_s for row in rows])
    decode_s = response_s - (first_s or 0.0) if rate is not None else 0.0
    processor_s, score = _median([row.processor_s for row in rows]), _median([row.score for row in rows])
    joules = _median([row.joules for row in rows])
    low, high = (
        _median([row.joules if each is None else each for row, each in zip(rows, its, strict=True)])
        for its in ([row.joules_low for row in rows], [row.joules_high for row in rows])
    )
    tokens = median(row.tokens for row in rows)
    return [
        1.0,
        response_s,
        decode_s,
        (rate or 0.0) * decode_s,
        processor_s or 0.0,
        float(processor_s is not None),
        score or 0.0,
        float(score is not None),
        joules or 0.0,
        low or 0.0,
        high or 0.0,
        float(joules is not None),
        tokens * (joules is not None),
        median(row.guessed for row in rows),
        median((row.acceptance or 0.0) * row.guessed for row in rows),
        tokens,
        median(row.rounds for row in rows),
        median(row.draft_passes for row in rows),
    ]


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
