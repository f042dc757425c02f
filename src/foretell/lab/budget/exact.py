"""How sure a paired loss of accuracy is: an exact one-sided test, its bound, and how many items it needs.

Of n items, `losses` are those that the target alone has right and `gains` those that the other alone has right. The
loss of accuracy is P(loss) - P(gain). The test of "it is above the budget b" is the exact unconditional one for paired
shares: outcomes (losses, gains) are ordered by Tango's score statistic (Tango 1998), made monotone as Barnard asks, and
the p-value is the largest probability, over all P(gain) = g with P(loss) = b + g, of an outcome as favourable as the
one seen (Hsueh, Liu and Chen 2001). g is looked for in its own interval of 1 - GAMMA confidence, and GAMMA is added to
the p-value (Berger and Boos 1994), so that this costs no validity.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from foretell.errors import UsageError

GAMMA: Final = 0.0005  # how often the interval of g may miss it
_GRID: Final = 121  # values of g that are tried
_TAIL: Final = 9.0  # standard deviations beyond which outcomes are left out, and counted as favourable
_LEFT_OUT: Final = 1e-9  # the probability of these
_MOST_ITEMS: Final = 100_000  # beyond which nobody looks for how many would be needed
_EXACTLY: Final = 400  # items up to which `items_needed` asks the test itself


@lru_cache(maxsize=65536)
def p_value(losses: int, gains: int, items: int, budget: float) -> float:
    """How likely so favourable an outcome is, at most, if the loss of accuracy is above the budget (0 to 1).

    >>> round(p_value(0, 0, 59, 0.05), 3), p_value(6, 0, 59, 0.05) > 0.5
    (0.049, True)
    """
    if min(losses, gains, items - losses - gains) < 0 or not 0 < budget < 1:
        raise UsageError(f"{losses} losses and {gains} gains of {items} items at budget {budget:g} make no sense")
    if items == 0:
        return 1.0
    g = np.linspace(0, 1, _GRID) ** 2  # closer together near 0, where it matters
    low, high = _interval(gains, items)
    g = np.unique(np.clip(low + g * (high - low), 0, (1 - budget) / 2))
    most_x, most_y = (min(items, max(_reach(items, float(share)), seen)) for share, seen in (
        (budget + g[-1], losses), (g[-1], gains)
    ))  # fmt: skip
    score = _scores(items, budget, most_x, most_y)
    favourable = score <= score[losses, gains] + 1e-12
    x, y = np.nonzero(favourable)
    logs = _log_counts(items)[items] - _log_counts(items)[x] - _log_counts(items)[y] - _log_counts(items)[items - x - y]
    worst = 0.0
    for each in g:
        worst = max(worst, float(np.exp(logs + _log_power(budget + each, x) + _log_power(each, y)
                    + _log_power(1 - budget - 2 * each, items - x - y)).sum()))  # fmt: skip
    return min(1.0, worst + GAMMA + _LEFT_OUT)


def upper(losses: int, gains: int, items: int, confidence: float) -> float:
    """The smallest budget that these outcomes certify, rounded up to a thousandth; 1 when none is.

    >>> upper(0, 0, 60, 0.95), upper(3, 0, 60, 0.95) > upper(2, 0, 60, 0.95)
    (0.049, True)
    """
    low, high = 0, 1000
    while high - low > 1:
        middle = (low + high) // 2
        if p_value(losses, gains, items, middle / 1000) <= 1 - confidence:
            high = middle
        else:
            low = middle
    return high / 1000


def items_needed(budget: float, confidence: float, loss: float = 0.0, gain: float = 0.0) -> int | None:
    """The least items that certify the budget where so large shares of them are lost and gained; None: no number does.

    Beyond some hundreds it is an estimate by the normal distribution.
    """
    if loss - gain >= budget:
        return None

    def enough(n: int) -> bool:
        x, y = math.ceil(loss * n - 1e-9), math.floor(gain * n + 1e-9)
        if n <= _EXACTLY:
            return p_value(x, y, n, budget) <= 1 - confidence
        z = _tango(np.array([x]), np.array([y]), n, budget)
        return float(z[0]) <= -NormalDist().inv_cdf(confidence)

    n = 8
    while not enough(n):
        n *= 2
        if n > _MOST_ITEMS:
            return None
    low, high = n // 2, n
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _tango(x: NDArray[np.int64], y: NDArray[np.int64], n: int, b: float) -> NDArray[np.float64]:
    """(x - y - n b) over its deviation, with the likeliest g given P(loss) - P(gain) = b."""
    half = x * (1 + b) + y * (1 - b) - 2 * n * b
    g = (half + np.sqrt(half**2 + 8 * n * y * b * (1 - b))) / (4 * n)
    out: NDArray[np.float64] = (x - y - n * b) / np.sqrt(n * np.maximum(2 * g + b - b * b, 1e-300))
    return out


@lru_cache(maxsize=64)
def _scores(n: int, b: float, most_x: int, most_y: int) -> NDArray[np.float64]:
    """float64 [most_x + 1, most_y + 1]: never smaller for more losses or fewer gains; inf where there is no outcome."""
    x, y = np.meshgrid(np.arange(most_x + 1), np.arange(most_y + 1), indexing="ij")
    z = np.where(x + y <= n, _tango(x, y, n, b), -np.inf)
    z = np.maximum.accumulate(z, axis=0)
    z = np.maximum.accumulate(z[:, ::-1], axis=1)[:, ::-1]
    return np.where(x + y <= n, z, np.inf)


@lru_cache(maxsize=64)
def _log_counts(n: int) -> NDArray[np.float64]:
    """float64 [n + 1]: log k!."""
    return np.array([math.lgamma(k + 1) for k in range(n + 1)])


def _log_power(base: float, exponent: NDArray[np.int64]) -> NDArray[np.float64]:
    """exponent · log base, with 0 log 0 = 0."""
    if base <= 0:
        return np.where(exponent == 0, 0.0, -np.inf)
    return np.multiply(exponent, math.log(base), dtype=np.float64)


def _reach(n: int, share: float) -> int:
    """How many of n there are but for _LEFT_OUT of probability."""
    return math.ceil(n * share + _TAIL * math.sqrt(n * share * (1 - share)) + 2 * _TAIL)


@lru_cache(maxsize=4096)
def _interval(count: int, n: int) -> tuple[float, float]:
    """The interval of a share (Clopper and Pearson 1934) that holds with probability 1 - GAMMA."""
    low = 0.0 if count == 0 else _root(lambda p: 1 - _below(count - 1, n, p) - GAMMA / 2)
    high = 1.0 if count == n else _root(lambda p: GAMMA / 2 - _below(count, n, p))
    return low, high


def _root(rising: Callable[[float], float]) -> float:
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) > 0 else (middle, high)
    return high


def _below(count: int, n: int, p: float) -> float:
    """P(Bin(n, p) <= count)."""
    k = np.arange(count + 1)
    logs = _log_counts(n)[n] - _log_counts(n)[k] - _log_counts(n)[n - k]
    return float(np.exp(logs + _log_power(p, k) + _log_power(1 - p, n - k)).sum())
