"""What could have been: the perfect draft, the best chain of the draft there was, and how right guesses must be to pay.

A chain of k guesses, each right with the chance a(i) when those before it were, gives

    E(k) = 1 + a(1) + a(1) a(2) + ... + a(1)...a(k)    tokens (arXiv 2211.17192, equation 1)

in the time of a pass over k + 1 rows, k draft passes and the rest of a round. It pays where E(k) over that time is more
than one token over a plain round: where a + a^2 + ... + a^k > extra time / plain time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from foretell.lab.explain.acceptance import Acceptance
from foretell.lab.explain.basis import Basis
from foretell.runtime.choose import DRAFT


@dataclass(frozen=True, slots=True)
class Chain:
    """Rounds of so many guesses: tokens that each gives, what each takes, and the speed that comes to."""

    guesses: int
    tokens: float
    ms: float

    @property
    def tokens_per_s(self) -> float:
        """Of rounds like these alone."""
        return 1000 * self.tokens / self.ms if self.ms else 0.0


@dataclass(frozen=True, slots=True)
class BreakEven:
    """How right the guesses of a source must be to pay.

    right: how often they were, those whose forerunners were. guesses: of a usual round of its. needed: at that length;
    least: at the best one, `best`. None: no chance is enough. chain: the best fixed length for its chances.
    """

    source: str
    right: float | None
    guesses: int
    needed: float | None
    best: int
    least: float | None
    chain: Chain


def tokens(chances: Sequence[float], guesses: int) -> float:
    """E(k). Places beyond the last chance are like it.

    >>> tokens([0.5], 2)
    1.75
    """
    total = reach = 1.0
    for i in range(guesses):
        reach *= chances[min(i, len(chances) - 1)] if chances else 0.0
        total += reach
    return total


def needed(guesses: int, extra_ms: float, plain_ms: float) -> float | None:
    """The chance of each guess from which on they pay; None when even sure ones do not.

    >>> needed(1, 2.0, 10.0), needed(4, 0.0, 10.0), needed(2, 25.0, 10.0)
    (0.2, 0.0, None)
    """
    worth = extra_ms / plain_ms if plain_ms else 0.0
    if worth <= 0:
        return 0.0
    if worth >= guesses:
        return None
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if tokens([middle], guesses) - 1 < worth else (low, middle)
    return round(high, 9)


def best_chain(chances: Sequence[float], basis: Basis, step_ms: float) -> Chain:
    """The fastest fixed length; 0 guesses when none pays."""
    chains = (Chain(k, tokens(chances, k), basis.guessing_ms(k, step_ms)) for k in range(basis.most + 1))
    return max(chains, key=lambda each: each.tokens_per_s)


def break_even(seen: Acceptance, basis: Basis) -> BreakEven:
    """Of a source that guessed."""
    step_ms = step(seen.source, basis)
    guesses = max(1, round(seen.whole.tried / seen.rounds))
    lengths = range(1, basis.most + 1)
    each = {k: needed(k, basis.guessing_ms(k, step_ms) - basis.plain_ms, basis.plain_ms) for k in lengths}
    possible = {k: chance for k, chance in each.items() if chance is not None}
    best = min(possible, key=lambda k: possible[k], default=1)
    return BreakEven(
        seen.source,
        seen.whole.right,
        guesses,
        needed(guesses, basis.guessing_ms(guesses, step_ms) - basis.plain_ms, basis.plain_ms),
        best,
        possible.get(best),
        best_chain(seen.chain, basis, step_ms),
    )


def step(source: str, basis: Basis) -> float:
    """What a guess of this source takes."""
    return basis.step_ms if source == DRAFT else 0.0


def perfect(basis: Basis, step_ms: float = 0.0) -> Chain:
    """A draft that is always right, one of whose guesses takes so long: its best length."""
    return best_chain([1.0], basis, step_ms)
