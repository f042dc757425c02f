"""The draft source `grammar`: tokens that a grammar leaves no choice about; and what it does to other sources."""

from collections.abc import Sequence

from foretell.accept.grammar import Walk
from foretell.accept.proposal import ROOT, Guess, Proposal, chain
from foretell.draft.source import Source

_DRAWN = frozenset({"sampled", "without_replacement"})


class GrammarSource:
    """Forced tokens. `walk` is the text under its grammar; whoever commits tokens extends it."""

    def __init__(self, name: str, width: int, walk: Walk) -> None:
        self.name = name
        self._width, self._walk = width, walk

    def extend(self, tokens: Sequence[int]) -> None:
        """The walk knows."""

    def propose(self, limit: int, after: Sequence[int] = ()) -> Proposal:
        """A chain, for as long as there is no choice."""
        return chain(self._walk.forced(after)[: max(0, min(limit, self._width))], self.name)

    def close(self) -> None:
        """Nothing to give back."""


class Guarded:
    """A source whose guesses end where the grammar forbids them, so that no row is spent on what cannot be kept.

    Drawn guesses stay as they are: to leave some out by what they are would change their law, and the rules for them
    reject what has probability 0.
    """

    def __init__(self, source: Source, walk: Walk) -> None:
        self._source, self._walk = source, walk

    @property
    def name(self) -> str:
        """As the source's."""
        return self._source.name

    @property
    def passes(self) -> int:
        """The source's; free ones make none."""
        passes: int = getattr(self._source, "passes", 0)
        return passes

    def extend(self, tokens: Sequence[int]) -> None:
        """Committed tokens."""
        self._source.extend(tokens)

    def propose(self, limit: int) -> Proposal:
        """The source's guesses without those that the grammar forbids, and without what hangs on these."""
        return permitted(self._source.propose(limit), self._walk)

    def close(self) -> None:
        """Close the source."""
        self._source.close()


def permitted(proposal: Proposal, walk: Walk) -> Proposal:
    """The guesses that a grammar permits; the same object when these are all, or when they were drawn."""
    if any(guess.law in _DRAWN for guess in proposal.guesses):
        return proposal
    places: dict[int, int] = {ROOT: ROOT}  # of a guess -> where it is among those that are kept
    paths: dict[int, list[int]] = {ROOT: []}
    kept: list[Guess] = []
    for i, guess in enumerate(proposal.guesses):
        if guess.parent not in places:
            continue
        path = [*paths[guess.parent], guess.token]
        if walk.permits(path):
            places[i], paths[i] = len(kept), path
            kept.append(Guess(guess.token, places[guess.parent], guess.source, guess.law, guess.chance, guess.q))
    return proposal if len(kept) == len(proposal) else Proposal(tuple(kept))
