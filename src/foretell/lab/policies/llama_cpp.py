"""llama.cpp's draft model (`common/speculative.cpp`): guesses as long as each has a probability of p-min.

Its defaults: at most 16 guesses, p-min 0.75. The guess that falls below is computed and left out. Cut to STEPS guesses
here, which is as far as traces go.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from foretell.accept.proposal import Proposal
from foretell.draft.model import ModelSource
from foretell.lab.policies.policy import STEPS, Kit
from foretell.runtime.bind import Bound

P_MIN: Final = 0.75


class _Sure:
    """Guesses before the first doubtful one."""

    def __init__(self, name: str, model: ModelSource, p_min: float) -> None:
        self.name = name
        self._model, self._p_min = model, p_min
        self._model.stop = p_min

    @property
    def passes(self) -> int:
        """Of the draft model."""
        return self._model.passes

    def extend(self, tokens: Sequence[int]) -> None:
        """To the model."""
        self._model.extend(tokens)

    def propose(self, limit: int) -> Proposal:
        """A chain, perhaps empty."""
        guesses = self._model.propose(limit).guesses
        return Proposal(guesses[:-1] if guesses and guesses[-1].chance < self._p_min else guesses)

    def close(self) -> None:
        """Close the model's source."""
        self._model.close()


@dataclass(frozen=True, slots=True)
class PMin:
    """Chains of sure guesses."""

    p_min: float = P_MIN
    name = "llama.cpp-p-min"
    drafts = True
    pipeline = None

    def fresh(self) -> "PMin":
        """Itself."""
        return self

    def bound(self, kit: Kit) -> Bound:
        """See the class."""
        return kit.bound(_Sure(self.name, kit.chain(STEPS), self.p_min), STEPS)
