"""Hostile programs: each is contained, as root and as an ordinary account."""

import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from foretell.lab.quality.sandbox.run import Outcome
from sandboxes import LIMITS, SHORT, SRC, Run, as_me, as_ordinary, assert_gone, can_be_ordinary, processes

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the sandbox is made by Linux")


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
    assert made <= LIMITS.tasks + 3


def test_it_starts_threads_but_no_processes_unless_it_may(run: Run) -> None:
    outcome = run(
        """
        import os, subprocess, threading, _thread
        found = []
        for act in (os.fork, os.forkpty, lambda: os.posix_spawn('/bin/true', ['true'], {}),
                    lambda: subprocess.run(['/bin/true']), lambda: os.popen('true')):
            try: found.append(act())
            except OSError: found.append(-1)
        done = []
        threads = [threading.Thread(target=done.append, args=(i,)) for i in range(4)]
        for each in threads: each.start()
        for each in threads: each.join()
        """,
        "assert set(found) == {-1} and sorted(done) == [0, 1, 2, 3], (found, done)",
        replace(LIMITS, forks=False),
    )
    assert outcome == Outcome("passed")


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
        for fd in range(3, 4096):
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
        for fd in range(3, 4096):
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
