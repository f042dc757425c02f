"""`foretell cache`: what the cache folder holds, and how to make it smaller."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from foretell.models.cache import CacheFile

_Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]

cache = typer.Typer(help="List, clear or limit the files that Foretell stores.", invoke_without_command=True)


@cache.callback()
def _bare(context: typer.Context, json_: _Json = False) -> None:
    if context.invoked_subcommand is None:
        list_(json_)


@cache.command("list")
def list_(json_: _Json = False) -> None:
    """List the files in the cache with their sizes."""
    from foretell.cli.progress import human
    from foretell.models.cache import KINDS, Cache

    store = Cache()
    files = [each for each in store.files() if not any(part.startswith(".") for part in each.path.parts[-2:-1])]
    totals = {kind: sum(each.size_bytes for each in files if each.kind == kind) for kind in KINDS}
    if json_:
        listed = [
            {"kind": each.kind, "path": str(each.path), "size_bytes": each.size_bytes, "used_s": each.used_s}
            for each in files
        ]
        typer.echo(json.dumps({"folder": str(store.root), "totals_bytes": totals, "files": listed}))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False, show_footer=True)
    table.add_column("kind", footer="total")
    table.add_column("size", human(sum(totals.values())), justify="right")
    table.add_column("file", overflow="fold")
    for each in files:
        table.add_row(each.kind, human(each.size_bytes), str(each.path.relative_to(store.root)))
    console = Console()
    console.print(str(store.root), soft_wrap=True, highlight=False)
    console.print(table)


@cache.command()
def clear(
    kinds: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KIND]...",
            show_default="all but models and calibrations",
            help="models, packed, code, tokenizers, profiles, runs, calibrations, data.",
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Models and calibrations too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json_: _Json = False,
) -> None:
    """Delete stored files. Models and calibrations are kept unless they are named."""
    from foretell.cli.progress import human
    from foretell.errors import UsageError
    from foretell.models.cache import KEPT, KINDS, Cache

    chosen = list(KINDS) if everything else kinds or [kind for kind in KINDS if kind not in KEPT]
    for kind in chosen:
        if kind not in KINDS:
            raise UsageError(f"unknown kind {kind!r}; known are {', '.join(KINDS)}")
    store = Cache()
    found = list(store.files(chosen))
    if found and not yes:
        if not sys.stdin.isatty():
            raise UsageError("refusing to delete without being asked at a terminal; add --yes")
        size = human(sum(each.size_bytes for each in found))
        typer.confirm(f"Delete {len(found)} files, {size}, from {store.root}?", abort=True, err=True)
    _report(store.clear(chosen), json_)


@cache.command()
def limit(
    size: Annotated[str, typer.Argument(metavar="SIZE", help="For example 2GB, 500MB or 0.")], json_: _Json = False
) -> None:
    """Delete packed weights and compiled code, least recently used first, until they fit into SIZE."""
    from foretell.cli.progress import parse_size
    from foretell.models.cache import Cache

    _report(Cache().limit(parse_size(size)), json_)


def _report(deleted: "Sequence[CacheFile]", json_: bool) -> None:
    from foretell.cli.progress import human

    size = sum(each.size_bytes for each in deleted)
    if json_:
        listed = [{"kind": each.kind, "path": str(each.path), "size_bytes": each.size_bytes} for each in deleted]
        typer.echo(json.dumps({"deleted": listed, "freed_bytes": size}))
    else:
        typer.echo(f"deleted {len(deleted)} files, {human(size)}")
