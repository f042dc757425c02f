"""What a run is measured against: passes at the machine's speed of that hour, and a round of the target alone.

The curves in a record were measured before the run. The machine may have been slower or faster since, and a longer
context makes passes dearer, so they are scaled by the median of what passes took over what they were expected to:

    drift = median of verify / T(rows)          T'(n) = drift T(n)
    plain = T'(1) + rest                        rest: median of what a round takes besides passes, sources and reader
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median
from typing import Final

from foretell.cost.curve import Curve
from foretell.profile.passes import free_rows
from foretell.runtime.choose import DRAFT
from foretell.runtime.run import Run
from foretell.runtime.trace import Round

READS: Final = 16  # rows beyond one a pass, from which on a draft model is taken to have read text


@dataclass(frozen=True, slots=True)
class Basis:
    """Milliseconds.

    before: of the target's passes, as measured before the run. target: at the run's speed. drift: the one over the
    other. rest_ms: of a round besides passes and sources. step_ms: of a draft model's pass over a few rows; 0 without.
    """

    before: Curve
    target: Curve
    drift: float
    rest_ms: float
    step_ms: float

    @property
    def plain_ms(self) -> float:
        """A round of the target alone, which gives one token."""
        return self.target(1) + self.rest_ms

    @property
    def free_rows(self) -> int:
        """The largest measured n with T(n) <= 1.1 T(1)."""
        return free_rows(dict(self.target.points))

    @property
    def most(self) -> int:
        """Guesses of the largest pass that was measured."""
        return max(1, self.target.points[-1][0] - 1)

    def guessing_ms(self, guesses: float, step_ms: float) -> float:
        """A round with so many guesses in a chain, each of which costs a draft's pass."""
        return self.target(1 + guesses) + guesses * step_ms + self.rest_ms


def basis(run: Run) -> Basis:
    """Of a run."""
    before = Curve.of(run.about.target.pass_ms)
    passes = [each for each in run.rounds if each.rows > 0 and each.verify_s > 0]
    drift = usual((1000 * each.verify_s / before(each.rows) for each in passes), 1.0)
    rest = (each.round_s - each.verify_s - max(each.propose_s, each.draft_s) - each.reader_s for each in run.rounds)
    draft = run.about.draft
    alone = 0.0 if draft is None else drift * Curve.of(draft.pass_ms)(1)
    steps = (1000 * each.draft_s / each.draft_passes for each in run.rounds if each.draft_passes and not reads(each))
    return Basis(before, before.scaled(drift), drift, 1000 * max(0.0, usual(rest, 0.0)), usual(steps, alone))


def reads(each: Round) -> bool:
    """Whether the draft model read a stretch of text in this round."""
    return each.draft_rows - each.draft_passes > READS


def reading_ms(each: Round, basis: Basis) -> float:
    """What a draft model's reading took of a round: all that its steps are not expected to take."""
    if not reads(each):
        return 0.0
    steps = sum(1 for _, _, source, _ in each.tried if source == DRAFT)
    return max(0.0, 1000 * each.draft_s - basis.step_ms * max(0, steps - 1))


def rejected(each: Round, which: Callable[[str], bool] = lambda _: True) -> int:
    """Guesses of these sources that were not kept."""
    kept = set(each.kept)
    return sum(1 for i, (_, _, source, _) in enumerate(each.tried) if i not in kept and which(source))


def usual(values: Iterable[float], otherwise: float) -> float:
    """The median; of nothing, what is said instead."""
    found = list(values)
    return median(found) if found else otherwise
