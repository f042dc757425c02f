"""What time, processor time and quality cost each other: every mode's figures against exact -O2's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from foretell.lab.budget.exact import upper
from foretell.lab.budget.modes import ALWAYS, TARGET, Family, Tally, exact_cost, tally
from foretell.lab.budget.sample import Sample
from foretell.lab.quality.intervals import paired_difference
from foretell.runtime.calibration import Cost, Mode


@dataclass(frozen=True, slots=True)
class Point:
    """A mode on all questions.

    low, high: its loss of accuracy is between these (95 %, of this mode alone). upper: one-sided bound of the same.
    time, processor: against exact -O2's. front: whether no other has less of loss, time and processor time. within:
    whether what it lost here is within the budget.
    """

    tally: Tally
    low: float
    high: float
    upper: float
    time: float
    processor: float
    front: bool
    within: bool

    @property
    def beats(self) -> bool:
        """Whether it takes less time and less processor time than exact -O2, with a loss within the budget."""
        return self.within and self.time < 1 and self.processor < 1

    def to_json(self) -> dict[str, Any]:
        """By name."""
        found, mode = self.tally, self.tally.mode
        return {
            "name": mode.name, "kind": mode.kind, "signal": mode.signal, "tokens": mode.tokens,
            "threshold": mode.threshold, "items": found.items, "right": found.right, "losses": found.losses,
            "gains": found.gains, "loss": found.loss, "loss_low": self.low, "loss_high": self.high,
            "loss_upper": self.upper, "small": found.cost.small, "response_s": found.cost.response_s,
            "processor_s": found.cost.processor_s, "time": self.time, "processor": self.processor,
            "front": self.front, "within": self.within, "beats": self.beats,
        }  # fmt: skip


def frontier(
    samples: Sequence[Sample], known: Sequence[Family], budget: float, confidence: float, levels: Sequence[Mode] = ()
) -> list[Point]:
    """The target first, then all modes, each once, by their cost.

    budget: for `within`, which goes by what was seen. levels: others of the target.
    """
    base = exact_cost(samples)
    modes = dict.fromkeys(mode for family in known for mode in family.modes)
    tallies = [tally(TARGET, samples), *(tally(mode, samples) for mode in (*levels, *(modes | {ALWAYS: None})))]
    points = [_point(each, tallies, base, budget, confidence) for each in tallies]
    return [points[0], *sorted(points[1:], key=lambda each: each.time * each.processor)]


def _point(found: Tally, everyone: Sequence[Tally], base: Cost, budget: float, confidence: float) -> Point:
    low, high = paired_difference(found.losses, found.gains, found.items)
    mine = _coordinates(found)
    front = not any(_dominates(_coordinates(other), mine) for other in everyone)
    return Point(
        found,
        low,
        high,
        0.0 if found.mode.kind == "exact" else upper(found.losses, found.gains, found.items, confidence),
        found.cost.response_s / base.response_s,
        found.cost.processor_s / base.processor_s if base.processor_s else 1.0,
        front,
        found.loss <= budget,
    )


def _coordinates(found: Tally) -> tuple[float, float, float]:
    return found.loss, found.cost.response_s, found.cost.processor_s


def _dominates(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    pairs = list(zip(a, b, strict=True))
    return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)
