"""RAPL, the energy counters of Intel's and AMD's processors, as Linux shows them in its powercap folder.

Counted are the packages (a socket: cores, caches, memory controller) and, where there are any, the memory's own
domains. Cores and graphics are parts of their package, `psys` is the whole platform with them, and `intel-rapl-mmio`
says the same once more. Everything that runs on the machine is in these figures, other programs too.
"""

from functools import partial
from pathlib import Path
from typing import Final

from foretell.errors import ForetellError
from foretell.profile.energy.counted import Counted, Counter

ROOT: Final = Path("/sys/class/powercap")
NAME: Final = "RAPL"
# Counters move about every millisecond (Hähnel and others, "Measuring energy consumption for short code paths using
# RAPL", 2012).
UPDATE_S: Final = 0.001
LOOK_S: Final = 20.0  # the smallest counters, of 65 kJ, hold half a minute of 2 kW
_ALLOW: Final = "an administrator can allow it: chmod a+r {}/intel-rapl*/energy_uj"


def meter(root: Path = ROOT) -> Counted:
    """All packages and memory domains, those included that may not be read while others may.

    Raises:
        ForetellError: there are none, or none can be read. It says why, without saying of what.
    """
    domains = _domains(root)
    if not domains:
        raise ForetellError(f"not in {root}, as in most virtual machines")
    for each in domains:
        each.sample(0.0)
    if all(each.failures for each in domains):
        why = domains[0].why
        raise ForetellError(f"{domains[0].name} cannot be read: {why}; {_ALLOW.format(root)}")
    memory = "" if any(each.name.endswith("dram") for each in domains) else ", memory not included"
    names = ", ".join(each.name for each in domains)
    return Counted(NAME, f"RAPL: {names}{memory}", domains, every_s=LOOK_S, delay_s=UPDATE_S)


def _domains(root: Path) -> list[Counter]:
    names: dict[str, str] = {}
    for zone in sorted(root.glob("intel-rapl:*")):
        try:
            names[zone.name] = (zone / "name").read_text(encoding="utf-8").strip()
        except (OSError, ValueError):  # it went away as we looked
            continue
    found = []
    for zone_name, name in names.items():
        parent = zone_name.rpartition(":")[0]
        if name.startswith("package"):
            found.append(_counter(root / zone_name, name))
        elif name == "dram":
            owner = names.get(parent, parent)
            found.append(_counter(root / zone_name, f"{owner} dram"))
    return found


def _counter(zone: Path, name: str) -> Counter:
    try:
        span = _number(zone / "max_energy_range_uj")
    except (OSError, ValueError):
        span = None
    return Counter(name, partial(_number, zone / "energy_uj"), span)


def _number(path: Path) -> float:
    """Microjoules in a file, as joules."""
    return int(path.read_text(encoding="ascii")) / 1e6
