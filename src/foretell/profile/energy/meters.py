"""Which meters there are here, and the best of them: what measures processors, else the model."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from foretell.errors import ForetellError
from foretell.profile.energy import calibrated, nvml, powercap, zeus
from foretell.profile.energy.meter import Meter
from foretell.profile.energy.model import Model, Modelled
from foretell.profile.energy.published import kind, published, usable
from foretell.profile.machine import machine


@dataclass(frozen=True, slots=True)
class Candidate:
    """A meter, or why it is none here. of: what it measures, `processors` or `graphics`."""

    name: str
    of: str
    meter: Meter | None
    why: str = ""


_KNOWN: Final[tuple[tuple[str, str, Callable[[], Meter]], ...]] = (
    (powercap.NAME, "processors", powercap.meter),
    (zeus.NAME, "processors", zeus.meter),
    (nvml.NAME, "graphics", nvml.meter),
)


def found() -> Iterator[Candidate]:
    """All that Foretell knows, the best first, looked for one by one."""
    for name, of, make in _KNOWN:
        try:
            yield Candidate(name, of, make())
        except ForetellError as error:
            yield Candidate(name, of, None, str(error))


def measuring() -> Meter:
    """The first that measures processors, where all passes run.

    Raises:
        ForetellError: there is none; it says why.
    """
    why = []
    for each in found():
        if each.of == "processors":
            if each.meter is not None:
                return each.meter
            why.append(f"{each.name}: {each.why}")
    raise ForetellError(f"there is no energy meter here ({'; '.join(why)})")


def best(folder: Path | None = None) -> Meter:
    """What measures processors, else the model; `folder` is where `foretell energy calibrate` has kept its prices."""
    try:
        return measuring()
    except ForetellError:
        return Modelled(model(folder))


def model(folder: Path | None = None) -> Model:
    """With the prices that were fitted here, else with published ones for this kind of machine."""
    fitted = None if folder is None else calibrated.kept(folder, machine())
    return fitted or published(kind(), usable())
