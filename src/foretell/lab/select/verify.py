"""What was predicted, run for real: the target alone and the others taking turns, and how far predictions were off."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Final

import numpy as np

from foretell.lab.select.predict import Draws, Estimate, Floats, estimate, ratio
from foretell.lab.select.rank import Ranked
from foretell.lab.select.ways import NONE
from foretell.lab.suite import Run
from foretell.lab.summary import medians, mismatched
from foretell.runtime.events import Result

CLOSE: Final = 0.15  # of the measured speed-up: how far a prediction may be off


@dataclass(frozen=True, slots=True)
class Verified:
    """Predicted beside measured.

    off: predicted by measured, less 1; decode_off: the same of tokens per second. mismatches: answers with other tokens
    than the target's alone.
    """

    name: str
    predicted: Estimate
    measured: Estimate
    off: float
    decode_predicted: float
    decode_measured: float
    decode_off: float
    classes: Mapping[str, tuple[float, float]]
    mismatches: int


@dataclass(frozen=True, slots=True)
class Inversion:
    """Two ways that were predicted in another order than they had. beyond: the predictions' ranges don't overlap."""

    faster: str
    slower: str
    beyond: bool


def verified(runs: Iterable[Run], ways: Sequence[Ranked]) -> list[Verified]:
    """Of the ways that were run, in the order of `ways`; NONE must be among the runs, and every way on every prompt."""
    runs = list(runs)
    middle = medians(runs)
    prompts = list(dict.fromkeys(run.prompt for run in middle))
    classes = [prompt.klass for prompt in prompts]
    wrong = mismatched(runs, NONE)
    took = {(run.configuration, run.prompt): run.result for run in middle}
    draws = Draws.of(len(prompts), 1)
    out = []
    for way in ways:
        if (way.name, prompts[0]) not in took:
            continue
        base, mine = (np.array([_times(took[name, each]) for each in prompts]).T for name in (NONE, way.name))
        measured = estimate(base[:1], mine[:1], classes, draws)
        decode = ratio(base[1:], mine[1:], classes)
        out.append(
            Verified(
                way.name,
                way.speed_up,
                measured,
                way.speed_up.value / measured.value - 1,
                way.decode.value,
                decode,
                way.decode.value / decode - 1,
                {klass: (way.classes[klass].value, _of(base[0], mine[0], classes, klass)) for klass in way.classes},
                sum(run.configuration == way.name for run in wrong),
            )
        )
    return out


def inversions(found: Sequence[Verified]) -> list[Inversion]:
    """Pairs in the wrong order; `faster` was predicted to be it."""
    return [
        Inversion(a.name, b.name, a.predicted.low > b.predicted.high)
        for a, b in permutations(found, 2)
        if a.predicted.value > b.predicted.value and a.measured.value < b.measured.value
    ]


def to_json(found: Sequence[Verified]) -> dict[str, Any]:
    """By stable names. within: whether all are within CLOSE; inversions_beyond: how many the ranges do not excuse."""
    wrong = inversions(found)
    tried = [each for each in found if each.name != NONE]
    return {
        "ways": [
            {
                "name": each.name,
                "predicted": _estimate(each.predicted),
                "measured": _estimate(each.measured),
                "off": each.off,
                "decode": {
                    "predicted": each.decode_predicted,
                    "measured": each.decode_measured,
                    "off": each.decode_off,
                },
                "classes": {klass: {"predicted": p, "measured": m} for klass, (p, m) in each.classes.items()},
                "mismatches": each.mismatches,
            }
            for each in found
        ],
        "most_off": max((abs(each.off) for each in tried), default=None),
        "within": all(abs(each.off) <= CLOSE for each in tried),
        "inversions": [{"faster": each.faster, "slower": each.slower, "beyond": each.beyond} for each in wrong],
        "inversions_beyond": sum(each.beyond for each in wrong),
    }


def _times(result: Result) -> tuple[float, float]:
    """Seconds of the response, and of what came behind the first token."""
    return result.response_s, result.response_s - (result.first_token_s or 0.0)


def _of(base: Floats, mine: Floats, classes: Sequence[str], klass: str) -> float:
    here = [i for i, each in enumerate(classes) if each == klass]
    return float(base[here].sum() / mine[here].sum())


def _estimate(each: Estimate) -> dict[str, float]:
    return {"value": each.value, "low": each.low, "high": each.high}
