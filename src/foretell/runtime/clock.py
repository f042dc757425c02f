"""Clocks of a generation: any that counts seconds, also one that somebody sets back."""

from collections.abc import Callable
from time import perf_counter

Clock = Callable[[], float]  # seconds since any moment


class Steady:
    """A clock that never goes back: where the one underneath jumps back, its time stands still until it caught up.

    >>> times = iter([5.0, 3.0, 6.0])
    >>> clock = Steady(lambda: next(times))
    >>> clock(), clock(), clock()
    (5.0, 5.0, 6.0)
    """

    __slots__ = ("_clock", "_last")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = float("-inf")

    def __call__(self) -> float:
        """Seconds."""
        self._last = max(self._last, self._clock())
        return self._last


def steady(clock: Clock) -> Clock:
    """The clock itself when the system promises that it never goes back."""
    return clock if clock is perf_counter or isinstance(clock, Steady) else Steady(clock)
