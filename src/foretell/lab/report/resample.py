"""How sure figures of a study are: its prompts drawn again, for all sides and figures the same ones.

The paired bootstrap (Efron 1979) in strata: of a class's n prompts, n - 1 are drawn with replacement, one less so that
small classes don't look surer than they are (Rao and Wu 1988). Sides are compared on the same draw, so what makes a
prompt hard or long for all of them cancels out.

Classes with a single prompt have nothing to draw from; together they make one stratum, of which classes are drawn. That
takes differences between classes for chance and so errs on the safe side (collapsed strata, Hansen, Hurwitz and Madow
1953).
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from foretell.lab.quality import intervals
from foretell.lab.report.study import METRICS, Side, Study

RESAMPLES: Final = 5000
_SEED: Final = 1979
_NORMAL: Final = NormalDist()
_TOGETHER: Final = 500  # resamples that are summed at once, for memory
Values = NDArray[np.float64]  # [1 + RESAMPLES]: of the study itself, then of each resample


class Resampled:
    """Sums over prompts, of the study and of its resamples; figures are made of them by name.

    Every figure is float64 [1 + RESAMPLES], nan where it is not known.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        random = np.random.default_rng(_SEED)
        self._sums = {klass: _sums(values, random) for klass, values in study.table.items()}
        single = self._single = [klass for klass, its in study.classes.items() if len(its) == 1]
        self._weights = {klass: np.ones(1 + RESAMPLES) for klass in study.classes}
        self._weights |= dict(zip(single, _weights(len(single), random), strict=True))
        self._places = {side.key: place for place, side in enumerate(study.sides)}

    def sum(self, side: Side, klass: str, metric: str) -> Values:
        """Over a class's prompts."""
        return self._sums[klass][:, self._places[side.key], METRICS.index(metric)]

    def figure(self, side: Side, klass: str, name: str) -> Values:
        """One of FIGURES, in a class."""
        above, below = FIGURES[name]
        with np.errstate(invalid="ignore", divide="ignore"):
            out = self.sum(side, klass, above) / self.sum(side, klass, below)
        if klass in self._single:
            out[1:] = np.nan
        return np.where(np.isfinite(out), out, np.nan)

    def pooled(self, side: Side, name: str) -> float | None:
        """One of FIGURES over all prompts, whatever their class; None where it is not known."""
        above, below = (sum(float(self.sum(side, k, each)[0]) for k in self.study.classes) for each in FIGURES[name])
        return above / below if below else None

    def overall(self, side: Side, name: str, classes: Collection[str] | None = None) -> Values:
        """Of the classes' figures the geometric mean; of scores, which may be 0, the mean of the classes that have one.

        nan where a class's figure is not known: that side and others would not be of the same prompts.
        """
        classes = self.study.classes if classes is None else classes
        each = {klass: self.figure(side, klass, name) for klass in classes}
        if any(np.isnan(values[0]) for values in each.values()) and name != "score":
            return self._mean({}, None)
        return self._mean(each, None if name == "score" else np.log)

    def ratio(self, mine: Side, theirs: Side, name: str, classes: Collection[str] | None = None) -> Values:
        """Of two sides' figures: the geometric mean of the classes' ratios."""
        classes = self.study.classes if classes is None else classes
        with np.errstate(invalid="ignore", divide="ignore"):
            each = {klass: self.figure(mine, klass, name) / self.figure(theirs, klass, name) for klass in classes}
        return self._mean(each, np.log)

    def difference(self, mine: Side, theirs: Side, name: str, classes: Collection[str] | None = None) -> Values:
        """Of two sides' figures: the mean of the classes' differences."""
        classes = self.study.classes if classes is None else classes
        each = {klass: self.figure(mine, klass, name) - self.figure(theirs, klass, name) for klass in classes}
        return self._mean(each, None)

    def paired(self, mine: Side, theirs: Side, known: str, classes: Collection[str] | None = None) -> int:
        """Of how many prompts both sides have what `known` counts."""
        places = [self._places[mine.key], self._places[theirs.key]]
        which = METRICS.index(known)
        tables = self.study.table.items()
        return sum(
            int((t[:, places, which] > 0).all(axis=1).sum()) for k, t in tables if classes is None or k in classes
        )

    def freedom(self, classes: Collection[str] | None = None) -> int:
        """Degrees of freedom of a figure of these classes: prompts that are drawn freely."""
        sizes = [len(its) for k, its in self.study.classes.items() if classes is None or k in classes]
        return sum(n - 1 for n in sizes if n > 1) + max(0, sizes.count(1) - 1)

    def _mean(self, each: Mapping[str, Values], scale: Callable[[Values], Values] | None) -> Values:
        """Over the classes whose value is known; on a logarithmic scale the geometric mean."""
        known = {k: v for k, v in each.items() if np.isfinite(v[0]) and (scale is None or v[0] > 0)}
        if not known:
            return np.full(1 + RESAMPLES, np.nan)
        single = [klass for klass in known if klass in self._single]
        fixed = {klass: np.full(1 + RESAMPLES, known[klass][0]) for klass in single}
        weights = np.array([self._weights[klass] for klass in known])
        if len(single) == 1:  # what it stands for nobody can say
            weights[list(known).index(single[0]), 1:] = np.nan
        with np.errstate(invalid="ignore", divide="ignore"):
            values = np.array(list((known | fixed).values()))
            values = values if scale is None else scale(values)
            out: Values = np.where(weights > 0, weights * values, 0.0).sum(axis=0) / weights.sum(axis=0)
            return out if scale is None else np.asarray(np.exp(out))


# Figure → sums that it is the quotient of. Lower is better but for tokens_per_s, score, acceptance, tokens_per_round.
FIGURES: Final[Mapping[str, tuple[str, str]]] = {
    "tokens_per_s": ("decoded", "decode_s"),
    "response_s": ("response_s", "answers"),
    "processor_s": ("processor_s", "processors"),
    "joules": ("joules", "energies"),
    "joules_low": ("joules_low", "energies"),
    "joules_high": ("joules_high", "energies"),
    "joules_per_token": ("joules", "energy_tokens"),
    "joules_per_token_low": ("joules_low", "energy_tokens"),
    "joules_per_token_high": ("joules_high", "energy_tokens"),
    "score": ("score", "scores"),
    "acceptance": ("accepted", "guessed"),
    "tokens_per_round": ("tokens", "rounds"),
    "guesses_per_token": ("guessed", "tokens"),
    "draft_passes_per_token": ("draft_passes", "tokens"),
}


def interval(values: Values, freedom: int) -> tuple[float, float] | None:
    """Between what a figure is with 95 % confidence; None when nobody can say, as for a class with a single prompt.

    The percentiles are those that make up for few prompts (expanded percentiles, Hesterberg 2014): of the normal
    distribution at the t distribution's quantile, which is 2.5 % and 97.5 % when there are many.
    """
    known = values[1:][np.isfinite(values[1:])]
    if freedom < 1 or not np.isfinite(values[0]) or known.size < RESAMPLES / 2:
        return None
    share = _NORMAL.cdf(-student(_NORMAL.inv_cdf((1 + intervals.CONFIDENCE) / 2), freedom))
    low, high = np.quantile(known, [share, 1 - share])
    return float(low), float(high)


def chance(differences: Values, prompts: int, freedom: int) -> float:
    """Two-sided p of no difference (0), and at least 2^(1 - prompts): that of a sign test where all prompts agree.

    Twice the share of resamples beyond 0; where there is none beyond it, as the resamples' standard error says, for
    their number is no reason to doubt. Both corrected for few prompts as intervals are. Without the limit a handful of
    prompts that agree by chance would look certain, as resamples of them agree too.
    """
    known = differences[1:][np.isfinite(differences[1:])]
    if freedom < 1 or not known.size:
        return 1.0
    beyond = min(int((known <= 0).sum()), int((known >= 0).sum()))
    if beyond:
        steps = _NORMAL.inv_cdf(1 - min(1.0, 2 * beyond / known.size) / 2)
    else:
        error = float(known.std())
        steps = abs(float(differences[0])) / error if error else math.inf
    p = 2 * _NORMAL.cdf(-normal(steps, freedom))
    return min(1.0, max(p, 2.0 ** (1 - prompts)))


def student(z: float, freedom: int) -> float:
    """The t that is as unlikely as the normal z (Wallace 1959), within 5 % for 2 degrees of freedom or more.

    >>> round(student(1.96, 10), 2)
    2.23
    """
    return math.sqrt(freedom * math.expm1((z / _scale(freedom)) ** 2 / freedom))


def normal(t: float, freedom: int) -> float:
    """The normal z that is as unlikely as t: the other way round.

    >>> round(normal(student(1.5, 4), 4), 6)
    1.5
    """
    return _scale(freedom) * math.sqrt(freedom * math.log1p(t * t / freedom))


def _scale(freedom: int) -> float:
    return (8 * freedom + 1) / (8 * freedom + 3)


def holm(chances: Sequence[float]) -> list[float]:
    """p corrected for several comparisons (Holm 1979): below ALPHA, all together are wrong in 5 % of cases at most.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(chances)), key=chances.__getitem__)
    out, most = [0.0] * len(chances), 0.0
    for rank, place in enumerate(order):
        most = max(most, min(1.0, (len(chances) - rank) * chances[place]))
        out[place] = most
    return out


def _weights(classes: int, random: np.random.Generator) -> NDArray[np.float64]:
    """float64 [classes, 1 + RESAMPLES]: how much each of the classes with a single prompt counts."""
    if classes < 2:
        return np.ones((classes, 1 + RESAMPLES))
    drawn = random.multinomial(classes - 1, np.full(classes, 1 / classes), size=RESAMPLES) * classes / (classes - 1)
    return np.concatenate([np.ones((1, classes)), drawn]).T


def _sums(values: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """float64 [1 + RESAMPLES, sides, metrics] of float64 [prompts, sides, metrics]."""
    prompts, sides, metrics = values.shape
    flat = values.reshape(prompts, sides * metrics)
    out = [flat.sum(axis=0, keepdims=True)]
    for start in range(0, RESAMPLES, _TOGETHER):
        n = min(_TOGETHER, RESAMPLES - start)
        drawn = prompts - 1 if prompts > 1 else 1
        weights = random.multinomial(drawn, np.full(prompts, 1 / prompts), size=n)
        out.append(weights.astype(np.float64) @ flat)
    return np.concatenate(out).reshape(1 + RESAMPLES, sides, metrics)
