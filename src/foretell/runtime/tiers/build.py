"""Work beside a generation: one piece at a time, at low priority, given up when nobody wants it any more."""

import contextlib
import os
import threading
from collections.abc import Callable
from typing import Final

Going = Callable[[], bool]
Work = Callable[[Going], bool]  # does it as long as it is told to go on; False when it was not

NICE: Final = 19  # the lowest priority: passes need the processors
WAIT_S: Final = 2.0  # for work that was told to stop, which looks every few milliseconds

_turn = threading.Lock()


class Build:
    """Work that has begun.

    done: whether it is over. made: whether it was done to its end. error: what it raised.
    """

    def __init__(self, work: Work) -> None:
        self.done = self.made = False
        self.error: Exception | None = None
        self._work = work
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="foretell-build", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(AttributeError, OSError):  # another system, or it is not allowed
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        try:
            with _turn:
                self.made = self._going() and self._work(self._going)
        except Exception as error:  # noqa: BLE001 — whatever it is, the generation goes on without it
            self.error = error
        finally:
            self.done = True

    def _going(self) -> bool:
        return not self._stop.is_set()

    def cancel(self) -> None:
        """Give it up, and return when it is over."""
        self._stop.set()
        self._thread.join(WAIT_S)
