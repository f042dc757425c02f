"""From measured questions to certificates.

The questions are split at random, each task's alike. On the first part (LEARN of them) modes and their thresholds are
found, and one family is chosen: that whose cheapest mode within the budget saves most against exact -O2. On the rest,
which had no part in that, its modes are tested one after another from the safest to the most daring, each at the full
level, until one fails (fixed-sequence testing: Maurer, Hothorn and Lehmacher 1995; as a calibration of models,
"Learn then Test", arXiv 2110.01052). So the chance that any certified mode loses more than the budget is at most
1 - confidence, however many thresholds there are. The cheapest that passed is the certificate's.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from foretell.errors import UsageError
from foretell.lab.budget import exact
from foretell.lab.budget.modes import Family, Tally, against, exact_cost, families, tally
from foretell.lab.budget.sample import Sample
from foretell.runtime.calibration import Certificate, percent

LEARN: Final = 0.4  # of the questions
LEAST: Final = 5  # questions of a part, without which there is nothing to learn or to test


@dataclass(frozen=True, slots=True)
class Tested:
    """A mode on the held-back questions. p: of "it loses more than the budget"; None when an earlier one had failed."""

    tally: Tally
    p: float | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A budget and what came of it.

    certificate: None when it was refused, `why`. needed: questions in all that would certify it with losses as here;
    None: no number would.
    """

    budget: float
    family: str
    tested: tuple[Tested, ...]
    certificate: Certificate | None
    why: str = ""
    needed: int | None = None


@dataclass(frozen=True, slots=True)
class Certified:
    """All that was certified. learned, checked: the two parts. smallest: the least budget for the safest mode."""

    learned: tuple[Sample, ...]
    checked: tuple[Sample, ...]
    attempts: tuple[Attempt, ...]
    smallest: Certificate | None

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """That a calibration keeps."""
        found = [each.certificate for each in self.attempts if each.certificate is not None]
        return (*found, *([] if self.smallest is None else [self.smallest]))


def split(samples: Sequence[Sample], seed: int) -> tuple[list[Sample], list[Sample]]:
    """To learn from and to check with; of each task the same share, whatever order they came in."""
    order = random.Random(seed)  # noqa: S311 — nothing secret
    learn: list[Sample] = []
    check: list[Sample] = []
    for task in sorted({each.task for each in samples}):
        its = sorted((each for each in samples if each.task == task), key=lambda each: each.id)
        order.shuffle(its)
        count = round(LEARN * len(its))
        learn += its[:count]
        check += its[count:]
    return learn, check


def certify(
    samples: Sequence[Sample],
    budgets: Sequence[float],
    confidence: float,
    seed: int,
    pipelines: Sequence[Family] = (),
) -> Certified:
    """What these questions certify. budgets: named before anybody looked at the answers."""
    learn, check = split(samples, seed)
    if min(len(learn), len(check)) < LEAST:
        raise UsageError(
            f"{len(samples)} questions were answered, too few to learn from and to check with: "
            f"give at least {_in_all(LEAST, LEAST)}, and for {percent(budgets[0])} at {percent(confidence)} "
            f"{_in_all(exact.items_needed(budgets[0], confidence) or 0)}"
        )
    known = families(learn, pipelines)
    attempts = tuple(attempt(known, learn, check, budget, confidence) for budget in budgets)
    return Certified(tuple(learn), tuple(check), attempts, _smallest(attempts[0], check, confidence))


def chosen(known: Sequence[Family], learn: Sequence[Sample], budget: float) -> Family:
    """The family whose cheapest mode within the budget, with one loss more than was seen, is cheapest of all."""
    base = exact_cost(learn)

    def worth(family: Family) -> tuple[float, float]:
        tallies = [tally(mode, learn) for mode in family.modes]
        within = [each for each in tallies if (each.losses - each.gains + 1) / (each.items + 1) <= budget]
        least = min(each.loss for each in tallies)
        return min((against(each, base) for each in within), default=float("inf")), least

    return min(known, key=worth)


def attempt(
    known: Sequence[Family], learn: Sequence[Sample], check: Sequence[Sample], budget: float, confidence: float
) -> Attempt:
    """One budget: a family found on the learned part, its modes tested on the checked part."""
    family = chosen(known, learn, budget)
    tested: list[Tested] = []
    failed = False
    for mode in family.modes:
        found = tally(mode, check)
        p = None if failed else exact.p_value(found.losses, found.gains, found.items, budget)
        failed = failed or p is None or p > 1 - confidence
        tested.append(Tested(found, p))
    passed = list(takewhile(lambda each: each.p is not None and each.p <= 1 - confidence, tested))
    base = exact_cost(check)
    if passed:
        best = min(passed, key=lambda each: against(each.tally, base))
        certificate = _certificate("declared", budget, confidence, best, check)
        return Attempt(budget, family.name, tuple(tested), certificate)
    first = tested[0].tally
    seen = exact.items_needed(budget, confidence, first.losses / first.items, first.gains / first.items)
    least = exact.items_needed(budget, confidence)
    why = _why(budget, confidence, first, least, seen)
    return Attempt(budget, family.name, tuple(tested), None, why, None if seen is None else _in_all(seen))


def _smallest(attempt: Attempt, check: Sequence[Sample], confidence: float) -> Certificate | None:
    """For the safest mode alone, which nothing but the learned part chose."""
    found = attempt.tested[0].tally
    budget = exact.upper(found.losses, found.gains, found.items, confidence)
    if budget >= 1:
        return None
    p = exact.p_value(found.losses, found.gains, found.items, budget)
    return _certificate("smallest", budget, confidence, Tested(found, p), check)


def _certificate(how: str, budget: float, confidence: float, best: Tested, check: Sequence[Sample]) -> Certificate:
    found = best.tally
    return Certificate(
        how, budget, confidence, found.mode, found.items, found.losses, found.gains, best.p or 0.0, found.cost,
        exact_cost(check),
    )  # fmt: skip


def _why(budget: float, confidence: float, first: Tally, least: int | None, seen: int | None) -> str:
    share = percent(budget)
    at_all = "" if least is None else f"; without any loss {_in_all(least)} would do"
    counts = f"of {first.items} held-back questions the safest mode lost {first.losses} and gained {first.gains}"
    if seen is None:
        return f"{share} cannot be certified: {counts}, which is no less than {share}{at_all}"
    return (
        f"{share} cannot be certified at {percent(confidence)} with so few questions: {counts}; "
        f"going on so, about {_in_all(seen)} questions in all would be needed{at_all}"
    )


def _in_all(checked: int, learned: int = 0) -> int:
    """Questions in all, of which so many have to be held back and so many to be learned from."""
    total = math.floor(checked / (1 - LEARN))
    while total - round(LEARN * total) < checked or round(LEARN * total) < learned:
        total += 1
    return total
