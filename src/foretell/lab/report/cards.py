"""The report's tables, and the cards that they stand in."""

from foretell.lab.page.parts import card, table
from foretell.lab.page.svg import Markup, joined, tag
from foretell.lab.report import plots
from foretell.lab.report.compare import Comparison
from foretell.lab.report.energy import Joules, Versus
from foretell.lab.report.report import Figure, Section
from foretell.lab.report.words import SURVIVES, lacking, seconds


def overall_table(its: Section) -> Markup:
    """Every setting in a line."""
    rates = {each.mine: each for each in its.rate}
    responses = {each.mine: each for each in its.speed}
    processors = {each.mine: each for each in its.processor}
    rows = []
    for side in its.study.sides:
        figures = its.overall[side.name]
        rows.append(
            [
                _named(side.name, side.promise),
                _plain(figures["tokens_per_s"], "{:.1f}"),
                ratio(rates.get(side.name)),
                _seconds(figures["response_s"]),
                ratio(responses.get(side.name)),
                short_ratio(processors.get(side.name)),
                energy(its.energy.get(side.name)),
                _plain(figures["acceptance"], "{:.0%}"),
                _plain(figures["tokens_per_round"], "{:.2f}"),
                _ranged(figures["score"], 100, "{:.1f}"),
            ]
        )
    reference = its.study.reference.name
    head = (
        "setting",
        "tokens/s",
        f"× {reference}",
        "s/answer",
        f"× {reference}",
        f"processor × {reference}",
        "J per token",
        "accepted",
        "tokens/round",
        "score, %",
    )
    kinds = sorted({each.kind for each in its.energy.values()})
    joules = f"Joules are {' or '.join(kinds)}, with their range." if kinds else "Joules are unavailable."
    return card(
        "All settings",
        f"Overall; ratios to {reference} with 95 % intervals, bold where significant; exact where nothing else is "
        f"said. {joules}",
        across(table(head, rows)),
        wide=True,
    )


def against_table(its: Section) -> Markup:
    """Response times by class, as ratios to the target alone; then scores by class where there are any."""
    sides = [side for side in its.study.sides if side.key != its.study.reference.key]
    found = {(each.klass, each.mine): each for each in its.speed_by_class}
    classes = its.study.classes
    rows = [[side.name, *(short_ratio(found.get((klass, side.name))) for klass in classes)] for side in sides]
    parts = [across(table(("setting", *classes), rows))]
    judged = its.study.scored
    if judged:
        scores = [
            [side.name, *(_ranged(its.classes[klass][side.name]["score"], 100, "{:.1f}") for klass in judged)]
            for side in its.study.sides
        ]
        parts.append(tag("p", "Scores by class, %, with 95 % intervals", class_="sub"))
        parts.append(across(table(("setting", *judged), scores)))
    return card(
        "Response time by class",
        f"Times that of {its.study.reference.name}: below 1 is faster. Bold: significant.",
        *parts,
        wide=True,
    )


def heat_cards(its: Section) -> list[Markup]:
    """Acceptance by class and setting, and by class and draft."""
    classes = list(its.study.classes)
    rows = acceptance(its)
    if not rows:
        return []
    parts = [tag("div", plots.heat_map(rows, classes, "Acceptance by class and setting"), class_="plot")]
    if its.drafts:
        parts.append(tag("p", "By draft model, all settings that had it together", class_="sub"))
        named = {("no draft model" if name == "none" else name): each for name, each in its.drafts.items()}
        parts.append(tag("div", plots.heat_map(named, classes, "Acceptance by class and draft"), class_="plot"))
    return [
        card(
            "Acceptance",
            "Guesses that were kept, in per cent; a dash where nothing was guessed.",
            *parts,
            wide=True,
        )
    ]


def acceptance(its: Section) -> dict[str, dict[str, float]]:
    """Setting → class → share of guesses that were kept; settings that never guessed are left out."""
    out: dict[str, dict[str, float]] = {}
    for side in its.study.sides:
        known = {klass: its.classes[klass][side.name]["acceptance"].value for klass in its.study.classes}
        values = {klass: value for klass, value in known.items() if value is not None}
        if values:
            out[side.name] = values
    return out


def candidates_card(its: Section) -> list[Markup]:
    """What takes the place of exact -O2, and what does not."""
    base = its.study.baseline
    shown = [each for each in its.candidates if not each.alike or each.good]
    if base is None or not shown:
        return []
    rows = [
        [
            each.side,
            ratio(each.response),
            ratio(each.processor),
            difference(each.score),
            f"{100 * max(0.0, -each.least):.1f}",
            "yes" if each.good else f"no: {lacking(each)}",
        ]
        for each in shown
    ]
    head = ("setting", "response ×", "processor ×", "score, points", "may lose, points", "better")
    return [
        card(
            f"Instead of exact {base.name}",
            f"In the judged classes, against {base.name}. Better is what takes less time and less processor time, both "
            f"significantly, and may lose no more than {100 * shown[0].budget:g} points.",
            across(table(head, rows, left=(5,))),
            wide=True,
        )
    ]


def oe_card(its: Section) -> Markup:
    """What -Oe did otherwise than -O2."""
    oe, base = its.study.side("Oe"), its.study.baseline
    assert oe is not None and base is not None  # noqa: S101, PT018 — without them there are no choices
    rows = [
        [
            each.klass,
            f"{each.different} of {each.prompts}",
            _pair(each.guesses),
            _pair(each.draft_passes),
            _pair(each.rounds),
            short_ratio(each.response),
            versus_cell(each.energy),
            survives(each.energy),
        ]
        for each in its.choices
    ]
    head = (
        "class",
        "prompts that differ",
        "guesses/token",
        "draft passes/token",
        "rounds/token",
        "response ×",
        "joules ×",
        "survives",
    )
    kind = oe.energy_kind
    return card(
        f"Where {oe.name} chooses differently from {base.name}",
        f"{oe.name} | {base.name}. Joules are {kind}; beside them what both ranges together allow. A "
        "difference survives when it is there wherever in the ranges the truth is.",
        across(table(head, rows, left=(7,))),
        wide=True,
    )


def survives(its: Versus | None) -> str:
    """Whether a difference in joules is there whatever the ranges."""
    return "–" if its is None else SURVIVES[its.survival]


def versus_cell(its: Versus | None) -> Markup:
    """A ratio of joules with what the ranges allow."""
    if its is None:
        return joined(["–"])
    return joined([f"{its.found.value:.2f}", tag("span", f"{its.low:.2f}–{its.high:.2f}", class_="range")])


def ratio(its: Comparison | None) -> Markup:
    """A ratio with its interval; bold when it is significant."""
    if its is None:
        return joined(["–"])
    text = f"{its.value:.2f}"
    shown: Markup = tag("b", text) if its.significant else joined([text])
    if its.low is None or its.high is None:
        return shown
    return joined([shown, tag("span", f"{its.low:.2f}–{its.high:.2f}", class_="range")])


def difference(its: Comparison) -> Markup:
    """A difference in points with its interval; bold when it is significant."""
    text = f"{100 * its.value:+.1f}"
    shown: Markup = tag("b", text) if its.significant else joined([text])
    if its.low is None or its.high is None:
        return shown
    return joined([shown, tag("span", f"{100 * its.low:+.1f} to {100 * its.high:+.1f}", class_="range")])


def short_ratio(its: Comparison | None) -> Markup:
    """A ratio, with its interval when one points at it; bold when it is significant."""
    if its is None:
        return joined(["–"])
    tip = f"{its.mine} against {its.theirs}: {its.value:.3f}"
    if its.low is not None and its.high is not None:
        tip += f", between {its.low:.3f} and {its.high:.3f}"
    tip += f"\n{its.prompts} prompts, {'significant' if its.significant else 'not significant'}, p = {its.p_holm:.2g}"
    return tag("b" if its.significant else "span", f"{its.value:.2f}", data_tip=tip)


def energy(its: Joules | None) -> Markup:
    """Joules per token with their range."""
    if its is None:
        return joined(["–"])
    return joined([f"{its.token:.2f}", tag("span", f"{its.token_low:.2f}–{its.token_high:.2f}", class_="range")])


def across(shown: Markup) -> Markup:
    """Scrolls by itself where the screen is narrow."""
    return tag("div", shown, class_="across")


def _named(name: str, promise: str) -> Markup:
    return joined([name] if promise == "exact" else [name, tag("span", promise, class_="range")])


def _seconds(its: Figure) -> str:
    return "–" if its.value is None else seconds(its.value)


def _plain(its: Figure, form: str) -> str:
    return "–" if its.value is None else form.format(its.value)


def _ranged(its: Figure, scale: float, form: str) -> Markup:
    if its.value is None:
        return joined(["–"])
    text = form.format(scale * its.value)
    if its.low is None or its.high is None:
        return joined([text])
    low, high = (form.format(scale * each) for each in (its.low, its.high))
    return joined([text, tag("span", f"{low}–{high}", class_="range")])


def _pair(values: tuple[float, float]) -> str:
    return f"{values[0]:.2f} | {values[1]:.2f}"
