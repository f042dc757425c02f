"""What an acceptance rule sees and gives. Each rule has a file of its own."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from foretell.accept.proposal import Proposal, Weights


class Target(Protocol):
    """What the target's pass over a proposal found out. Nodes are indices of guesses, or ROOT."""

    def choice(self, node: int) -> int:
        """The token that the target itself chooses behind a node: argmax, or the draw with the position's own noise."""
        ...

    def p(self, node: int) -> Weights:
        """Its distribution behind a node, after warpers; sums to 1, or to 2^-20 of it in floating point."""
        ...


class Chance(Protocol):
    """The one seam that randomness of rules and drafts passes through; tests enumerate it.

    purpose and node key the noise, with the seed and the round: no two decisions share any.
    """

    def coin(self, purpose: str, node: int, probability: Any) -> bool:
        """True with this probability."""
        ...

    def draw(self, purpose: str, node: int, weights: Weights) -> int:
        """An index, with probability in proportion to its weight; weights are not all 0."""
        ...


class Verdict(NamedTuple):
    """What a rule decided.

    path: the guesses that are kept, from the first down. bonus: the target's token behind them; None when it was not
    asked.
    """

    path: tuple[int, ...]
    bonus: int | None


Rule = Callable[[Proposal, Target, Chance], Verdict]
