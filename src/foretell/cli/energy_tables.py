"""Tables of meters, of what the energy model goes by, and of what passes take. They fit 80 columns."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from foretell.profile.energy.fit import Fit
    from foretell.profile.energy.joules import Joules, Range
    from foretell.profile.energy.meters import Candidate
    from foretell.profile.energy.model import Model
    from foretell.profile.energy.passes import PassEnergy

# Name of a price → what people call it, its unit, and how many of the unit one of the price's is.
UNITS: Final = {
    "idle_w": ("while idle", "W", 1.0),
    "core_w": ("a busy processor", "W", 1.0),
    "byte_j": ("a byte", "pJ", 1e12),
    "mac_j": ("a multiply-add", "pJ", 1e12),
}


def print_meters(candidates: "Sequence[Candidate]") -> None:
    """What can be measured."""
    from rich.markup import escape

    console = _console()
    for each in candidates:
        state = f"measures {each.meter.about.partition(': ')[2]}" if each.meter is not None else f"no: {each.why}"
        console.print(f"[bold]{each.name:<5}[/] {each.of:<11} {escape(state)}", soft_wrap=True)
    if not any(each.meter is not None and each.of == "processors" for each in candidates):
        console.print("No meter of processors: joules are modelled.")


def print_prices(model: "Model", *, sources: bool) -> None:
    """The model's figures."""
    console = _console()
    console.print(f"\nThe model goes by {model.source}:", soft_wrap=True, markup=False)
    table = _table("joules of", "unit", "value", "low", "high")
    for name, price in _prices(model).items():
        what, unit, factor = UNITS[name]
        table.add_row(what, unit, *(f"{factor * each:.3g}" for each in (price.value, price.low, price.high)))
    console.print(table)
    if sources:
        for name, reason in model.reasons.items():
            console.print(f"\n{UNITS[name][0]}: {reason}", soft_wrap=True, markup=False)


def print_passes(where: str, passes: "Sequence[PassEnergy]") -> None:
    """What passes take, and each token of them."""
    console = _console()
    console.print(f"\nPasses of {where}:", soft_wrap=True, markup=False)
    table = _table("rows", "ms", "GB", "10^9 macs", "J a pass", "range", "J a token", "range")
    for each in passes:
        work = each.work
        table.add_row(
            str(each.rows),
            f"{1000 * work.wall_s:.1f}",
            f"{work.bytes / 1e9:.3f}",
            f"{work.macs / 1e9:.3f}",
            *_cells(each.joules),
            *_cells(each.token),
        )
    console.print(table)
    console.print("Joules are modelled; a token's part is that of each row when all rows are kept.")


def print_fit(fitted: "Fit") -> None:
    """Fitted figures, and how well they describe what was measured."""
    print_prices(fitted.model, sources=False)
    missed = ", ".join(f"{name} {share:+.1%}" for name, share in fitted.missed.items())
    _console().print(f"modelled against measured: {missed}", soft_wrap=True)


def as_json(candidates: "Sequence[Candidate]", model: "Model", passes: "Sequence[PassEnergy]") -> dict[str, Any]:
    """All of it as plain values; prices in watts and joules."""
    meters = [
        {"name": each.name, "of": each.of, "about": each.meter and each.meter.about, "why": each.why or None}
        for each in candidates
    ]
    shown = [
        {"rows": each.rows, **asdict(each.work), "joules": asdict(each.joules), "token": asdict(each.token)}
        for each in passes
    ]
    return {"meters": meters, "model": model_as_json(model), "passes": shown}


def model_as_json(model: "Model") -> dict[str, Any]:
    """A model's prices with what they follow from."""
    prices = {name: {**asdict(price), "reason": model.reasons.get(name)} for name, price in _prices(model).items()}
    return {"source": model.source, "prices": prices}


def _prices(model: "Model") -> "dict[str, Range]":
    return dict(zip(UNITS, model.prices, strict=True))


def _cells(joules: "Joules") -> tuple[str, str]:
    return f"{joules.value:.3g}", f"{joules.low:.2g} to {joules.high:.2g}"


def _console() -> "Console":
    from rich.console import Console

    return Console(highlight=False)


def _table(*columns: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, justify="left" if column in {"joules of", "unit"} else "right", no_wrap=True)
    return table
