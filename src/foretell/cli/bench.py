"""`foretell bench`: measurements that say where they come from."""

import typer

from foretell.cli.suite import suite

bench = typer.Typer(help="Measure the engine, or speed on a suite of prompts.", no_args_is_help=True)
bench.command("suite")(suite)
