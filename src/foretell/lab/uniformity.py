"""A test of whether tokens were drawn from the distributions that they should have been drawn from.

Put the vocabulary of a place in any order that is fixed before the token x is drawn. With v uniform on [0, 1),

    u = sum of p over the tokens before x + v * sum of p over those that tie with x, itself included

is uniform whatever p is, and independent of all that came before: the randomised probability integral transform. So n
tokens give n independent uniform numbers, however the places hang together, as long as n does not depend on them. Their
empirical distribution F is far from the diagonal with a chance that is bounded at every n (Dvoretzky, Kiefer and
Wolfowitz; Massart 1990, the constant 2):

    P(sup |F(c) - c| > e) <= 2 exp(-2 n e^2)

A wrong law can only hide from an order in which its surplus and its lack alternate. An order by q / p, where q is what
a draft expected, shows text that follows the draft too far, or not far enough.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Uniformity:
    """A test of numbers made by `transform`.

    order: what the vocabulary was put in order by. tokens: n. statistic: sup |F(c) - c|. threshold: what it exceeds
    with at most the probability `false_alarm` while the promise is kept.
    """

    order: str
    tokens: int
    statistic: float
    threshold: float
    false_alarm: float

    @property
    def passed(self) -> bool:
        """Whether it is below the threshold."""
        return self.statistic <= self.threshold


def transform(p: NDArray[np.float64], order: NDArray[np.float64], token: int, v: float) -> float:
    """The number u of a token, in [0, 1]; 1 for one that cannot be.

    Args:
        p: float64 [vocabulary], what it should have been drawn from.
        order: float64 [vocabulary]: tokens with larger numbers come first.
        token: what was drawn.
        v: uniform on [0, 1), of this token alone.
    """
    if p[token] == 0:
        return 1.0
    mine = order[token]
    return float(min(1.0, p[order > mine].sum() + v * p[order == mine].sum()))


def surprise(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64 [vocabulary]: an order by q / p, by p alone where q is 0; below all, what p excludes."""
    ratio = np.divide(q, p, out=np.full(p.size, -2.0), where=p > 0)
    return np.where((ratio == 0) & (p > 0), p - 1.0, ratio)


def uniformity(order: str, numbers: Sequence[float], false_alarm: float, epsilon: float = 0.0) -> Uniformity:
    """How uniform numbers look.

    epsilon: total variation that a token's law may be off by. Each number then is a uniform one but for a share of at
    most epsilon of them, and that share, by Hoeffding's inequality, is seldom much larger.
    """
    n = len(numbers)
    ordered = np.sort(np.asarray(numbers))
    steps = np.arange(n + 1) / n
    statistic = float(max((steps[1:] - ordered).max(), (ordered - steps[:-1]).max()))
    share = false_alarm / 2 if epsilon else false_alarm
    threshold = math.sqrt(math.log(2 / share) / (2 * n))
    if epsilon:
        threshold += epsilon + math.sqrt(math.log(1 / share) / (2 * n))
    return Uniformity(order, n, statistic, threshold, false_alarm)
