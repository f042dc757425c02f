"""The package zeus as a meter, when it is installed: it reads RAPL through its daemon, and Apple's processors.

Only processors and memory are asked of it: Foretell's passes run there.
"""

import importlib
import itertools
from typing import Any, Final

from foretell.errors import ForetellError
from foretell.profile.energy.joules import Joules
from foretell.profile.energy.work import Work

NAME: Final = "zeus"
# zeus says nothing of its own error; behind it are counters that move every millisecond.
UPDATE_S: Final = 0.001


class ZeusMeter:
    """Windows of a `zeus.monitor.ZeusMonitor`."""

    def __init__(self, monitor: Any) -> None:
        self.name, self.about = NAME, "zeus: processors and memory"
        self.monitor = monitor
        self._keys = itertools.count()

    def begin(self) -> "ZeusWindow":
        """A window of its own name."""
        return ZeusWindow(self, f"foretell-{next(self._keys)}")


class ZeusWindow:
    """One of its windows, or why it did not begin."""

    def __init__(self, meter: ZeusMeter, key: str) -> None:
        self._meter, self._key, self._why = meter, key, ""
        try:
            meter.monitor.begin_window(key, sync_execution=False)
        except Exception as error:  # noqa: BLE001 — whatever another library raises, the run goes on
            self._why = str(error)

    def end(self, work: Work) -> Joules:  # noqa: ARG002 — measured, not modelled
        """The sum of what it says of processors and memory."""
        if self._why:
            return Joules.unavailable(f"zeus: {self._why}")
        try:
            said = self._meter.monitor.end_window(self._key, sync_execution=False)
        except Exception as error:  # noqa: BLE001 — see above
            return Joules.unavailable(f"zeus: {error}")
        parts = _parts(said)
        if not parts or said.time < UPDATE_S:
            return Joules.unavailable("zeus measured nothing" if not parts else "too short for zeus")
        value = sum(parts)
        wrong = value * min(1.0, UPDATE_S / said.time)
        return Joules(value, value - wrong, value + wrong, self._meter.about, "measured")


def _parts(said: Any) -> list[float]:
    """Joules of sockets and their memory, or of the parts of a chip that has everything on it."""
    parts = [*(said.cpu_energy or {}).values(), *(said.dram_energy or {}).values()]
    chip = getattr(said, "soc_energy", None)
    if not parts and chip is not None:
        both = (getattr(chip, "cpu_total_mj", None), getattr(chip, "dram_mj", None))
        parts = [each / 1000 for each in both if each is not None]
    return parts


def meter() -> ZeusMeter:
    """Through zeus.

    Raises:
        ForetellError: it is not installed, does not work, or sees no processor meter; it says which, without its name.
    """
    try:
        library: Any = importlib.import_module("zeus.monitor")
    except ImportError:
        raise ForetellError("not installed") from None
    try:
        monitor = library.ZeusMonitor(gpu_indices=[])
    except Exception as error:
        raise ForetellError(f"does not work here: {error}") from error
    if not monitor.cpu_indices and not getattr(monitor, "soc_is_present", False):
        raise ForetellError("sees no meter of a processor here")
    return ZeusMeter(monitor)
