"""`foretell lab plans`: the experiments that come with Foretell."""

from typing import Annotated

import typer


def plans(
    name: Annotated[
        str | None, typer.Argument(help="Print this plan's TOML, to be edited.", show_default="list")
    ] = None,
) -> None:
    """The plans that come with Foretell."""
    from foretell.lab.experiment import read

    if name is not None:
        typer.echo(read.text(name), nl=False)
        return
    wide = max(map(len, read.names()))
    for each in read.names():
        typer.echo(f"{each:{wide}}  {read.plan(each).about}")
