"""What the tests of the sandbox share: running programs in it as one account and another."""

import os
import subprocess
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from foretell.lab.quality.sandbox.job import Limits
from foretell.lab.quality.sandbox.run import Outcome, Sandbox

LIMITS = Limits(processor_seconds=20, seconds=40, memory_bytes=256 << 20, forks=True, tasks=6, file_bytes=4 << 20)
SHORT = replace(LIMITS, processor_seconds=1, seconds=1.0)  # for programs that do not end by themselves
SRC = Path(__file__).parents[1] / "src"
ORDINARY = 1234  # an account without a name, as containers give them


class Run(Protocol):
    def __call__(self, program: str, checks: str, limits: Limits = LIMITS) -> Outcome: ...


SYSTEM_PYTHON = Path("/usr/bin/python3")  # the tests' own may lie where an ordinary account cannot look


def can_be_ordinary() -> bool:
    if os.geteuid() != 0 or not SYSTEM_PYTHON.exists() or not os.access(SRC, os.X_OK):
        return False
    seen = subprocess.run(
        [
            SYSTEM_PYTHON,
            "-c",
            f"import sys; sys.path.append({str(SRC)!r}); import foretell; sys.exit(sys.version_info < (3, 11))",
        ],
        user=ORDINARY,
        group=ORDINARY,
        extra_groups=[],
        capture_output=True,
        check=False,
    )
    return seen.returncode == 0


def as_me(program: str, checks: str, limits: Limits = LIMITS) -> Outcome:
    return Sandbox(limits).run(textwrap.dedent(program), checks)


def as_ordinary(program: str, checks: str, limits: Limits = LIMITS) -> Outcome:
    """The whole of it, sandbox and all, started by an account without rights."""
    script = (
        f"import sys; sys.path.append({str(SRC)!r})\n"
        "from foretell.lab.quality.sandbox.run import *\n"
        "program, checks = eval(sys.stdin.read())\n"
        f"outcome = Sandbox({limits!r}).run(program, checks)\n"
        "print(repr((outcome.ending, outcome.why)))\n"
    )
    done = subprocess.run(
        [SYSTEM_PYTHON, "-c", script],
        input=repr((textwrap.dedent(program), checks)),
        user=ORDINARY,
        group=ORDINARY,
        extra_groups=[],
        env={"SECRET": "a secret"},
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    return Outcome(*eval(done.stdout))  # noqa: S307 — our own output


def processes() -> set[int]:
    """Launchers, and what came of them, that run now."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if b"sandbox.launch" in (folder / "cmdline").read_bytes():
                    found.add(int(folder.name))
            except OSError:
                continue
    return found


def assert_gone(before: set[int]) -> None:
    """Wait until all is gone that was not there before. Other tests may run beside this one, each for a while."""
    end = time.monotonic() + 60
    while processes() - before and time.monotonic() < end:
        time.sleep(0.05)
    assert processes() - before == set()
