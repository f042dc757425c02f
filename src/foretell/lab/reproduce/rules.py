"""Claims about rules alone: they are run on distributions that are made up, without any model.

Places are drawn at random with a fixed seed: a target's distribution p over eight words, and a draft's q near it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from foretell.accept import cascade
from foretell.accept.chance import KeyedChance
from foretell.accept.distribution import distribution
from foretell.accept.proposal import ROOT, Guess, Proposal
from foretell.lab.quality.intervals import RESAMPLES, percentiles
from foretell.lab.reproduce.claim import Claim, Values
from foretell.lab.reproduce.speculation import SAMPLING, Alike, Example, Mean, example, means

TITLE: Final = "rules alone"
PLACES: Final = 2000
ALPHAS: Final = (0.2, 0.5, 0.8)
_SEED: Final = 2405
_WORDS: Final = 8


@dataclass(frozen=True, slots=True)
class Places:
    """float64 [places, words] each."""

    p: Values
    q: Values

    @property
    def variation(self) -> Values:
        """TV(p, q): the chance that a guess is not kept where the target is asked; float64 [places]."""
        return np.asarray(abs(self.p - self.q).sum(1) / 2)

    def asked(self, alpha: float) -> Values:
        """Where a cascade asks the target; bool [places]."""
        return np.asarray(self.q.max(1) < self.p.max(1) - alpha * self.variation)


def claims(rounds: int = 4000, rounds_each: int = 300, count: int = PLACES) -> Iterator[Claim]:
    """All, in a second or two. rounds, rounds_each, count: how much is drawn."""
    yield follows(example(rounds))
    yield from (_mean(each) for each in means(rounds_each))
    found = places(count)
    for alpha in ALPHAS:
        yield keeps(found, alpha)


def follows(its: Example) -> Claim:
    """That what comes out has the target's distribution (2302.01318, theorem 1)."""
    random = np.random.default_rng(_SEED)
    free = abs(random.multinomial(its.rounds, its.p, RESAMPLES) / its.rounds - its.p).sum(1) / 2
    measured, claimed = float(abs(its.counted / its.rounds - its.p).sum() / 2), float(free.mean())
    low, high = (measured + gap for gap in percentiles(claimed - free))
    says = (
        "tokens have the target's distribution (claimed: as far from it as so many draws from it are, total variation)"
    )
    return Claim("2302.01318", says, TITLE, "equal", claimed, measured, low, high, f"{its.rounds} tokens")


def places(count: int = PLACES) -> Places:
    """Made up: at some places the draft is near to the target, at others far."""
    random = np.random.default_rng(_SEED)
    target = random.normal(0, 2, (count, _WORDS)).astype(np.float32)
    draft = (target + random.normal(0, 1, (count, _WORDS)) * random.uniform(0, 3, (count, 1))).astype(np.float32)
    p, q = (np.array([distribution(each, (), SAMPLING) for each in logits]) for logits in (target, draft))
    return Places(p, q)


def keeps(its: Places, alpha: float) -> Claim:
    """How often a cascade keeps a guess: the rule, run at each place, and what it should come to."""
    rule, seed = cascade.accept(alpha), _SEED + round(100 * alpha)
    kept = np.zeros(len(its.p))
    for number, (p, q) in enumerate(zip(its.p, its.q, strict=True)):
        chance = KeyedChance(seed, number)
        guess = Guess(chance.draw("draft", 0, q), ROOT, "draft", "sampled", q=q)
        kept[number] = len(rule(Proposal((guess,)), Alike(p), chance).path)
    expected = 1 - its.variation * its.asked(alpha)
    error = 2 * float((kept - expected).std(ddof=1)) / math.sqrt(len(kept))
    says = "a cascade keeps a guess with chance 1 − TV(p, q) where the target is asked, and always where it is not"
    title, of = f"{TITLE}, α {alpha:g}", f"{len(kept)} places"
    claimed, measured = float(expected.mean()), float(kept.mean())
    return Claim("2405.19261", says, title, "equal", claimed, measured, measured - error, measured + error, of)


def _mean(its: Mean) -> Claim:
    says = f"a round with {its.length} guess{'es' * (its.length > 1)} gives (1 − α^(γ+1)) / (1 − α) tokens"
    low, high = its.tokens - 2 * its.error, its.tokens + 2 * its.error
    title, of = f"{TITLE}, α {its.chance:g}", f"{its.rounds} rounds"
    return Claim("2211.17192", says, title, "equal", its.formula, its.tokens, low, high, of)
