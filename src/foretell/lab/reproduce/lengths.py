"""Tokens per round by acceptance and length, and the gain (arXiv 2211.17192, equation 1 and theorem 3.8; 2302.01318).

Both are functions of α, the chance that a guess is kept, as if guesses were kept independently of each other. α is
taken from rounds with one guess, so what is claimed of longer rounds is a prediction.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from foretell.lab.experiment.rows import Row
from foretell.lab.reproduce.cases import ALONE, Case, Sample, decoded, decoding_s
from foretell.lab.reproduce.claim import Claim, Values, interval
from foretell.lab.reproduce.ways import Way

PAPER: Final = "2211.17192"
ONE: Final = Way("sampling", 1)
_TOKENS: Final = "a round with {} guesses gives (1 − α^(γ+1)) / (1 − α) tokens"
_GAIN: Final = "{} guesses give (1 − α^(γ+1)) / ((1 − α) (γ c + 1)) times the target's tokens per second"


def claims(case: Case) -> Iterator[Claim]:
    """For each length that speculative sampling was run with, beside the length 1."""
    if ONE not in case.rows:
        return
    for its in case.ways("sampling"):
        if its.width > 1:
            yield from _tokens(case, its)
    for its in case.ways("sampling"):
        yield from _gain(case, its)


def rounds_of(chance: NDArray[np.float64], length: int, most: int) -> NDArray[np.float64]:
    """Rounds that texts of 0 to `most` tokens are expected to take: equation 1, with an end to the text.

    chance: float64 [n], of keeping a guess. A round gives as many tokens as are still wanted at most.

    Returns:
        float64 [n, most + 1].

    >>> rounds_of(np.array([0.0, 1.0]), 3, 8)[:, 8]
    array([8., 2.])
    """
    out = np.zeros((chance.size, most + 1))
    for n in range(1, most + 1):
        room = min(length + 1, n)
        out[:, n] = 1
        for given in range(1, room + 1):
            likely = chance ** (given - 1) * (1 if given == room else 1 - chance)
            out[:, n] += likely * out[:, n - given]
    return out


def _tokens(case: Case, its: Way) -> Iterator[Claim]:
    sample = case.sample(ONE, its)
    if not sample.items or not sample.sums(0, _guessed).sum():
        return
    chance = sample.quotient(sample.sums(0, _kept), sample.sums(0, _guessed))
    given, rounds = sample.sums(1, _given), sample.sums(1, lambda row: row.rounds)
    measured, claimed = sample.quotient(given, rounds), _expected(sample, 1, its.width)
    low, high = interval(measured, claimed, sample.items)
    of = f"{sample.items} prompts, {rounds.sum():.0f} rounds"
    says, title = _TOKENS.format(its.width), f"{case.title}, α {chance[0]:.2f}"
    yield Claim(PAPER, says, title, "equal", float(claimed[0]), float(measured[0]), low, high, of)


def _expected(sample: Sample, side: int, length: int) -> Values:
    """Tokens per round of a side's texts, by the first side's acceptance."""
    kept, guessed = sample.sums(0, _kept), sample.sums(0, _guessed)
    most = round(max(map(_given, sample.rows(side))))
    counts = np.array(
        [np.bincount([round(_given(row)) for row in its], minlength=most + 1) for its in sample.sides[side]]
    )

    def figure(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        texts = weights @ counts
        wanted = (texts * rounds_of((weights @ kept) / (weights @ guessed), length, most)).sum(1)
        return np.asarray(texts @ np.arange(most + 1) / wanted)

    return sample.drawn(figure)


def _gain(case: Case, its: Way) -> Iterator[Claim]:
    """How many times as fast as the target alone; c is the draft model's own time per token over the target's."""
    if ALONE not in case.rows or not case.small:
        return
    sample = Sample.of([case.rows[ONE], case.rows[its], case.rows[ALONE], case.small])
    if not sample.items or not sample.sums(0, _guessed).sum():
        return
    spent = [sample.sums(side, decoding_s) for side in range(4)]
    tokens = [sample.sums(side, decoded) for side in range(4)]
    ours, alone, small = (sample.quotient(spent[side], tokens[side]) for side in (1, 2, 3))
    if not np.isfinite([ours[0], alone[0], small[0]]).all():
        return
    cost = small / alone
    claimed, measured = _expected(sample, 1, its.width) / (its.width * cost + 1), alone / ours
    low, high = interval(measured, claimed, sample.items)
    says, title = _GAIN.format(its.width), f"{case.title}, c {cost[0]:.2f}"
    of = f"{sample.items} prompts"
    yield Claim(PAPER, says, title, "equal", float(claimed[0]), float(measured[0]), low, high, of)


def _guessed(row: Row) -> float:
    return row.guessed


def _kept(row: Row) -> float:
    return row.guessed * (row.acceptance or 0.0)


def _given(row: Row) -> float:
    """Tokens that its rounds gave: each one of the target's own, and the guesses that it kept."""
    return row.rounds + _kept(row)
