"""The joules of a run at a terminal. It fits 80 columns."""

from typing import TYPE_CHECKING

from foretell.lab.explain.energy import PRICED, Energy
from foretell.lab.explain.explanation import Explanation
from foretell.lab.explain.words import joules_text, span_text

if TYPE_CHECKING:
    from rich.console import Console


def print_energy(console: "Console", said: Explanation, energy: Energy) -> None:
    """Of a run whose joules are known."""
    from foretell.cli.explain_tables import table

    per_token = "" if energy.per_token is None else f", {energy.per_token.said('J per token')}"
    console.print(f"{energy.total}{per_token}")
    console.print(f"{energy.total.source}; the parts are modelled", style="dim", soft_wrap=True)
    console.print()
    out = table("", "energy", "range", "share", "of the time")
    for part, time in zip(energy.parts, said.ledger, strict=True):
        if part.joules.value > 0:
            its = part.joules
            style = "red" if part.wasted else ""
            out.add_row(
                part.name,
                joules_text(its.value),
                span_text(its.low, its.high),
                f"{part.share:.1%}",
                f"{time.share:.1%}",
                style=style,
            )
    console.print(out)
    console.print()
    out = table("what it was for", "energy", "range")
    for name, each in energy.by_price.items():
        out.add_row(PRICED[name], joules_text(each.value), span_text(each.low, each.high))
    console.print(out)
    if energy.sources:
        console.print()
        out = table("guesses of", "saved", "cost", "earned", "range")
        for source in energy.sources:
            style = "green" if source.earned.value >= 0 else "red"
            out.add_row(
                source.source,
                joules_text(source.saved.value),
                joules_text(source.cost.value),
                f"[{style}]{joules_text(source.earned.value)}[/]",
                span_text(source.earned.low, source.earned.high),
            )
        console.print(out)
    for length in energy.lengths:
        console.print(
            f"\nthe best chain of {length.source} has {length.seconds} guesses for time, {length.joules} for energy: "
            f"{length.words}"
        )
