"""What the rows of a study say about themselves: where they are from, how many, and how figures were made of them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from foretell.lab.report.compare import LEAST_PROMPTS
from foretell.lab.report.report import Report, Section
from foretell.lab.report.resample import RESAMPLES
from foretell.lab.report.study import BASELINE, Study, short
from foretell.lab.report.words import repeatability


def headline(said: Report) -> str:
    """Machine, models and days, as far as all sections have the same."""
    studies = [each.study for each in said.sections]
    machines = list(dict.fromkeys(each.machine for each in studies))
    where = machines[0] if len(machines) == 1 else f"{len(machines)} machines"
    models = list(dict.fromkeys(short(side.model) for each in studies for side in each.sides))
    return f"{', '.join(models)} · {days([row.started for each in studies for row in each.rows])} · {where}"


def section_title(study: Study, said: Report) -> str:
    """What tells this study from the others."""
    studies = [each.study for each in said.sections]
    parts = [
        value
        for value, values in (
            (study.plan, {each.plan for each in studies}),
            (study.machine, {each.machine for each in studies}),
            (study.engine, {each.engine for each in studies}),
            (f"temperature {study.temperature:g}", {each.temperature for each in studies}),
        )
        if len(values) > 1
    ]
    return ", ".join(parts) or study.plan


def section_line(study: Study, *, alone: bool = False) -> str:
    """Its size; where it is not the only one its days and machine too."""
    size = f"{len(study.rows):,} answers of {len(study.sides)} settings to {study.prompts} prompts"
    return size if alone else f"{size} · {days([row.started for row in study.rows])} · {study.machine}"


def tiles(its: Section) -> list[tuple[str, str]]:
    """(figure, what it is): the few that come first."""
    study = its.study
    out = [(f"{study.prompts:,}", f"prompts in {len(study.classes)} classes, {len(study.rows):,} answers")]
    compared, unequal = sum(each.answers for each in its.equal), sum(each.unequal for each in its.equal)
    if compared:
        out.append((f"{unequal:,} of {compared:,}", "answers of exact settings with other tokens"))
    base = study.baseline
    rates = {each.mine: each for each in its.rate}
    responses = {each.mine: each for each in its.speed}
    if base is not None and base.name in rates:
        out.append(
            (f"{rates[base.name].value:.2f}×", f"tokens per second at {base.name}, times {study.reference.name}")
        )
    if base is not None and base.name in responses:
        out.append((f"{responses[base.name].value:.2f}×", f"response time at {base.name}"))
    joules = its.energy.get((base or study.reference).name)
    if joules is not None:
        name = (base or study.reference).name
        between = f"{joules.token_low:.2g} to {joules.token_high:.2g}, {joules.kind}"
        out.append((f"{joules.token:.2g} J", f"per token at {name} ({between})"))
    elif study.scored:
        out.append(("–", "joules: unavailable"))
    good = [each for each in its.candidates if each.good]
    if its.candidates:
        out.append((str(len(good)), f"settings better than exact -{BASELINE} at certified quality"))
    return out


def no_energy(study: Study) -> str:
    """Why there are no joules."""
    why = list(dict.fromkeys(row.joules_source for row in study.rows if row.joules is None and row.joules_source))
    return "Energy is unavailable" + (f": {'; '.join(why[:2])}." if why else ".")


def provenance(its: Section) -> list[tuple[str, str]]:
    """(name, text): everything that a number of this study depends on."""
    study, rows = its.study, its.study.rows
    models = dict.fromkeys((row.model, row.model_digest) for row in rows)
    drafts = dict.fromkeys((row.draft, row.draft_digest) for row in rows if row.draft)
    measures = list(dict.fromkeys(row.measure for row in rows if row.measure))
    out = [
        ("machine", study.machine),
        ("engine", study.engine or "not said"),
        ("Foretell", _listed(f"{row.version}, commit {row.commit or 'not known'}" for row in rows)),
        ("models", _listed(_digested(*each) for each in models)),
        ("drafts", _listed(_digested(*each) for each in drafts) or "none"),
        ("made", days([row.started for row in rows], clock=True)),
        ("prompts", ", ".join(f"{klass} {len(each)}" for klass, each in study.classes.items()) or "none"),
        ("left out", f"{study.left_out} prompts that not all settings have answered"),
        ("answers", f"{len(rows):,}; {_repeats(study)}"),
        (
            "asked for",
            f"{_listed(str(row.max_tokens) for row in rows)} tokens at most, temperature {study.temperature:g}",
        ),
        ("judged by", _listed(measures) or "nobody"),
        ("joules", _energy(its)),
    ]
    return [pair for pair in out if pair[0] != "left out" or study.left_out]


_FIGURES: Final = (
    "Tokens per second and response times of a class are those of all its answers together; of repeats the median "
    "counts. Overall is the geometric mean of the classes' ratios, and of scores the mean of the classes."
)
_INTERVALS: Final = (
    f"Intervals are the middle 95 % of {RESAMPLES:,} resamples of the prompts, class by class, wider by Student's t "
    "where prompts are few; all settings are compared on the same resamples (paired bootstrap, fixed seed)."
)
_SIGNIFICANT: Final = (
    "Significant means p < 0.05 after Holm's correction for all comparisons of the same sentence or table; p is never "
    "below that of a sign test in which all of so many prompts agree."
)
_CERTIFIED: Final = (
    "Certified quality: the lower end of the 95 % interval of the difference in score (Agresti and Min's), for all "
    "settings together, stays within the budget."
)


def method(its: Section) -> list[str]:
    """How figures and intervals are made; a sentence each."""
    study = its.study
    out = [_FIGURES, _INTERVALS, _SIGNIFICANT, _CERTIFIED]
    if any(len(each) == 1 for each in study.classes.values()):
        out.append(
            "Classes with a single prompt have no interval of their own; overall, whole classes are drawn instead."
        )
    noise = repeatability(study)
    if noise is not None:
        out.append(
            f"Repeats of the same prompt differ in response time by {noise:.1%} (median of slowest over fastest)."
        )
    else:
        out.append("No prompt was repeated, so the noise of the machine is not told apart from that of the prompts.")
    if any(len(each) < LEAST_PROMPTS for each in study.classes.values()):
        out.append(f"With fewer than {LEAST_PROMPTS} prompts a class's interval is rough, and rather too narrow.")
    return out


def days(started: Sequence[str], *, clock: bool = False) -> str:
    """From the first to the last, in UTC."""
    known = sorted(each for each in map(_time, started) if each is not None)
    if not known:
        return "date not known"
    form = "%d %B %Y, %H:%M UTC" if clock else "%d %B %Y"
    first, last = (f"{each:{form}}".removeprefix("0") for each in (known[0], known[-1]))
    return first if first == last else f"{first} to {last}"


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _repeats(study: Study) -> str:
    seeds, repeats = {row.seed for row in study.rows}, {row.repeat for row in study.rows}
    return f"{len(seeds)} seed{'s' * (len(seeds) > 1)}, {len(repeats)} time{'s' * (len(repeats) > 1)} each"


def _energy(its: Section) -> str:
    if not its.energy:
        return no_energy(its.study)
    kinds = _listed(each.kind for each in its.energy.values())
    return f"{kinds}: {_listed(source for each in its.energy.values() for source in each.sources)}"


def _digested(name: str, digest: str) -> str:
    return f"{short(name)} ({digest[:12]})" if digest else short(name)


def _listed(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))
