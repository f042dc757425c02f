"""What the sandbox does where it cannot be made as it should, and its parts by themselves."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from foretell.errors import ForetellError
from foretell.lab.quality.sandbox import filter as calls
from foretell.lab.quality.sandbox import run as sandbox_run
from foretell.lab.quality.sandbox.job import Job
from foretell.lab.quality.sandbox.run import Sandbox
from sandboxes import LIMITS, ORDINARY, SRC, SYSTEM_PYTHON, can_be_ordinary

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the sandbox is made by Linux")


def forbidden(folder: Path, python: str = sys.executable) -> Path:
    """A Python that may not make namespaces, for which it is run under a filter."""
    path = folder / "python"
    path.write_text(
        f"#!{python}\n"
        f"import os, sys\nsys.path.append({str(SRC)!r})\n"
        "from foretell.lab.quality.sandbox import filter, kernel\n"
        "kernel.no_new_privileges()\n"
        "filter.DENIED = {'unshare': filter.DENIED['unshare']}\n"
        "filter.install(forks=True)\n"
        f"os.execv({python!r}, [{python!r}, *sys.argv[1:]])\n"
    )
    path.chmod(0o755)
    return path


def test_without_a_protection_nothing_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As where the kernel or a container forbids namespaces: the launcher is told so by a seccomp filter of ours."""
    monkeypatch.setattr(sandbox_run, "_python", lambda: str(forbidden(tmp_path)))
    with pytest.raises(ForetellError, match=r"without a protection: namespaces of its own .*--weaker-sandbox"):
        Sandbox(LIMITS).run("pass", "pass")
    weaker = Sandbox(LIMITS, weaker=True)
    assert weaker.run("import os", "assert os.geteuid() != 0").passed
    assert weaker.lacks[0].startswith("namespaces of its own")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may look into, as those of pytest are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_weaker_sandbox_says_what_it_lacks(open_folder: Path) -> None:
    if not can_be_ordinary():
        pytest.skip("needs root, to become somebody else, and a Python that everybody may run")
    python = forbidden(open_folder, str(SYSTEM_PYTHON))
    script = (
        f"import sys; sys.path.append({str(SRC)!r})\n"
        "from foretell.lab.quality.sandbox import run\n"
        f"run._python = lambda: {str(python)!r}\n"
        f"sandbox = run.Sandbox(run.{LIMITS!r}, weaker=True)\n"
        "right, wrong, net = (sandbox.run(*each) for each in (('x = 1', 'assert x'), ('x = 0', 'assert x'),\n"
        "    ('import socket; socket.socket()', '')))\n"
        "print(right.ending, wrong.ending, net.why, *sandbox.lacks)\n"
    )
    done = subprocess.run(
        [SYSTEM_PYTHON, "-c", script],
        user=ORDINARY,
        group=ORDINARY,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    assert done.stdout.startswith("passed failed PermissionError")
    assert "namespaces of its own" in done.stdout


def test_a_sandbox_that_works_says_nothing() -> None:
    sandbox = Sandbox(LIMITS)
    sandbox.check()
    assert sandbox.lacks == ()


def test_other_systems_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ForetellError, match="on Linux only"):
        Sandbox().run("pass", "pass")


def test_the_filter_is_a_program_that_the_kernel_takes_on_both_processors() -> None:
    for machine in ("x86_64", "aarch64"):
        for forks in (True, False):
            steps = calls.program(machine, forks=forks)
            assert len(steps) < 4096
            for place, step in enumerate(steps):
                assert place + 1 + max(step.holds, step.fails) < len(steps) or step.code == 0x06
    with pytest.raises(OSError, match="not known for mips"):
        calls.program("mips", forks=False)


def test_a_job_survives_being_told() -> None:
    job = Job("a\nb", "é", "w", LIMITS, ("/usr",), weaker=True)
    assert Job.from_json(job.to_json()) == job
