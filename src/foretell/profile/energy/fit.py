"""The model's prices from measurements: non-negative least squares over loads of different kinds.

Every measurement weighs the same, whatever its joules, so residuals are parts of what was measured. Ranges hold what
resampled measurements give (bootstrap: as many of each load, drawn with replacement) and what all loads but one give,
for each of them that can be spared: a model that does not describe the machine is not made certain by measuring often.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from foretell.errors import ForetellError
from foretell.profile.energy.joules import Range
from foretell.profile.energy.model import PRICES, Model, amounts
from foretell.profile.energy.work import Work

Floats = NDArray[np.float64]

_RESAMPLED: Final = 300
_OUTER: Final = (0.5, 99.5)  # per cent; with the few rounds of a calibration they hold the truth 19 times in 20
_ALIKE: Final = 1e-3  # the least singular value of four columns of length 1 that stand apart


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run of a load, and the joules that a meter said."""

    load: str
    work: Work
    joules: float


@dataclass(frozen=True, slots=True)
class Fit:
    """Prices, and by how much of its joules each load is missed: modelled over measured, minus 1, by load."""

    model: Model
    missed: dict[str, float]

    @property
    def worst(self) -> float:
        """The most that a load is missed by."""
        return max(abs(each) for each in self.missed.values())


def nonnegative(a: Floats, b: Floats) -> Floats:
    """The x >= 0 with the least |a x - b|. a: [measurements, few]; b: [measurements].

    The best x leaves some of its numbers at 0 and is the ordinary least-squares solution in the others; with few of
    them all choices are tried.
    """
    scale = np.linalg.norm(a, axis=0)
    scale[scale == 0] = 1.0
    best, least = np.zeros(a.shape[1]), float("inf")
    for size in range(a.shape[1], 0, -1):
        for chosen in map(list, combinations(range(a.shape[1]), size)):
            part = (a / scale)[:, chosen]
            x = np.linalg.lstsq(part, b, rcond=None)[0]
            missed = float(np.linalg.norm(part @ x - b))
            if (x >= 0).all() and missed < least:
                best, least = np.zeros(a.shape[1]), missed
                best[chosen] = x
        if size == a.shape[1] and least < float("inf"):
            break  # none has to be 0, so no other choice misses less
    result: Floats = best / scale
    return result


def fit(measurements: Sequence[Measurement], source: str) -> Fit:
    """Prices of the machine that these were taken on, whose description is `source`.

    Raises:
        ForetellError: something was measured as nothing, or the loads are too few or too much alike to tell prices
            apart.
    """
    if any(each.joules <= 0 for each in measurements):
        raise ForetellError("the meter said 0 J of a load; measure longer with --seconds")
    a = np.array([amounts(each.work) for each in measurements], np.float64)
    b = np.array([each.joules for each in measurements], np.float64)
    weighted = a / b[:, None]
    if not _told_apart(weighted):
        raise ForetellError("the loads are too much alike to tell their prices apart; use a larger model")
    x = nonnegative(weighted, np.ones(len(b)))
    loads = np.array([each.load for each in measurements])
    its = {load: loads == load for load in dict.fromkeys(loads.tolist())}
    missed = {load: float((a[mask] @ x).sum() / b[mask].sum() - 1) for load, mask in its.items()}
    spared = [nonnegative(rest, np.ones(len(rest))) for mask in its.values() if _told_apart(rest := weighted[~mask])]
    outer = np.percentile(_resampled(list(its.values()), weighted), _OUTER, axis=0)
    low, high = (least(np.array([x, *spared, end]), axis=0) for least, end in zip((np.min, np.max), outer, strict=True))
    prices = {name: Range(float(x[i]), float(low[i]), float(high[i])) for i, name in enumerate(PRICES)}
    return Fit(Model(**prices, source=source, reasons=dict.fromkeys(PRICES, "fitted here")), missed)


def _told_apart(weighted: Floats) -> bool:
    """Whether the measurements have one solution, and not by their noise alone."""
    norms = np.linalg.norm(weighted, axis=0)
    if len(weighted) < len(PRICES) or not norms.all():
        return False
    return bool(np.linalg.matrix_rank(weighted / norms, tol=_ALIKE) == len(PRICES))


def _resampled(groups: Sequence[NDArray[np.bool_]], weighted: Floats) -> Floats:
    """Prices from measurements drawn anew in each group, float64 [_RESAMPLED, prices]; the same draws each time."""
    chance = np.random.default_rng(0)
    places = [np.flatnonzero(group) for group in groups]
    ones = np.ones(len(weighted))
    draws = (np.concatenate([chance.choice(its, len(its)) for its in places]) for _ in range(_RESAMPLED))
    return np.array([nonnegative(weighted[draw], ones) for draw in draws])
