"""Recursive rejection without replacement over trees (Jeon et al., arXiv 2402.14160, section 3.2).

Siblings are drawn one after the other from q without those drawn before: the k-th from

    q_k(x) = q(x) / (1 - q(x_1) - ... - q(x_{k-1})) outside x_1 ... x_{k-1}, else 0.

The first is tried against p_1 = p, each further one against the residual p_{k+1} ∝ max(p_k - q_k, 0): kept with
probability min(1, p_k(x_k) / q_k(x_k)). When none is kept the token is drawn from the last residual. The text is
distributed as the target's own.

How many siblings are drawn, and where, may depend on all that was drawn before; what was drawn must be in the tree, in
the order of the draws. Guesses of other laws are read as `point`.
"""

from collections.abc import Sequence

from foretell.accept.proposal import Guess, Weights
from foretell.accept.rejection import point, recursive


def _compare(p: Weights, guess: Guess, earlier: Sequence[int]) -> tuple[Weights, Weights]:
    if guess.law == "without_replacement" and guess.q is not None:
        return p, _without(guess.q, earlier)
    return p, point(guess, p)


def _without(q: Weights, tokens: Sequence[int]) -> Weights:
    """The distribution q given that it is none of these tokens."""
    if not tokens:
        return q
    rest = q.copy()
    rest[list(tokens)] = 0
    result: Weights = rest / rest.sum()
    return result


accept = recursive(_compare)
