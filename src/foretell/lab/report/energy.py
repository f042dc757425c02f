"""Joules with their ranges: which of two sides takes less, and whether that is so wherever in them the truth is."""

import math
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from foretell.lab.report.compare import Comparison, compare
from foretell.lab.report.resample import Resampled
from foretell.lab.report.study import METRICS, Side, Study

# apart: the ranges do not overlap. same order: they do, but at the low ends, the values and the high ends the same side
# takes less, as when the model of energy is off by the same factor for both. open: neither.
Survival = Literal["apart", "same order", "open"]


@dataclass(frozen=True, slots=True)
class Joules:
    """Joules of an answer and of a token, each with its range; of an answer the geometric mean over classes."""

    kind: str
    sources: tuple[str, ...]
    answer: float
    answer_low: float
    answer_high: float
    token: float
    token_low: float
    token_high: float

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Versus:
    """Two sides' joules per answer. low, high: the ratio at the ends of both ranges that favour it least and most."""

    found: Comparison
    low: float
    high: float
    survival: Survival

    def to_json(self) -> dict[str, Any]:
        """The comparison's fields, and these; range_high is None where a range begins at 0."""
        high = self.high if math.isfinite(self.high) else None
        return self.found.to_json() | {"range_low": self.low, "range_high": high, "survival": self.survival}


def joules(by: Resampled, side: Side) -> Joules | None:
    """What a side takes; None when that is not known of any class."""
    if not np.isfinite(by.overall(side, "joules")[0]):
        return None

    def now(name: str) -> float:
        return float(by.overall(side, name)[0])

    sources = tuple(dict.fromkeys(row.joules_source for row in side.rows if row.joules is not None))
    answer = now("joules"), now("joules_low"), now("joules_high")
    token = now("joules_per_token"), now("joules_per_token_low"), now("joules_per_token_high")
    return Joules(side.energy_kind, sources, *answer, *token)


def versus(by: Resampled, mine: Side, theirs: Side, classes: Collection[str] | None = None) -> Versus | None:
    """Which of two sides takes less; None where nobody knows."""
    found = compare(by, mine, theirs, "joules", classes)
    if found is None:
        return None
    low, high = _ends(by, mine, theirs, by.study.classes if classes is None else classes)
    straight = [float(by.ratio(mine, theirs, name, classes)[0]) for name in ("joules_low", "joules", "joules_high")]
    if high < 1 or low > 1:
        return Versus(found, low, high, "apart")
    same = all(each < 1 for each in straight) or all(each > 1 for each in straight)
    return Versus(found, low, high, "same order" if same else "open")


def _ends(by: Resampled, mine: Side, theirs: Side, classes: Collection[str]) -> tuple[float, float]:
    """The ratio of my low to their high, and of my high to their low: geometric means over classes."""
    low, high = [], []
    for each in classes:
        m_low, m_high = (float(by.figure(mine, each, name)[0]) for name in ("joules_low", "joules_high"))
        t_low, t_high = (float(by.figure(theirs, each, name)[0]) for name in ("joules_low", "joules_high"))
        if np.isfinite([m_low, m_high, t_low, t_high]).all():
            low.append(m_low / t_high)
            high.append(m_high / t_low if t_low > 0 else np.inf)
    with np.errstate(divide="ignore"):
        return float(np.exp(np.mean(np.log(low)))), float(np.exp(np.mean(np.log(high))))


@dataclass(frozen=True, slots=True)
class Choice:
    """What -Oe and -O2 did in a class, per token, and what came of it. different: the first three of each differ."""

    klass: str
    guesses: tuple[float, float]  # of -Oe and of -O2, as the others
    draft_passes: tuple[float, float]
    rounds: tuple[float, float]
    prompts: int
    different: int  # prompts on which they differ
    response: Comparison | None
    energy: Versus | None

    def to_json(self) -> dict[str, Any]:
        """The fields by name; pairs are of -Oe and of -O2."""
        out = {name: getattr(self, name) for name in ("klass", "prompts", "different")}
        out |= {name: list(getattr(self, name)) for name in ("guesses", "draft_passes", "rounds")}
        out["response"] = None if self.response is None else self.response.to_json()
        out["energy"] = None if self.energy is None else self.energy.to_json()
        return out


def choices(by: Resampled, mine: Side, theirs: Side) -> list[Choice]:
    """Class by class what two levels did."""
    study = by.study
    return [
        Choice(
            klass,
            _per_token(by, mine, theirs, klass, "guessed"),
            _per_token(by, mine, theirs, klass, "draft_passes"),
            _per_token(by, mine, theirs, klass, "rounds"),
            len(questions),
            _differing(study, klass, (mine, theirs)),
            compare(by, mine, theirs, "response_s", [klass]),
            versus(by, mine, theirs, [klass]),
        )
        for klass, questions in study.classes.items()
    ]


def _per_token(by: Resampled, mine: Side, theirs: Side, klass: str, metric: str) -> tuple[float, float]:
    def of(side: Side) -> float:
        tokens = float(by.sum(side, klass, "tokens")[0])
        return float(by.sum(side, klass, metric)[0]) / tokens if tokens else 0.0

    return of(mine), of(theirs)


def _differing(study: Study, klass: str, sides: Sequence[Side]) -> int:
    """Prompts on which two sides guessed, passed or went round differently often."""
    names = [side.key for side in study.sides]
    places = [names.index(side.key) for side in sides]
    which = [METRICS.index(name) for name in ("guessed", "draft_passes", "rounds")]
    table = study.table[klass]
    return int((table[:, places[0]][:, which] != table[:, places[1]][:, which]).any(axis=1).sum())
