"""`foretell energy`: what joules can be measured here, what the model goes by, and what a model's tokens take."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from foretell.cli import options

if TYPE_CHECKING:
    from foretell.backend.model import Backend
    from foretell.engine.native import NativeModel
    from foretell.profile.energy.model import Model
    from foretell.profile.energy.passes import PassEnergy

energy = typer.Typer(
    help="See what joules go by: meters, or a model of them, which can be calibrated.", no_args_is_help=True
)

ROWS: Final = (1, 4, 8)


@energy.command()
def show(
    *,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Show what this model's tokens take too.", show_default="none"),
    ] = None,
    sources: Annotated[bool, typer.Option("--sources", help="Show where each figure comes from.")] = False,
    threads: options.Threads = None,
    json_: options.Json = False,
) -> None:
    """Show the meters of this machine, the model's figures, and joules of tokens in passes over 1, 4 and 8 rows."""
    from foretell.cli import energy_tables as tables
    from foretell.profile.energy import meters

    prices = meters.model(_folder())
    passes, where = ([], "") if model is None else _passes(model, threads, prices)
    candidates = list(meters.found())
    if json_:
        typer.echo(json.dumps(tables.as_json(candidates, prices, passes)))
        return
    tables.print_meters(candidates)
    tables.print_prices(prices, sources=sources)
    if model is not None:
        tables.print_passes(where, passes)


@energy.command()
def calibrate(
    *,
    model: options.ModelName = None,
    rounds: Annotated[int, typer.Option("--rounds", min=2, help="How often each load is run.")] = 5,
    seconds: Annotated[float, typer.Option("--seconds", min=0.01, help="How long each time.")] = 2.0,
    threads: options.Threads = None,
    json_: options.Json = False,
) -> None:
    """Fit the model's figures to this machine's meter, over idling, busy threads and passes over few and many rows."""
    from foretell.cli import energy_tables as tables
    from foretell.cli.progress import bars
    from foretell.errors import ForetellError
    from foretell.profile.energy import calibrated, meters
    from foretell.profile.energy.counts import of_model
    from foretell.profile.energy.fit import fit
    from foretell.profile.energy.loads import loads, measure
    from foretell.profile.machine import machine
    from foretell.runtime.opening import Opening

    try:
        meter = meters.measuring()
    except ForetellError as error:
        raise ForetellError(f"{error}: calibrate on a machine that has one; here joules are modelled") from None
    with bars() as progress:
        backend = Opening(threads, None, None, True, progress).open(model)
        try:
            loaded = _loaded(backend)
            its = loads(backend.session(), of_model(loaded), loaded.team.threads)
            total = rounds * len(its)
            done = iter(range(1, total + 1))
            what = f"measuring with {meter.name}"
            taken = measure(meter, its, rounds, seconds, lambda: progress(what, next(done), total))
        finally:
            backend.close()
    fitted = fit(taken, f"figures fitted here with {meter.about}")
    path = calibrated.keep(_folder(), fitted.model, machine())
    if json_:
        said = {**tables.model_as_json(fitted.model), "missed": fitted.missed, "file": str(path)}
        typer.echo(json.dumps(said))
        return
    tables.print_fit(fitted)
    typer.echo(f"kept in {path}", err=True)


def _passes(name: str, threads: int | None, prices: "Model") -> "tuple[list[PassEnergy], str]":
    """What passes of a model take, and how they were timed, which is now if they never were."""
    from foretell.cli.progress import bars
    from foretell.profile.energy.counts import of_model
    from foretell.profile.energy.passes import energies
    from foretell.runtime.opening import Opening

    with bars() as progress:
        opening = Opening(threads, None, None, True, progress)
        backend = opening.open(name)
        try:
            loaded = _loaded(backend)
            used, times = loaded.team.threads, opening.profile(backend).target
            before = min(times.passes)
            found = energies(of_model(loaded), times.costs, used, prices, rows=ROWS, context_tokens=before)
        finally:
            backend.close()
    return found, f"{name}, {used} threads, behind {before} tokens"


def _loaded(backend: "Backend") -> "NativeModel":
    """The engine's model. UsageError for one that reads no weights."""
    from foretell.backend.native import NativeBackend
    from foretell.errors import UsageError

    if not isinstance(backend, NativeBackend):
        raise UsageError(f"{backend.name} reads no weights: give another --model")
    return backend.model


def _folder() -> Path:
    """Where calibrated figures are kept, beside other measurements of this machine."""
    from foretell.models.cache import Cache

    return Cache().folder("profiles")
