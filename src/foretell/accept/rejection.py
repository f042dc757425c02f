"""Recursive rejection: how guesses are tried one after the other so that the token that comes out follows p.

At one place, with p the target's distribution and x drawn from q: keep x with probability min(1, p(x) / q(x)),
otherwise go on with the *residual* max(p - q, 0) / R, R = Σ max(p - q, 0), in place of p: the next sibling is tried
against it, and when none is left the token is drawn from it. Whatever q is, a token y comes out with probability

    q(y) min(1, p(y) / q(y)) + (1 - Σ min(p, q)) max(p - q, 0)(y) / R = min(p, q)(y) + max(p - q, 0)(y) = p(y)

because 1 - Σ min(p, q) = R. By induction over siblings and places this holds for trees, provided that q is what the
guess was drawn from *given the siblings tried before it*. Given the guess itself, that is always the point mass on it.
So a guess read as `point` is safe wherever it came from, while a q that is not the true one (of a token that was
dropped or preferred by its q, of siblings drawn in another way) gives a wrong distribution.

Sources: Leviathan et al., arXiv 2211.17192, appendix A.1; Chen et al., arXiv 2302.01318, theorem 1; several candidates:
SpecInfer, arXiv 2305.09781, section 4.3.
"""

from collections.abc import Callable, Sequence

import numpy as np

from foretell.accept.proposal import ROOT, Guess, Proposal, Weights
from foretell.accept.rule import Chance, Rule, Target, Verdict

# (p or what is left of it, a guess, the tokens of siblings tried before) -> what the token is to follow, and the
# guess's own distribution given these siblings
Compare = Callable[[Weights, Guess, Sequence[int]], tuple[Weights, Weights]]


def recursive(compare: Compare) -> Rule:
    """The rule that tries the guesses of a tree, siblings in order, against what `compare` gives."""

    def accept(proposal: Proposal, target: Target, chance: Chance) -> Verdict:
        path: list[int] = []
        node = ROOT
        while True:
            child, left = _tried(proposal, node, target.p(node), chance, compare)
            if child is None:
                return Verdict(tuple(path), chance.draw("bonus", node, left))
            path.append(child)
            node = child

    return accept


def residual(p: Weights, q: Weights) -> Weights:
    """max(p - q, 0), made to sum to 1; shape [vocabulary]. p itself when nothing is left, as rounding alone allows."""
    over = np.maximum(p - q, 0)
    total = over.sum()
    return over / total if total > 0 else p


def drawn_from(guess: Guess, p: Weights) -> Weights:
    """The q of a guess of law `sampled`; of any other law the point mass on the guess. Like p in shape and type."""
    if guess.law == "sampled" and guess.q is not None:
        return guess.q
    return point(guess, p)


def point(guess: Guess, p: Weights) -> Weights:
    """The distribution that is 1 on the guess. Like p in shape and type."""
    mass = np.zeros_like(p)
    mass[guess.token] = 1
    return mass


def _tried(proposal: Proposal, node: int, p: Weights, chance: Chance, compare: Compare) -> tuple[int | None, Weights]:
    """The first child of a node that is kept, or None; and what is left of p."""
    earlier: list[int] = []
    for child in proposal.children(node):
        guess = proposal.guesses[child]
        p, q = compare(p, guess, earlier)
        if chance.coin("accept", child, min(1, p[guess.token] / q[guess.token])):
            return child, p
        p = residual(p, q)
        earlier.append(guess.token)
    return None, p
