"""The thread team: made once, one native call per pass.

Thread 0 is the caller. The others wait in native code for a bounded time and then park on a Python semaphore, so an idle program uses no processor.
A parked thread is woken at the next pass, and a pass never waits for a thread that holds no work.
"""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.engine.kernels import Kernels
from foretell.engine.kernels.driver import (
    CANCEL,
    EPOCH,
    OP_COUNT,
    OP_FIELDS,
    OPS,
    PLANNED,
    QUIT,
    STAGE_COUNT,
    STAGE_FIELDS,
    STAGES,
    TEAM_FIELDS,
)
from foretell.errors import ForetellError, UsageError

SPINS = 40_000  # turns of waiting before a thread parks: about 2 ms, longer than the time between the passes of a busy loop
DIRECT_ROWS = 32  # passes of more rows run on a helper thread, so that Ctrl-C reaches the caller meanwhile


def i64(size: int) -> NDArray[np.int64]:
    """Zeroed fields at a 64-byte boundary."""
    raw = np.zeros(8 * size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + 8 * size].view(np.int64)


class _Shared:
    """What the threads share with their owner; no reference to the owner, so that it can be collected."""

    def __init__(self, kernels: Kernels, threads: int) -> None:
        self.kernels = kernels
        self.record = i64(TEAM_FIELDS)
        self.epoch = 0
        self.parked = [False] * threads
        self.wake = [threading.Semaphore(0) for _ in range(threads)]
        self.closing = False
        self.run_pass = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(kernels["run_pass"])
        self.await_pass = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)(
            kernels["await_pass"]
        )

    def worker(self, number: int) -> None:
        seen = i64(8)
        while not self.closing:
            self.await_pass(self.record.ctypes.data, number, SPINS, seen.ctypes.data)
            self.parked[number] = True
            if int(self.record[EPOCH]) == int(seen[0]) and not self.closing:
                self.wake[number].acquire()
            self.parked[number] = False

    def stop(self) -> None:
        self.closing = True
        self.record[QUIT] = 1
        for semaphore in self.wake:
            semaphore.release()


class Team:
    """Runs programs (see `foretell.engine.program`) with a fixed number of threads."""

    def __init__(self, kernels: Kernels, threads: int | None = None) -> None:
        available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
        self.threads = available if threads is None else threads
        if self.threads < 1:
            raise UsageError(f"threads is {threads}, must be 1 or more")
        if self.threads > available:
            raise UsageError(f"threads is {threads}, but this process may use {available}; give at most {available}")
        self._shared = _Shared(kernels, self.threads)
        self._process = os.getpid()
        self._workers = [
            threading.Thread(target=self._shared.worker, args=(n,), name=f"foretell-{n}", daemon=True)
            for n in range(1, self.threads)
        ]
        for worker in self._workers:
            worker.start()
        self._finalizer = weakref.finalize(self, self._shared.stop)
        self._helper: Any = None

    def run(self, stages: NDArray[np.int64], count: int, rows: int) -> None:
        """Run `count` stages. Raises KeyboardInterrupt when interrupted; what was computed is then to be discarded."""
        shared = self._shared
        if os.getpid() != self._process:
            raise ForetellError("the model was loaded before this process was forked; load it again in the child")
        if shared.closing:
            raise ForetellError("the model is closed; load it again")
        record = shared.record
        record[CANCEL] = 0
        record[STAGES], record[STAGE_COUNT] = stages.ctypes.data, count
        shared.epoch = shared.epoch % 0x3FFFFFFF + 1
        for number in range(1, self.threads):
            if shared.parked[number]:
                shared.parked[number] = False
                shared.wake[number].release()
        if rows <= DIRECT_ROWS:
            shared.run_pass(record.ctypes.data, shared.epoch)
            return
        self._run_apart()

    def _run_apart(self) -> None:
        """Thread 0's part on a helper thread while the caller waits where signals are handled."""
        shared, finished = self._shared, threading.Event()

        def work() -> None:
            shared.run_pass(shared.record.ctypes.data, shared.epoch)
            finished.set()

        helper = threading.Thread(target=work, name="foretell-0", daemon=True)
        helper.start()
        try:
            finished.wait()
        except BaseException:
            shared.record[CANCEL] = 1
            finished.wait()
            raise

    def close(self) -> None:
        """Stop the threads."""
        self._finalizer()
        if os.getpid() == self._process:
            for worker in self._workers:
                worker.join(timeout=5)


def stage_table(stages: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """The table of stages over arrays of operations (`OP_FIELDS` each), which must stay alive."""
    table = i64(STAGE_FIELDS * len(stages)).reshape(len(stages), STAGE_FIELDS)
    for row, ops in zip(table, stages, strict=True):
        row[OPS], row[OP_COUNT], row[PLANNED] = ops.ctypes.data, len(ops), 0
    assert all(ops.shape[1] == OP_FIELDS for ops in stages)
    return table
