"""From passes and their times to a speed-up, and how sure that is: over other prompts, and over other timings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from foretell.lab.quality.intervals import RESAMPLES, percentiles
from foretell.lab.select.timing import Block
from foretell.lab.select.usage import Prices, Usage

Floats = NDArray[np.float64]

_SEED: Final = 1979


@dataclass(frozen=True, slots=True)
class Timed:
    """Milliseconds of generations: float64 [blocks of timings, texts], up to the first token and behind it."""

    first: Floats
    rest: Floats

    @property
    def whole(self) -> Floats:
        """Of the response."""
        return self.first + self.rest


@dataclass(frozen=True, slots=True)
class Estimate:
    """A ratio, and the middle 95 % of what other prompts and other timings would make of it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Draws:
    """Samples with replacement: how often each has a text, float64 [samples, texts], and a block of timings."""

    texts: Floats
    blocks: Floats

    @staticmethod
    def of(texts: int, blocks: int, number: int = 0) -> "Draws":
        """The texts are the same for all candidates, so that these pair; `number` tells apart what was timed apart."""
        of_texts, of_blocks = np.random.default_rng(_SEED), np.random.default_rng((_SEED, number))
        return Draws(_weights(of_texts, texts), _weights(of_blocks, blocks))


def timed(
    usages: Sequence[Usage], target: Prices, draft: Prices | None, blocks: Sequence[Block], round_ms: float
) -> Timed:
    """What generations take at the times of each block. round_ms: of a round besides its passes."""
    targets, drafts = [each.target for each in blocks], [each.draft for each in blocks]
    first = [target.ms(each.prompt, targets) for each in usages]
    rest = []
    for each in usages:
        ms = target.ms(each.target, targets) + round_ms * each.played.result.rounds
        rest.append(ms if draft is None else ms + draft.ms(each.draft, drafts))
    return Timed(np.stack(first, axis=1), np.stack(rest, axis=1))


def ratio(base: Floats, mine: Floats, classes: Sequence[str]) -> float:
    """How many times as fast as `base`: of each class by its sums, then the geometric mean. Both [blocks, texts]."""
    blocks, texts = base.shape
    return float(_ratios(base, mine, classes, Draws(np.ones((1, texts)), np.ones((1, blocks))))[0])


def sampled(base: Floats, mine: Floats, classes: Sequence[str], draws: Draws) -> Floats:
    """float64 [samples]: the same of each sample; of classes that a sample has no text of, nothing counts."""
    return _ratios(base, mine, classes, draws)


def estimate(base: Floats, mine: Floats, classes: Sequence[str], draws: Draws) -> Estimate:
    """The ratio with its range."""
    low, high = percentiles(_ratios(base, mine, classes, draws))
    return Estimate(ratio(base, mine, classes), low, high)


def _ratios(base: Floats, mine: Floats, classes: Sequence[str], draws: Draws) -> Floats:
    names = np.asarray(classes)
    logs, count = np.zeros(len(draws.texts)), np.zeros(len(draws.texts))
    for name in dict.fromkeys(classes):
        here = np.flatnonzero(names == name)
        weights = draws.texts[:, here]
        theirs = ((draws.blocks @ base[:, here]) * weights).sum(axis=1)
        its = ((draws.blocks @ mine[:, here]) * weights).sum(axis=1)
        there = weights.sum(axis=1) > 0
        logs += np.log(np.where(there, theirs, 1.0) / np.where(there, its, 1.0))
        count += there
    out: Floats = np.exp(logs / count)
    return out


def _weights(random: np.random.Generator, items: int) -> Floats:
    return random.multinomial(items, np.full(items, 1 / items), size=RESAMPLES).astype(np.float64)
