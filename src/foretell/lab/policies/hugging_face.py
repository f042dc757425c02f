"""How Hugging Face's transformers sets the length of an assistant model's chain (`AssistedCandidateGenerator`).

The heuristic (default of versions 4.30 to 4.45): begin with 5 tokens; 2 more when all of a round's were right, else 1
less, but at least 1; what was reached is kept for the next call. The confidence threshold (default since, arXiv
2405.04304): chains of at most 20 tokens end behind one that the assistant gives less than 0.4; after each round the
threshold is set anew where it would have cost least so far, a right guess left out counting 3 times a wrong one tried.
Both are cut to STEPS guesses here, which is as far as traces go.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from foretell.accept.proposal import Proposal
from foretell.draft.model import ModelSource
from foretell.lab.policies.policy import STEPS, Kit, lasting
from foretell.runtime.bind import Bound

FIRST: Final = 5.0  # tokens
MORE, LESS = 2.0, 1.0
LEAST: Final = 1.0

THRESHOLD: Final = 0.4
MISSED: Final = 3.0  # what a right guess that was left out costs, in wrong ones that were tried
SAMPLES: Final = 5  # more than these before the threshold is set anew


@dataclass(slots=True)
class Heuristic:
    """The length goes up by 2 and down by 1."""

    length: float = FIRST
    name = "hf-heuristic"
    drafts = True
    pipeline = None

    def fresh(self) -> "Heuristic":
        """At the first length."""
        return Heuristic()

    def bound(self, kit: Kit) -> Bound:
        """See the class."""
        return kit.bound(_Lengths(kit.chain(STEPS), self), STEPS)


class _Lengths:
    """Chains of the present length."""

    def __init__(self, model: ModelSource, state: Heuristic) -> None:
        self.name = state.name
        self._model, self._state, self._proposal = model, state, Proposal()

    @property
    def passes(self) -> int:
        """Of the draft model."""
        return self._model.passes

    def extend(self, tokens: Sequence[int]) -> None:
        """Learn from the round."""
        self._model.extend(tokens)
        if len(self._proposal):
            everything = lasting(self._proposal, tokens) == len(self._proposal)
            length = self._state.length + (MORE if everything else -LESS)
            self._state.length = max(LEAST, length)
        self._proposal = Proposal()

    def propose(self, limit: int) -> Proposal:
        """A chain."""
        self._proposal = self._model.propose(min(limit, int(self._state.length)))
        return self._proposal

    def close(self) -> None:
        """Close the model's source."""
        self._model.close()


@dataclass(frozen=True, slots=True)
class Confidence:
    """Chains end behind a guess below a threshold that is learned in each generation."""

    name = "hf-confidence"
    drafts = True
    pipeline = None

    def fresh(self) -> "Confidence":
        """Itself: generations begin alike."""
        return self

    def bound(self, kit: Kit) -> Bound:
        """See the class."""
        return kit.bound(_Confident(kit.chain(STEPS)), STEPS)


class _Confident:
    """Chains, and what became of each guess so far."""

    name = Confidence.name

    def __init__(self, model: ModelSource) -> None:
        self._model, self._proposal = model, Proposal()
        self._sure: list[float] = []
        self._right: list[bool] = []
        self._model.stop = THRESHOLD

    @property
    def passes(self) -> int:
        """Of the draft model."""
        return self._model.passes

    def extend(self, tokens: Sequence[int]) -> None:
        """Learn from the guesses as far as the first wrong one."""
        self._model.extend(tokens)
        kept = lasting(self._proposal, tokens)
        for i, guess in enumerate(self._proposal.guesses[: kept + 1]):
            self._sure.append(guess.chance)
            self._right.append(i < kept)
        if len(self._sure) > SAMPLES and len(set(self._right)) > 1:
            self._model.stop = cheapest(self._sure, self._right)
        self._proposal = Proposal()

    def propose(self, limit: int) -> Proposal:
        """A chain."""
        self._proposal = self._model.propose(limit)
        return self._proposal

    def close(self) -> None:
        """Close the model's source."""
        self._model.close()


def cheapest(sure: Sequence[float], right: Sequence[bool]) -> float:
    """The threshold on the ROC curve with the least of false positives + MISSED * false negatives, both as rates.

    Guesses from it on count as tried. Of equals the largest; infinity when trying none is best.

    >>> cheapest([0.9, 0.8, 0.3, 0.2], [True, True, False, False])
    0.8
    """
    positives = sum(right)
    negatives = len(right) - positives
    best, least = inf, MISSED
    for threshold in sorted(set(sure), reverse=True):
        tried = [hit for chance, hit in zip(sure, right, strict=True) if chance >= threshold]
        hits = sum(tried)
        cost = (len(tried) - hits) / negatives + MISSED * (1 - hits / positives)
        if cost < least - 1e-12:
            best, least = threshold, cost
    return best
