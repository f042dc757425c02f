"""How sure a share or a difference of shares is."""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

CONFIDENCE: Final = 0.95
ALPHA: Final = 0.05  # below this probability of chance a difference is called significant
RESAMPLES: Final = 2000
_Z: Final = 1.959963984540054  # the normal distribution has CONFIDENCE between -_Z and _Z
_SEED: Final = 1927
_TOGETHER: Final = 100  # resamples that are summed at once, for memory


def wilson(right: int, of: int) -> tuple[float, float]:
    """The interval of a share (Wilson 1927): which true shares make such a sample no surprise. (0, 1) of nothing."""
    if of == 0:
        return 0.0, 1.0
    share, z2 = right / of, _Z**2 / of
    middle = (share + z2 / 2) / (1 + z2)
    half = _Z * math.sqrt(share * (1 - share) / of + z2 / of / 4) / (1 + z2)
    return (0.0 if right == 0 else middle - half), (1.0 if right == of else middle + half)


def mcnemar(only_mine: int, only_theirs: int) -> float:
    """Two-sided p of McNemar's exact test: among items that one alone has right, each is as likely to be the one.

    >>> mcnemar(0, 5), mcnemar(3, 3), mcnemar(0, 0)
    (0.0625, 1.0, 1.0)
    """
    n = only_mine + only_theirs
    tail = sum(math.comb(n, k) for k in range(min(only_mine, only_theirs) + 1))
    return min(1.0, float(2 * tail / 2**n))


def paired_difference(only_mine: int, only_theirs: int, of: int) -> tuple[float, float]:
    """The interval of a difference of two shares of the same items (Newcombe 1998, after Agresti and Min 2005).

    With half an item more on either side, so that no difference at all is not taken for certain.
    """
    if of == 0:
        return -1.0, 1.0
    n, b, c = of + 2.0, only_mine + 0.5, only_theirs + 0.5
    middle, half = (b - c) / n, _Z * math.sqrt((b + c) - (b - c) ** 2 / n) / n
    return max(-1.0, middle - half), min(1.0, middle + half)


def resampled(items: int, figure: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> NDArray[np.float64]:
    """float64 [RESAMPLES]: the figure of samples as large as the set, drawn from it with replacement (Efron 1979).

    figure: from weights, float64 [n, items], how often each sample has an item, to float64 [n]. The samples are the
    same for all figures of a set, so that they pair.
    """
    random = np.random.default_rng(_SEED)
    out = []
    for start in range(0, RESAMPLES, _TOGETHER):
        n = min(_TOGETHER, RESAMPLES - start)
        weights = random.multinomial(items, np.full(items, 1 / items), size=n)
        out.append(figure(weights.astype(np.float64)))
    return np.concatenate(out)


def percentiles(values: NDArray[np.float64]) -> tuple[float, float]:
    """The middle CONFIDENCE of resampled figures."""
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def bootstrap_p(differences: NDArray[np.float64]) -> float:
    """Two-sided p of no difference: twice the share of samples beyond 0, of which there is always one more."""
    n = differences.size + 1
    beyond = min(int((differences <= 0).sum()), int((differences >= 0).sum())) + 1
    return min(1.0, 2 * beyond / n)
