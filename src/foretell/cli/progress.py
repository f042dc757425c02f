"""Progress bars on stderr, and sizes as people write them."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

from foretell.errors import UsageError
from foretell.models.sources import Progress

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}

_LINE_S = 60.0  # between lines in a log file
_ESTIMATE_S = 600.0  # steps of a measurement differ much, so the time left goes by those of so long


@contextmanager
def bars() -> Iterator[Progress]:
    """Shows one bar per job. On something that is no terminal, a line where each job begins."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich import progress
    from rich.console import Console
    from rich.text import Text

    class Amount(progress.DownloadColumn):
        """Bytes, or the share that is done of what is not counted in bytes."""

        def render(self, task: progress.Task) -> Text:
            return super().render(task) if _in_bytes(task.description) else Text(f"{task.percentage:.0f} %")

    class Speed(progress.TransferSpeedColumn):
        def render(self, task: progress.Task) -> Text:
            return super().render(task) if _in_bytes(task.description) else Text()

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        Amount(),
        Speed(),
        progress.TimeRemainingColumn(compact=True),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as shown:
        tasks: dict[str, progress.TaskID] = {}

        def report(what: str, done_bytes: int, total_bytes: int) -> None:
            if what not in tasks:
                tasks[what] = shown.add_task(what)
            shown.update(tasks[what], completed=done_bytes, total=total_bytes or None)

        yield report


def _in_bytes(what: str) -> bool:
    return not what.startswith("measuring")


class _Lines:
    """The bars of a log file."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(self, what: str, done_bytes: int, total_bytes: int) -> None:  # noqa: ARG002 — the protocol
        if what in self._said:
            return
        self._said.add(what)
        size = f" ({human(total_bytes)})" if total_bytes and _in_bytes(what) else ""
        print(f"{what}{size}", file=sys.stderr, flush=True)  # noqa: T201 — this is the output


@contextmanager
def steps(
    what: str, total: int, done: int = 0, left_s: Callable[[], float | None] | None = None
) -> Iterator[Callable[[], None]]:
    """Shows how far a long job is, and the time that is left; what it gives is called after each step.

    left_s: the seconds left, None while nobody knows; without it they are estimated from the steps so far.

    Drawn by these calls only, so that nothing runs beside what is measured. On something that is no terminal, a line at
    first and one a minute.
    """
    if not sys.stderr.isatty():
        yield _Meter(what, total, done, left_s=left_s).advance
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[left]}") if left_s else progress.TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with progress.Progress(
        *columns, console=console, transient=True, auto_refresh=False, speed_estimate_period=_ESTIMATE_S
    ) as shown:
        task = shown.add_task(what, total=total, completed=done, left=_left(left_s))

        def advance() -> None:
            shown.update(task, advance=1, left=_left(left_s))
            shown.refresh()

        shown.refresh()
        yield advance


def _left(left_s: Callable[[], float | None] | None) -> str:
    seconds = None if left_s is None else left_s()
    return "" if seconds is None else f"{duration(seconds)} left"


class _Meter:
    """A bar of a log file."""

    def __init__(
        self,
        what: str,
        total: int,
        done: int,
        clock: Callable[[], float] = perf_counter,
        left_s: Callable[[], float | None] | None = None,
    ) -> None:
        self._what, self._total, self._done, self._clock, self._left_s = what, total, done, clock, left_s
        self._began = self._said = clock()
        self._first = done
        known = _left(left_s)
        self._say(f", {known}" if known else "")

    def advance(self) -> None:
        """One more step."""
        self._done += 1
        now = self._clock()
        if now - self._said >= _LINE_S:
            self._said = now
            known = _left(self._left_s)
            left_s = (now - self._began) / (self._done - self._first) * (self._total - self._done)
            self._say(f", {known or f'{duration(left_s)} left'}")

    def _say(self, more: str) -> None:
        print(f"{self._what}: {self._done} of {self._total}{more}", file=sys.stderr, flush=True)  # noqa: T201 — output


def duration(seconds: float) -> str:
    """A time for people.

    >>> duration(40), duration(100), duration(7000)
    ('40 s', '2 min', '1 h 57 min')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def human(n_bytes: int) -> str:
    """A size for people: 1.1 GB."""
    size = float(n_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def parse_size(text: str) -> int:
    """Bytes from `2GB`, `500M`, `1.5 GiB` or a plain number."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?\s*", text, re.IGNORECASE)
    if found is None or found[2].lower() not in _UNITS:
        raise UsageError(f"{text!r} is not a size; write it like 2GB, 500MB or 1.5GiB")
    return int(float(found[1]) * _UNITS[found[2].lower()])
