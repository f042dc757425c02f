"""Acceptance of coupled and greedy guesses: keep a guess when the target itself chooses the same token.

The target's choice at a position is a function of its logits and of noise keyed by (seed, position, token), so the kept
tokens are exactly those that the target alone would have generated, whatever was guessed (DESIGN.md, section 6).

A guess drawn from q with the same Gumbel noise is right with probability Σ_x 1 / Σ_y max(p(y) / p(x), q(y) / q(x))
(Daliri et al., "Coupling without communication and drafter-invariant speculative decoding", arXiv 2408.07978); a guess
without chance, with probability p(guess).
"""

from collections.abc import Sequence

from foretell.accept.proposal import ROOT, Proposal
from foretell.accept.rule import Chance, Target, Verdict


def accept(proposal: Proposal, target: Target, _chance: Chance) -> Verdict:
    """Follow the target's choices down the tree as far as they were guessed. Exact for every law and every tree."""
    path: list[int] = []
    node = ROOT
    while True:
        token = target.choice(node)
        child = next((i for i in proposal.children(node) if proposal.guesses[i].token == token), None)
        if child is None:
            return Verdict(tuple(path), token)
        path.append(child)
        node = child


def accepted(guesses: Sequence[int], chosen: Sequence[int]) -> int:
    """How many guesses of a chain are kept. chosen[i] is the target's token after i guesses.

    >>> accepted([5, 6, 7], [5, 6, 9, 1])
    2
    """
    for count, guess in enumerate(guesses):
        if chosen[count] != guess:
            return count
    return len(guesses)
