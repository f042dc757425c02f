"""Guesses that were final when they were made: the draft has spoken, and the target goes on behind it.

For proposals of `defer`, whose rule on q decided where the target is asked (`foretell.accept.defers`). Lossy.
"""

from foretell.accept.proposal import ROOT, Proposal
from foretell.accept.rule import Chance, Target, Verdict


def accept(proposal: Proposal, target: Target, _chance: Chance) -> Verdict:
    """Keep the whole chain, of siblings the first, and add the target's own choice behind it."""
    path: list[int] = []
    node = ROOT
    while children := proposal.children(node):
        node = children[0]
        path.append(node)
    return Verdict(tuple(path), target.choice(node))
