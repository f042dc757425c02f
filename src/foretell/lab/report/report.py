"""A whole report as data: the studies of the rows, what was found in each, and how to read it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np

from foretell.lab.experiment.rows import Row
from foretell.lab.quality.intervals import CONFIDENCE
from foretell.lab.report import words
from foretell.lab.report.compare import Comparison, against, by_class, compare, family, least_difference
from foretell.lab.report.energy import Choice, Joules, Versus, choices, joules, versus
from foretell.lab.report.equality import Equality, equalities, unchecked
from foretell.lab.report.resample import RESAMPLES, Resampled, Values, interval
from foretell.lab.report.standing import BUDGET, Candidate, Point, candidates, points
from foretell.lab.report.study import Study, studies
from foretell.lab.report.words import Finding

STEPS: Final = ("O0", "O1", "O2", "O3")
SHOWN: Final = ("tokens_per_s", "response_s", "processor_s", "score")  # with intervals
POOLED: Final = ("acceptance", "tokens_per_round", "guesses_per_token", "draft_passes_per_token")


@dataclass(frozen=True, slots=True)
class Figure:
    """A value with its 95 % interval, both None where they are not known."""

    value: float | None
    low: float | None
    high: float | None

    def to_json(self) -> list[float | None]:
        """[value, low, high]."""
        return [self.value, self.low, self.high]


Figures = Mapping[str, Mapping[str, Figure]]  # side → name → figure


@dataclass(frozen=True)
class Section:
    """One study and all that is said of it.

    overall: of each side. classes: class → side → name → figure. speed, processor: families of comparisons with the
    target alone; speed_by_class: of the response time in each class. levels: each level with the one before it.
    quality: family of scores against the baseline. time_quality, energy_quality: points of the trade-off curves.
    """

    study: Study
    overall: Figures
    classes: Mapping[str, Figures]
    speed: Sequence[Comparison]
    rate: Sequence[Comparison]
    speed_by_class: Sequence[Comparison]
    rate_by_class: Sequence[Comparison]
    processor: Sequence[Comparison]
    levels: Sequence[Comparison]
    quality: Sequence[Comparison]
    equal: Sequence[Equality]
    energy: Mapping[str, Joules]
    energies: Mapping[str, Versus]  # against the reference
    versus: Versus | None
    choices: Sequence[Choice]
    candidates: Sequence[Candidate]
    time_quality: Sequence[Point]
    energy_quality: Sequence[Point]
    drafts: Mapping[str, Mapping[str, float]]  # draft → class → acceptance
    findings: Sequence[Finding]

    @property
    def broken(self) -> list[str]:
        """Exact sides that gave other tokens."""
        return [each.side for each in self.equal if each.unequal]

    def to_json(self) -> dict[str, Any]:
        """Everything by stable names."""
        study = self.study
        return {
            "plan": study.plan,
            "machine": study.machine,
            "engine": study.engine,
            "temperature": study.temperature,
            "target": study.target,
            "reference": study.reference.name,
            "baseline": None if study.baseline is None else study.baseline.name,
            "prompts": {klass: len(its) for klass, its in study.classes.items()},
            "left_out": study.left_out,
            "rows": len(study.rows),
            "sides": {
                each.name: {"model": each.model, "draft": each.draft, "promise": each.promise} for each in study.sides
            },
            "overall": _plain(self.overall),
            "classes": {klass: _plain(its) for klass, its in self.classes.items()},
            "response_against_reference": [each.to_json() for each in self.speed],
            "tokens_per_s_against_reference": [each.to_json() for each in self.rate],
            "response_by_class": [each.to_json() for each in self.speed_by_class],
            "tokens_per_s_by_class": [each.to_json() for each in self.rate_by_class],
            "processor_against_reference": [each.to_json() for each in self.processor],
            "level_against_level_before": [each.to_json() for each in self.levels],
            "quality_against_baseline": [each.to_json() for each in self.quality],
            "equality": [each.to_json() for each in self.equal],
            "broken": self.broken,
            "energy": {name: each.to_json() for name, each in self.energy.items()},
            "energy_against_reference": {name: each.to_json() for name, each in self.energies.items()},
            "oe_against_o2": None if self.versus is None else self.versus.to_json(),
            "oe_choices": [each.to_json() for each in self.choices],
            "candidates": [each.to_json() for each in self.candidates],
            "time_against_quality": [each.to_json() for each in self.time_quality],
            "energy_against_quality": [each.to_json() for each in self.energy_quality],
            "acceptance_by_draft": {name: dict(its) for name, its in self.drafts.items()},
            "findings": [each.to_json() for each in self.findings],
        }


@dataclass(frozen=True, slots=True)
class Report:
    """Sections, and what holds for all of them."""

    sections: Sequence[Section]
    notes: Sequence[Finding]

    @property
    def broken(self) -> list[str]:
        """Exact sides that gave other tokens, of all sections."""
        return [name for section in self.sections for name in section.broken]

    def to_json(self) -> dict[str, Any]:
        """Everything by stable names."""
        return {
            "resamples": RESAMPLES,
            "confidence": CONFIDENCE,
            "broken": self.broken,
            "notes": [each.to_json() for each in self.notes],
            "sections": [each.to_json() for each in self.sections],
        }


def report(rows: Sequence[Row], budget: float = BUDGET) -> Report:
    """What the rows allow to say. budget: how much of a score, of 1, may be lost. ForetellError without rows."""
    found = studies(rows)
    return Report([section(each, budget) for each in found], words.apart(found))


def section(study: Study, budget: float) -> Section:
    """All of one study."""
    by = Resampled(study)
    reference, baseline, oe = study.reference, study.baseline, study.side("Oe")
    speed, processor = against(by, reference, "response_s"), against(by, reference, "processor_s")
    levels = _levels(by)
    lossy = [side for side in study.sides if side.promise != "exact" or side.model != study.target]
    quality = against(by, baseline or reference, "score", lossy)
    equal = equalities(study)
    its = candidates(by, baseline, budget) if baseline is not None else []
    judged = by.paired(baseline, baseline, "scores") if baseline is not None else 0
    least = None if baseline is None else least_difference(study, baseline, baseline, max(1, len(its)))
    pair = versus(by, oe, baseline) if oe is not None and baseline is not None else None
    chosen = choices(by, oe, baseline) if oe is not None and baseline is not None else []
    energies = {
        side.name: found
        for side in study.sides
        if side.key != reference.key and (found := versus(by, side, reference)) is not None
    }
    findings = [
        *words.about_equality(equal, unchecked(study, equal)),
        *words.about_comparisons(speed, reference.name),
        *words.about_levels(levels),
        *words.about_candidates(its, baseline, judged, least, any_scores=bool(study.scored)),
        *words.about_comparisons(quality, (baseline or reference).name),
        *words.about_energies(list(energies.values()), reference),
        *(words.about_energy(oe, baseline, pair, chosen) if oe is not None and baseline is not None else ()),
        *words.cautions(study),
    ]
    return Section(
        study=study,
        overall={
            side.name: {name: _figure(by.overall(side, name), by.freedom()) for name in SHOWN}
            | {name: Figure(by.pooled(side, name), None, None) for name in POOLED}
            for side in study.sides
        },
        classes={
            klass: {
                side.name: {
                    name: _figure(by.figure(side, klass, name), by.freedom([klass])) for name in (*SHOWN, *POOLED)
                }
                for side in study.sides
            }
            for klass in study.classes
        },
        speed=speed,
        rate=against(by, reference, "tokens_per_s"),
        speed_by_class=by_class(by, reference, "response_s"),
        rate_by_class=by_class(by, reference, "tokens_per_s"),
        processor=processor,
        levels=levels,
        quality=quality,
        equal=equal,
        energy={side.name: known for side in study.sides if (known := joules(by, side)) is not None},
        energies=energies,
        versus=pair,
        choices=chosen,
        candidates=its,
        time_quality=points(by, "response_s"),
        energy_quality=points(by, "joules"),
        drafts=_drafts(by),
        findings=findings,
    )


def _levels(by: Resampled) -> list[Comparison]:
    """Each level of the target with the one before it."""
    steps = [side for name in STEPS if (side := by.study.side(name)) is not None]
    return family(compare(by, b, a, "response_s") for a, b in pairwise(steps))


def _drafts(by: Resampled) -> dict[str, dict[str, float]]:
    """Acceptance by draft model and class, over all sides that guessed with it in this study; "none" without one."""
    out: dict[str, dict[str, float]] = {}
    for draft in dict.fromkeys(side.draft for side in by.study.sides):
        mine = [side for side in by.study.sides if side.draft == draft]
        for klass in by.study.classes:
            guessed = sum(float(by.sum(side, klass, "guessed")[0]) for side in mine)
            if guessed:
                kept = sum(float(by.sum(side, klass, "accepted")[0]) for side in mine)
                out.setdefault(draft or "none", {})[klass] = kept / guessed
    return out


def _figure(values: Values, freedom: int) -> Figure:
    if not np.isfinite(values[0]):
        return Figure(None, None, None)
    low, high = interval(values, freedom) or (None, None)
    return Figure(float(values[0]), low, high)


def _plain(figures: Figures) -> dict[str, Any]:
    return {side: {name: each.to_json() for name, each in its.items()} for side, its in figures.items()}
