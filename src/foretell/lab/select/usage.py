"""Which passes a policy makes along texts, found by replay, and what these take at given times of passes.

The replay decides by the same facts and the same code as a real run, so it makes the same passes. What a pass takes is
known better than by these facts: from short timings of target and draft, taken in turns. So passes are noted here, and
priced later, as often as there are timings.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from foretell.cost.curve import Curve
from foretell.lab.policies.policy import Policy
from foretell.lab.replay.costs import Costs, PassTimes
from foretell.lab.replay.run import Played
from foretell.lab.replay.score import Scorer
from foretell.profile.energy.counter import PassCounter
from foretell.profile.energy.work import Work
from foretell.profile.passes import PROMPT_ROWS

Pass = tuple[int, int]  # rows, and tokens before them
Ms = Mapping[int, float]  # milliseconds of a pass by rows

_ONE_SCORED: Final = 16  # passes over more rows read a prompt, and at most their last row is scored


@dataclass(frozen=True, slots=True)
class Noted(PassTimes):
    """Times of passes that note each pass that they are asked for."""

    passes: list[Pass] = field(default_factory=list)

    def __call__(self, rows: int, context: int) -> float:
        """Its milliseconds."""
        self.passes.append((rows, context))
        return PassTimes.__call__(self, rows, context)

    def scaled(self, factor: float, prompt: float = 1.0) -> "Noted":
        """See PassTimes; notes go to the same place."""
        other = PassTimes(self.curves, self.prompt_ms).scaled(factor, prompt)
        return Noted(other.curves, other.prompt_ms, self.passes)

    def taken(self) -> list[Pass]:
        """The passes since the last time."""
        out = list(self.passes)
        self.passes.clear()
        return out


@dataclass(frozen=True, slots=True)
class Usage:
    """A generation: its passes, and the rounds that it had.

    prompt: of the target over the prompt. target: its others. draft: of the draft model.
    """

    klass: str
    id: str
    played: Played
    prompt: tuple[Pass, ...]
    target: tuple[Pass, ...]
    draft: tuple[Pass, ...]


def usages(scorer: Scorer, policy: Policy) -> Iterator[Usage]:
    """Of each text of a trace. Raises ForetellError when the trace cannot score the policy."""
    target = _noted(scorer.costs.target)
    draft = None if scorer.costs.draft is None else _noted(scorer.costs.draft)
    noting = Scorer(scorer.trace, scorer.facts, Costs(target, draft, scorer.costs.round_ms))
    for scored in noting.score(policy):
        passes, length = target.taken(), len(scored.text.prompt)
        first = sum(context < length for _, context in passes)
        yield Usage(
            scored.text.klass,
            scored.text.id,
            scored.played,
            tuple(passes[:first]),
            tuple(passes[first:]),
            () if draft is None else tuple(draft.taken()),
        )


@dataclass(frozen=True, slots=True)
class Prices:
    """What passes take, as they were timed behind `context` tokens; longer contexts cost more in proportion to `base`.

    base: the model's profile. A pass over more rows than 64 takes as long for each as one over 64.
    """

    base: PassTimes
    context: int

    def amounts(self, passes: Sequence[Pass]) -> dict[int, float]:
        """How many passes of each size these are, each weighted by what its context makes of it."""
        out: dict[int, float] = {}
        for (rows, context), count in Counter(passes).items():
            if rows > PROMPT_ROWS:
                out[PROMPT_ROWS] = out.get(PROMPT_ROWS, 0.0) + count * rows / PROMPT_ROWS
            else:
                factor = self.base(rows, context) / self.base(rows, self.context)
                out[rows] = out.get(rows, 0.0) + count * factor
        return out

    def ms(self, passes: Sequence[Pass], blocks: Sequence[Ms]) -> NDArray[np.float64]:
        """float64 [blocks]: what they take together at the times of each block."""
        amounts = self.amounts(passes)
        curves = [Curve.of(block) for block in blocks]
        return np.array([sum(count * curve(rows) for rows, count in amounts.items()) for curve in curves])


def work(passes: Sequence[Pass], counter: PassCounter) -> Work:
    """Bytes and multiply-adds of passes; of those over many rows one is scored."""
    out = Work()
    for (rows, context), count in Counter(passes).items():
        its = counter.of_pass(rows, context, 1 if rows > _ONE_SCORED else rows).work
        out += Work(its.bytes * count, its.macs * count)
    return out


def _noted(times: PassTimes) -> Noted:
    return Noted(times.curves, times.prompt_ms)
