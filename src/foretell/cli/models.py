"""`foretell models`: what can be pulled by name, and what is here."""

import json
from typing import Annotated

import typer


def models(json_: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False) -> None:
    """List the models that have a name, and those on this machine."""
    from foretell.cli.progress import human
    from foretell.models.store import Store

    store = Store()
    here = {each.name: each for each in store.pulled()}
    rows = [
        {
            "name": each.name,
            "title": each.title,
            "size_bytes": each.size_bytes,
            "licence": each.licence,
            "sha256": each.sha256,
            "draft": each.draft,
            "default": each.name == store.catalogue.default,
            "sources": [source.label for source in each.sources],
            "path": str(here[each.name].path) if each.name in here else None,
        }
        for each in store.catalogue
    ]
    others = [each for name, each in here.items() if name not in store.catalogue.entries]
    if json_:
        extra = [{"name": each.name, "size_bytes": each.size_bytes, "path": str(each.path)} for each in others]
        typer.echo(json.dumps({"models": rows, "others": extra}))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("name", overflow="fold")
    table.add_column("size", justify="right", no_wrap=True)
    for column in ("licence", "draft", "here"):
        table.add_column(column, no_wrap=True)
    for each in store.catalogue:
        name = f"{each.name} *" if each.name == store.catalogue.default else each.name
        present = "yes" if each.name in here else "no"
        table.add_row(name, human(each.size_bytes), each.licence, each.draft or "-", present)
    for other in others:
        table.add_row(other.name, human(other.size_bytes), "-", "-", "yes")
    console = Console()
    console.print(table)
    console.print("* used when no model is given", style="dim")
