"""Staged speculation (arXiv 2308.04623): a free source guesses what the draft model will guess.

The draft model reads these guesses in one pass and goes on behind those that are what it chooses itself, by its own law
and with its own noise. So its guesses are the same as without, in fewer passes.
"""

from collections.abc import Sequence
from typing import Final

from foretell.accept.proposal import ROOT, Guess, Proposal
from foretell.draft.source import FreeSource

MOST: Final = 7  # guesses beside the one row that is read anyway: one tile of the engine's products
LEAST: Final = 0.05  # reach that pays for a row: more than a row costs, as a part of the pass that a hit saves


def ahead(inner: FreeSource, guesses: Sequence[int], room: int) -> Proposal:
    """What the free source guesses behind the draft model's chain so far, as far as it is likely enough to pay."""
    offered = inner.propose(min(MOST, room), guesses)
    reach: dict[int, float] = {ROOT: 1.0}
    places: dict[int, int] = {ROOT: ROOT}  # index among those offered -> among those taken
    taken: list[Guess] = []
    for i, guess in enumerate(offered.guesses):
        reach[i] = reach[guess.parent] * guess.chance
        if reach[i] >= LEAST and guess.parent in places:
            places[i] = len(taken)
            taken.append(Guess(guess.token, places[guess.parent], guess.source, guess.law, guess.chance))
    return Proposal(tuple(taken))


def continued(tried: Proposal, node: int, token: int) -> int:
    """The guess behind `node` that is this token, or ROOT when there is none."""
    return next((i for i in tried.children(node) if tried.guesses[i].token == token), ROOT)
