"""`foretell lab claims`: what papers claim, beside what rows of experiments show."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foretell.cli import options

if TYPE_CHECKING:
    from foretell.lab.reproduce.claim import Claim

Results = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[RESULTS...]", help="Results folders, or files of rows, as of `lab run reproduce`."),
]
_STYLES = {"holds": "green", "nearly": "yellow", "does not hold": "red", "undecided": "dim"}


def claims(results: Results = None, *, json_: options.Json = False) -> int:
    """Compare claims of papers with measurements: of the rules alone, and of the rows that are given."""
    from foretell.lab.experiment.rows import read_rows
    from foretell.lab.reproduce import claims as measured
    from foretell.lab.reproduce import rules

    found = [*rules.claims(), *(measured.claims(read_rows(results)) if results else ())]
    if json_:
        typer.echo(json.dumps({"claims": [each.to_json() for each in found]}))
    else:
        _print(found)
        if not results:
            typer.echo("\nonly the rules alone, without a model: for more run `foretell lab run reproduce`")
    return 0


def _print(found: "Sequence[Claim]") -> None:
    from rich.console import Console

    console = Console(highlight=False)
    before = ("", "")
    for each in found:
        if (each.paper, each.says) != before:
            before = each.paper, each.says
            console.print(f"\n[bold]arXiv {each.paper}[/]: {each.says}", soft_wrap=True)
        span = "" if each.low is None else f" ({each.low:.2f} to {each.high:.2f})"
        verdict = f"[{_STYLES[each.verdict]}]{each.verdict}[/]"
        console.print(
            f"  {verdict}: claimed {each.claimed:.2f}, measured {each.measured:.2f}{span}; {each.case}, {each.of}",
            soft_wrap=True,
        )
