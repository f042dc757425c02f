"""The thread team: made once, a native call or a few per pass.

Thread 0 is the caller. The others wait in native code for a bounded time and then park on a Python semaphore, so an
idle program uses no processor. A parked thread is woken at the next pass, and a pass never waits for a thread that
holds no work.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
import weakref
from struct import Struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from foretell.engine.kernels import Kernels
from foretell.engine.kernels.driver import (
    BEGUN,
    CANCEL,
    EPOCH,
    FINISHED,
    LIMIT,
    OP_COUNT,
    OP_FIELDS,
    OPS,
    PLANNED,
    QUIT,
    TEAM_FIELDS,
    THREADS,
    stage_fields,
)
from foretell.errors import ForetellError, UsageError

# Turns of waiting before a thread parks: about 2 ms, longer than the time between the passes of a busy loop.
SPINS = 40_000
# Python handles signals between native calls, so a call ends after some chunks of work: fewer where they are long.
ROW_CHUNKS, LEAST_CHUNKS, ALL_CHUNKS = 8192, 32, 2**62
_PASS = Struct("8q")  # the fields of a team's record from LIMIT to STAGE_COUNT


def i64(size: int) -> NDArray[np.int64]:
    """Zeroed fields at a 64-byte boundary."""
    raw = np.zeros(8 * size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + 8 * size].view(np.int64)


_forks = 0  # how often this process's line was forked: a number to compare is quicker than asking for the process


def _count_fork() -> None:
    global _forks  # noqa: PLW0603 — of the process, like the fork
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)


class Hooks(NamedTuple):
    """Native functions that the driver calls with a frame: before each pass, and behind it for another. 0: none."""

    frame: int = 0
    begin: int = 0
    advance: int = 0


NO_HOOKS = Hooks()


class _Shared:
    """What the threads share with their owner; no reference to the owner, so that it can be collected."""

    def __init__(self, kernels: Kernels, threads: int) -> None:
        self.kernels = kernels
        array = i64(TEAM_FIELDS)
        self.address = int(array.ctypes.data)
        self.record = array.data  # quicker than the array, number by number
        self.record[THREADS] = threads
        self.running = False
        self.parked = [False] * threads
        self.wake = [threading.Semaphore(0) for _ in range(threads)]
        self.closing = False
        # Every table of stages that was ever run, and its address, by id: a thread that was put aside may still look
        # into one.
        self.tables: dict[int, tuple[NDArray[np.int64], int]] = {}
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
        self.run_pass, self.continue_pass = kind(kernels["run_pass"]), kind(kernels["continue_pass"])
        self.await_pass = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)(
            kernels["await_pass"]
        )

    def worker(self, number: int) -> None:
        seen = i64(8)
        while not self.closing:
            self.await_pass(self.address, number, SPINS, seen.ctypes.data)
            self.parked[number] = True
            if not self.running and self.record[EPOCH] == int(seen[0]) and not self.closing:
                self.wake[number].acquire()
            self.parked[number] = False

    def unpark(self) -> None:
        for number, parked in enumerate(self.parked):
            if parked:
                self.parked[number] = False
                self.wake[number].release()

    def stop(self) -> None:
        self.closing = True
        self.record[QUIT] = 1
        for semaphore in self.wake:
            semaphore.release()


def choose_threads(threads: int | None) -> int:
    """A number of threads that this process may use: the one asked for, or as many as there are processors."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    if threads is None:
        return available
    if threads < 1:
        raise UsageError(f"threads is {threads}, must be 1 or more")
    if threads > available:
        raise UsageError(f"threads is {threads}, but this process may use {available}; give at most {available}")
    return threads


class Team:
    """Runs programs (see `foretell.engine.program`) with a fixed number of threads."""

    def __init__(self, kernels: Kernels, threads: int | None = None) -> None:
        self.threads = choose_threads(threads)
        self._shared = _Shared(kernels, self.threads)
        self._process = _forks
        self._limits: dict[int, int] = {}  # by rows
        self._chunks(1)
        self._workers = [
            threading.Thread(target=self._shared.worker, args=(n,), name=f"foretell-{n}", daemon=True)
            for n in range(1, self.threads)
        ]
        for worker in self._workers:
            worker.start()
        self._finalizer = weakref.finalize(self, self._shared.stop)

    def check(self) -> None:
        """Raise ForetellError if this team cannot run anything: closed, or made before the process was forked."""
        if self._process != _forks:
            raise ForetellError("the model was loaded before this process was forked; load it again in the child")
        if self._shared.closing:
            raise ForetellError("the model is closed; load it again")

    def run(self, stages: NDArray[np.int64], count: int, rows: int, hooks: Hooks = NO_HOOKS) -> None:
        """Run `count` stages, over and over where hooks say so; every run but the first is a pass over one row.

        Raises KeyboardInterrupt when interrupted; what was computed is then to be discarded.
        """
        # Few calls and steps: behind a pass Python's own code has to come from memory again.
        shared = self._shared
        if self._process != _forks or shared.closing:
            self.check()
        record = shared.record
        if record[FINISHED] != record[BEGUN]:
            self._drain()  # a pass left behind by a second Ctrl-C amid the handling of the first
        known = shared.tables.get(id(stages))
        if known is None:
            known = shared.tables[id(stages)] = stages, int(stages.ctypes.data)
        limit = self._limits.get(rows) or self._chunks(rows)
        _PASS.pack_into(record, 8 * LIMIT, limit, self._limits[1], 0, *hooks, known[1], count)
        record[CANCEL] = 0
        shared.running = True  # from now on no thread parks, so that those found awake stay so
        try:
            if True in shared.parked:
                shared.unpark()
            shared.run_pass(shared.address)
            while record[FINISHED] != record[BEGUN]:
                shared.continue_pass(shared.address)
        except BaseException:
            record[CANCEL] = 1
            self._drain()
            raise
        finally:
            shared.running = False

    def _chunks(self, rows: int) -> int:
        """The most work of a native call: some tens of milliseconds on the processors that we know."""
        portable = self._shared.kernels.isa.name == "portable"  # slow, and slower with each row
        limit = self._limits[rows] = max(LEAST_CHUNKS, ROW_CHUNKS // (4 * rows if portable else -(-rows // 8)))
        return limit

    def _drain(self) -> None:
        """Skip the work that is left of a pass that has begun, and return when no thread is in it any more."""
        shared, record = self._shared, self._shared.record
        while record[FINISHED] != record[BEGUN]:
            with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C; the first is on its way up already
                record[CANCEL], record[LIMIT] = 1, ALL_CHUNKS
                shared.continue_pass(shared.address)

    def close(self) -> None:
        """Stop the threads."""
        self._finalizer()
        if self._process == _forks:
            for worker in self._workers:
                worker.join(timeout=5)


def stage_table(stages: list[NDArray[np.int64]], threads: int) -> NDArray[np.int64]:
    """A team's table of stages over arrays of operations (`OP_FIELDS` each), which must stay alive."""
    fields = stage_fields(threads)
    table = i64(fields * len(stages)).reshape(len(stages), fields)
    for row, ops in zip(table, stages, strict=True):
        row[OPS], row[OP_COUNT], row[PLANNED] = ops.ctypes.data, len(ops.reshape(-1, OP_FIELDS)), 0
    return table
