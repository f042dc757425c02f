"""Speculative sampling by rejection (arXiv 2211.17192 and 2302.01318): the text is distributed as the target's own.

A guess x is kept with probability min(1, p(x) / q(x)); behind the first one that is not, the token is drawn from the
residual max(p - q, 0); behind the last one, from p. Kept at a place: Σ min(p, q), the most that is possible.

Sound for a chain of law `sampled`. Guesses of any other law are read as `point`: kept with probability p(x), and x is
taken out of p when it is not, which is sound for every tree, however its guesses came about.
"""

from collections.abc import Sequence

from foretell.accept.proposal import Guess, Weights
from foretell.accept.rejection import drawn_from, recursive


def _compare(p: Weights, guess: Guess, _earlier: Sequence[int]) -> tuple[Weights, Weights]:
    return p, drawn_from(guess, p)


accept = recursive(_compare)
