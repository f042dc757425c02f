"""Where a draft model guesses, and what it is asked there: the laws have a file each (likely.py, drawn.py)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from foretell.accept.proposal import Guess
from foretell.accept.rule import Chance
from foretell.backend.protocol import Scores, Want


@dataclass(frozen=True, slots=True)
class Place:
    """Where the next token of a draft model's chain is guessed.

    parent: the guess before it, or ROOT. first: index that the first guess made here will have. room: most guesses
    here. history: the last tokens before it, of the text and the chain (as many as penalties look at). position: how
    many tokens are before it. chance: this proposal's randomness.
    """

    parent: int
    first: int
    room: int
    history: Sequence[int]
    position: int
    chance: Chance


class Picker(Protocol):
    """A law: which tokens a draft model guesses at a place."""

    @property
    def want(self) -> Want:
        """What it needs of a row's scores."""
        ...

    @property
    def plain(self) -> bool:
        """Whether it only ever guesses the token that the scores say, so that the model can go on by itself."""
        ...

    def guesses(self, scores: Scores, row: int, place: Place) -> list[Guess]:
        """The guess that the chain goes on with, then siblings of it; none where the chain has to end."""
        ...
