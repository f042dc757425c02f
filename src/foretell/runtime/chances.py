"""How often guesses are right, learned while text comes.

Counts fade, so that a change of text shows within a few dozen guesses, and begin with a prior, so that the first round
already has something to go by. Guesses that were there but not tried count too (in shadow), as far as the text that
came anyway says whether they were right: so a source that was switched off comes back when it would pay.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Sequence
from math import exp, sqrt
from typing import Final, NamedTuple

from foretell.accept.proposal import ROOT, Proposal
from foretell.cost.model import USUAL
from foretell.draft import copy, lookup

PRIOR_WEIGHT: Final = 12.0  # guesses that the prior of a class counts for
FADE: Final = 0.98  # per scored guess of a class: a memory of about 50
MOOD_STEP: Final = 0.3  # of log odds, for a guess that came as a full surprise
NEWEST: Final = 0.05  # what a guess of a draft model counts for in the shares of classes: a memory of about 20
SHARES: Final = 8.0  # guesses that the prior of the shares counts for

LEAST_SHARE: Final = 0.05  # of guesses, for a measured class to count
SUREST: Final = 0.98  # whatever was measured


class Kinds(NamedTuple):
    """Classes of a source's guesses, by what it thinks of their chance.

    starts: the chance from which each class begins, ascending. thought: of a class, by what profiles call it.
    rank: of sources that guess the same, the one of the higher rank has more to go by.
    """

    starts: tuple[float, ...]
    thought: Callable[[int], float]
    rank: int

    def of(self, thought: float) -> int:
        """The class of a guess."""
        return max(0, bisect_right(self.starts, thought + 1e-9) - 1)


LOOKUP: Final = Kinds((0.04, 0.1, *lookup.PRIOR), lookup.chance, 1)
KINDS: Final = {
    "lookup": LOOKUP,
    "recycled": LOOKUP._replace(rank=0),
    "copy": Kinds(copy.KINDS, copy.KINDS.__getitem__, 2),
}


class Matches:
    """Chances of guesses copied from the text, by what their source thinks of them (`Guess.chance`).

    A text that copies more than usual does so after short matches as after long ones. So what all classes have in
    common is learned as one number, added to the log odds of the prior, by a step of gradient descent per guess; the
    counts of a class say how it differs from that.

    Args:
        measured: of a profile, by class of guesses: (what it calls the class, how often right, share).
        kinds: the classes.

    rank: see `Kinds`.
    Counters: `tried` guesses and how many were `accepted`; `untried` ones scored in shadow and how many were `missed`
    (right).
    """

    __slots__ = (
        "_hits",
        "_kinds",
        "_known",
        "_mood",
        "_odds",
        "_trials",
        "accepted",
        "missed",
        "rank",
        "tried",
        "untried",
    )

    def __init__(self, measured: Sequence[tuple[int, float, float]] = (), kinds: Kinds = LOOKUP) -> None:
        self._kinds, self._odds = kinds, _odds(measured, kinds)
        self.rank = kinds.rank
        self._hits, self._trials = [0.0] * len(kinds.starts), [0.0] * len(kinds.starts)
        self._mood = 0.0
        self._known: dict[float, float] = {}  # chances since the last round: the same few are asked for again and again
        self.tried = self.accepted = self.untried = self.missed = 0

    def chances(self, proposal: Proposal) -> list[float]:
        """Of each guess, the chance that it is right when all that it hangs on is."""
        known, chance = self._known, self.chance
        return [known[each.chance] if each.chance in known else chance(each.chance) for each in proposal.guesses]

    def chance(self, thought: float) -> float:
        """How often guesses are right of which their source thinks so."""
        known = self._known.get(thought)
        if known is None:
            kind = self._kinds.of(thought)
            known = (self._hits[kind] + PRIOR_WEIGHT * self._expected(kind)) / (self._trials[kind] + PRIOR_WEIGHT)
            self._known[thought] = known
        return known

    def score(self, proposal: Proposal, tried: Collection[int], actual: Sequence[int]) -> None:
        """Learn from a round.

        Args:
            proposal: all guesses that there were.
            tried: the indices of those that were in the pass.
            actual: the tokens that the round gave.
        """
        self.tried += len(tried)
        self._known.clear()
        hits, trials, count, kind_of = self._hits, self._trials, len(actual), self._kinds.of
        depths = {ROOT: 0}  # of guesses that were right
        for i, guess in enumerate(proposal.guesses):
            depth = depths.get(guess.parent, count)
            if depth >= count:
                continue
            kind, right = kind_of(guess.chance), guess.token == actual[depth]
            self._mood += MOOD_STEP * (right - self._expected(kind))
            hits[kind] = hits[kind] * FADE + right
            trials[kind] = trials[kind] * FADE + 1
            if i in tried:
                self.accepted += right
            else:
                self.untried += 1
                self.missed += right
            if right:
                depths[i] = depth + 1

    def _expected(self, kind: int) -> float:
        odds = self._odds[kind] * exp(self._mood)
        return odds / (1 + odds)


def _odds(measured: Sequence[tuple[int, float, float]], kinds: Kinds) -> list[float]:
    """Prior odds of each class: the usual ones, and where enough was measured, half-way between both in log odds."""
    odds = [p / (1 - p) for p in kinds.starts]
    for name, right, share in measured:
        if share >= LEAST_SHARE:
            kind, seen = kinds.of(kinds.thought(name)), min(max(right, 1 - SUREST), SUREST)
            odds[kind] = sqrt(odds[kind] * seen / (1 - seen))
    return odds


class Doubts:
    """Chances of a draft model's guesses, by their probability under it.

    Args:
        prior: (upper end of the probability, chance, share) of each class, ascending.

    right: chance of a guess of each class. share: of guesses that are of this class. Both follow the text.
    scored: guesses so far. hits: those that were right.
    """

    __slots__ = ("_hits", "_prior", "_trials", "_uppers", "hits", "right", "scored", "share")

    def __init__(self, prior: Sequence[tuple[float, float, float]] = USUAL) -> None:
        self._uppers = [upper for upper, _, _ in prior]
        self.right = [chance for _, chance, _ in prior]
        self.share = [share for _, _, share in prior]
        self._prior = [chance * PRIOR_WEIGHT for chance in self.right]
        self._hits, self._trials = list(self._prior), [PRIOR_WEIGHT] * len(self.right)
        self.scored = self.hits = 0

    def stop(self, kinds: int) -> float:
        """The probability from which a guess is of the surest so many classes."""
        return self._uppers[-kinds - 1] if 0 < kinds < len(self._uppers) else 0.0

    def chance(self, sure: float) -> float:
        """How often guesses of this probability are right."""
        return self.right[min(bisect_left(self._uppers, sure), len(self._uppers) - 1)]

    def forget(self) -> None:
        """Half of what was learned: it is long ago."""
        self._hits = [(hits + prior) / 2 for hits, prior in zip(self._hits, self._prior, strict=True)]
        self._trials = [(trials + PRIOR_WEIGHT) / 2 for trials in self._trials]
        self.right = [hits / trials for hits, trials in zip(self._hits, self._trials, strict=True)]

    def score(self, sure: float, right: bool) -> None:
        """A guess of this probability, whose ancestors were right, was right or not."""
        kind = min(bisect_left(self._uppers, sure), len(self._uppers) - 1)
        self._hits[kind] = self._hits[kind] * FADE + right
        self._trials[kind] = self._trials[kind] * FADE + 1
        self.right[kind] = self._hits[kind] / self._trials[kind]
        self.scored += 1
        self.hits += right
        new = max(NEWEST, 1 / (SHARES + self.scored))
        self.share = [share * (1 - new) for share in self.share]
        self.share[kind] += new
