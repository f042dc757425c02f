"""Loads of five kinds that tell the model's prices apart, run in turns under a meter.

idle      nothing                               idle watts
one       one thread hashes what is in its cache    core watts
all       all threads do
memory    passes over one row                   joules a byte: weights are read, little is multiplied
compute   passes over many rows                 joules a multiply-add: weights are read as often
"""

import hashlib
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter, sleep
from typing import Final, NamedTuple

from foretell.backend.protocol import Rows, Session, Want
from foretell.errors import ForetellError
from foretell.profile.energy.counter import PassCounter
from foretell.profile.energy.fit import Measurement
from foretell.profile.energy.meter import Meter
from foretell.profile.energy.work import Watch, Work

MANY_ROWS: Final = 64
_BLOCK: Final = bytes(1 << 18)  # stays in the second cache; hashing it holds no lock


class Load(NamedTuple):
    """A name, and what runs for about so many seconds and says what that was."""

    name: str
    run: Callable[[float], Work]


def loads(session: Session, counter: PassCounter, threads: int) -> list[Load]:
    """All five. session: of a loaded model of so many threads, that `counter` counts the passes of."""
    return [
        Load("idle", _idle),
        Load("one", lambda seconds: _hashing(seconds, 1)),
        Load("all", lambda seconds: _hashing(seconds, threads)),
        Load("memory", lambda seconds: _passes(session, counter, 1, seconds)),
        Load("compute", lambda seconds: _passes(session, counter, MANY_ROWS, seconds)),
    ]


def measure(
    meter: Meter,
    every: Sequence[Load],
    rounds: int,
    seconds: float,
    tick: Callable[[], None] = lambda: None,
) -> list[Measurement]:
    """Each load once in each round, in an order that changes. tick: called after each.

    Raises:
        ForetellError: the meter could not measure one of them.
    """
    chance = random.Random(0)  # noqa: S311 — nothing secret
    out = []
    for _ in range(rounds):
        for load in chance.sample(every, len(every)):
            window, work = meter.begin(), Work()
            try:
                work = load.run(seconds)
            finally:
                took = window.end(work)
            if took.value is None or took.high is None:
                raise ForetellError(f"the meter failed amid the measurement ({took}); try again")
            out.append(Measurement(load.name, work, took.value))
            tick()
    return out


def _idle(seconds: float) -> Work:
    watch = Watch()
    sleep(seconds)
    return watch.work()


def _hashing(seconds: float, threads: int) -> Work:
    watch = Watch()
    end = perf_counter() + seconds

    def one() -> None:
        while perf_counter() < end:
            hashlib.sha256(_BLOCK)

    with ThreadPoolExecutor(threads) as pool:
        for each in [pool.submit(one) for _ in range(threads)]:
            each.result()
    return watch.work()


def _passes(session: Session, counter: PassCounter, rows: int, seconds: float) -> Work:
    """Passes over the first rows of a text, none of which is kept; all are scored."""
    watch = Watch()
    end = perf_counter() + seconds
    sequence = session.open()
    try:
        batch = Rows.chain([0] * min(rows, session.context), sequence)
        each, done = counter.of_pass(len(batch.tokens), 0).work, Work()
        while not done.macs or perf_counter() < end:
            session.step(batch, Want())
            done += each
        return watch.work(done.bytes, done.macs)
    finally:
        session.close(sequence)
