"""How sure a small model is of what it says: figures of its tokens, all of them the larger the more doubt.

They are computed alike when a calibration is made and when it is used.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from foretell.errors import UsageError
from foretell.runtime.events import Event

TOP: Final = 5  # alternatives that are asked for at each token
SIGNALS: Final = ("mean", "worst", "margin", "entropy", "length", "disagreement")
FIGURES: Final = {"mean": "surprise", "worst": "surprise", "margin": "closeness", "entropy": "entropy"}
WHOLE: Final = ("length", "disagreement")  # of these only whole answers have a value
RISING: Final = ("worst", "length")  # never become smaller with more tokens: a threshold is passed for good
AGAIN_TEMPERATURE: Final = 0.7  # of the second answer that the first is compared with
_RUN: Final = 2  # tokens that two answers must share in a row


@dataclass(frozen=True, slots=True)
class Step:
    """A token that a model chose.

    surprise: -log of its probability. closeness: 1 - (the largest probability - the
    second). entropy: in nats, of the TOP likeliest and all others taken as one, so at most what it really is.
    """

    surprise: float
    closeness: float
    entropy: float


def step(event: Event) -> Step:
    """Of an event that carries TOP alternatives."""
    if event.logprob is None or len(event.top) < 2:
        raise UsageError(f"an event has {len(event.top)} alternatives: ask for {TOP} log-probabilities")
    shares = [math.exp(each) for _, each in event.top]
    rest = max(0.0, 1 - sum(shares))
    entropy = -sum(p * math.log(p) for p in (*shares, rest) if p > 0)
    return Step(max(0.0, -event.logprob), 1 - (shares[0] - shares[1]), max(0.0, entropy))


def doubt(signal: str, steps: Sequence[Step], again: float | None = None) -> float:
    """The value of a signal over these tokens, from 0 on; infinity where there are none.

    Args:
        signal: mean (surprise of a token), worst (the largest surprise), margin (mean closeness), entropy (mean),
            length (tokens) or disagreement.
        steps: the tokens that count.
        again: how much a second answer disagrees; see `disagreement`.

    >>> doubt("worst", [Step(0.1, 0.2, 0.3), Step(0.5, 0.2, 0.3)]), doubt("mean", [])
    (0.5, inf)
    """
    if signal == "disagreement":
        return math.inf if again is None or not steps else again
    figure = FIGURES.get(signal, "surprise")
    return pooled(signal, [getattr(each, figure) for each in steps])


def pooled(signal: str, values: Sequence[float]) -> float:
    """The same of the one figure of each token that the signal goes by (FIGURES); not for disagreement."""
    if not values:
        return math.inf
    match signal:
        case "mean" | "margin" | "entropy":
            return sum(values) / len(values)
        case "worst":
            return max(values)
        case "length":
            return float(len(values))
    raise UsageError(f"unknown signal {signal!r}: choose one of {', '.join(SIGNALS)}")


def disagreement(first: Sequence[int], second: Sequence[int]) -> float:
    """1 - the share of pairs of neighbouring tokens that two answers have in common (Dice 1945), from 0 to 1.

    >>> disagreement([1, 2, 3], [1, 2, 3]), disagreement([1, 2, 3], [2, 3, 4]), disagreement([1], [2])
    (0.0, 0.5, 1.0)
    """
    a, b = (Counter(tuple(each[i : i + _RUN]) for i in range(max(1, len(each) - _RUN + 1))) for each in (first, second))
    return 1 - 2 * (a & b).total() / (a.total() + b.total())
