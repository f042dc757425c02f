"""What a pass over n rows costs on this machine: measured once per model, then remembered.

Other programs disturb measurements, so one that was not quiet is repeated on the next load, and the best counts.

The free rows are the largest n with T(n) <= 1.1 T(1) (DESIGN.md, section 3).
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final

from foretell.backend.protocol import Rows, Session, Want

ROWS: Final = (1, 2, 3, 4, 6, 8, 12, 16)
REPEATS: Final = 6  # interleaved; the best of them counts, because other programs only ever add time
CONTEXT_TOKENS: Final = 64
FREE: Final = 1.1
QUIET: Final = 1.1  # a look is quiet when the median of each size is at most this times its best
MOST_LOOKS: Final = 5  # a machine that is never quiet is measured on as many loads


@dataclass(frozen=True, slots=True)
class Look:
    """One measurement: best milliseconds of a pass by row count, and whether nothing disturbed it."""

    pass_ms: dict[int, float]
    quiet: bool


def free_rows(costs: Mapping[int, float]) -> int:
    """The largest measured n whose pass costs at most 1.1 times one row's.

    >>> free_rows({1: 20.0, 2: 20.5, 4: 21.0, 8: 21.9, 16: 40.0})
    8
    """
    return max(n for n, ms in costs.items() if ms <= FREE * costs[1])


def measure(session: Session) -> Look:
    """Times of passes by row count, all rows scored, after CONTEXT_TOKENS tokens."""
    sequence = session.open()
    try:
        before = min(CONTEXT_TOKENS, session.context - 1)
        session.step(Rows.chain([0] * before, sequence, ()), Want())
        session.commit(sequence, range(before))
        sizes = [n for n in ROWS if before + n <= session.context]
        times: dict[int, list[float]] = {n: [] for n in sizes}
        for repeat in range(REPEATS + 1):
            for n in sizes:
                started = perf_counter()
                session.step(Rows.chain([0] * n, sequence), Want())
                if repeat:  # the first round warms up
                    times[n].append(1000 * (perf_counter() - started))
    finally:
        session.close(sequence)
    best = {n: round(min(values), 4) for n, values in times.items()}
    return Look(best, all(median(values) <= QUIET * best[n] for n, values in times.items()))


def remembered(folder: Path, key: str, measured: Callable[[], Look]) -> dict[int, float]:
    """The costs under this key, measured now if the folder has none or only disturbed ones.

    Each further look can only lower them. A folder that cannot be written to is no error.
    """
    path = folder / f"passes-{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
    costs: dict[int, float] = {}
    looks = 0
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        noted = json.loads(path.read_text())
        costs = {int(n): float(ms) for n, ms in noted["pass_ms"].items() if float(ms) > 0}
        looks = int(noted["looks"])
        if 1 in costs and (noted["quiet"] or looks >= MOST_LOOKS):
            return costs
    look = measured()
    costs = {n: min(ms, costs.get(n, ms)) for n, ms in look.pass_ms.items()}
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps({"key": key, "pass_ms": costs, "quiet": look.quiet, "looks": looks + 1}))
        new.replace(path)
    return costs
