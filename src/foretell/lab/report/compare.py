"""Comparisons of two sides: by how much, between what, and whether chance explains it."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import NormalDist
from typing import Any, Final, Literal

import numpy as np

from foretell.lab.quality import intervals
from foretell.lab.report.resample import Resampled, chance, holm, interval
from foretell.lab.report.study import METRICS, Side, Study

OVERALL: Final = "overall"
LEAST_PROMPTS: Final = 10  # with fewer, a sentence says that intervals are rough


@dataclass(frozen=True, slots=True)
class Comparison:
    """Of one figure, mine against theirs, on the prompts that both answered.

    kind: value is a "ratio" (1: no difference) or a "difference" (0). low, high: with 95 % confidence, None where
    nobody can say. p: of no difference. p_holm: corrected for the other comparisons of its family.
    """

    figure: str
    mine: str
    theirs: str
    klass: str
    kind: Literal["ratio", "difference"]
    value: float
    low: float | None
    high: float | None
    p: float
    p_holm: float
    prompts: int

    @property
    def significant(self) -> bool:
        """Whether chance is no good explanation, also in view of the whole family."""
        return self.p_holm < intervals.ALPHA

    @property
    def lower(self) -> bool:
        """Whether mine is below theirs."""
        return self.value < (1.0 if self.kind == "ratio" else 0.0)

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self) | {"significant": self.significant}


# Figure → what counts the prompts of which it is known.
KNOWN: Final = {
    "tokens_per_s": "decoded",
    "response_s": "answers",
    "processor_s": "processors",
    "joules": "energies",
    "score": "scores",
}


def compare(
    by: Resampled, mine: Side, theirs: Side, figure: str, classes: Collection[str] | None = None
) -> Comparison | None:
    """One comparison; None when the figure is not known of both sides. Scores are subtracted, others divided.

    classes: one, or several to be put together; by default all that both sides have answered.
    """
    kind: Literal["ratio", "difference"] = "difference" if figure == "score" else "ratio"
    values = (by.ratio if kind == "ratio" else by.difference)(mine, theirs, figure, classes)
    if not np.isfinite(values[0]):
        return None
    prompts = by.paired(mine, theirs, KNOWN[figure], classes)
    with np.errstate(divide="ignore"):
        differences = np.log(values) if kind == "ratio" else values
    freedom = by.freedom(classes)
    low, high = interval(values, freedom) or (None, None)
    p = 1.0 if low is None else chance(differences, prompts, freedom)
    klass = next(iter(classes)) if classes is not None and len(classes) == 1 else OVERALL
    return Comparison(figure, mine.name, theirs.name, klass, kind, float(values[0]), low, high, p, p, prompts)


def family(found: Iterable[Comparison | None]) -> list[Comparison]:
    """Comparisons that are read together, with their chances corrected for each other."""
    known = [each for each in found if each is not None]
    corrected = holm([each.p for each in known])
    return [replace(each, p_holm=p) for each, p in zip(known, corrected, strict=True)]


def against(
    by: Resampled,
    theirs: Side,
    figure: str,
    sides: Sequence[Side] | None = None,
    classes: Collection[str] | None = None,
) -> list[Comparison]:
    """A family: every other side, or every one of these, against this one."""
    mine = by.study.sides if sides is None else sides
    return family(compare(by, each, theirs, figure, classes) for each in mine if each.key != theirs.key)


def by_class(by: Resampled, theirs: Side, figure: str) -> list[Comparison]:
    """A family: every other side against this one in each class."""
    return family(
        compare(by, each, theirs, figure, [klass])
        for each in by.study.sides
        if each.key != theirs.key
        for klass in by.study.classes
    )


def least_difference(study: Study, mine: Side, theirs: Side, among: int = 1) -> float | None:
    """The lower end of what the difference of two scores is, with 95 % confidence, on the safe side for few prompts.

    That of Agresti and Min (2005), which adds half a prompt to either side, for scores between 0 and 1 instead of only
    0 and 1, and for the mean of several classes. A percentile of resamples is no good here: where no prompt's score
    differs they don't either, and three prompts would seem enough to be certain.

    among: how many such ends are read together; 95 % is that none of them is wrong (Bonferroni). None where nothing is
    scored.
    """
    places = [[side.key for side in study.sides].index(side.key) for side in (mine, theirs)]
    score, known = METRICS.index("score"), METRICS.index("scores")
    middles, variances = [], []
    for table in study.table.values():
        both = table[(table[:, places, known] > 0).all(axis=1)]
        if not len(both):
            continue
        differences = both[:, places[0], score] - both[:, places[1], score]
        n, total = len(both) + 2.0, float(differences.sum())
        middles.append(total / n)
        variances.append((float((differences**2).sum()) + 1.0 - total**2 / n) / n**2)
    if not middles:
        return None
    z = NormalDist().inv_cdf(1 - intervals.ALPHA / 2 / among)
    return max(-1.0, (sum(middles) - z * math.sqrt(sum(variances))) / len(middles))
