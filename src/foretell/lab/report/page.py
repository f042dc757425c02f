"""A report as one HTML page that needs nothing else: plots as inline SVG, style and a little script inside."""

import re
from collections.abc import Sequence

from foretell.lab.page import marks
from foretell.lab.page.parts import card, document, key, resource
from foretell.lab.page.svg import Markup, joined, tag
from foretell.lab.report import facts, kinds, plots
from foretell.lab.report.cards import against_table, candidates_card, heat_cards, oe_card, overall_table
from foretell.lab.report.report import Report, Section
from foretell.lab.report.standing import Point
from foretell.lab.report.words import Finding


def page(said: Report) -> str:
    """The whole page; well-formed as XML too."""
    several = len(said.sections) > 1
    parts = [tag("header", tag("h1", title(said)), tag("p", facts.headline(said)))]
    parts += [tag("p", each.text, class_="note") for each in said.notes]
    for number, its in enumerate(said.sections, 1):
        if several:
            parts.append(tag("h2", f"{number}. {facts.section_title(its.study, said)}"))
            parts.append(tag("p", facts.section_line(its.study)))
        parts += _section(its)
    parts.append(_footer())
    return document(
        f"{title(said)}: a report", tag("main", *parts), marks.style(), resource("foretell.lab.report", "report.css")
    )


def title(said: Report) -> str:
    """What the report is about."""
    names = list(dict.fromkeys(each.study.plan for each in said.sections))
    return f"Experiment {names[0]}" if len(names) == 1 else f"Experiments {', '.join(names)}"


def _section(its: Section) -> list[Markup]:
    cards = [_findings(its.findings), *_trade_offs(its), *candidates_card(its), overall_table(its)]
    if its.rate_by_class:
        cards += [_bars(its), against_table(its)]
    cards += heat_cards(its)
    if its.choices:
        cards.append(oe_card(its))
    cards.append(_provenance(its))
    alarm = [_alarm(its)] if its.broken else []
    return [*alarm, _tiles(its), tag("div", *cards, class_="grid")]


def _alarm(its: Section) -> Markup:
    texts = [tag("p", each.text) for each in its.findings if each.tone == "broken"]
    return tag("div", tag("b", "Exact settings gave other tokens"), *texts, class_="alarm", role="alert")


def _tiles(its: Section) -> Markup:
    shown = facts.tiles(its)
    return tag(
        "div", *(tag("div", tag("b", big), tag("span", small), class_="tile") for big, small in shown), class_="tiles"
    )


def _findings(found: Sequence[Finding]) -> Markup:
    items = [
        tag("li", tag("span", each.label, class_="tone"), tag("span", *_unbroken(each.text)), class_=each.tone)
        for each in found
    ]
    return card(
        "What can be said",
        "× is a ratio of overall figures; in brackets what it is between with 95 % confidence.",
        tag("ul", *items, class_="said"),
        wide=True,
    )


def _unbroken(text: str) -> list[str]:
    """The text with names of levels, such as -O2, kept on one line."""
    parts = re.split(r"(-O[0-3e])", text)
    return [tag("span", part, class_="level") if place % 2 else part for place, part in enumerate(parts)]


def _trade_offs(its: Section) -> list[Markup]:
    study = its.study
    judged = ", ".join(study.scored)
    if not its.time_quality:
        empty = tag("p", "No answers of these rows were judged, so there is no quality to set against time or energy.")
        return [card("Time and energy against quality", "", tag("div", empty, class_="empty"), wide=True)]
    found = [kinds.kind(side, study) for side in study.sides]
    names = key((f"b{number}", kinds.KIND_NAMES[name]) for name, number in kinds.KINDS.items() if name in found)
    time = card(
        "Time against quality",
        f"Judged: {judged}. Up and to the left is better. Filled, dashed line: the Pareto front. Time: geometric "
        "mean of the classes. Whiskers: 95 %.",
        plots.trade_off(its.time_quality, study, "response time, s"),
        names,
    )
    if not its.energy_quality:
        unavailable = facts.no_energy(study)
        return [time, card("Energy against quality", unavailable, tag("p", "No joules, no plot.", class_="empty"))]
    word = energy_kind(its)
    energy = card(
        f"Energy against quality, {word}",
        f"Joules are {word}: whiskers are the range that the truth may be in, not chance.",
        plots.trade_off(its.energy_quality, study, f"joules per answer, {word}"),
        _left_out(its, its.energy_quality),
    )
    return [time, energy]


def _left_out(its: Section, found: Sequence[Point]) -> Markup:
    lacking = [side.name for side in its.study.sides if side.name not in {each.side for each in found}]
    return tag("p", f"Not shown, because not known: {', '.join(lacking)}.", class_="flat") if lacking else tag("p", "")


def energy_kind(its: Section) -> str:
    """Measured or modelled; modelled where any side's is."""
    return "measured" if {each.kind for each in its.energy.values()} == {"measured"} else "modelled"


def _bars(its: Section) -> Markup:
    panels = (tag("div", plots.panel(its.study, its.rate_by_class, klass)) for klass in its.study.classes)
    reference = its.study.reference.name
    return card(
        "Speed by class",
        f"Tokens per second after the first, times those of {reference} (the line at 1). Thin lines: 95 % "
        "intervals, none for a single prompt.",
        tag("div", *panels, class_="panels"),
        wide=True,
    )


def _provenance(its: Section) -> Markup:
    pairs = facts.provenance(its)
    listed = tag("dl", *(part for name, text in pairs for part in (tag("dt", name), tag("dd", text))))
    names = [[side.name, side.promise, side.rows[0].pipeline.strip()] for side in its.study.sides]
    pipelines = tag(
        "details",
        tag("summary", "The pipelines"),
        *(joined([tag("p", f"{name} ({promise})", class_="sub"), tag("pre", text)]) for name, promise, text in names),
    )
    how = tag("ul", *(tag("li", each) for each in facts.method(its)), class_="how")
    return card("Where the figures are from", "", listed, tag("p", "How sure", class_="sub"), how, pipelines, wide=True)


def _footer() -> Markup:
    return tag("footer", tag("p", "Made by foretell lab report."))
