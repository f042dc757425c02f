"""`foretell lab explain-speculation`: how speculative sampling works, with pictures."""

import json
from pathlib import Path
from typing import Annotated

import typer

from foretell.cli import options


def explain_speculation(
    *,
    out: Annotated[Path, typer.Option("--out", help="The page to write.")] = Path("speculation.html"),
    json_: options.Json = False,
) -> None:
    """Write a page that explains speculative sampling, with pictures computed by the rules in use here."""
    options.check_writable("html", out)
    from foretell.lab.reproduce.page import write_page

    write_page(out)
    typer.echo(json.dumps({"file": str(out)}) if json_ else f"wrote {out}")
