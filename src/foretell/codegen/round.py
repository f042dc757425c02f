"""What a round needs and gives, whether it is interpreted or generated."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from foretell.accept.proposal import Proposal, Weights
from foretell.accept.rule import Chance, Rule, Target, Verdict
from foretell.draft.source import Source

Defers = Callable[[Weights], bool]  # whether the target is to be asked where the small model has distribution q


class Verifier(Protocol):
    """The target's side of a round."""

    def verify(self, proposal: Proposal, *, constrained: bool = False) -> Target:
        """One pass over the tokens that the target has not read yet and the guesses behind them."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What a pipeline's strings are bound to, by the name that its statement sets.

    sources: of each Draft. rules: of each Accept. defers: of each Defer.
    """

    sources: Mapping[str, Source]
    rules: Mapping[str, Rule]
    defers: Mapping[str, Defers]
    verifier: Verifier


class Outcome(NamedTuple):
    """A round's proposal (after merging and deferring) and what became of it."""

    proposal: Proposal
    verdict: Verdict


# A round: its parts, the most guesses that it may commit, and its noise.
Round = Callable[[Parts, int, Chance], Outcome]
