"""Which machine a measurement comes from."""

import os
import platform
from pathlib import Path


def machine() -> str:
    """Processor, how many of them this process may use, and system; for people.

    >>> machine().count(",")
    2
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_processor()}, {usable} processors, {platform.system()} {platform.machine()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return (names[0] if names else platform.processor() or "unknown processor").replace(",", "")
