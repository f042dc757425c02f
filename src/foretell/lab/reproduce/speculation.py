"""Figures of how speculative sampling works, computed by the rules and the noise that generation uses.

Nothing is drawn from memory: p and q come out of `accept.distribution`, guesses are kept or not by `accept.reject`, and
shared noise is that of `accept.warpers`. Seeds are fixed, so the figures are always the same.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from foretell.accept import reject
from foretell.accept.chance import KeyedChance
from foretell.accept.distribution import distribution
from foretell.accept.noise import gumbel
from foretell.accept.proposal import ROOT, Guess, Proposal, Weights
from foretell.accept.rejection import residual
from foretell.accept.sampling import Sampling
from foretell.accept.warpers import choose

WORDS: Final = ("sat", "lay", "slept", "stood", "ran", "was", "ate", "hid")
_TARGET: Final = (2.3, 1.1, 1.4, 0.2, -0.6, 0.9, -1.0, -0.4)  # logits of the example
_DRAFT: Final = (1.5, 1.6, 0.5, 0.4, 0.3, 1.3, -0.9, -1.6)
SAMPLING: Final = Sampling(temperature=1.0, top_k=0, top_p=1.0)
ROUNDS: Final = 10_000  # of the example
LENGTHS: Final = (1, 2, 4, 8)
CHANCES: Final = (0.2, 0.4, 0.6, 0.8, 0.9)
ROUNDS_EACH: Final = 400  # of a length and an acceptance
POSITIONS: Final = 400  # at which a pair of models draws with shared noise
PAIRS: Final = 16
_SEED: Final = 2211

Weighted = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Example:
    """One place: who says what, and what came out. All float64 [words].

    counted: how often each word came out of so many rounds, in which q guessed it and the rule decided. kept: the share
    of guesses that were kept.
    """

    p: Weighted
    q: Weighted
    counted: NDArray[np.int64]
    kept: float
    rounds: int

    @property
    def common(self) -> Weighted:
        """min(p, q): its sum is the chance that a guess is kept."""
        return np.minimum(self.p, self.q)

    @property
    def rest(self) -> Weighted:
        """What is drawn from when the guess is not kept."""
        return np.asarray(residual(self.p, self.q))

    @property
    def off(self) -> Weighted:
        """How far each count is from what p says, in standard deviations."""
        expected = self.rounds * self.p
        return np.asarray((self.counted - expected) / np.sqrt(expected * (1 - self.p)))


@dataclass(frozen=True, slots=True)
class Mean:
    """Tokens per round: of rounds of the rule, with the standard error of their mean, and by the formula."""

    length: int
    chance: float
    tokens: float
    error: float
    formula: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Coupled:
    """A pair of models: how likely a guess is kept, by rejection and by shared noise (formula and count)."""

    rejection: float
    formula: float
    counted: float
    positions: int


def example(rounds: int = ROUNDS) -> Example:
    """A guess, a decision and a token, so many times."""
    p, q = (distribution(np.array(each, np.float32), (), SAMPLING) for each in (_TARGET, _DRAFT))
    counted = np.zeros(len(WORDS), np.int64)
    kept = 0
    for number in range(rounds):
        chance = KeyedChance(_SEED, number)
        guess = Guess(chance.draw("draft", 0, q), ROOT, "draft", "sampled", q=q)
        verdict = reject.accept(Proposal((guess,)), Alike(p), chance)
        kept += len(verdict.path)
        counted[guess.token if verdict.path else verdict.bonus] += 1
    return Example(p, q, counted, kept / rounds, rounds)


def expected_tokens(chance: float, length: int) -> float:
    """Of a round with so many guesses, each kept with this chance (2211.17192, equation 1).

    >>> expected_tokens(0.5, 2), expected_tokens(1.0, 4)
    (1.75, 5.0)
    """
    return length + 1.0 if chance == 1 else (1 - chance ** (length + 1)) / (1 - chance)


def speed_up(chance: float, length: int, cost: float) -> float:
    """Times as fast as the target alone (2211.17192, theorem 3.8). cost: of a guess, in passes of the target.

    >>> round(speed_up(0.8, 4, 0.05), 2)
    2.8
    """
    return expected_tokens(chance, length) / (length * cost + 1)


def means(rounds: int = ROUNDS_EACH) -> list[Mean]:
    """Rounds of the rule over chains of guesses, for LENGTHS and CHANCES."""
    out = []
    for number, (length, chance) in enumerate((n, a) for n in LENGTHS for a in CHANCES):
        p, q = np.array([1.0, 0.0]), np.array([chance, 1 - chance])  # Σ min(p, q) = chance
        tokens = [_round(p, q, length, _SEED + number, each) for each in range(rounds)]
        error = float(np.std(tokens, ddof=1)) / math.sqrt(rounds)
        out.append(Mean(length, chance, float(np.mean(tokens)), error, expected_tokens(chance, length), rounds))
    return out


def coupled_chance(p: Weighted, q: Weighted) -> float:
    """That two models draw the same token with the same noise (2408.07978): Σ_x 1 / Σ_y max(p_y / p_x, q_y / q_x)."""
    return float(sum(1 / np.maximum(p / a, q / b).sum() for a, b in zip(p, q, strict=True) if a > 0 and b > 0))


def coupled(positions: int = POSITIONS) -> list[Coupled]:
    """Pairs of models from unlike to alike, each drawing at so many positions with one noise."""
    random = np.random.default_rng(_SEED)
    out = []
    for number in range(PAIRS):
        target = random.normal(0, 2, 8).astype(np.float32)
        draft = (target + random.normal(0, 2.5 * (1 - number / PAIRS), 8)).astype(np.float32)
        p, q = (distribution(each, (), SAMPLING) for each in (target, draft))
        sampling = Sampling(temperature=1.0, top_k=0, top_p=1.0, seed=number)
        same = sum(
            choose(target, (), position, sampling) == choose(draft, (), position, sampling)
            for position in range(positions)
        )
        out.append(Coupled(float(np.minimum(p, q).sum()), coupled_chance(p, q), same / positions, positions))
    return out


def race(position: int, seed: int = 7) -> tuple[Weighted, Weighted]:
    """float64 [words] of both models in the example: log probability plus shared noise; the largest wins."""
    noise = gumbel(seed, position, np.arange(len(WORDS), dtype=np.uint32)).astype(np.float64)
    p, q = (distribution(np.array(each, np.float32), (), SAMPLING) for each in (_TARGET, _DRAFT))
    return np.log(p) + noise, np.log(q) + noise


class Alike:
    """A target that says the same everywhere."""

    def __init__(self, p: Weights) -> None:
        self._p = p

    def choice(self, node: int) -> int:
        """Never asked for here."""
        raise NotImplementedError  # rules that reject don't ask

    def p(self, node: int) -> Weights:  # noqa: ARG002 — everywhere
        """Its distribution."""
        return self._p


def _round(p: Weighted, q: Weighted, length: int, seed: int, number: int) -> int:
    """Tokens of a round whose guesses are drawn from q and decided by the rule."""
    chance = KeyedChance(seed, number)
    tokens: Sequence[int] = [chance.draw("draft", i, q) for i in range(length)]
    guesses = tuple(Guess(token, i - 1, "draft", "sampled", q=q) for i, token in enumerate(tokens))
    return len(reject.accept(Proposal(guesses), Alike(p), chance).path) + 1
