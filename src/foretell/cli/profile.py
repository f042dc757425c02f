"""`foretell profile`: what decisions go by, measured on this machine with these models."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foretell.cli import options

if TYPE_CHECKING:
    from foretell.profile.file import Keys, Profile
    from foretell.profile.store import Profiles

profile = typer.Typer(
    help="Measure passes and how often guesses are right, and look at what was measured.", no_args_is_help=True
)

File = Annotated[Path | None, typer.Argument(metavar="[FILE]", help="A profile.", show_default="the newest one here")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Write it to this file too.", show_default="none")]


@profile.command()
def run(
    *,
    quick: Annotated[bool, typer.Option("--quick", help="About ten seconds; the default.")] = False,
    thorough: Annotated[bool, typer.Option("--thorough", help="Minutes: more prompts and repeats.")] = False,
    model: options.ModelName = None,
    draft: options.Draft = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            "--prompts",
            help="Your own: one on each line, or JSON objects with prompt and perhaps kind.",
            show_default="built-in ones of eight kinds",
        ),
    ] = None,
    out: Out = None,
    threads: options.Threads = None,
    json_: options.Json = False,
) -> None:
    """Measure, and keep it as what later generations with these models go by."""
    from foretell.cli.profile_tables import print_profile
    from foretell.cli.progress import bars
    from foretell.errors import UsageError
    from foretell.profile.file import text, write
    from foretell.profile.prompts import read_prompts
    from foretell.runtime.measure_plan import QUICK, THOROUGH
    from foretell.runtime.opening import Opening

    if quick and thorough:
        raise UsageError("--quick and --thorough exclude each other: give one")
    asked = None if prompts is None else read_prompts(prompts)
    with bars() as progress:
        opening = Opening(threads, None, None, True, progress)
        if draft is not None:
            opening.check_pair(model, draft)
        target = opening.open(model)
        drafter = None
        try:
            drafter = None if draft is None else opening.drafter(draft, target)
            made = opening.measure(target, drafter, THOROUGH if thorough else QUICK, asked)
        finally:
            if drafter is not None:
                drafter.close()
            target.close()
    keeps = target.pass_costs is None  # what a backend says itself is always known
    if keeps:
        opening.profiles.keep(made)
    if out is not None:
        write(out, made)
    if json_:
        typer.echo(text(made), nl=False)
        return
    print_profile(made)
    places = [*([str(opening.profiles.path(made.keys))] if keeps else []), *([str(out)] if out else [])]
    if places:
        typer.echo(f"kept in {' and '.join(places)}", err=True)


@profile.command()
def show(file: File = None, *, json_: options.Json = False) -> None:
    """Show a profile as tables."""
    from foretell.cli.profile_tables import print_profile
    from foretell.profile.file import text

    shown = _read(file)
    if json_:
        typer.echo(text(shown), nl=False)
        return
    print_profile(shown)


@profile.command()
def merge(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Profiles of the same models and machine.")],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="File for the sum.")],
) -> None:
    """Add profiles: counts add up, of times the least is kept."""
    from foretell.profile.file import read, write
    from foretell.profile.merge import merge as added

    merged = added([read(each) for each in files])
    write(out, merged)
    typer.echo(f"{len(files)} profiles of {merged.counts.tokens} tokens together: {out}", err=True)


@profile.command()
def diff(
    first: Annotated[Path, typer.Argument(metavar="FILE", help="A profile.")],
    second: Annotated[Path, typer.Argument(metavar="FILE", help="Another.")],
    *,
    json_: options.Json = False,
) -> None:
    """Compare the figures of two profiles."""
    from foretell.cli.profile_tables import figures, print_difference
    from foretell.profile.file import read

    pair = [figures(read(each)) for each in (first, second)]
    if json_:
        names = sorted({*pair[0], *pair[1]})
        typer.echo(json.dumps({name: [each.get(name) for each in pair] for name in names}))
        return
    print_difference(*pair)


@profile.command()
def check(
    file: File = None,
    *,
    model: options.ModelName = None,
    draft: options.Draft = None,
    threads: options.Threads = None,
) -> int:
    """Say whether a profile holds here: for this machine, and for the models that are given. Status 1 when not."""
    from foretell.profile.file import Keys
    from foretell.profile.machine import machine

    found = _read(file)
    keys = found.keys
    if model is not None or draft is not None:
        here = _keys(model, draft, threads)
    else:
        here = Keys(machine(), keys.target, keys.draft)
    why = keys.foreign(here)
    doubt = f", but {found.flaw}" if found.flaw else ""
    typer.echo(
        f"the profile {why}: measure again with `foretell profile run`" if why else f"the profile holds here{doubt}"
    )
    return 1 if why else 0


def _keys(model: str | None, draft: str | None, threads: int | None) -> "Keys":
    """Of models as they are here."""
    from foretell.cli.progress import bars
    from foretell.profile.file import Keys
    from foretell.profile.machine import machine
    from foretell.runtime.opening import Opening

    with bars() as progress:
        opening = Opening(threads, None, None, True, progress)
        target = opening.open(model)
        try:
            if draft is None:
                return Keys(machine(), target.key)
            drafter = opening.drafter(draft, target)
            try:
                return Keys(machine(), target.key, drafter.backend().key)
            finally:
                drafter.close()
        finally:
            target.close()


def _read(file: Path | None) -> "Profile":
    """A file's profile, or the newest one that is kept here."""
    from foretell.errors import ForetellError
    from foretell.profile.file import read

    if file is not None:
        return read(file)
    paths = _profiles().paths()
    if not paths:
        raise ForetellError("nothing was measured yet: run `foretell profile run`")
    typer.echo(f"{paths[0]}{f', the newest of {len(paths)}' if paths[1:] else ''}", err=True)
    return read(paths[0])


def _profiles() -> "Profiles":
    from foretell.models.cache import Cache
    from foretell.profile.store import Profiles

    return Profiles(Cache().folder("profiles"))
