"""Tables of what `foretell bench` found out about suites of prompts. They fit 80 columns."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from foretell.cli.render import number

if TYPE_CHECKING:
    from rich.table import Table

Figures = Mapping[str, Any]


def print_speeds(configurations: Mapping[str, Mapping[str, Figures]]) -> None:
    """One row per class and configuration. Passes of draft models are shown where there are any.

    least: of the prompts, the least ratio of response times to the reference's.
    """
    from rich.console import Console

    drafts = any(each["draft_passes_per_accepted"] for its in configurations.values() for each in its.values())
    names = ("class", "who", "tok/s", "ratio", "1st s", "all s", "least", "/round", "kept")
    table = table_of(*names, *(("drafts",) if drafts else ()), "diff")
    for klass in next(iter(configurations.values()), ()):
        for place, (name, its) in enumerate(configurations.items()):
            figures = its[klass]
            table.add_row(
                "" if place else klass,
                name,
                number(figures["tokens_per_s"], "{:.1f}"),
                number(figures["ratio"]),
                number(figures["first_token_s"]),
                number(figures["response_s"]),
                number(figures["response_ratio_least"]),
                number(figures["tokens_per_round"]),
                number(figures["acceptance"], "{:.0%}"),
                *((number(figures["draft_passes_per_accepted"]),) if drafts else ()),
                str(figures["mismatches"]),
            )
    Console().print(table)


def print_contest(report: Figures) -> None:
    """Speeds, then the best fixed pipeline of each class and how near the levels come to it, then approximations."""
    from rich.console import Console

    print_speeds(report["configurations"])
    console = Console(highlight=False, soft_wrap=True)
    levels: Mapping[str, Figures] = report["levels_against_best"]
    table = halves_table(report["best_fixed"], {f"{name}/best": its for name, its in levels.items()})
    console.print("\nBest fixed pipeline, chosen on half of a class's prompts, timed on the other:")
    console.print(table)
    if any(its["ratio"] is None for its in report["best_fixed"].values()):
        console.print("A class with fewer than two prompts, answered by all, has no halves.")
    if "approximations" in report:
        _print_approximations(report["approximations"])
    for name in report["broken"]:
        console.print(f"[bold red]{name} is exact, but gave other tokens than O0[/]")


def halves_table(best: Mapping[str, Figures], others: Mapping[str, Figures]) -> "Table":
    """What was best on each half of a class and on the other; then columns of others, figures by class."""
    table = table_of("class", "best on a", "on b", "best on b", "on a", "ratio", *others)
    for column in (1, 3):
        table.columns[column].justify = "left"
    for klass, its in best.items():
        table.add_row(
            klass,
            its.get("name_half_a") or "-",
            number(its.get("ratio_half_b")),
            its.get("name_half_b") or "-",
            number(its.get("ratio_half_a")),
            number(its["ratio"]),
            *(number(each[klass]) for each in others.values()),
        )
    return table


def _print_approximations(approximations: Mapping[str, Figures]) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    table = table_of("draft model", "pass ms", "times as fast", "kept", "loss", "tok/s ratio", "diff")
    for name, its in approximations.items():
        table.add_row(
            name,
            number(its["draft_pass_ms"], "{:.1f}"),
            number(its["draft_pass_ratio"]),
            number(its["acceptance"], "{:.1%}"),
            number(its["acceptance_loss"], "{:.1%}"),
            number(its["ratio"]),
            str(its["mismatches"]),
        )
    changed = sum(its["mismatches"] for its in approximations.values())
    text = "the text is unchanged" if not changed else f"{changed} answers differ from O0"
    console.print(f"\nApproximations of the draft model; {text}:")
    console.print(table)


def table_of(*columns: str) -> "Table":
    """Texts stand left, figures right."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        left = column in {"class", "text", "who", "policy", "by the best fixed", "draft model"}
        table.add_column(column, justify="left" if left else "right", no_wrap=True)
    return table
