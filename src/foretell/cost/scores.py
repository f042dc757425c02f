"""How good predicted chances are: the Brier score, and how often what was predicted came true.

The Brier score is the mean of (chance - outcome) squared: 0 is perfect, and whoever always says 1/2 gets 0.25. A
predictor earns its place when it beats the one that only knows how often guesses were right so far.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

BINS: Final = 10
PRIOR: Final = (0.5, 4.0)  # of the constant rate: its chance at first, and for how many guesses that counts


@dataclass(frozen=True, slots=True)
class Score:
    """Of predictions.

    count: how many. right: share that came true. brier: their score. constant: the score of the constant rate.
    table: (mean prediction, share that came true, count) of each tenth of the range that occurred, ascending.
    """

    count: int
    right: float
    brier: float
    constant: float
    table: tuple[tuple[float, float, int], ...]

    @property
    def gain(self) -> float:
        """Share of the constant rate's score that is saved."""
        return 1 - self.brier / self.constant if self.constant else 0.0


def score(texts: Iterable[Iterable[tuple[float, bool]]]) -> Score:
    """Of (chance, whether it was right) along texts; the constant rate begins anew in each of them, as predictors do.

    >>> found = score([[(0.9, True), (0.9, True), (0.1, False)]])
    >>> round(found.brier, 3), found.table
    (0.01, ((0.1, 0.0, 1), (0.9, 1.0, 2)))
    """
    count = hits = 0
    brier = constant = 0.0
    bins = [[0.0, 0.0, 0.0] for _ in range(BINS)]
    for text in texts:
        rate, seen = PRIOR
        for chance, right in text:
            count += 1
            hits += right
            brier += (chance - right) ** 2
            constant += (rate - right) ** 2
            seen += 1
            rate += (right - rate) / seen
            each = bins[min(BINS - 1, int(chance * BINS))]
            each[0] += 1
            each[1] += chance
            each[2] += right
    most = max(1, count)
    table = tuple((round(chance / n, 3), round(right / n, 3), int(n)) for n, chance, right in bins if n)
    return Score(count, hits / most, brier / most, constant / most, table)
