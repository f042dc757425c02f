"""The modes that are considered, and what each would have done to a measured question.

A family is a row of modes from the safest to the most daring. Gates are worked out from one answer of each model:
the small model's signals say which of the two would have answered, and the clock of its answer what that would have
taken. Pipelines are run.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import mean
from typing import Final

from foretell.lab.budget.sample import AGAIN, EXACT, Sample
from foretell.runtime.calibration import Cost, Mode, relative
from foretell.runtime.signals import FIGURES, RISING, WHOLE, pooled

BEGINNINGS: Final = (1, 8, 32, 64)  # tokens after which a gate may decide; and behind the whole answer
SHARES: Final = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # that thresholds leave to the small model
ALWAYS: Final = Mode("small", "small model alone")
TARGET: Final = Mode("exact", EXACT)
_COMBINED: Final = (("mean", 8), ("mean", 32), ("mean", 0))  # gates that may hand on to a pipeline
_WORDS: Final = {
    "mean": "mean surprise", "worst": "largest surprise", "margin": "mean closeness of the two likeliest",
    "entropy": "mean entropy", "length": "length", "disagreement": "disagreement of two answers",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a mode on one question. small: how much of it the small model answered, 0 or 1."""

    right: bool
    response_s: float
    processor_s: float
    small: float


@dataclass(frozen=True, slots=True)
class Family:
    """Modes, from the safest to the most daring."""

    name: str
    modes: tuple[Mode, ...]


def gate(signal: str, tokens: int, threshold: float, then: Mode | None = None) -> Mode:
    """With the name that people see. then: a pipeline that gets what the small model does not."""
    where = {0: "the whole answer", 1: "the first token"}.get(tokens, f"the first {tokens} tokens")
    name = _WORDS[signal] if signal in WHOLE else f"{_WORDS[signal]} of {where}"
    if then is None:
        return Mode("gate", name, signal, tokens, threshold)
    return Mode("gate", f"{name}, else {then.name}", signal, tokens, threshold, then.pipeline, then.name)


def families(samples: Sequence[Sample], pipelines: Sequence[Family] = ()) -> list[Family]:
    """Gates with thresholds that split these questions, each ending with the small model alone; pipelines; and both."""
    again = all(each.disagreement is not None for each in samples)
    pairs = [(signal, tokens) for signal in ("mean", "worst", "margin", "entropy") for tokens in (*BEGINNINGS, 0)]
    pairs += [("length", 0)] + ([("disagreement", 0)] if again else [])
    gates: list[tuple[str, int, Mode | None]] = [(signal, tokens, None) for signal, tokens in pairs]
    gates += [(*pair, mode) for pair in _COMBINED for family in pipelines for mode in family.modes]
    out = []
    for signal, tokens, then in gates:
        values = sorted(value_of(signal, tokens, each) for each in samples)
        places = dict.fromkeys(values[max(0, math.ceil(share * len(values)) - 1)] for share in SHARES)
        modes = [gate(signal, tokens, rounded_up(each), then) for each in places if math.isfinite(each)]
        if modes:
            out.append(Family(modes[0].name, (*modes, ALWAYS)))
    return [*out, *pipelines]


def rounded_up(value: float) -> float:
    """To four digits, so that a threshold is one that people can read, and no value at it is lost."""
    if value <= 0 or not math.isfinite(value):
        return value
    digits = 3 - math.floor(math.log10(value))
    scale = 10.0**digits
    return math.ceil(value * scale) / scale


def value_of(signal: str, tokens: int, sample: Sample) -> float:
    """The signal over what a gate reads if it reads on to its end."""
    if signal == "disagreement":
        return math.inf if sample.disagreement is None or not sample.small.surprise else sample.disagreement
    values: tuple[float, ...] = getattr(sample.small, FIGURES.get(signal, "surprise"))
    return pooled(signal, values[:tokens] if tokens else values)


def outcome(mode: Mode, sample: Sample) -> Outcome:
    """What a mode would have done, or did."""
    exact, small = sample.exact, sample.small
    match mode.kind:
        case "exact" | "pipeline":
            its = sample.answers[mode.name]
            return Outcome(its.right, its.response_s, its.processor_s, 0.0)
        case "small":
            return Outcome(small.right, small.response_s, small.processor_s, 1.0)
    sure = value_of(mode.signal, mode.tokens, sample) <= mode.threshold
    more_s, more_processor_s = 0.0, 0.0
    if mode.signal == "disagreement":
        more_s, more_processor_s = sample.answers[AGAIN].response_s, sample.answers[AGAIN].processor_s
    if sure:
        return Outcome(small.right, small.response_s + more_s, small.processor_s + more_processor_s, 1.0)
    spent_s, spent_processor_s = until(mode, sample)
    if mode.otherwise:
        exact = sample.answers[mode.otherwise]
    return Outcome(
        exact.right,
        exact.response_s + spent_s + more_s,
        exact.processor_s + spent_processor_s + more_processor_s,
        0.0,
    )


def until(mode: Mode, sample: Sample) -> tuple[float, float]:
    """Seconds and processor seconds of the small model until a gate sends the question to the target."""
    small = sample.small
    read = min(mode.tokens or len(small.surprise), len(small.surprise))
    if mode.signal in RISING:
        so_far = accumulate(small.surprise, max) if mode.signal == "worst" else range(1, read + 1)
        read = next((i for i, value in enumerate(so_far, 1) if value > mode.threshold), read)
    if read == 0 or read == len(small.surprise):
        return small.response_s, small.processor_s
    return small.at_s[read - 1], small.processor_at_s[read - 1]


@dataclass(frozen=True, slots=True)
class Tally:
    """A mode over several questions. losses: the target alone was right; gains: the mode alone was."""

    mode: Mode
    items: int
    right: int
    losses: int
    gains: int
    cost: Cost

    @property
    def loss(self) -> float:
        """Of accuracy, as a share."""
        return (self.losses - self.gains) / self.items if self.items else 0.0


def tally(mode: Mode, samples: Sequence[Sample]) -> Tally:
    """A mode over these questions; at least one."""
    found = [outcome(mode, each) for each in samples]
    pairs = [(each.exact.right, its.right) for each, its in zip(samples, found, strict=True)]
    return Tally(
        mode,
        len(found),
        sum(its.right for its in found),
        pairs.count((True, False)),
        pairs.count((False, True)),
        Cost(
            mean(its.response_s for its in found),
            mean(its.processor_s for its in found),
            mean(its.small for its in found),
        ),
    )


def exact_cost(samples: Sequence[Sample]) -> Cost:
    """Of the target at the default level."""
    return Cost(mean(s.exact.response_s for s in samples), mean(s.exact.processor_s for s in samples), 0.0)


def against(found: Tally, exact: Cost) -> float:
    """The cost of a mode in terms of exact -O2's."""
    return relative(found.cost, exact)
