"""Candidates in order: predicted speed-up, how sure it is, joules, and which one to take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from foretell.ir.text import show
from foretell.lab.select.predict import Draws, Estimate, Floats, Timed, estimate, ratio, sampled, timed
from foretell.lab.select.timing import Block
from foretell.lab.select.ways import FREE, NONE, Measured
from foretell.profile.counts import form_name
from foretell.profile.energy.joules import Range
from foretell.profile.energy.model import Model as Prices
from foretell.profile.energy.work import Work
from foretell.runtime import draft_name

SURE: Final = 0.95  # how often a draft has to win over doing without it, before it is taken
WORTH: Final = 1.01  # and by how much
HOPELESS: Final = 0.1  # share of right choices
_TIE: Final = 1e-9  # below it a difference is of rounding


@dataclass(frozen=True, slots=True)
class Ranked:
    """A way to run the target, predicted. All ratios are of the target alone, above 1 where it is better than that.

    speed_up: of response times, prompt included. decode: of tokens per second behind the first token. classes: speed_up
    by class. beats: by name of a simpler way, in which share of samples this one is faster. best: in which share it is
    the fastest of all. joules: what it takes by what the target alone takes, modelled; None where nothing is known.
    """

    measured: Measured
    speed_up: Estimate
    decode: Estimate
    classes: Mapping[str, Estimate]
    beats: Mapping[str, float]
    gain: float
    best: float
    joules: Range | None

    @property
    def name(self) -> str:
        """See Measured."""
        return self.measured.name


def ranked(
    simple: Sequence[Measured],
    candidates: Sequence[Measured],
    blocks: Sequence[Block],
    energy: Prices | None = None,
    threads: int = 1,
) -> list[Ranked]:
    """All ways, the fastest first.

    simple: NONE and FREE. blocks: timings of the target, for these two. energy: prices of the energy model.
    """
    none = simple[0]
    classes = [each.klass for each in none.usages]
    bests: dict[str, Floats] = {}
    made: list[Ranked] = []
    for number, each in enumerate((*simple, *candidates)):
        own = each.blocks or tuple(blocks)
        draws = Draws.of(len(classes), len(own), number if each.blocks else 0)
        base, mine = _timed(none, own, each), _timed(each, own, each)
        others = {way.name: _timed(way, own, each) for way in simple if way is not each}
        bests[each.name] = sampled(base.whole, mine.whole, classes, draws)
        made.append(
            Ranked(
                each,
                estimate(base.whole, mine.whole, classes, draws),
                estimate(base.rest, mine.rest, classes, draws),
                {klass: _of_class(base.whole, mine.whole, classes, klass, draws) for klass in dict.fromkeys(classes)},
                {name: _share(sampled(way.whole, mine.whole, classes, draws)) for name, way in others.items()},
                ratio(others[FREE].whole, mine.whole, classes) if FREE in others else 1.0,
                0.0,
                _joules(each, mine, none, base, energy, threads),
            )
        )
    most = np.max(np.stack(list(bests.values())), axis=0)
    shares = {name: float((values >= most * (1 - _TIE)).mean()) for name, values in bests.items()}
    made = [replace(each, best=shares[each.name]) for each in made]
    return sorted(made, key=lambda each: -each.speed_up.value)


def choice(ways: Sequence[Ranked]) -> Ranked:
    """Which to take: the fastest candidate that surely pays; else no draft model, if -O2 pays so; else the target."""
    by_name = {each.name: each for each in ways}
    free = by_name[FREE]
    paying = [each for each in ways if verdict(each) == "pays" and _pays(each)]
    if paying:
        return paying[0]
    return free if _pays(free) else by_name[NONE]


def _pays(each: Ranked) -> bool:
    """Whether it is surely faster than the target alone."""
    return each.beats[NONE] >= SURE and each.speed_up.value >= WORTH


def reason(ways: Sequence[Ranked], taken: Ranked) -> str:
    """Why, in words."""
    best = ways[0]
    if taken is best and taken.name == NONE:
        return "nothing is predicted to be faster than the target alone"
    if taken is best and taken.name == FREE:
        return "with every candidate -O2 is predicted to be no faster than without a draft model"
    if taken is best:
        return f"it is predicted to be the fastest, in {taken.best:.0%} of samples of these prompts and timings"
    gain, sure = best.speed_up.value / taken.speed_up.value - 1, best.beats[taken.name]
    who = "-O2 without a draft model" if best.name == FREE else best.name
    return f"{who} is predicted to be {gain:.1%} faster, which is too little or too unsure ({sure:.0%} of samples)"


def verdict(each: Ranked) -> str:
    """Of a candidate, in a word; "" of a way without a draft model.

    `hopeless` when it is hardly ever right; `pays` when -O2 is surely faster with it than without; `slower` when it is
    surely not; else `unclear`.
    """
    said = each.measured.drafted
    if said is None:
        return ""
    if said.right < HOPELESS:
        return "hopeless"
    sure = each.beats[FREE]
    if sure >= SURE and each.gain >= WORTH:
        return "pays"
    return "slower" if sure <= 1 - SURE else "unclear"


def to_json(each: Ranked) -> dict[str, Any]:
    """By stable names."""
    its, results = each.measured, [usage.played.result for usage in each.measured.usages]
    guessed = sum(result.guessed for result in results)
    rounds = sum(result.rounds for result in results)
    kept = sum((result.acceptance or 0) * result.guessed for result in results)
    said = its.drafted
    return {
        "name": each.name,
        "speed_up": _estimate(each.speed_up),
        "decode": _estimate(each.decode),
        "classes": {klass: _estimate(value) for klass, value in each.classes.items()},
        "beats": dict(each.beats),
        "gain": each.gain,
        "best": each.best,
        "verdict": verdict(each),
        "energy": None if each.joules is None else {**_range(each.joules), "kind": "modelled"},
        "form": None if its.form is None else form_name(draft_name.parse(each.name)[1] or its.form),
        "pass_ms": _pass_ms([block.draft for block in its.blocks]),
        "target_pass_ms": _pass_ms([block.target for block in its.blocks]),
        "acceptance": kept / guessed if guessed else None,
        "tokens_per_round": sum((r.tokens_per_round or 0) * r.rounds for r in results) / rounds if rounds else None,
        "draft_passes": sum(result.draft_passes for result in results),
        "draft": None if said is None else said.to_json(),
        "pipeline": show(its.pipeline),
        "flaw": its.flaw,
    }


def _timed(way: Measured, blocks: Sequence[Block], candidate: Measured) -> Timed:
    """At a candidate's timings, with the same overhead of a round for all that is compared with it."""
    return timed(way.usages, way.target, way.draft, blocks, candidate.round_ms)


def _of_class(base: Floats, mine: Floats, classes: Sequence[str], klass: str, draws: Draws) -> Estimate:
    here = [i for i, each in enumerate(classes) if each == klass]
    own = Draws.of(len(here), draws.blocks.shape[1])
    return estimate(base[:, here], mine[:, here], [klass] * len(here), Draws(own.texts, draws.blocks))


def _share(ratios: Floats) -> float:
    """How often above 1; a tie counts half."""
    return float(((ratios > 1 + _TIE).mean() + (ratios >= 1 - _TIE).mean()) / 2)


def _joules(
    each: Measured, mine: Timed, none: Measured, base: Timed, prices: Prices | None, threads: int
) -> Range | None:
    """By what the target alone takes. All threads are busy for all of a pass."""
    its, alone = each.work, none.work
    if prices is None or its is None or alone is None:
        return None
    return prices.ratio(_with_time(its, mine, threads), _with_time(alone, base, threads))


def _with_time(work: Work, its: Timed, threads: int) -> Work:
    wall_s = float(its.whole.mean(axis=0).sum()) / 1000
    return work + Work(0, 0, wall_s, threads * wall_s)


def _estimate(each: Estimate) -> dict[str, float]:
    return {"value": each.value, "low": each.low, "high": each.high}


def _range(each: Range) -> dict[str, float]:
    return {"value": each.value, "low": each.low, "high": each.high}


def _pass_ms(times: Sequence[Mapping[int, float]]) -> float | None:
    """Median of a pass over one row."""
    ones = [each[1] for each in times if 1 in each]
    return float(np.median(ones)) if ones else None
