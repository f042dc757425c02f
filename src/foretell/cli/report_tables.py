"""A report at a terminal: for each study its settings in a table, and what can be said. It fits 80 columns."""

from typing import TYPE_CHECKING, Final

from foretell.lab.report import facts
from foretell.lab.report.compare import Comparison
from foretell.lab.report.energy import Joules
from foretell.lab.report.report import Figure, Report, Section
from foretell.lab.report.words import seconds

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

STYLES: Final = {
    "kept": "green",
    "broken": "bold red",
    "yes": "green",
    "no": "red",
    "none": "yellow",
    "open": "yellow",
    "remark": "dim",
}


def print_report(said: Report) -> None:
    """All of it, but what only the page has room for."""
    from rich.console import Console

    console = Console(highlight=False)
    console.print(facts.headline(said), style="bold", soft_wrap=True)
    for each in said.notes:
        console.print(each.text, style="yellow")
    for its in said.sections:
        if len(said.sections) > 1:
            from rich.rule import Rule

            console.print()
            console.print(Rule(f"[bold]{facts.section_title(its.study, said)}[/]", align="left", style="dim"))
        _section(console, its, alone=len(said.sections) == 1)


def _section(console: "Console", its: Section, *, alone: bool) -> None:
    from rich.table import Table

    console.print(facts.section_line(its.study, alone=alone), style="dim", soft_wrap=True)
    console.print()
    console.print(_settings(its))
    joules = {each.kind for each in its.energy.values()}
    notes = [f"×: times {its.study.reference.name}; * significant"]
    notes.append(f"J/token: {' or '.join(sorted(joules))}" if joules else facts.no_energy(its.study).removesuffix("."))
    console.print("; ".join(notes), style="dim")
    console.print()
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column()
    for each in its.findings:
        grid.add_row(f"[{STYLES[each.tone]}]{each.label}[/]", each.text)
    console.print(grid)


def _settings(its: Section) -> "Table":
    from rich.table import Table

    shown = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    shown.add_column("setting", overflow="fold")
    for name in ("tok/s", "×", "response s", "×", "cpu ×", "J/token", "kept", "score %"):
        shown.add_column(name, justify="right", no_wrap=True)
    rates, responses, processors = (
        {each.mine: each for each in found} for found in (its.rate, its.speed, its.processor)
    )
    for side in its.study.sides:
        figures = its.overall[side.name]
        shown.add_row(
            side.name,
            _figure(figures["tokens_per_s"], "{:.1f}"),
            _ratio(rates.get(side.name)),
            _seconds(figures["response_s"]),
            _ratio(responses.get(side.name)),
            _ratio(processors.get(side.name)),
            _joules(its.energy.get(side.name)),
            _figure(figures["acceptance"], "{:.0%}"),
            _figure(figures["score"], "{:.1f}", 100),
        )
    return shown


def _joules(its: Joules | None) -> str:
    return "-" if its is None else f"{its.token:.2f}"


def _seconds(its: Figure) -> str:
    return "-" if its.value is None else seconds(its.value)


def _figure(its: Figure, form: str, scale: float = 1) -> str:
    return "-" if its.value is None else form.format(scale * its.value)


def _ratio(its: Comparison | None) -> str:
    return "-" if its is None else f"{its.value:.2f}{'*' if its.significant else ' '}"
