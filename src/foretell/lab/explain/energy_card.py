"""The page's part about joules: where they went, what each source saved and cost, and how sure that is."""

from foretell.lab.explain import plots
from foretell.lab.explain.energy import PRICED, Energy
from foretell.lab.explain.explanation import Explanation
from foretell.lab.explain.words import joules_text, ms_text, span_text
from foretell.lab.page.parts import card, table
from foretell.lab.page.svg import Markup, joined, tag


def energy_card(said: Explanation, energy: Energy) -> Markup:
    """Of a run whose joules are known."""
    per_token = "" if energy.per_token is None else f", {energy.per_token.said('J per token')}"
    return card(
        "Where the energy went",
        f"{energy.total}{per_token}; {energy.total.source}. The parts are modelled; brackets and ranges hold every end "
        "of the ranges of the model's prices.",
        tag("div", _bar(energy), class_="plot"),
        _parts(said, energy),
        _prices(energy),
        *([_sources(energy)] if energy.sources else []),
        *([_lengths(energy)] if energy.lengths else []),
        wide=True,
    )


def tile(energy: Energy) -> tuple[str, str]:
    """A figure and what it is of."""
    each = energy.per_token
    if each is None or each.value is None:
        return "–", f"energy {energy.total.kind}"
    return joules_text(each.value), f"per token, {each.kind}"


def _bar(energy: Energy) -> Markup:
    shown = [
        (part.name, part.share, f"{joules_text(part.joules.value)}, {part.share:.1%}\n{part.what}")
        for part in energy.parts
    ]
    return plots.share_bar(shown, "Shares of the run's energy")


def _parts(said: Explanation, energy: Energy) -> Markup:
    rows = [
        [
            joined([tag("i", "", class_=f"l{i}"), part.name]),
            joules_text(part.joules.value),
            span_text(part.joules.low, part.joules.high),
            f"{part.share:.1%}",
            ms_text(time.ms),
            f"{time.share:.1%}",
        ]
        for i, (part, time) in enumerate(zip(energy.parts, said.ledger, strict=True))
        if part.joules.value > 0
    ]
    return table(("part", "energy", "range", "share", "time", "of the time"), rows)


def _prices(energy: Energy) -> Markup:
    whole = energy.modelled.value or 1.0
    rows = [
        [PRICED[name], joules_text(each.value), span_text(each.low, each.high), f"{each.value / whole:.1%}"]
        for name, each in energy.by_price.items()
    ]
    return table(("what it was for", "energy", "range", "share"), rows)


def _sources(energy: Energy) -> Markup:
    rows = [
        [
            each.source,
            joules_text(each.saved.value),
            joules_text(each.cost.value),
            tag("span", joules_text(each.earned.value), class_="gain" if each.earned.value >= 0 else "loss"),
            span_text(each.earned.low, each.earned.high),
        ]
        for each in energy.sources
    ]
    return table(("guesses of", "saved", "cost", "earned", "range"), rows)


def _lengths(energy: Energy) -> Markup:
    rows = [
        [each.source, str(each.seconds), str(each.joules), f"{each.least} to {each.most}", each.words]
        for each in energy.lengths
    ]
    return table(
        ("best chain of", "for time", "for energy", "over the ranges", "the choice for energy"), rows, soft=(4,)
    )
