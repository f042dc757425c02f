"""Meters made of domains that are read again and again: energy counters that wrap around, and power over time.

A counter of 65 kJ at 280 W is around in four minutes, so open windows are looked at from time to time by a thread of
their own. A domain that cannot be read (permission, hot-unplugged, driver gone) fails; windows that saw a failure leave
it out and name it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event, RLock, Thread
from time import perf_counter
from typing import NamedTuple

from foretell.profile.energy.joules import Joules
from foretell.profile.energy.work import Work

Read = Callable[[], float]


class Reading(NamedTuple):
    """Joules so far or watts now, and when."""

    number: float
    at_s: float


class Domain:
    """A part of the machine with a reading of its own. `read` raises OSError or ValueError when there is none.

    joules: since the first reading, as far as it could be read. failures: how often it could not; why: the last time.
    """

    def __init__(self, name: str, read: Read) -> None:
        self.name, self._read = name, read
        self.joules, self.failures, self.why = 0.0, 0, ""
        self._last: Reading | None = None

    def sample(self, now_s: float) -> None:
        """Read once more."""
        last, self._last = self._last, None
        try:
            self._last = Reading(self._read(), now_s)
            if last is not None:
                self.joules += self._between(last, self._last)
        except (OSError, ValueError) as error:
            self.failures += 1
            self.why = getattr(error, "strerror", None) or str(error)

    @property
    def readable(self) -> bool:
        """Whether the last reading gave a number."""
        return self._last is not None

    def _between(self, last: Reading, now: Reading) -> float:
        """Joules from one reading to the next."""
        raise NotImplementedError


class Counter(Domain):
    """Counts joules upwards, and begins again at 0 behind `span`. None: it never does, so a step back is a failure."""

    def __init__(self, name: str, read: Read, span: float | None = None) -> None:
        super().__init__(name, read)
        self._span = span

    def _between(self, last: Reading, now: Reading) -> float:
        if now.number >= last.number:
            return now.number - last.number
        if self._span is None or last.number > self._span:
            raise ValueError("its counter was reset")
        return now.number + self._span - last.number


class Power(Domain):
    """Says watts, which are added up over time as if they changed in straight lines between two readings."""

    def _between(self, last: Reading, now: Reading) -> float:
        return (now.number + last.number) / 2 * (now.at_s - last.at_s)


class Counted:
    """A meter that adds up domains.

    Args:
        name, about: for people.
        domains: at least one.
        every_s: seconds between two looks while a window is open; None: only at its ends.
        delay_s: how old a reading may be. With steady power an end is off by as much energy at most, and a window that
            is shorter measures nothing.
        share: what a reading may be wrong by besides, as a part of it.
        clock: seconds.
    """

    def __init__(
        self,
        name: str,
        about: str,
        domains: Sequence[Domain],
        *,
        every_s: float | None,
        delay_s: float,
        share: float = 0.0,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self.name, self.about, self.domains = name, about, tuple(domains)
        self.delay_s, self.share = delay_s, share
        self._every_s, self._clock = every_s, clock
        self._lock = RLock()  # a window may end wherever its last holder is let go of
        self._open = 0
        self._stop = Event()

    def begin(self) -> CountedWindow:
        """A window from now on."""
        with self._lock:
            now = self._sample()
            at = [(each.joules, each.failures if each.readable else None) for each in self.domains]
            window = CountedWindow(self, now, at)
            self._open += 1
            if self._open == 1 and self._every_s is not None:
                self._stop = Event()
                Thread(target=self._look, args=(self._stop, self._every_s), name="foretell-energy", daemon=True).start()
        return window

    def finish(self) -> float:
        """A window ends: the last reading's time."""
        with self._lock:
            self._open -= 1
            if not self._open:
                self._stop.set()
            return self._sample()

    def _look(self, stop: Event, every_s: float) -> None:
        while not stop.wait(every_s):
            with self._lock:
                self._sample()

    def _sample(self) -> float:
        now = self._clock()
        for each in self.domains:
            each.sample(now)
        return now


class CountedWindow:
    """What its meter's domains say from its beginning on. at: joules and failures then; None: it could not be read."""

    def __init__(self, meter: Counted, began_s: float, at: Sequence[tuple[float, int | None]]) -> None:
        self._meter, self._began_s, self._at = meter, began_s, at

    def end(self, work: Work) -> Joules:  # noqa: ARG002 — measured, not modelled
        """The sum of the domains that could be read from beginning to end."""
        meter = self._meter
        seconds = meter.finish() - self._began_s
        read, missing = [], []
        for each, (joules, failures) in zip(meter.domains, self._at, strict=True):
            if each.failures == failures:
                read.append(each.joules - joules)
            else:
                missing.append(each)
        names = tuple(each.name for each in missing)
        if not read:
            return Joules.unavailable(f"cannot read {names[0]}: {missing[0].why}", names)
        if seconds < meter.delay_s:
            took, needed = 1000 * seconds, 1000 * meter.delay_s
            return Joules.unavailable(f"{took:.1f} ms are too short for {meter.name}, which needs {needed:.0f} ms")
        value = sum(read)
        wrong = value * min(1.0, meter.delay_s / seconds + meter.share)
        return Joules(value, value - wrong, None if missing else value + wrong, meter.about, "measured", names)
