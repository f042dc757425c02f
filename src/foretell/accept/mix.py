"""The bounded lossy rule: the text follows π = (1 - ε) p + ε q instead of p.

Rejection against π: a guess x is kept with probability min(1, π(x) / q(x)), else the token is drawn from the residual
max(π - q, 0). Per token the total variation between π and p is ε · TV(p, q), so at most ε. Behind the last guess there
is no q and the token follows p. For a guess of law `point`, q is the point mass on it, and the bound is the same.

Mixtures as a lossy target are one of the laws that arXiv 2405.19261, section 4, verifies by rejection.
"""

from collections.abc import Sequence

from foretell.accept.proposal import Guess, Weights
from foretell.accept.rejection import drawn_from, recursive
from foretell.accept.rule import Rule


def accept(epsilon: float) -> Rule:
    """The rule for one ε, above 0 and at most 1. At 1 every guess is kept."""

    def compare(p: Weights, guess: Guess, _earlier: Sequence[int]) -> tuple[Weights, Weights]:
        q = drawn_from(guess, p)
        return (1 - epsilon) * p + epsilon * q, q

    return recursive(compare)
