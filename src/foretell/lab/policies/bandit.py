"""BanditSpec (Hou et al., arXiv 2505.15141): a bandit chooses each round who guesses, or how many tokens.

UCBSpec (their algorithm 4) tries each arm once and then takes the one with the largest mean reward plus

    L / 2 * sqrt((1 + n) / n^2 * (1 + 2 log(K t^2 sqrt(1 + n) / d)))

where n is how often the arm was taken, t the round, K the number of arms, d the confidence (they name none: 0.1 here).
EXP3Spec (algorithm 5) draws an arm by weights that fall with its estimated losses. Two of their experiments: arms are
sources of one length L and the reward is the tokens of the round (section 6.1); arms are lengths 0 to 4 of a draft
model and the reward is tokens per second (section 6.2), taken here relative to the target alone so that L bounds it.
Bandits begin anew with each generation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from random import Random
from typing import Final, Protocol

from foretell.accept.proposal import Proposal
from foretell.draft.source import Source
from foretell.lab.policies.policy import Clock, Kit
from foretell.runtime.bind import Bound

LENGTH: Final = 5  # of the arms that are sources
MOST: Final = 4  # the longest arm that is a length
CONFIDENCE: Final = 0.1


class Bandit(Protocol):
    """Chooses arms."""

    def choose(self) -> int:
        """The next arm."""
        ...

    def learn(self, arm: int, reward: float) -> None:
        """What it gave."""
        ...


class Ucb:
    """UCBSpec. arms: K. most: L, which the reward may exceed by 1."""

    def __init__(self, arms: int, most: float) -> None:
        self._most, self._sums, self._counts = most, [0.0] * arms, [0] * arms

    def choose(self) -> int:
        """Each once, then the largest bound; of equals the first."""
        counts = self._counts
        if 0 in counts:
            return counts.index(0)
        turn = sum(counts)
        bounds = [self._bound(total, n, turn) for total, n in zip(self._sums, counts, strict=True)]
        return bounds.index(max(bounds))

    def _bound(self, total: float, n: int, turn: int) -> float:
        inner = 1 + 2 * log(len(self._counts) * turn**2 * sqrt(1 + n) / CONFIDENCE)
        return total / n + self._most / 2 * sqrt((1 + n) / n**2 * inner)

    def learn(self, arm: int, reward: float) -> None:
        """See Bandit."""
        self._sums[arm] += reward
        self._counts[arm] += 1


class Exp3:
    """EXP3Spec. arms: K. most: L; rewards are tokens of a round, 1 to L + 1."""

    def __init__(self, arms: int, most: float, seed: int = 0) -> None:
        self._most, self._losses, self._turn = most, [0.0] * arms, 1
        self._shares = [1 / arms] * arms
        self._random = Random(seed)  # noqa: S311 — nothing secret

    def choose(self) -> int:
        """A draw."""
        (arm,) = self._random.choices(range(len(self._losses)), self._shares)
        return arm

    def learn(self, arm: int, reward: float) -> None:
        """See Bandit."""
        self._losses[arm] += (self._most + 1 - reward) / (self._most * self._shares[arm])
        self._turn += 1
        rate, least = sqrt(log(len(self._losses)) / (self._turn * len(self._losses))), min(self._losses)
        weights = [exp(-rate * (each - least)) for each in self._losses]
        self._shares = [each / sum(weights) for each in weights]


class _Arms:
    """Sources and lengths, of which a bandit takes one in each round."""

    def __init__(
        self, name: str, bandit: Bandit, arms: Sequence[tuple[Source | None, int]], rate: "_Rate | None"
    ) -> None:
        self.name = name
        self._bandit, self._arms, self._rate = bandit, arms, rate
        self._sources = list({id(source): source for source, _ in arms if source is not None}.values())
        self._arm: int | None = None

    @property
    def passes(self) -> int:
        """Of draft models."""
        return sum(getattr(source, "passes", 0) for source in self._sources)

    def extend(self, tokens: Sequence[int]) -> None:
        """The reward of the round."""
        for source in self._sources:
            source.extend(tokens)
        if self._arm is not None:
            self._bandit.learn(self._arm, len(tokens) if self._rate is None else self._rate(len(tokens)))
        self._arm = None

    def propose(self, limit: int) -> Proposal:
        """The arm's guesses."""
        if self._rate is not None:
            self._rate.begin()
        self._arm = self._bandit.choose()
        source, length = self._arms[self._arm]
        return Proposal() if source is None else source.propose(min(limit, length))

    def close(self) -> None:
        """Close the sources."""
        for source in self._sources:
            source.close()


class _Rate:
    """Tokens per time of the target alone, by the clock."""

    def __init__(self, clock: Clock, plain_ms: float) -> None:
        self._clock, self._plain_s, self._since = clock, plain_ms / 1000, clock()

    def begin(self) -> None:
        """A round begins."""
        self._since = self._clock()

    def __call__(self, tokens: int) -> float:
        """Of the round that is over."""
        return tokens * self._plain_s / max(self._clock() - self._since, 1e-9)


@dataclass(frozen=True, slots=True)
class Sources:
    """Arms are lookup, recycled tokens and the draft model. kind: "ucb" or "exp3"."""

    kind: str = "ucb"
    drafts = True
    pipeline = None

    @property
    def name(self) -> str:
        """As the paper calls it."""
        return f"{self.kind}spec-sources"

    def fresh(self) -> "Sources":
        """Itself."""
        return self

    def bound(self, kit: Kit) -> Bound:
        """See the class."""
        arms = [(kit.lookup(LENGTH), LENGTH), (kit.free("recycled", LENGTH), LENGTH), (kit.chain(LENGTH), LENGTH)]
        bandit: Bandit = Ucb(len(arms), LENGTH) if self.kind == "ucb" else Exp3(len(arms), LENGTH)
        return kit.bound(_Arms(self.name, bandit, arms, None), LENGTH, branching=True)


@dataclass(frozen=True, slots=True)
class Lengths:
    """Arms are 0 to 4 guesses of the draft model."""

    name = "ucbspec-lengths"
    drafts = True
    pipeline = None

    def fresh(self) -> "Lengths":
        """Itself."""
        return self

    def bound(self, kit: Kit) -> Bound:
        """See the class."""
        model = kit.chain(MOST)
        arms: list[tuple[Source | None, int]] = [(None, 0), *((model, length) for length in range(1, MOST + 1))]
        rate = _Rate(kit.clock, kit.model.facts.target(1))
        return kit.bound(_Arms(self.name, Ucb(len(arms), MOST), arms, rate), MOST)
