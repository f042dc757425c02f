"""`foretell pull`: fetch models ahead of their use."""

import json
from typing import Annotated

import typer


def pull(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Names from `foretell models`, or hf:org/repo/file.gguf.")
    ],
    json_: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> None:
    """Fetch models, check them, and print where they are."""
    from foretell.cli.progress import bars
    from foretell.models.store import Store

    store = Store()
    paths = {}
    for name in names:
        with bars() as progress:
            paths[name] = store.resolve(name, progress)
        if not json_:
            typer.echo(str(paths[name]))
    if json_:
        pulled = [{"name": name, "path": str(path), "size_bytes": path.stat().st_size} for name, path in paths.items()]
        typer.echo(json.dumps({"pulled": pulled}))
