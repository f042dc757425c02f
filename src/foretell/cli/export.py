"""`foretell lab export`: the rows of experiments as Parquet."""

import json
from pathlib import Path
from typing import Annotated

import typer

from foretell.cli import options


def export(
    results: Annotated[list[Path], typer.Argument(help="Results folders, or files of rows.")],
    *,
    to: Annotated[
        Path | None, typer.Option("--to", help="Parquet file to write.", show_default="rows.parquet in the folder")
    ] = None,
    json_: options.Json = False,
) -> None:
    """Write rows as Parquet, for pandas or DuckDB."""
    from foretell.errors import UsageError
    from foretell.lab.experiment.parquet import write
    from foretell.lab.experiment.rows import PARQUET, by_machine, read_rows

    if to is None and (len(results) != 1 or not results[0].is_dir()):
        raise UsageError("say where to write: give --to FILE")
    path = to or results[0] / PARQUET
    options.check_writable("Parquet", path)
    rows = read_rows(results)
    write(path, rows)
    count, machines = len(rows), list(by_machine(rows))
    if json_:
        typer.echo(json.dumps({"file": str(path), "rows": count, "machines": machines}))
        return
    typer.echo(f"{count} rows in {path}")
    if len(machines) > 1:
        typer.echo(f"of {len(machines)} machines, told apart by the column machine: {'; '.join(machines)}")
