"""A free source that a Pace paces: it takes what it is granted this round, and learns from what came.

It is told how many tokens the round may commit at most, whatever its width: that says how much is still to come.
"""

from collections.abc import Sequence
from typing import Final

from foretell.accept.proposal import Proposal
from foretell.draft.source import Source
from foretell.runtime.chances import Matches
from foretell.runtime.pace import Pace

_NONE: Final = Proposal()


class PacedCopy:
    """A free source; as many of its guesses are taken as are expected to pay."""

    def __init__(self, source: Source, pace: Pace, matches: Matches, width: int) -> None:
        self._source, self._pace, self._width = source, pace, width
        self.matches = matches
        self._offered: Proposal | None = None
        self._taken = 0

    @property
    def name(self) -> str:
        """As the source's."""
        return self._source.name

    def extend(self, tokens: Sequence[int]) -> None:
        """Learn from the last round, and go on."""
        self._pace.settle(len(tokens))
        if self._offered is not None:
            self.matches.score(self._offered, self._taken, tokens)
            self._offered = None
        self._source.extend(tokens)

    def reach(self, limit: int) -> Sequence[float]:
        """See `pace.Copier`."""
        self._offered, self._taken = self._source.propose(min(limit, self._width)), 0
        return self.matches.reach(self._offered)

    def propose(self, limit: int) -> Proposal:
        """As many guesses as the round takes."""
        self._taken = min(self._pace.copied(self, limit), limit)
        if self._offered is None or not self._taken:
            return _NONE
        return Proposal(self._offered.guesses[: self._taken])

    def close(self) -> None:
        """Close the source."""
        self._source.close()
