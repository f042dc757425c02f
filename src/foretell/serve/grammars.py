"""Grammars of requests: tried in a process of its own first, because a short schema can stand for endless work."""

import json
import subprocess
import sys
from collections import OrderedDict
from threading import Lock, Timer
from typing import Final

from foretell.accept.grammar import Grammar, Kind
from foretell.serve.refusal import Refusal, wrong

PATIENCE_S: Final = 3.0
START_S: Final = 30.0  # of the process, on a busy machine
REMEMBERED: Final = 256
PARAM: Final = "response_format"


class Grammars:
    """Makes grammars. For any threads, one at a time."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: subprocess.Popen[str] | None = None
        self._known: OrderedDict[tuple[Kind, str], Grammar] = OrderedDict()  # the latest last

    def made(self, kind: Kind, text: str) -> Grammar:
        """The grammar, or a Refusal that says why not."""
        key = kind, text
        with self._lock:
            if key not in self._known:
                self._try(kind, text)
                self._known[key] = Grammar(kind, text)
            self._known.move_to_end(key)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
            return self._known[key]

    def close(self) -> None:
        """End the process, if there is one."""
        with self._lock:
            self._end()

    def _try(self, kind: Kind, text: str) -> None:
        if self._process is None:
            self._process = self._started()
            self._ask("regex", "a", START_S)
        why = self._ask(kind, text, PATIENCE_S)
        if why is not None:
            raise wrong(PARAM, why)

    def _started(self) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "foretell.serve.trial"]
        pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
        # A session of its own: Ctrl-C at the terminal is for the server, which ends this process itself.
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nothing, text=True, start_new_session=True)

    def _ask(self, kind: Kind, text: str, patience_s: float) -> str | None:
        """What is wrong with a grammar."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise Refusal(500, "grammars cannot be tried on this machine", param=PARAM, code="internal_error")
        timer = Timer(patience_s, process.kill)
        timer.start()
        try:
            process.stdin.write(f"{json.dumps([kind, text])}\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except OSError:  # it has ended
            answer = ""
        finally:
            timer.cancel()
        if not answer:
            self._end()
            return "it takes too much time or memory: make it simpler"
        why: str | None = json.loads(answer)
        return why

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()
