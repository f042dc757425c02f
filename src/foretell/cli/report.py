"""`foretell lab report`: what rows of experiments allow to say."""

import json
from pathlib import Path
from typing import Annotated

import typer

from foretell.cli import options

Results = Annotated[list[Path], typer.Argument(metavar="RESULTS...", help="Results folders, or files of rows.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="Folder for the page and its pictures.", show_default="`report` in the first results"),
]
Budget = Annotated[
    str, typer.Option("--quality-budget", help="What a setting may lose to count as equally good: 5%, or 0.05.")
]


def report(results: Results, *, out: Out = None, quality_budget: Budget = "5%", json_: options.Json = False) -> int:
    """Write a page with plots and say what is significant. Status 1 when an exact setting gave other tokens."""
    from foretell.errors import UsageError
    from foretell.lab.experiment.rows import read_rows
    from foretell.lab.report.report import report as reported
    from foretell.lab.report.write import write

    budget = _share(quality_budget)
    folder = out or (results[0] / "report" if results[0].is_dir() else Path("report"))
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is a file: give a folder")
    said = reported(read_rows(results), budget)
    files, lacking = write(folder, said)
    if lacking:
        typer.echo(f"warning: no pictures: {lacking}", err=True)
    if json_:
        typer.echo(json.dumps(said.to_json() | {"files": [str(each) for each in files]}))
    else:
        from foretell.cli.report_tables import print_report

        print_report(said)
        typer.echo(f"\nwrote {files[0]}" + (f" and {len(files) - 1} pictures" if len(files) > 1 else ""))
    return 1 if said.broken else 0


def _share(text: str) -> float:
    from foretell.errors import UsageError
    from foretell.runtime.calibration import share

    value = share(text)
    if not 0 <= value < 1:
        raise UsageError(f"quality-budget is {text!r}: give a share below 100 %, such as 5% or 0.05")
    return value
