"""Lookup with a width that follows what guesses cost here and how often they are right."""

from collections.abc import Sequence

from foretell.accept.proposal import Proposal, chain
from foretell.draft.lookup import Lookup
from foretell.runtime.width import Width


class PacedLookup:
    """The draft source `lookup`; `width` chooses how many of its guesses are taken each round, and learns."""

    name = "lookup"

    def __init__(self, width: Width) -> None:
        self.width = width
        self._lookup = Lookup()
        self._asked: tuple[int, list[int], int] | None = None  # match length, available guesses, those taken

    def extend(self, tokens: Sequence[int]) -> None:
        """Learn from the last round, and go on."""
        if self._asked is not None:
            match, guesses, taken = self._asked
            self.width.score(match, guesses, taken, tokens)
            self._asked = None
        self._lookup.extend(tokens)

    def propose(self, limit: int) -> Proposal:
        """As many guesses as are expected to pay."""
        match, guesses = self._lookup.match_length, self._lookup.propose(self.width.limit)
        taken = self.width.choose(match, min(len(guesses), limit))
        self._asked = match, guesses, taken
        return chain(guesses[:taken], self.name)

    def close(self) -> None:
        """Nothing to give back."""
