"""Lookup where the text repeats itself, else the draft model: the usual way to have both.

Prompt lookup decoding looks for the newest n-gram, 2 or 3 tokens in the implementations around; here a match of at
least MATCH tokens decides who guesses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from foretell.accept.proposal import Proposal, chain
from foretell.draft.lookup import Lookup
from foretell.draft.model import ModelSource
from foretell.lab.policies.policy import Kit
from foretell.runtime.bind import Bound

MATCH: Final = 2  # tokens


class _First:
    """Lookup's guesses when there is a match, else the model's. `passes` are the model's."""

    name = "lookup-then-model"

    def __init__(self, model: ModelSource, width: int) -> None:
        self._model, self._width, self._lookup = model, width, Lookup()

    @property
    def passes(self) -> int:
        """Of the draft model."""
        return self._model.passes

    def extend(self, tokens: Sequence[int]) -> None:
        """To both."""
        self._lookup.extend(tokens)
        self._model.extend(tokens)

    def propose(self, limit: int) -> Proposal:
        """A chain."""
        room = min(limit, self._width)
        if self._lookup.match_length >= MATCH:
            return chain(self._lookup.propose(room), "lookup")
        return self._model.propose(room)

    def close(self) -> None:
        """Close the model's source."""
        self._model.close()


@dataclass(frozen=True, slots=True)
class LookupThenModel:
    """So many guesses of one of the two."""

    width: int
    drafts = True
    pipeline = None

    @property
    def name(self) -> str:
        """With the width."""
        return f"lookup-then-model-{self.width}"

    def fresh(self) -> "LookupThenModel":
        """Itself."""
        return self

    def bound(self, kit: Kit) -> Bound:
        """See the class."""
        return kit.bound(_First(kit.chain(self.width), self.width), self.width)
