"""Who guesses in a round, and how many tokens: decided each round for all paced sources of a pipeline together.

A round's options are the target alone, some copied guesses of one source, or some steps of one draft model
(`foretell.cost.choice`). The one with the largest value is taken: tokens that it is expected to give, less what its
time is worth at the recent rate. Chances are learned (`chances`); costs were measured before and stay as they are, so
what a pipeline of class `distribution` says depends on its seed alone.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from foretell.cost.choice import NO_STEPS, Steps, charged, copies
from foretell.cost.facts import Facts
from foretell.runtime.chances import Doubts, Matches

RATE_FADE: Final = 0.7  # per round: a memory of about 3


class Copier(Protocol):
    """A paced source whose guesses cost nothing but rows."""

    def reach(self, limit: int) -> Sequence[float]:
        """Of each guess that it has now, at most `limit`, the chance that it and all that it hangs on are right."""
        ...


class Drafter(Protocol):
    """A paced draft model."""

    def offer(self, limit: int, costs: Sequence[float], rate: float, best: float, left: int) -> Steps:
        """The steps that it would make now, or NO_STEPS when it is not worth its while.

        Args:
            limit: most guesses.
            costs: ms of the target's pass over 1, 2, ... rows.
            rate: tokens per ms that time is worth.
            best: the value of the best option without it.
            left: tokens to come.
        """
        ...


class Pace:
    """Decides, and learns from what came. For one generation, or for all turns of a conversation.

    Args:
        facts: times of the target's passes, and the usual length of an answer.
        rows: most rows of a pass that it may plan.

    Attributes:
        ms, tokens: of all rounds so far, at the costs that decisions go by. plain_rounds: those of the target alone,
        although there were guesses to try.
    """

    def __init__(self, facts: Facts, rows: int) -> None:
        self.costs = charged(facts.target, max(1, rows), facts.overhead_ms)
        self.ms = self.plain_rounds = self.tokens = 0.0
        self._answer = facts.answer_tokens
        self._matches: dict[str, Matches] = {}
        self._doubts: dict[str, Doubts] = {}
        self._copiers: list[Copier] = []
        self._drafters: list[Drafter] = []
        self._recent = 1.0, self.costs[0]  # tokens, ms
        self._planned = False
        self._chosen: object = None
        self._steps: int | Steps = 0
        self._round_ms, self._guesses = 0.0, 0

    @property
    def rate(self) -> float:
        """Tokens per ms that time is worth: the recent ones, never below those of the target alone."""
        tokens, ms = self._recent
        return max(1 / self.costs[0], tokens / ms)

    def matches(self, name: str, measured: Sequence[tuple[int, float, float]] = ()) -> Matches:
        """What was learned of the free source of this name; at first, what was measured of it."""
        if name not in self._matches:
            self._matches[name] = Matches(measured)
        return self._matches[name]

    def doubts(self, name: str, prior: Sequence[tuple[float, float, float]]) -> Doubts:
        """What was learned of the draft model of this name."""
        if name not in self._doubts:
            self._doubts[name] = Doubts(prior)
        return self._doubts[name]

    def begin(self, copiers: Sequence[Copier], drafters: Sequence[Drafter]) -> None:
        """A generation begins, with these sources."""
        self._copiers, self._drafters = list(copiers), list(drafters)
        self._planned, self._chosen = False, None

    def copied(self, source: Copier, limit: int) -> int:
        """How many guesses of a free source this round takes."""
        self._plan(limit)
        return self._steps if self._chosen is source and isinstance(self._steps, int) else 0

    def stepped(self, source: Drafter, limit: int) -> Steps:
        """What a draft model does this round."""
        self._plan(limit)
        return self._steps if self._chosen is source and isinstance(self._steps, Steps) else NO_STEPS

    def spend(self, ms: float, guesses: int) -> None:
        """A draft model's own time in this round, and how many guesses it gave for that."""
        self._round_ms += ms
        self._guesses += guesses

    def settle(self, tokens: int) -> None:
        """The round is over and gave so many tokens. Only the first call in a round counts."""
        if not self._planned:
            return
        self._planned = False
        guesses = self._steps if isinstance(self._steps, int) else self._guesses
        ms = self._round_ms + self.costs[min(guesses, len(self.costs) - 1)]
        self.ms += ms
        self.tokens += tokens
        self._round_ms, self._guesses = 0.0, 0
        then_tokens, then_ms = self._recent
        self._recent = then_tokens * RATE_FADE + tokens, then_ms * RATE_FADE + ms

    def _plan(self, limit: int) -> None:
        if self._planned:
            return
        self._planned = True
        costs, rate = self.costs, self.rate
        self._chosen, self._steps, best, offered = None, 0, 0.0, False
        for copier in self._copiers:
            reach = copier.reach(limit)
            offered = offered or len(reach) > 0
            count, value = copies(reach, costs, rate)
            if value > best:
                self._chosen, self._steps, best = copier, count, value
        for drafter in self._drafters:
            steps = drafter.offer(limit, costs, rate, best, min(limit, self._answer))
            if steps.value > best:
                self._chosen, self._steps, best = drafter, steps, steps.value
        self.plain_rounds += offered and self._chosen is None
