"""A rival's library in a process of its own, under an interpreter that has it; `workers/lines.py` is the other side."""

import contextlib
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

from foretell.errors import ForetellError

WORKERS: Final = Path(__file__).with_name("workers")


class Worker:
    """A running worker.

    Args:
        name: of the rival, for people. python: the interpreter. script: its file in the folder of workers.

    folder: for files that it shares with us; deleted with it.
    """

    def __init__(self, name: str, python: Path | str, script: str) -> None:
        self.name = name
        self._kept = tempfile.TemporaryDirectory(prefix="foretell-peer-")
        self.folder = Path(self._kept.name)
        self._log = (self.folder / "log").open("w+b")
        try:
            self._process = subprocess.Popen(
                [str(python), str(WORKERS / script)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
            )
        except OSError as error:
            self._log.close()
            self._kept.cleanup()
            raise ForetellError(
                f"cannot run {python}: {error.strerror}; give a Python that has what {name} needs"
            ) from error

    def ask(self, op: str, **command: Any) -> dict[str, Any]:
        """The answer to a command. ForetellError when there is none, or it is an error."""
        process = self._process
        assert process.stdin is not None  # noqa: S101 — for the type checker: both are pipes
        assert process.stdout is not None  # noqa: S101
        try:
            process.stdin.write(json.dumps({"op": op, **command}) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            status = process.wait()
            what = f"crashed (signal {-status})" if status < 0 else f"ended with status {status}"
            see = "see docs/benchmarks.md on what rivals need"
            raise ForetellError(f"the {self.name} worker {what}; {see}. Its last line: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ForetellError(f"{self.name}: {answer['error']} ({self._last_words()})")
        return answer

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it ended with a command unread
                self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()
        self._kept.cleanup()

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"
