"""What a piece of work asked of the machine: the quantities that the energy model has prices for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter, process_time


@dataclass(frozen=True, slots=True)
class Work:
    """Bytes read and written, multiply-adds, seconds, and processor seconds of all threads together.

    >>> Work(8, 2, 0.5, 1.0) + Work(1, 1, 0.5, 0.5)
    Work(bytes=9, macs=3, wall_s=1.0, cpu_s=1.5)
    """

    bytes: int = 0
    macs: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(
            self.bytes + other.bytes, self.macs + other.macs, self.wall_s + other.wall_s, self.cpu_s + other.cpu_s
        )


class Watch:
    """Begins now; times the work of this process until it is asked.

    wall, cpu: clocks, seconds; by default those of the machine and of all threads of this process.
    """

    def __init__(self, wall: Callable[[], float] = perf_counter, cpu: Callable[[], float] = process_time) -> None:
        self._wall, self._cpu = wall, cpu
        self._began = wall(), cpu()

    def work(self, n_bytes: int = 0, macs: int = 0) -> Work:
        """So many bytes and multiply-adds in the time since."""
        wall_s, cpu_s = self._wall() - self._began[0], self._cpu() - self._began[1]
        return Work(n_bytes, macs, max(wall_s, 0.0), max(cpu_s, 0.0))
