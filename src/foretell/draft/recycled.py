"""Recycled tokens: a tree of what followed each token in the text so far.

Token Recycling (arXiv 2408.08696) keeps a small table of likely successors per token and grows a tree from it. Here the
table holds committed tokens only, newest successor first, and the tree's shape follows how often a successor of each
rank was right: the guesses with the largest product of chances along their path are taken.
"""

from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Final

from foretell.accept.proposal import ROOT, Guess, Proposal

PRIOR: Final = (0.30, 0.10, 0.06, 0.04)  # chance of the newest successor, of the one before it, ...
PRIOR_WEIGHT: Final = 32.0  # tokens that the prior counts for
FADE: Final = 0.995  # per token: a memory of about 200


class RecycledSource:
    """The draft source `recycled`: a tree."""

    def __init__(self, name: str, width: int) -> None:
        self.name = name
        self._width = width
        self._successors: dict[int, list[int]] = {}  # newest first, as many as PRIOR has ranks
        self._newest = -1  # no token yet
        self._hits, self._trials = [p * PRIOR_WEIGHT for p in PRIOR], PRIOR_WEIGHT

    def extend(self, tokens: Sequence[int]) -> None:
        """Committed tokens: note who follows whom, and which rank was right."""
        for token in tokens:
            if self._newest >= 0:
                self._note(self._successors.setdefault(self._newest, []), token)
            self._newest = token

    def _note(self, known: list[int], token: int) -> None:
        if known:
            self._hits = [hits * FADE for hits in self._hits]
            self._trials = self._trials * FADE + 1
        if token in known:
            self._hits[known.index(token)] += 1
            known.remove(token)
        known.insert(0, token)
        del known[len(PRIOR) :]

    def propose(self, limit: int, after: Sequence[int] = ()) -> Proposal:
        """The `limit` likeliest guesses, parents before children and likelier siblings first."""
        order, guesses = count(), list[Guess]()
        waiting: list[tuple[float, int, Guess]] = []  # reach (negative, for the heap), order, guess

        def offer(token: int, parent: int, reach: float) -> None:
            for hits, follower in zip(self._hits, self._successors.get(token, ()), strict=False):
                chance = hits / self._trials
                heappush(waiting, (-reach * chance, next(order), Guess(follower, parent, self.name, "point", chance)))

        offer(after[-1] if after else self._newest, ROOT, 1.0)
        while waiting and len(guesses) < min(limit, self._width):
            reach, _, guess = heappop(waiting)
            guesses.append(guess)
            offer(guess.token, len(guesses) - 1, -reach)
        return Proposal(tuple(guesses))

    def close(self) -> None:
        """Nothing to give back."""
