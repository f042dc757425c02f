"""Hostile programs: each is contained, as root and as an ordinary account."""

import os
import socket
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from foretell.errors import ForetellError
from foretell.lab.quality.sandbox import filter as calls
from foretell.lab.quality.sandbox import run as sandbox_run
from foretell.lab.quality.sandbox.job import Job, Limits
from foretell.lab.quality.sandbox.run import Outcome, Sandbox

LIMITS = Limits(processor_seconds=20, seconds=40, memory_bytes=256 << 20, processes=6, file_bytes=4 << 20)
SHORT = replace(LIMITS, processor_seconds=1, seconds=1.0)  # for programs that do not end by themselves
SRC = Path(__file__).parents[1] / "src"
ORDINARY = 1234  # an account without a name, as containers give them


class Run(Protocol):
    def __call__(self, program: str, checks: str, limits: Limits = LIMITS) -> Outcome: ...


SYSTEM_PYTHON = Path("/usr/bin/python3")  # the tests' own may lie where an ordinary account cannot look

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the sandbox is made by Linux")


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


@pytest.fixture(params=["me", "ordinary"])
def run(request: pytest.FixtureRequest) -> Run:
    if request.param == "me":
        return as_me
    if not can_be_ordinary():
        pytest.skip("needs root, to become somebody else, and a Python that everybody may run")
    return as_ordinary


def test_right_and_wrong_programs(run: Run) -> None:
    assert run("def f(x): return x + 1", "assert f(1) == 2") == Outcome("passed")
    assert run("def f(x): return x", "x = 1\nassert f(1) == 2") == Outcome("failed", "AssertionError: assert f(1) == 2")
    assert run("def f(x:", "f(1)").why.startswith("SyntaxError")
    assert run("raise ValueError('no\\x1b[31m\\n good')", "").why == "ValueError: no [31m good"
    assert run("if __name__ == '__main__': input()", "pass") == Outcome("passed")
    assert run("import dataclasses, json, random, re, collections, math, itertools, hashlib, datetime", "1").passed


@pytest.mark.parametrize(
    "program", ["import sys; sys.exit(0)", "import os; os._exit(0)", "import os; os.kill(os.getpid(), 11)", "exit()"]
)
def test_who_leaves_before_the_checks_has_not_passed(run: Run, program: str) -> None:
    assert run(program, "assert True").ending in ("died", "failed")


ENDLESS = {
    "loop": "while True: pass",
    "sleep": "import time; time.sleep(1000)",
    "print": "while True: print('x' * 10000)",
    "silent": """
        import os
        for each in range(30):
            try: os.close(each)
            except OSError: pass
        while True: pass
    """,
    "deaf": """
        import signal
        for each in range(1, 32):
            try: signal.signal(each, signal.SIG_IGN)
            except (OSError, ValueError): pass
        while True: pass
    """,
}


@pytest.mark.parametrize("name", ENDLESS)
def test_endless_programs_are_stopped(run: Run, name: str) -> None:
    began = time.monotonic()
    assert run(ENDLESS[name], "", SHORT).ending == "time"
    assert time.monotonic() - began < 40


def test_processor_time_is_limited_too() -> None:
    limits = replace(LIMITS, processor_seconds=1)
    assert as_me("while True: pass", "", limits) == Outcome("time", "used 1 s of processor time")


def test_a_fork_bomb_is_contained_and_nothing_of_it_is_left(run: Run) -> None:
    before = processes()
    outcome = run(
        """
        import os
        made = 0
        while True:
            try:
                if os.fork() == 0:
                    os.setsid()
                made += 1
            except OSError:
                if made > 1000: break
        """,
        "",
        SHORT,
    )
    assert outcome.ending in ("time", "died")
    assert_gone(before)


def test_so_many_processes_and_no_more(run: Run) -> None:
    outcome = run(
        """
        import os, time
        made = 0
        try:
            for _ in range(1000):
                if os.fork() == 0:
                    time.sleep(100)
                made += 1
        except OSError:
            pass
        """,
        "raise ValueError(made)",
    )
    made = int(outcome.why.removeprefix("ValueError: "))
    assert made <= LIMITS.processes + 3


def test_a_daemon_does_not_outlive_its_program(run: Run, tmp_path: Path) -> None:
    before = processes()
    outcome = run(
        """
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(1000)
            os._exit(0)
        """,
        "pass",
    )
    assert outcome == Outcome("passed")
    assert_gone(before)


@pytest.mark.parametrize(
    "program",
    [
        "x = []\nwhile True: x.append(bytes(10_000_000))",
        "x = 'a' * (1 << 40)",
        "import mmap; x = [mmap.mmap(-1, 100 << 20) for _ in range(100)]",
        "import ctypes; libc = ctypes.CDLL(None)\nx = libc.shmget(0, 1 << 20, 0o1666)\nassert x >= 0",
        "import os; os.memfd_create('x')",
    ],
    ids=["list", "string", "mapping", "shared segment", "memory file"],
)
def test_a_memory_bomb_is_contained(run: Run, program: str) -> None:
    assert not run(program, "").passed


def test_files_outside_are_neither_seen_nor_written(run: Run, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    secret = tmp_path / "secret"
    secret.write_text("a secret")
    secret.chmod(0o666)
    outcome = run(
        f"""
        import os
        found = []
        for path in ({str(secret)!r}, '/etc/passwd', '/proc/1/environ', '/root/.bashrc', {str(Path.home())!r} + '/x'):
            try: found.append(open(path).read())
            except OSError: pass
        library = os.path.dirname(os.__file__)
        for folder in ({str(tmp_path)!r}, '/', '/usr', '/usr/lib', '/dev', '/etc', '/home', library):
            try:
                open(folder + '/written', 'w').write('x')
                found.append(folder)
            except OSError: pass
        for act in (lambda: os.chmod('/usr', 0o777), lambda: os.unlink('/usr/bin/env'), lambda: os.mkdir('/x'),
                    lambda: os.symlink('/', '/x'), lambda: os.mknod('/tmp/x', 0o60666, 0x800),
                    lambda: os.chroot('/tmp')):
            try: found.append(act())
            except OSError: pass
        """,
        "assert found == [], found",
    )
    assert outcome == Outcome("passed")
    assert sorted(tmp_path.iterdir()) == [secret]
    assert secret.read_text() == "a secret"


def test_its_own_files_are_few_and_small_and_gone_afterwards(run: Run) -> None:
    assert run("open('x', 'w').write('kept')", "assert open('/tmp/x').read() == 'kept'") == Outcome("passed")
    assert run("pass", "assert not __import__('os').path.exists('/tmp/x')") == Outcome("passed")
    one = run("f = open('/tmp/x', 'wb')\nwhile True: f.write(bytes(1 << 20)); f.flush()", "")
    assert one.why.startswith("OSError")
    many = run("for i in range(100):\n    with open(f'/tmp/{i}', 'wb') as f: f.write(bytes(1 << 20))", "")
    assert many.why == "OSError: [Errno 28] No space left on device"
    empty = run("for i in range(10 ** 6): open(f'/tmp/{i}', 'w').close()", "")
    assert empty.why.startswith("OSError: [Errno 28]")
    opened = run("x = [open('/dev/null') for _ in range(10 ** 6)]", "")
    assert opened.why.startswith("OSError: [Errno 24]")


def test_there_is_no_network(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        outcome = run(
            f"""
            import socket
            from socket import AF_INET, AF_NETLINK, AF_UNIX, SOCK_DGRAM, SOCK_RAW
            found = []
            for act in (lambda: socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 1),
                        lambda: socket.socket(AF_UNIX), lambda: socket.socket(AF_NETLINK),
                        lambda: socket.socket(AF_INET, SOCK_DGRAM), lambda: socket.socket(AF_INET, SOCK_RAW)):
                try: found.append(act())
                except OSError: pass
            """,
            "assert found == [], found",
        )
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert outcome == Outcome("passed")


def test_the_environment_is_empty(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "a secret")
    outcome = run(
        """
        import os, ctypes
        libc = ctypes.CDLL(None)
        libc.getenv.restype = ctypes.c_char_p
        """,
        "assert (dict(os.environ), libc.getenv(b'SECRET'), libc.getenv(b'PATH')) == ({}, None, None)",
    )
    assert outcome == Outcome("passed")


def test_it_can_signal_nobody_outside(run: Run) -> None:
    outcome = run(
        f"""
        import os, signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for pid in (os.getppid(), {os.getpid()}, {os.getppid()}, 1, -1, -{os.getpid()}, 0):
            for each in (signal.SIGTERM, signal.SIGSTOP, signal.SIGKILL):
                if pid == 0 and each != signal.SIGTERM: continue
                try: os.kill(pid, each)
                except OSError: pass
        """,
        "assert os.getpid() < 5",
    )
    assert outcome == Outcome("passed")


def test_it_reads_nothing_of_ours(run: Run) -> None:
    assert run("import sys; x = sys.stdin.read()", "assert x == ''") == Outcome("passed")
    assert run("input()", "").why.startswith("EOFError")
    outcome = run(
        """
        import os
        found = []
        for fd in range(100):
            try: found.append(os.readlink(f'/proc/self/fd/{fd}'))
            except OSError: pass
            try: found.append(os.read(fd, 100)) if fd != 0 else None
            except OSError: pass
        """,
        "assert [each for each in found if each] == [], found",
    )
    assert outcome == Outcome("passed")


def test_rights_cannot_be_gained(run: Run) -> None:
    outcome = run(
        """
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        NEWUSER, found = 0x10000000, []
        found.append(libc.unshare(NEWUSER))
        found.append(libc.mount(b'none', b'/tmp', b'tmpfs', 0, None))
        found.append(libc.ptrace(16, 1, 0, 0))
        found.append(libc.syscall(435, 0, 0))           # clone3
        found.append(libc.syscall(425, 1, 0))           # io_uring_setup
        found.append(libc.personality(0x0040000))
        for act in (lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([0]), lambda: os.nice(-5)):
            try: found.append(act())
            except OSError: found.append(-1)
        """,
        "assert found == [-1] * 10, found\nassert os.getuid() == os.geteuid() == 65534",
    )
    assert outcome == Outcome("passed")


def test_saying_too_much_or_the_wrong_word_does_not_pass(run: Run) -> None:
    loud = run(
        """
        import os
        for fd in range(3, 32):
            try:
                while True: os.write(fd, b'passed ' * 1000)
            except OSError: pass
        """,
        "",
    )
    assert loud.ending == "died"
    guess = run(
        """
        import os
        for fd in range(3, 32):
            try: os.write(fd, b'passed 0')
            except OSError: pass
        os._exit(0)
        """,
        "",
    )
    assert guess.ending == "died"


def test_it_ends_with_its_parent() -> None:
    before = processes()
    script = (
        f"import sys; sys.path.append({str(SRC)!r})\n"
        "from foretell.lab.quality.sandbox.run import *\n"
        "print('begun', flush=True)\n"
        "Sandbox(Limits(processor_seconds=100, seconds=100)).run('while True: pass', '')\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    parent.stdout.readline()
    end = time.monotonic() + 30
    while len(processes() - before) < 4 and time.monotonic() < end:
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert_gone(before)


def test_without_a_protection_nothing_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As where the kernel or a container forbids namespaces: the launcher is told so by a seccomp filter of ours."""
    monkeypatch.setattr(sandbox_run, "_python", lambda: str(forbidden(tmp_path)))
    with pytest.raises(ForetellError, match=r"without a protection: namespaces of its own .*--weaker-sandbox"):
        Sandbox(LIMITS).run("pass", "pass")
    weaker = Sandbox(LIMITS, weaker=True)
    assert weaker.run("import os", "assert os.geteuid() != 0").passed
    assert weaker.lacks[0].startswith("namespaces of its own")


def test_a_weaker_sandbox_says_what_it_lacks(tmp_path: Path) -> None:
    if not can_be_ordinary():
        pytest.skip("needs root, to become somebody else, and a Python that everybody may run")
    tmp_path.chmod(0o755)
    for folder in list(tmp_path.parents)[:2]:  # pytest's own
        folder.chmod(0o755)
    python = forbidden(tmp_path, str(SYSTEM_PYTHON))
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


def forbidden(folder: Path, python: str = sys.executable) -> Path:
    """A Python that may not make namespaces, for which it is run under a filter."""
    path = folder / "python"
    path.write_text(
        f"#!{python}\n"
        f"import os, sys\nsys.path.append({str(SRC)!r})\n"
        "from foretell.lab.quality.sandbox import filter, kernel\n"
        "kernel.no_new_privileges()\n"
        "filter.DENIED = {'unshare': filter.DENIED['unshare']}\n"
        "filter.install()\n"
        f"os.execv({python!r}, [{python!r}, *sys.argv[1:]])\n"
    )
    path.chmod(0o755)
    return path


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
        steps = calls.program(machine)
        assert len(steps) < 4096
        for place, step in enumerate(steps):
            assert place + 1 + max(step.holds, step.fails) < len(steps) or step.code == 0x06
    with pytest.raises(OSError, match="not known for mips"):
        calls.program("mips")


def test_a_job_survives_being_told() -> None:
    job = Job("a\nb", "é", "w", LIMITS, ("/usr",), weaker=True)
    assert Job.from_json(job.to_json()) == job


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
