"""Progress bars on stderr, and sizes as people write them."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from foretell.errors import UsageError
from foretell.models.sources import Progress

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


@contextmanager
def bars() -> Iterator[Progress]:
    """Shows one bar per job. On something that is no terminal, a line where each job begins."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(compact=True),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as shown:
        tasks: dict[str, progress.TaskID] = {}

        def report(what: str, done_bytes: int, total_bytes: int) -> None:
            if what not in tasks:
                tasks[what] = shown.add_task(what)
            shown.update(tasks[what], completed=done_bytes, total=total_bytes or None)

        yield report


class _Lines:
    """The bars of a log file."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(self, what: str, done_bytes: int, total_bytes: int) -> None:  # noqa: ARG002 — the protocol
        if what in self._said:
            return
        self._said.add(what)
        size = f" ({human(total_bytes)})" if total_bytes else ""
        print(f"{what}{size}", file=sys.stderr, flush=True)  # noqa: T201 — this is the output


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
