"""The last thing that the sandbox's own code does: run the program and its checks, and say what came of it."""

import os
import sys
import traceback
from types import ModuleType
from typing import NoReturn

from foretell.lab.quality.sandbox.job import FAILED, MOST_SAID_BYTES, PASSED, Job

MODULE = "program"  # not __main__: what a program does when it is started as a script is not wanted


def run(job: Job, result: int) -> NoReturn:
    """Run it in this process, which ends here. result: file descriptor for the one line that is said."""
    write, leave = os.write, os._exit  # what the program puts in their place does not count
    passed = PASSED + job.word.encode()
    module = ModuleType(MODULE)
    sys.modules[MODULE] = module
    try:
        exec(compile(job.program, "program.py", "exec"), module.__dict__)  # noqa: S102 — that is what this is for
        exec(compile(job.checks, "checks.py", "exec"), module.__dict__)  # noqa: S102
    except BaseException as error:  # noqa: BLE001 — also of SystemExit: the checks have not been run to their end
        write(result, FAILED + _explained(error, job.checks).encode(errors="replace")[:MOST_SAID_BYTES])
        leave(1)
    write(result, passed)
    leave(0)


def _explained(error: BaseException, checks: str) -> str:
    """One line."""
    try:
        text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
        steps = traceback.extract_tb(error.__traceback__)
        places = [each.lineno for each in steps if each.filename == "checks.py" and each.lineno]
        if isinstance(error, AssertionError) and not error.args and places:
            text += f": {checks.splitlines()[places[-1] - 1].strip()}"
    except BaseException:  # noqa: BLE001 — an exception of the program's own may do anything when it is printed
        return type(error).__name__
    return text[:300]
