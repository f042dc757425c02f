"""A draft model that begins with the end of the prompt, and reads all of it once that has earned the time.

Reading a whole prompt often takes longer than a generation may lose (`Pace.room_ms`), and then the model could not help
for a hundred tokens, however good it is. Behind the last few tokens of the prompt alone its guesses are worse, but what
they save pays for the rest.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from foretell.accept.proposal import Proposal
from foretell.cost.choice import Steps
from foretell.ir.ops import Draft
from foretell.runtime.pace import Pace, Terms
from foretell.runtime.paced_model import PacedModel

TOKENS: Final = 32  # of the prompt's end
KEPT: Final = 0.85  # of right guesses, at first: those behind 64 tokens of longer prompts are measured, 0.94
LEAST, MOST = (
    2 * TOKENS,
    8 * TOKENS,
)  # tokens of a prompt: shorter ones are soon read, of longer ones the end says little
EARLIEST, LATEST = 2, 24  # tokens of the answer when that begins: two show where an answer just copies the input
RESERVE_MS: Final = 40.0  # that may still be lost when the whole is read: what was saved must not all be at risk again
GAIN: Final = 0.1  # tokens that are gained behind the whole prompt, for each that is still to come


def tail_of(statement: Draft) -> Draft | None:
    """The statement of a paced draft model that reads the end of the prompt; None where the text may depend on that."""
    if (
        not statement.paced
        or statement.source != "model"
        or statement.prompt
        or statement.law not in ("point", "coupled")
    ):
        return None
    return replace(statement, name=f"{statement.name}_tail", prompt=TOKENS)


class PacedTail:
    """Two paced readers of one draft model: of the prompt's end, and of all of it. One `foretell.runtime.pace.Drafter`.

    Args:
        tail, whole: the two, see there. pace: who decides.
    """

    def __init__(self, tail: PacedModel, whole: PacedModel, pace: Pace) -> None:
        self._tail, self._whole, self._pace = tail, whole, pace
        self._chosen = whole
        self._prompt = self._length = 0  # tokens of the prompt, and of the answer

    @property
    def name(self) -> str:
        """As the model's."""
        return self._whole.name

    @property
    def passes(self) -> int:
        """Of both."""
        return self._tail.passes + self._whole.passes

    def extend(self, tokens: Sequence[int]) -> None:
        """Learn from the last round, and go on."""
        if self._prompt:
            self._length += len(tokens)
        else:
            self._prompt = len(tokens)
        self._tail.extend(tokens)
        self._whole.extend(tokens)

    def price(self, factor: float) -> None:
        """Its passes take so many times what they usually do, from now on."""
        self._tail.price(factor)
        self._whole.price(factor)

    def wish(self, terms: Terms) -> Steps:
        """See `pace.Drafter`."""
        return (self._tail if self._tail.begun and not self._whole.begun else self._whole).wish(terms)

    def offer(self, terms: Terms, best: float) -> Steps:
        """See `pace.Drafter`."""
        self._chosen = self._whole
        if self._whole.begun or not self._may_begin():
            return self._whole.offer(terms, best)
        first = self._tail.offer(terms, best)
        if not self._tail.begun:
            whole = self._whole.offer(terms, max(best, first.value))
        else:
            careful = terms._replace(room_ms=terms.room_ms - RESERVE_MS)
            pays = first.value > 0 and GAIN * terms.left >= terms.rate * self._whole.reading_ms
            whole = self._whole.at_once(careful) if pays else self._whole.offer(careful, max(best, first.value))
        if whole.value > first.value or self._whole.begun:
            return whole
        self._chosen = self._tail
        return first

    def _may_begin(self) -> bool:
        """Whether the prompt's end alone is of use."""
        now = EARLIEST <= self._length <= LATEST and LEAST < self._prompt <= MOST
        return self._tail.begun or (now and self._whole.reading_ms > self._pace.room_ms)

    def propose(self, limit: int) -> Proposal:
        """The steps that the round takes."""
        return self._chosen.step(self._pace.stepped(self, limit), limit)

    def close(self) -> None:
        """Close both."""
        self._tail.close()
        self._whole.close()
