"""Kernel modules compiled ahead, by processes of their own: LLVM as llvmlite wraps it runs one thread at a time.

A process takes names of modules from its input, one a line, and leaves each object in the folder where
`foretell.engine.jit` looks for it. Nothing depends on that: a module whose process failed is compiled by who needs it.
"""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Self

from foretell.engine import jit
from foretell.engine.dequantise import FORMATS
from foretell.engine.isa import ALL, ISA
from foretell.engine.kernels import modules
from foretell.engine.layout import LAYOUTS


class Builders:
    """Compiles those of some modules that are not kept yet. At the end of a `with`, no process is left.

    Args:
        isa: for which instruction set.
        names: of modules; the first begin first.
        folder: where objects are kept; None: they are not, and nothing is compiled ahead.
        processes: at most so many at a time.
    """

    def __init__(self, isa: ISA, names: Iterable[str], folder: Path | None, processes: int) -> None:
        missing = [] if folder is None else [name for name in names if not jit.kept_at(name, isa, folder).exists()]
        self.total, self.done = len(missing), 0
        self._folder = folder
        self._queue = deque(missing)
        self._processes: list[subprocess.Popen[str]] = []
        self._feeders: list[Thread] = []
        if min(self.total, processes) < 2 or not sys.executable:  # by itself is as quick
            return
        command = [sys.executable, "-P", "-m", __name__, isa.name, str(folder)]
        for _ in range(min(self.total, processes)):
            self._start(command)

    def _start(self, command: list[str]) -> None:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,  # Ctrl-C is for whoever waits here
            )
        except OSError:
            return
        self._processes.append(process)
        self._feeders.append(Thread(target=self._feed, args=(process,), daemon=True))
        self._feeders[-1].start()

    def _feed(self, process: subprocess.Popen[str]) -> None:
        """Give it one module after the other until there are none, or it has failed."""
        if process.stdin is None or process.stdout is None:
            return
        try:
            while self._queue:
                process.stdin.write(f"{self._queue.popleft()}\n")
                process.stdin.flush()
                if not process.stdout.readline():
                    return
                self.done += 1
            process.stdin.close()
        except (OSError, IndexError):  # it has ended; another one took the last module
            return

    def working(self, seconds: float) -> bool:
        """Whether modules are being compiled still, after at most so many seconds of waiting for their end."""
        for feeder in self._feeders:
            if feeder.is_alive():
                feeder.join(seconds)
                return True
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
            if self._folder is not None:
                jit.clear(self._folder, process.pid)
        for feeder in self._feeders:
            feeder.join()
        for process in self._processes:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def main(isa: str, folder: str) -> None:
    """Compile the modules that are named on standard input, and say so for each."""
    known = modules(LAYOUTS, FORMATS)
    for line in sys.stdin:
        name = line.strip()
        jit.compiled(name, ALL[isa], known[name].build, Path(folder))
        sys.stdout.write(f"{name}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
