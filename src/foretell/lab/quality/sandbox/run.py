"""The sandbox as the rest of the program uses it: a program and its checks go in, an outcome comes out."""

import contextlib
import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Final, Literal

import foretell
from foretell.errors import ForetellError
from foretell.lab.quality.sandbox.job import FAILED, MOST_SAID_BYTES, PASSED, STARTED, Job, Limits

Ending = Literal["passed", "failed", "time", "died"]

_SETUP_S: Final = 60.0  # for what comes before the program; a machine may be busy
_MORE_S: Final = 0.5  # for the launcher to end after the program has
_OUT_OF_TIME: Final = 128 + signal.SIGXCPU
_SOURCE: Final = Path(foretell.__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended.

    ending: "passed" when the checks were run to their end, "failed" when something was raised, "time" when it was
        stopped at the limit, "died" when it ended in another way: by a signal, or by leaving before its checks.
    why: one line about what was not passed.
    """

    ending: Ending
    why: str = ""

    @property
    def passed(self) -> bool:
        """Whether the checks held."""
        return self.ending == "passed"


@dataclass(slots=True)
class Sandbox:
    """Runs Python programs with the standard library, each in a world of its own that is gone afterwards.

    limits: see Limits. weaker: run programs even where a protection is missing; `lacks` then says which.

    A program cannot harm anything outside. It shares a process with its checks, though: one that means to may say that
    they were passed. Leaving before they are run does not count as passing.
    """

    limits: Limits = field(default_factory=Limits)
    weaker: bool = False
    lacks: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise ForetellError where a sandbox cannot be made."""
        outcome = self.run("x = 1", "assert x == 1")
        if not outcome.passed:
            raise ForetellError(f"the sandbox for generated programs does not run one: {outcome.why}")

    def run(self, program: str, checks: str) -> Outcome:
        """Run a program, then its checks. ForetellError when a protection is missing; then nothing was run."""
        if not sys.platform.startswith("linux"):
            raise ForetellError("generated programs are run on Linux only: elsewhere there is no sandbox for them")
        job = Job(program, checks, secrets.token_hex(16), self.limits, _python_folders(), self.weaker)
        control, control_end = os.pipe()
        result, result_end = os.pipe()
        code = (
            f"import sys; sys.path.append({str(_SOURCE)!r}); from foretell.lab.quality.sandbox.launch import main; "
            f"sys.path.pop(); main({control_end}, {result_end})"
        )
        try:
            process = subprocess.Popen(
                [_python(), "-s", "-S", "-P", "-B", "-X", "utf8", "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(control_end, result_end),
                env={"PYTHONHASHSEED": "0"},  # a program's luck with the order of sets is the same each time
                start_new_session=True,
                cwd="/",
            )
        finally:
            os.close(control_end)
            os.close(result_end)
        try:
            with contextlib.suppress(BrokenPipeError):
                _give(process, job.to_json())
            return self._watched(process, job, control, result)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            os.close(control)
            os.close(result)

    def _watched(self, process: "subprocess.Popen[bytes]", job: Job, control: int, result: int) -> Outcome:
        told = _read(control, monotonic() + _SETUP_S, STARTED.encode()) or b""
        facts = [json.loads(line) for line in told.splitlines()]
        if not any(each.get("what") == STARTED for each in facts):
            missing = next((each["missing"] for each in facts if "missing" in each), "it did not start in time")
            raise ForetellError(
                f"generated programs would run without a protection: {missing}; allow a weaker sandbox "
                "(--weaker-sandbox) only where nothing can be lost, as in a container of its own"
            )
        self.lacks = tuple(each["lacks"] for each in facts if "lacks" in each)
        end = monotonic() + job.limits.seconds
        said = _read(result, end)
        if said is None or not said:
            try:
                status = process.wait(max(_MORE_S, end - monotonic()))
            except subprocess.TimeoutExpired:
                return Outcome("time", f"stopped after {job.limits.seconds:g} s")
            return (
                Outcome("time", f"used {job.limits.processor_seconds} s of processor time")
                if (status == _OUT_OF_TIME)
                else Outcome("died", _death(status))
            )
        if said == PASSED + job.word.encode():
            return Outcome("passed")
        if said.startswith(FAILED):
            text = said.removeprefix(FAILED).decode(errors="replace")
            return Outcome("failed", " ".join("".join(c if c.isprintable() else " " for c in text).split()))
        return Outcome("died", "said something else than what came of its checks")


def _give(process: "subprocess.Popen[bytes]", text: str) -> None:
    if process.stdin is not None:
        with process.stdin:
            process.stdin.write(text.encode())


def _read(source: int, end: float, stop: bytes = b"") -> bytes | None:
    """All that is written until the last writer is gone, or until a line with `stop` came; None when time is up.

    What is too long is cut off: nothing of ours is.
    """
    said = b""
    with selectors.DefaultSelector() as selector:
        selector.register(source, selectors.EVENT_READ)
        while selector.select(max(0.0, end - monotonic())):
            more = os.read(source, MOST_SAID_BYTES)
            said += more
            if not more or len(said) > MOST_SAID_BYTES or (stop and stop in said):
                return said
    return None


def _death(status: int) -> str:
    """Why a program ended without a word. status: as shells have it."""
    if status <= 128:
        return f"ended by itself before its checks did, with status {status}"
    try:
        name = signal.Signals(status - 128).name
    except ValueError:
        name = f"signal {status - 128}"
    return f"ended by {name}"


def _python() -> str:
    """The Python of this one's environment: programs see the standard library, not what is installed."""
    return str(getattr(sys, "_base_executable", "") or sys.executable)


def _python_folders() -> tuple[str, ...]:
    found = {sys.base_prefix, sys.base_exec_prefix}
    return tuple(sorted(each for each in found if each not in ("", "/")))
