"""What a study allows to say, in sentences; what it does not, too."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, Literal

from foretell.lab.quality.intervals import ALPHA
from foretell.lab.report.compare import LEAST_PROMPTS, Comparison
from foretell.lab.report.energy import Choice, Survival, Versus
from foretell.lab.report.equality import Equality
from foretell.lab.report.standing import Candidate
from foretell.lab.report.study import Side, Study

# kept, broken: a promise was; yes, no: significant, for better or for worse; none: nothing is better than exact -O2;
# open: nothing certain can be said; remark: how to read figures.
Tone = Literal["kept", "broken", "yes", "no", "none", "open", "remark"]
LABELS: Final[dict[Tone, str]] = {
    "kept": "promise kept",
    "broken": "promise broken",
    "yes": "better",
    "no": "worse",
    "none": "none better",
    "open": "not certain",
    "remark": "note",
}
NAMES: Final = {
    "response_s": "response time",
    "processor_s": "processor time",
    "tokens_per_s": "tokens per second",
    "joules": "energy",
    "score": "quality",
}
_SHOWN: Final = 5  # ids, and the like, before "and 3 more"
_LISTED: Final = 8  # settings; the tables have all


@dataclass(frozen=True, slots=True)
class Finding:
    """A sentence and what kind of news it is; in a word or two: its label."""

    tone: Tone
    text: str

    @property
    def label(self) -> str:
        """What stands before it."""
        return LABELS[self.tone]

    def to_json(self) -> dict[str, str]:
        """The fields by name."""
        return {"tone": self.tone, "text": self.text}


def about_equality(found: Sequence[Equality], unchecked: Sequence[Side]) -> list[Finding]:
    """Whether exact sides kept their promise."""
    out = []
    for each in found:
        if each.unequal:
            where = _some(each.ids)
            out.append(
                Finding(
                    "broken",
                    f"{each.side} promises the tokens of {each.against} and gave others in {each.unequal} of "
                    f"{each.answers} answers: {where}.",
                )
            )
    kept = [each for each in found if not each.unequal]
    if kept:
        answers = sum(each.answers for each in kept)
        names = _some([each.side for each in kept], 12)
        others = " of theirs" if len(kept) < len(found) else ""
        bases = _some(list(dict.fromkeys(each.against for each in kept)))
        out.append(
            Finding(
                "kept", f"0 of {answers:,} answers{others} differ from {bases}, token by token, as promised: {names}."
            )
        )
    if unchecked:
        names = _some([side.name for side in unchecked], 12)
        out.append(Finding("open", f"Nothing to compare the tokens of exact sides with: {names}."))
    return out


def about_comparisons(found: Sequence[Comparison], reference: str) -> list[Finding]:
    """A family of comparisons with one side: who is better, who is worse, of whom nobody can say."""
    if not found:
        return []
    figure = found[0].figure
    better_is_lower = figure not in ("tokens_per_s", "score")
    name = NAMES[figure]
    out = []
    sure = [each for each in found if each.significant]
    for tone, wanted in (("yes", better_is_lower), ("no", not better_is_lower)):
        some = sorted((each for each in sure if each.lower is wanted), key=lambda each: each.value)
        if some:
            word = "less" if wanted else "more"
            if figure in ("score", "tokens_per_s"):
                word = {"less": "lower", "more": "higher"}[word]
            listed = _some([f"{each.mine} {amount(each)}" for each in some], _LISTED)
            out.append(
                Finding("yes" if tone == "yes" else "no", f"Significantly {word} {name} than {reference}: {listed}.")
            )
    unsure = [each for each in found if not each.significant]
    if unsure:
        listed = _some([f"{each.mine} {amount(each)}" for each in unsure], _LISTED)
        out.append(Finding("open", f"No significant difference in {name} from {reference}: {listed}."))
    return out


def about_levels(found: Sequence[Comparison]) -> list[Finding]:
    """What each level is better by than the one before it, from the second step on."""
    out = []
    for each in found[1:]:
        if not each.significant:
            out.append(
                Finding(
                    "open",
                    f"{each.mine} and {each.theirs}: no significant difference in response time, {amount(each)}.",
                )
            )
        else:
            word = "less" if each.lower else "more"
            tone: Tone = "yes" if each.lower else "no"
            out.append(
                Finding(tone, f"{each.mine} takes significantly {word} time than {each.theirs}: {amount(each)}.")
            )
    return out


def about_candidates(
    found: Sequence[Candidate], baseline: Side | None, prompts: int, least: float | None, *, any_scores: bool
) -> list[Finding]:
    """Whether anything takes less time and less processor time than exact -O2 at equal quality.

    prompts: how many were judged. least: what a setting with the very same scores would be certified to lose at most.
    """
    if not any_scores:
        return [Finding("open", "No answer was judged, so nothing can be said about quality.")]
    if baseline is None:
        return [Finding("open", "Exact -O2 did not run, so nothing can be said about what beats it at equal quality.")]
    if not found:
        return []
    budget = f"{100 * found[0].budget:g} points"
    good = [each for each in found if each.good]
    others = [each for each in found if not each.good and not each.alike]
    out = [
        Finding(
            "yes",
            f"{each.side} takes less time and less processor time than exact {baseline.name} at equal certified "
            f"quality: response time {amount(each.response)}, processor time {amount(each.processor)}, quality "
            f"{amount(each.score)}; at most {100 * max(0.0, -each.least):.1f} points are lost, "
            f"with a budget of {budget}.",
        )
        for each in good
    ]
    if not good:
        text = (
            f"No setting takes less time and less processor time than exact {baseline.name} while certainly losing no "
            f"more than {budget} of quality."
        )
        out.append(Finding("none", text))
    if least is not None and found[0].budget < -least:
        text = f"{prompts} judged prompts cannot certify less than {-100 * least:.1f} points, even with equal scores."
        out.append(Finding("remark", text))
    if others:
        names = ", ".join(f"{each.side} ({lacking(each)})" for each in others[:_SHOWN])
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        out.append(Finding("open", f"Not to be preferred to {baseline.name}: {names}{more}."))
    return out


def lacking(its: Candidate) -> str:
    """Why a setting is not to be preferred, as short as possible; "" where it is."""
    why = []
    if not its.certified:
        why.append(f"may lose {-100 * its.least:.1f} points")
    more = [
        name
        for name, found in (("time", its.response), ("processor time", its.processor))
        if found is not None and not (found.significant and found.lower)
    ]
    if more:
        why.append(f"not certainly less {' and '.join(more)}")
    if its.processor is None:
        why.append("processor time not known")
    return ", ".join(why)


def about_energies(found: Sequence[Versus], reference: Side) -> list[Finding]:
    """Who takes less energy than the reference, by how sure that is in view of the ranges."""
    kind = reference.energy_kind
    out = []
    for survival, says in (
        ("apart", "whatever the ranges"),
        ("same order", "if the ranges err in the same way for all, not if each errs for itself"),
    ):
        for lower, word in ((True, "less"), (False, "more")):
            some = [its.found for its in found if its.survival == survival and its.found.lower is lower]
            if some:
                tone: Tone = "open" if survival == "same order" else "yes" if lower else "no"
                listed = _some([f"{each.mine} {each.value:.2f}×" for each in some], _LISTED)
                out.append(
                    Finding(tone, f"{word.capitalize()} energy than {reference.name} ({kind}), {says}: {listed}.")
                )
    unsure = [its.found for its in found if its.survival == "open"]
    if unsure:
        listed = _some([f"{each.mine} {each.value:.2f}×" for each in unsure], _LISTED)
        out.append(Finding("open", f"Energy against {reference.name} ({kind}) that the ranges leave open: {listed}."))
    return out


def about_energy(mine: Side, theirs: Side, versus: Versus | None, choices: Sequence[Choice]) -> list[Finding]:
    """Where -Oe chose differently from -O2, and whether a difference in joules survives the ranges."""
    different = [each for each in choices if each.different]
    prompts, of = sum(each.different for each in choices), sum(each.prompts for each in choices)
    if not different:
        out = [Finding("remark", f"{mine.name} guessed just as {theirs.name} did on all {of} prompts.")]
    else:
        names = _some([f"{each.klass} {each.different} of {each.prompts}" for each in different], 12)
        out = [
            Finding(
                "remark", f"{mine.name} guessed differently from {theirs.name} on {prompts} of {of} prompts: {names}."
            )
        ]
    if versus is None:
        return [*out, Finding("open", "Joules are unavailable, so nothing can be said about energy.")]
    return [*out, Finding(*_survival(mine, theirs, versus))]


def _survival(mine: Side, theirs: Side, its: Versus) -> tuple[Tone, str]:
    kind = mine.energy_kind
    word = "less" if its.found.lower else "more"
    says = (
        f"{mine.name} takes {amount(its.found)} the energy of {theirs.name} ({kind}; ranges allow {its.low:.2f} "
        f"to {its.high:.2f})"
    )
    if its.found.value == 1:
        return "open", f"{mine.name} and {theirs.name} take the same energy ({kind})."
    return {
        "apart": ("yes" if its.found.lower else "no", f"{says}: {word} wherever in the ranges the truth is."),
        "same order": (
            "open",
            f"{says}: {word} if the ranges err in the same way for both, not if each errs for itself.",
        ),
        "open": ("open", f"{says}: the difference does not survive the ranges."),
    }[its.survival]


SURVIVES: Final[dict[Survival, str]] = {"apart": "yes", "same order": "if both err alike", "open": "no"}


def cautions(study: Study) -> list[Finding]:
    """What makes figures less sure than they look."""
    out = []
    few = [klass for klass, its in study.classes.items() if 1 < len(its) < LEAST_PROMPTS]
    single = [klass for klass, its in study.classes.items() if len(its) == 1]
    if few:
        where = "every class" if len(few) == len(study.classes) else _some(few, 12)
        out.append(
            Finding("remark", f"Fewer than {LEAST_PROMPTS} prompts in {where}: intervals of these classes are rough.")
        )
    if single:
        overall = ", there and overall" if len(single) == 1 else " there"
        out.append(Finding("remark", f"A single prompt in {_some(single, 12)}: no interval{overall}."))
    least = 2.0 ** (1 - study.prompts) * max(1, len(study.sides) - 1)
    if study.classes and least >= ALPHA:
        text = f"With {study.prompts} prompts for {len(study.sides)} settings no difference can be significant."
        out.append(Finding("remark", text))
    if study.left_out:
        count = "1 prompt was" if study.left_out == 1 else f"{study.left_out} prompts were"
        out.append(Finding("remark", f"{count} not answered by all sides that have answered others like it: left out."))
    if not study.classes:
        out.append(Finding("open", "No prompt was answered by every side, so sides cannot be compared."))
    if len(study.sides) == 1:
        out.append(Finding("open", f"Only {study.sides[0].name} was run, so there is nothing to compare it with."))
    for name, known in (("commits", {row.commit for row in study.rows}), ("versions", {r.version for r in study.rows})):
        if len(known) > 1:
            out.append(Finding("remark", f"Rows of several {name} are taken together: {_some(sorted(known))}."))
    if any(row.commit.endswith("+") for row in study.rows):
        out.append(Finding("remark", "Some rows were made by a checkout with changes that were not committed."))
    return out


def apart(studies: Sequence[Study]) -> list[Finding]:
    """What is kept apart, and why."""
    out = []
    for what, values in (
        ("machines", {each.machine for each in studies}),
        ("builds of the engine", {each.engine for each in studies}),
        ("temperatures", {f"{each.temperature:g}" for each in studies}),
        ("plans", {each.plan for each in studies}),
    ):
        if len(values) > 1:
            out.append(
                Finding(
                    "remark", f"The rows are of {len(values)} {what}, which are kept apart: {_some(sorted(values))}."
                )
            )
    return out


def repeatability(study: Study) -> float | None:
    """How much the response times of repeats differ: median over side, prompt and seed of max / min - 1."""
    groups: dict[tuple[object, ...], list[float]] = {}
    for row in study.rows:
        groups.setdefault((row.key[:-1]), []).append(row.response_s)
    spreads = [max(its) / min(its) - 1 for its in groups.values() if len(its) > 1 and min(its) > 0]
    return median(spreads) if spreads else None


def amount(found: Comparison | None) -> str:
    """A figure with its interval.

    >>> amount(None)
    'unknown'
    """
    if found is None:
        return "unknown"
    if found.kind == "ratio":
        text, each = f"{found.value:.2f}×", "{:.2f}"
    else:
        text, each = f"{100 * found.value:+.1f}", "{:+.1f}"
    if found.low is None or found.high is None:
        return text
    scale = 1 if found.kind == "ratio" else 100
    return f"{text} ({each.format(scale * found.low)} to {each.format(scale * found.high)})"


def _some(names: Iterable[str], shown: int = _SHOWN) -> str:
    listed = list(names)
    more = len(listed) - shown
    return ", ".join(listed[:shown]) + (f" and {more} more" if more > 0 else "")


def seconds(value: float) -> str:
    """With three digits, or two below one.

    >>> seconds(31.62), seconds(2.153), seconds(0.0123), seconds(1234.0)
    ('31.6', '2.15', '0.012', '1234')
    """
    return f"{value:.2g}" if value < 1 else f"{value:.{max(0, 2 - int(math.log10(value)))}f}"
