"""Speculative cascade (Narasimhan et al., arXiv 2405.19261): the better model of the two speaks, place by place.

The text follows π = p where the target is asked and π = q where it is not, by the paper's rule OPT with the 0-1 loss:

    the target is asked  ⇔  max q < max p - α · TV(p, q),   TV(p, q) = 1/2 Σ |p - q|,

that is, when it is more certain than the draft by more than what a rejection costs. Verified by rejection against π. As
max p - max q never exceeds TV(p, q), the target is never asked at α = 1. Behind the last guess there is no q and the
token follows p. Lossy, without a bound on the total variation.
"""

from collections.abc import Sequence

from foretell.accept.proposal import Guess, Weights
from foretell.accept.rejection import drawn_from, recursive
from foretell.accept.rule import Rule


def accept(alpha: float) -> Rule:
    """The rule for one α, above 0 and at most 1; the larger, the more the draft is trusted."""

    def compare(p: Weights, guess: Guess, _earlier: Sequence[int]) -> tuple[Weights, Weights]:
        q = drawn_from(guess, p)
        variation = abs(p - q).sum() / 2
        asked = q.max() < p.max() - alpha * variation
        return (p if asked else q), q

    return recursive(compare)
