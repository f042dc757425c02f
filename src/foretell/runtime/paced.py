"""A free source that a Pace paces: it takes what it is granted this round, and learns from what came.

It is told how many tokens the round may commit at most, whatever its width: that says how much is still to come.
"""

from collections.abc import Sequence
from typing import Final

from foretell.accept.proposal import ROOT, Proposal
from foretell.cost.forest import Offer
from foretell.draft.source import Source
from foretell.runtime.chances import Matches
from foretell.runtime.pace import Pace

_NONE: Final = Proposal()
DOUBTFUL: Final = 12  # rounds with guesses of which none is expected to pay until it counts as off


class PacedCopy:
    """A free source; as many of its guesses are taken as are expected to pay."""

    def __init__(self, source: Source, pace: Pace, matches: Matches, width: int) -> None:
        self._source, self._pace, self._width = source, pace, width
        self.matches = matches
        self._offered: Proposal | None = None
        self._taken: Sequence[int] = ()
        self._idle = 0
        self._on = False

    @property
    def name(self) -> str:
        """As the source's."""
        return self._source.name

    @property
    def rank(self) -> int:
        """See `pace.Copier`."""
        return self.matches.rank

    def extend(self, tokens: Sequence[int]) -> None:
        """Learn from the last round, and go on."""
        self._pace.settle(len(tokens))
        if self._offered is not None:
            self.matches.score(self._offered, self._taken, tokens)
            self._note(self._offered)
            self._offered = None
        self._source.extend(tokens)

    def offer(self, limit: int) -> Offer:
        """See `pace.Copier`."""
        offered = self._offered = self._source.propose(min(limit, self._width))
        self._taken = ()
        return Offer(offered.guesses, self.matches.chances(offered))

    def propose(self, limit: int) -> Proposal:
        """As many guesses as the round takes."""
        taken = self._taken = self._pace.copied(self, limit)
        return _NONE if self._offered is None or not taken else _part(self._offered, taken)

    def _note(self, offered: Proposal) -> None:
        """Say when its guesses begin and cease to pay. Ceased or not, they are scored in every round."""
        self._idle = 0 if self._taken else self._idle + (len(offered) > 0)
        on = len(self._taken) > 0 or (self._on and self._idle < DOUBTFUL)
        if on is not self._on:
            self._on = on
            known = self.matches.chance(offered.guesses[0].chance) if len(offered) else 0.0
            why = f"first guesses such as this are right in {known:.0%} of cases"
            self._pace.note(self.name, "on" if on else "off", why)

    def close(self) -> None:
        """Close the source."""
        self._source.close()


def _part(proposal: Proposal, indices: Sequence[int]) -> Proposal:
    """Some of its guesses, each with all that it hangs on."""
    guesses, count = proposal.guesses, len(indices)
    if indices[-1] == count - 1:
        return Proposal(guesses[:count])
    places = {ROOT: ROOT} | {index: place for place, index in enumerate(indices)}
    return Proposal(tuple([guesses[i]._replace(parent=places[guesses[i].parent]) for i in indices]))
