"""NVML, the meter of NVIDIA's graphics processors, through the package nvidia-ml-py when it is installed.

Since Volta there is an energy counter; older devices say their power, which is added up over time.
"""

import importlib
from collections.abc import Callable
from typing import Any, Final

from foretell.errors import ForetellError
from foretell.profile.energy.counted import Counted, Counter, Domain, Power

NAME: Final = "NVML"
UPDATE_S: Final = 0.1  # counters move some ten times a second, and power is an average of up to a second
LOOK_S: Final = 0.05
# "Accurate to within +/- 5% of current power draw": NVML's documentation of nvmlDeviceGetPowerUsage.
POWER_SHARE: Final = 0.05


def meter() -> Counted:
    """All devices.

    Raises:
        ForetellError: there is no such package, driver or device; it says which, without its name.
    """
    try:
        library: Any = importlib.import_module("pynvml")
    except ImportError:
        raise ForetellError("the package nvidia-ml-py is not installed") from None
    try:
        library.nvmlInit()
        handles = [library.nvmlDeviceGetHandleByIndex(i) for i in range(library.nvmlDeviceGetCount())]
    except library.NVMLError as error:
        raise ForetellError(f"does not work here: {error}") from error
    domains = [_domain(library, handle, f"gpu-{i}") for i, handle in enumerate(handles)]
    for each in domains:
        each.sample(0.0)
    if all(each.failures for each in domains):
        raise ForetellError(f"measures no device here{f': {domains[0].why}' if domains else ''}")
    by_power = any(isinstance(each, Power) for each in domains)
    about = f"NVML: {', '.join(each.name for each in domains)}{', from its power' if by_power else ''}"
    look_s, share = (LOOK_S, POWER_SHARE) if by_power else (None, 0.0)
    return Counted(NAME, about, domains, every_s=look_s, delay_s=UPDATE_S, share=share)


def _domain(library: Any, handle: object, name: str) -> Domain:
    """A device's counter, or its power where it has none."""

    def reading(function: Callable[[object], int]) -> float:
        """Millijoules or milliwatts, as joules or watts."""
        try:
            return function(handle) / 1000
        except library.NVMLError as error:
            raise OSError(str(error)) from error

    try:
        reading(library.nvmlDeviceGetTotalEnergyConsumption)
    except OSError:
        return Power(name, lambda: reading(library.nvmlDeviceGetPowerUsage))
    return Counter(name, lambda: reading(library.nvmlDeviceGetTotalEnergyConsumption))
