"""Where each side stands between time, energy and quality: points, the Pareto front, and what beats exact -O2."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np

from foretell.lab.report.compare import Comparison, against, least_difference
from foretell.lab.report.resample import Resampled, interval
from foretell.lab.report.study import Side

BUDGET: Final = 0.05  # points of a score, of 1, that may be lost where nothing else is said


@dataclass(frozen=True, slots=True)
class Point:
    """One side in a plot of cost (less is better) against score (0 to 1, more is better), with 95 % intervals.

    level: its -O level where it is the target's, else "".
    """

    side: str
    promise: str
    level: str
    cost: float
    cost_low: float | None
    cost_high: float | None
    score: float
    score_low: float | None
    score_high: float | None
    front: bool = False

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def points(by: Resampled, figure: str) -> list[Point]:
    """The sides whose cost and score are known, in the classes that are judged; who is on the front is marked.

    A range of joules takes the place of the interval of their cost. Sides that did not answer all of these classes are
    left out.
    """
    out = []
    classes = by.study.scored
    judged = max((by.paired(side, side, "scores") for side in by.study.sides), default=0)
    if not judged:
        return []
    for side in by.study.sides:
        cost, score = by.overall(side, figure, classes), by.overall(side, "score", classes)
        if by.paired(side, side, "scores") < judged or not np.isfinite(cost[0]):
            continue
        low, high = interval(cost, by.freedom(classes)) or (None, None)
        if figure == "joules":
            low, high = (float(by.overall(side, name, classes)[0]) for name in ("joules_low", "joules_high"))
        ends = interval(score, by.freedom(classes)) or (None, None)
        out.append(
            Point(
                side.name,
                side.promise,
                side.level if side.model == by.study.target else "",
                float(cost[0]),
                low,
                high,
                float(score[0]),
                *ends,
            )
        )
    return front(out)


def front(found: Sequence[Point]) -> list[Point]:
    """The same points; those are on the front that no other point equals or beats in both and beats in one."""

    def beaten(mine: Point) -> bool:
        return any(
            each.cost <= mine.cost and each.score >= mine.score and (each.cost < mine.cost or each.score > mine.score)
            for each in found
        )

    return [replace(each, front=not beaten(each)) for each in found]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A side against exact -O2. alike: it promises the same tokens.

    least: what its score is better by at least (below 0: it may be worse), with 95 % confidence for all candidates
    together. good: it takes significantly less response time and processor time, and for
    certain loses less than the budget.
    """

    side: str
    alike: bool
    response: Comparison
    processor: Comparison | None
    score: Comparison
    least: float
    budget: float

    @property
    def certified(self) -> bool:
        """Whether no more than the budget is lost."""
        return self.least >= -self.budget

    @property
    def good(self) -> bool:
        """Whether it is worth taking instead of -O2."""
        return self.certified and _less(self.response) and self.processor is not None and _less(self.processor)

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        out: dict[str, Any] = {"side": self.side, "alike": self.alike, "least": self.least, "budget": self.budget}
        out |= {"response": self.response.to_json(), "score": self.score.to_json()}
        out["processor"] = None if self.processor is None else self.processor.to_json()
        return out | {"certified": self.certified, "good": self.good}


def candidates(by: Resampled, baseline: Side, budget: float = BUDGET) -> list[Candidate]:
    """Every side but the levels of this model, in the classes that are judged, where quality is known of both."""
    others = [side for side in by.study.sides if not (side.level and side.model == baseline.model)]
    response, processor, score = (
        {each.mine: each for each in against(by, baseline, figure, others, by.study.scored)}
        for figure in ("response_s", "processor_s", "score")
    )
    out = []
    for side in others:
        least = least_difference(by.study, side, baseline, len(others))
        if side.name in score and side.name in response and least is not None:
            its = response[side.name], processor.get(side.name), score[side.name]
            alike = side.promise == "exact" and side.model == baseline.model
            out.append(Candidate(side.name, alike, *its, least, budget))
    return out


def _less(found: Comparison) -> bool:
    return found.lower and found.significant
