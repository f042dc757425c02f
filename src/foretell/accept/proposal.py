"""The proposal of a round: a forest of guessed tokens, each with its source and the law it was drawn by."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, repeat
from typing import Any, NamedTuple

from numpy.typing import NDArray

ROOT = -1  # the parent of a guess that follows the newest token of the text
Weights = NDArray[Any]  # a distribution over the vocabulary: float64, or Fractions in tests that enumerate


class Guess(NamedTuple):
    """A guessed token.

    parent: index of an earlier guess, or ROOT. source: who guessed it. law: see `foretell.ir.ops.Law`.
    chance: the source's own estimate that it is right when its ancestors are.
    q: of the laws `sampled` and `without_replacement`: the distribution at its place, after warpers, before earlier
    siblings were taken out; else None.
    """

    token: int
    parent: int
    source: str
    law: str = "point"
    chance: float = 1.0
    q: Weights | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """Guesses, parents before children; siblings in the order in which rules try them."""

    guesses: tuple[Guess, ...] = ()

    def __len__(self) -> int:
        return len(self.guesses)

    @property
    def tokens(self) -> list[int]:
        """The guessed tokens."""
        return [guess.token for guess in self.guesses]

    @property
    def parents(self) -> list[int]:
        """The index of each guess's parent, or ROOT."""
        return [guess.parent for guess in self.guesses]

    @property
    def is_chain(self) -> bool:
        """Whether each guess follows the one before it."""
        return all(guess.parent == i for i, guess in enumerate(self.guesses, ROOT))

    def children(self, node: int) -> list[int]:
        """Guesses right behind a guess or ROOT, in order."""
        return [i for i, guess in enumerate(self.guesses) if guess.parent == node]

    def path(self, node: int) -> list[int]:
        """Guesses from the first one down to `node`, itself included; empty for ROOT."""
        out = []
        while node != ROOT:
            out.append(node)
            node = self.guesses[node].parent
        return out[::-1]


def chain(tokens: Sequence[int], source: str, law: str = "point", chances: Sequence[float] | None = None) -> Proposal:
    """Guesses one behind the other."""
    if chances is None:
        return Proposal(tuple(map(Guess, tokens, count(ROOT), repeat(source), repeat(law))))
    if len(chances) != len(tokens):
        raise ValueError(f"{len(tokens)} guesses and {len(chances)} chances")
    return Proposal(tuple(map(Guess, tokens, count(ROOT), repeat(source), repeat(law), map(float, chances))))


def merge(proposals: Sequence[Proposal], width: int) -> Proposal:
    """One forest: what two proposals share is kept once, with the earlier one's source; at most `width` guesses.

    Merged guesses have the law `point`: which of them are in the tree depends on all sources.
    """
    guesses: list[Guess] = []
    places: dict[tuple[int, int], int] = {}  # (parent, token) -> index
    for proposal in proposals:
        mine: dict[int, int] = {ROOT: ROOT}
        for i, guess in enumerate(proposal.guesses):
            parent = mine.get(guess.parent)
            if parent is None:
                continue  # an ancestor did not fit
            place = places.get((parent, guess.token))
            if place is None and len(guesses) < width:
                place = places[parent, guess.token] = len(guesses)
                guesses.append(Guess(guess.token, parent, guess.source, "point", guess.chance))
            if place is not None:
                mine[i] = place
    return Proposal(tuple(guesses))
