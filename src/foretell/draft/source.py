"""What a draft source is: something that guesses what comes next.

A source is made for one generation. It is told every committed token: first the prompt and the token that the prompt's
own pass chose, then what each round adds. It is asked for guesses when a round begins, every round or seldom, and what
it guessed may have been rejected or not even tried.
"""

from collections.abc import Sequence
from typing import Protocol

from foretell.accept.proposal import Proposal


class Source(Protocol):
    """A draft source."""

    @property
    def name(self) -> str:
        """What its guesses are labelled with."""
        ...

    def extend(self, tokens: Sequence[int]) -> None:
        """These tokens were committed, behind those of earlier calls."""
        ...

    def propose(self, limit: int) -> Proposal:
        """At most `limit` guesses behind the newest token that it was told; a chain or a tree, or none."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


class FreeSource(Source, Protocol):
    """A source whose guesses cost next to nothing, so that a draft model may ask it amid its own chain."""

    def propose(self, limit: int, after: Sequence[int] = ()) -> Proposal:
        """As `Source.propose`, behind the newest token and these guesses after it."""
        ...
