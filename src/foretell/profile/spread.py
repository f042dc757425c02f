"""Repeated measurements of one time, and what is kept of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from foretell.errors import ForetellError

OUTLIER: Final = 1.5  # times the median: beyond it a measurement counts as disturbed
QUIET: Final = 1.1  # a time is quiet when the median is at most this times the least


@dataclass(frozen=True, slots=True)
class Spread:
    """Milliseconds. Others only ever add time, so the least is the best guess, and the median says how noisy it was.

    outliers: how many of the `count` measurements took more than 1.5 times the median.

    >>> Spread.of([20.0, 21.0, 24.0, 40.0])
    Spread(count=4, least_ms=20.0, median_ms=22.5, outliers=1)
    """

    count: int
    least_ms: float
    median_ms: float
    outliers: int = 0

    def __post_init__(self) -> None:
        if self.count < 1 or not 0 < self.least_ms <= self.median_ms or self.outliers > self.count:
            raise ForetellError(
                f"{self.count} measurements with least {self.least_ms} ms, median {self.median_ms} ms and "
                f"{self.outliers} outliers cannot be: measure again with `foretell profile run`"
            )

    @staticmethod
    def of(values_ms: Sequence[float]) -> "Spread":
        """Of one series, at least one value."""
        least, middle = (round(max(ms, 1e-4), 4) for ms in (min(values_ms), median(values_ms)))
        return Spread(len(values_ms), least, middle, sum(ms > OUTLIER * middle for ms in values_ms))

    @staticmethod
    def given(costs: Mapping[int, float]) -> "dict[int, Spread]":
        """Of times that nobody measured: a backend gives them for its own, by rows."""
        return {n: Spread(1, ms, ms) for n, ms in costs.items()}

    @property
    def quiet(self) -> bool:
        """Whether little disturbed it."""
        return self.median_ms <= QUIET * self.least_ms

    def __add__(self, other: "Spread") -> "Spread":
        """Of both series. The median becomes the mean of the two, by count: an approximation."""
        count = self.count + other.count
        middle = (self.count * self.median_ms + other.count * other.median_ms) / count
        least = min(self.least_ms, other.least_ms)
        return Spread(count, least, max(least, round(middle, 4)), self.outliers + other.outliers)
