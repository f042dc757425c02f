"""How many guesses a round takes: as many as are expected to pay at this machine's measured cost, or none.

One pass over n rows costs T(n). With k guesses and the chance a(i) that guess i is right when those before it were,

    expected tokens  E(k) = 1 + a(1) + a(1) a(2) + ... + a(1)...a(k)

(in a tree: 1 and, of each guess, the chance that it and all that it hangs on are right), and the k is chosen that
maximises E(k) - r T(k + 1), where r is the recent rate in tokens per millisecond, never below that of plain decoding,
1 / T(1). This is "add the next row while its gain per extra time beats the current rate", for curves with steps. k = 0
wins whenever guesses don't pay.

A draft model adds a pass per guess. Its chain ends behind a guess that it is not sure of. When classes of guesses by
its own probability have the shares w and are right with the chances c, and it goes on behind the classes S only,

    goes on with p = sum of w over S,  and is right then and goes on with s = sum of w c over S
    guess k + 1 is reached with p^k, and is right with all before it with a s^k, where a = sum of w c

so that steps cost sum over k of p^k (step + T(k + 2) - T(k + 1)), and give sum over k of a s^k.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from foretell.cost.curve import Curve

ROW_MARGIN: Final = 0.01  # of T(1), charged per guess besides the measured cost: noise of measurement must not tempt


@dataclass(frozen=True, slots=True)
class Steps:
    """What a draft model does in a round. value: tokens that it gains beyond what its time is worth.

    most: of its guesses. kinds: its chain goes on behind the surest so many classes of guesses. guesses, tokens: that
    it is expected to make, and of them those that are kept.
    """

    value: float
    most: int
    kinds: int
    guesses: float = 0.0
    tokens: float = 0.0


NO_STEPS: Final = Steps(0.0, 0, 0)


def charged(curve: Curve, rows: int, overhead_ms: float = 0.0) -> list[float]:
    """Cost in ms of a round's pass over 1, 2, ... `rows` rows, with the margin per guess added.

    >>> charged(Curve.of({1: 20.0, 3: 24.0}), 4)
    [20.0, 22.2, 24.4, 26.6]
    """
    margin = ROW_MARGIN * curve(1)
    return [round(curve(n) + margin * (n - 1) + overhead_ms, 6) for n in range(1, rows + 1)]


def copies(reach: Sequence[float], costs: Sequence[float], rate: float) -> tuple[int, float]:
    """How many guesses without a cost of their own to try, and the tokens that this gains beyond its time's worth.

    Args:
        reach: of each guess that there is, the chance that it is right and all guesses that it hangs on.
        costs: ms of a pass over 1, 2, ... rows; guesses beyond them are not tried.
        rate: tokens per ms that time is worth.
    """
    best, most, gained, first = 0, 0.0, 0.0, costs[0]
    for k, chance in enumerate(reach[: len(costs) - 1], 1):
        gained += chance
        value = gained - rate * (costs[k] - first)
        if value > most:
            best, most = k, value
    return best, most


def best_rate(reach: Sequence[float], costs: Sequence[float]) -> float:
    """Tokens per ms of the quickest round over the first of these guesses, none included; see `copies`."""
    best, gained = 1 / costs[0], 1.0
    for chance, ms in zip(reach, costs[1:], strict=False):
        gained += chance
        best = max(best, gained / ms)
    return best


def steps(
    right: Sequence[float],
    share: Sequence[float],
    costs: Sequence[float],
    rate: float,
    draft_ms: tuple[float, float],
    most: int,
) -> Steps:
    """The chain of a draft model that gains most.

    Args:
        right: chance of a guess by class, the least sure class first.
        share: of places by class.
        costs: ms of the target's pass over 1, 2, ... rows.
        rate: tokens per ms that time is worth.
        draft_ms: of the chain's first pass, and of each further one.
        most: guesses.
    """
    first_ms, step_ms = draft_ms
    most = min(most, len(costs) - 1)
    if most < 1:
        return NO_STEPS
    mean = sum(w * c for w, c in zip(share, right, strict=True))
    start = mean - rate * (first_ms + costs[1] - costs[0])
    best = Steps(start, 1, 0, 1.0, mean)
    going = alive = 0.0
    for kinds in range(1, len(right) + 1):
        going += share[-kinds]
        alive += share[-kinds] * right[-kinds]
        reached, reach, value, guesses, tokens = 1.0, mean, start, 1.0, mean
        for k in range(1, most):
            reached *= going
            reach *= alive
            gain = reach - rate * reached * (step_ms + costs[k + 1] - costs[k])
            if gain <= 0:
                break
            value, guesses, tokens = value + gain, guesses + reached, tokens + reach
            if value > best.value:
                best = Steps(value, k + 1, kinds, guesses, tokens)
    return best
