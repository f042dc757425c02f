"""`foretell lab`: experiments about quality, time and energy."""

import typer

from foretell.cli.quality import quality

lab = typer.Typer(help="Experiments: what answers are worth, and what they cost.", no_args_is_help=True)
lab.command("quality")(quality)


@lab.callback()
def _experiments() -> None:
    pass  # a group stays a group while it has one command
