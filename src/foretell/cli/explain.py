"""`foretell explain`: why a run took as long as it did, and what would have helped."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foretell.cli import options

if TYPE_CHECKING:
    from foretell.runtime.runs import Runs


def explain(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]",
            help="A file of `generate --trace`, or a number of --list: 1 is the last run.",
            show_default="the last run",
        ),
    ] = None,
    *,
    list_: Annotated[bool, typer.Option("--list", help="List the runs that are kept.")] = False,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write a page with plots to this file.", show_default="none")
    ] = None,
    json_: options.Json = False,
) -> None:
    """Show where the time of a run went, what its guesses earned, and what would have helped."""
    from foretell.errors import UsageError
    from foretell.lab.explain.explanation import explain as explained
    from foretell.lab.explain.keep import kept
    from foretell.runtime.runs import find, read

    if list_ and (run is not None or html is not None):
        raise UsageError("--list shows all runs: leave out the run and --html")
    options.check_writable("html", html)
    runs = kept()
    if list_:
        _list(runs, json_)
        return
    said = explained(read(find(runs, run)))
    if html is not None:
        from foretell.lab.explain.page import write_page

        write_page(html, said)
        typer.echo(f"wrote {html}", err=True)
    if json_:
        typer.echo(json.dumps(said.to_json()))
    elif html is None:
        from foretell.cli.explain_tables import print_explanation

        print_explanation(said)


def _list(runs: "Runs", json_: bool) -> None:
    """The runs in the cache folder, the newest first; those that cannot be read say why."""
    from datetime import datetime

    from foretell.cli.explain_tables import table
    from foretell.errors import ForetellError
    from foretell.runtime.runs import read

    shown = table("run", "when", "model", "tokens", "tokens/s", "seconds", "end")
    shown.columns[2].no_wrap, shown.columns[2].justify = False, "left"
    listed = []
    for number, path in enumerate(runs.paths(), 1):
        try:
            found = read(path)
        except ForetellError as error:
            listed.append({"run": number, "path": str(path), "error": str(error)})
            shown.add_row(str(number), "", "cannot be read: show it to see why")
            continue
        about, totals = found.about, found.totals
        models = about.target.name if about.draft is None else f"{about.target.name} with {about.draft.name}"
        when = datetime.fromtimestamp(about.made_s).astimezone().strftime("%d %b %H:%M:%S")
        rate = "-" if totals.tokens_per_s is None else f"{totals.tokens_per_s:.1f}"
        listed.append(
            {
                "run": number,
                "path": str(path),
                "made_s": about.made_s,
                "target": about.target.name,
                "draft": None if about.draft is None else about.draft.name,
                "tokens": totals.tokens,
                "tokens_per_s": totals.tokens_per_s,
                "whole_s": totals.whole_s,
                "finish": totals.finish,
            }
        )
        shown.add_row(str(number), when, models, str(totals.tokens), rate, f"{totals.whole_s:.2f}", totals.finish)
    if json_:
        typer.echo(json.dumps(listed))
        return
    if not listed:
        typer.echo("no run was recorded yet: run `foretell generate` first", err=True)
        return
    from rich.console import Console

    Console(highlight=False).print(shown)
