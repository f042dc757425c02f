"""What a proposal is expected to hold, before the target sees it.

A round falls into cases: the source has guesses or not, the chain ended early or not. A case knows how many rows the
guesses take and how far they are expected to be right, so that a pass is priced by the rows that it really has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from foretell.cost.facts import ModelFacts, SourceFacts

NEGLIGIBLE: Final = 1e-9  # shares below it are not worth a case
ALIKE: Final = 0.9  # overlap of sources that copy the same text


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of round.

    share: of all rounds. rows: guesses that the target's pass reads, an average. reach[k]: chance that at least k + 1
    guesses of a path are right. asked: whether the target is asked at all.
    """

    share: float
    rows: float = 0.0
    reach: tuple[float, ...] = ()
    asked: bool = True


@dataclass(frozen=True, slots=True)
class Guesses:
    """A proposal: the milliseconds that making it takes on average, and its cases, whose shares sum to 1.

    copied: from the text so far, as free sources do.
    """

    ms: float = 0.0
    cases: tuple[Case, ...] = (Case(1.0),)
    copied: bool = False


NONE: Final = Guesses()


def free(facts: SourceFacts, width: int, lift: float = 0.0) -> Guesses:
    """Of a free source. lift: share of wrong guesses that a lossy rule lets through."""
    facts = facts.at(width)
    depth = max(1, int(width / facts.level_rows))
    reach = reached([(at(facts.chances, i, lift), 0.0) for i in range(depth)])
    return Guesses(facts.ms, kept((Case(facts.offers, width, reach), Case(1 - facts.offers))), copied=True)


def merged(parts: Sequence[Guesses], width: int, overlap: float) -> Guesses:
    """Of one tree from several proposals, earlier ones first while there is room.

    Sources have guesses independently of each other. Guesses that are right on both sides are the same ones, so they
    share rows. Sources that copy the same text are right at nearly the same places.
    """
    cases: tuple[Case, ...] = (Case(1.0),)
    copied = len(parts) > 0
    for part in parts:
        copied = copied and part.copied
        shared = max(overlap, ALIKE) if copied else overlap
        cases = tuple(_joined(a, b, width, shared) for a, b in product(cases, part.cases))
    return Guesses(sum(part.ms for part in parts), kept(cases), copied)


def deferred(guesses: Guesses, fires: float) -> Guesses:
    """Guesses are final up to the first where the rule fires, which it does at a share `fires` of places.

    The target is then asked, and reads what was kept since it was asked last.
    """
    goes = 1 - fires
    open_, asked, kept_guesses = [], [], 0.0
    for case in guesses.cases:
        n = len(case.reach)
        through = goes**n if n else 0.0  # no guess: the target speaks
        alive = [goes ** (k + 1) for k in range(n)]
        kept_guesses += case.share * sum(alive)
        open_.append(Case(case.share * through, reach=(1.0,) * n, asked=False))
        if through < 1:
            reach = tuple((each - through) / (1 - through) for each in alive)
            asked.append(Case(case.share * (1 - through), reach=reach))
    share = sum(case.share for case in asked)
    unread = kept_guesses / share if share else 0.0
    return Guesses(guesses.ms, kept((*open_, *(Case(case.share, unread, case.reach) for case in asked))))


def fired(facts: ModelFacts, rule: str, threshold: float) -> float:
    """Share of places where a rule on q asks for help. Without samples, every place.

    `chow` asks where 1 - max q exceeds the threshold (arXiv 2405.19261), `entropy` where the entropy of q does.
    """
    samples = facts.doubts.get(rule, ())
    return sum(doubt > threshold for doubt in samples) / len(samples) if samples else 1.0


def reached(places: Sequence[tuple[float, float]]) -> tuple[float, ...]:
    """The reach of a chain whose places have (chance of the guess, chance that only a sibling beside it is right)."""
    reach, alive = [], 1.0
    for right, beside in places:
        reach.append(alive * (right + beside))
        alive *= right
    return tuple(reach)


def at(chances: Sequence[float], i: int, lift: float) -> float:
    """The chance of place i."""
    chance = chances[min(i, len(chances) - 1)] if chances else 0.0
    return chance + lift * (1 - chance)


def kept(cases: Sequence[Case]) -> tuple[Case, ...]:
    """The cases that occur."""
    return tuple(case for case in cases if case.share > NEGLIGIBLE)


def _joined(a: Case, b: Case, width: int, overlap: float) -> Case:
    room = max(0.0, width - a.rows)
    fits = min(1.0, room / b.rows) if b.rows else 0.0
    theirs = b.reach[: int(len(b.reach) * fits + 1e-9)]
    if not a.reach or not theirs:
        return Case(a.share * b.share, a.rows + b.rows * fits, a.reach or theirs)
    depth = max(len(a.reach), len(theirs))
    ours = a.reach + (0.0,) * (depth - len(a.reach))
    theirs += (0.0,) * (depth - len(theirs))
    reach = tuple(overlap * max(x, y) + (1 - overlap) * (x + y - x * y) for x, y in zip(ours, theirs, strict=True))
    shared = sum(ours) + sum(theirs) - sum(reach)
    return Case(a.share * b.share, a.rows + max(0.0, b.rows * fits - shared), reach)
