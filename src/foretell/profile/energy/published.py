"""The model's prices from published figures, by kind of machine; `coefficients.toml` has them and their sources."""

import os
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from foretell.profile.energy.joules import Range
from foretell.profile.energy.model import Model

KINDS: Final = ("laptop", "desktop", "server")
_SERVER: Final = re.compile(r"\b(Xeon|EPYC|Neoverse|Graviton|Altra|POWER\d+)\b", re.IGNORECASE)
_CPUINFO: Final = Path("/proc/cpuinfo")
_SUPPLIES: Final = Path("/sys/class/power_supply")
_PICO: Final = 1e-12


def kind(cpuinfo: Path = _CPUINFO, supplies: Path = _SUPPLIES) -> str:
    """One of KINDS: by the processor's name a server; with a battery a laptop; else a desktop.

    What a virtual machine without a battery runs on is taken for a server: that is where most are.
    """
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    model = next((line for line in text.splitlines() if line.startswith("model name")), "")
    if _SERVER.search(model):
        return "server"
    if any(supplies.glob("BAT*")):
        return "laptop"
    return "server" if re.search(r"^flags\s*:.*\bhypervisor\b", text, re.MULTILINE) else "desktop"


def published(which: str, processors: int) -> Model:
    """The model of a kind of machine of which this process may use so many processors."""
    table = _table()
    its, common, sources = table["machine"][which], table["common"], table["sources"]
    given = {"idle_w": its["idle_w"], "core_w": its["core_w"], "byte_j": common["byte_pj"], "mac_j": common["mac_pj"]}
    shares = processors if its.get("per") == "processor" else 1
    factors = {"idle_w": shares, "core_w": 1.0, "byte_j": _PICO, "mac_j": _PICO}
    ranges = {name: _range(entry) * factors[name] for name, entry in given.items()}
    reasons = {name: _reason(entry, sources) for name, entry in given.items()}
    if shares > 1:
        reasons["idle_w"] = f"for {processors} processors, each: {reasons['idle_w']}"
    return Model(**ranges, source=f"published figures for a {which}", reasons=reasons)


def usable() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _range(entry: Mapping[str, Any]) -> Range:
    return Range(entry["value"], entry["low"], entry["high"])


def _reason(entry: Mapping[str, Any], sources: Mapping[str, str]) -> str:
    return f"{entry['why']} [{'; '.join(sources[each] for each in entry['sources'])}]"


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(files("foretell.profile.energy").joinpath("coefficients.toml").read_text(encoding="utf-8"))
