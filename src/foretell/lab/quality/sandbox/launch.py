"""Makes the sandbox around a process and runs a program in it: what `Sandbox` starts in a process of its own.

    launcher ── builder: new namespaces, new root ── first process of the new world ── program

The launcher stays outside and names the builder's accounts. The builder gives itself new namespaces (accounts, mounts,
processes, network, ...) and a root folder that has a Python, read only, and an empty /tmp. The first process there
takes all others with it when it ends, whatever they did to be left alone. The program's process has the account
`nobody`, no capabilities, limited resources, a filter for system calls, an empty environment and null devices for its
streams.

It needs no rights: an ordinary account may do all this on an ordinary Linux. Whatever cannot be had is told through
`control`, and nothing is run.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

from foretell.lab.quality.sandbox import filter as calls
from foretell.lab.quality.sandbox import harness, kernel
from foretell.lab.quality.sandbox.job import STARTED, Job, Limits

NOBODY: Final = 65534
# Beside the folders of the Python: where its shared libraries and their loader are.
_SYSTEM: Final = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/nix/store", "/etc/ld.so.cache")
_DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
_ROOT: Final = "/proc"  # the new root is mounted over it, which no one else sees; the old /proc is not needed
_OWN_PROCESSES: Final = 3  # of the account that the program has: builder, first process, the program's first
_APART: Final = b"apart"  # what the builder tells the launcher
_BUILT: Final = b"built"
_MOST_TOLD_BYTES: Final = 500
_MORE_S: Final = 60  # after which a world ends that was forgotten


class MissingError(Exception):
    """A protection cannot be had; says which and why."""


def main(control: int, result: int) -> None:
    """Run the job that standard input describes.

    control, result: file descriptors to write to: lines of JSON of ours, and what the harness says.
    """
    try:
        kernel.die_with_parent()
        job = Job.from_json(sys.stdin.read())
        null = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(null, stream)
        os.close(null)
        try:
            status = _contained(job, control, result)
        except MissingError as missing:
            if not job.weaker:
                raise
            _tell(control, lacks=str(missing))
            _program(job, control, result)
    except MissingError as missing:
        _tell(control, missing=str(missing))
        status = 1
    except Exception as error:  # noqa: BLE001 — told to the process outside, which has no other way to know
        _tell(control, missing=f"{type(error).__name__}: {error}")
        status = 1
    os._exit(status)


def _tell(control: int, **what: object) -> None:
    os.write(control, json.dumps(what).encode() + b"\n")


def _contained(job: Job, control: int, result: int) -> int:
    """Run the job in a builder's world; the status of its program. MissingError before anything was run."""
    heard, tell = os.pipe()
    go, tell_go = os.pipe()
    builder = os.fork()
    if not builder:
        os.close(heard)
        os.close(tell_go)
        _guarded(control, lambda: _build(job, control, result, tell, go))
    os.close(tell)
    os.close(go)
    try:
        _expect(heard, _APART)
        _name_accounts(builder)
        os.write(tell_go, b".")
        _expect(heard, _BUILT)
    except (MissingError, OSError) as error:
        os.kill(builder, signal.SIGKILL)
        os.waitpid(builder, 0)
        if isinstance(error, MissingError):
            raise
        raise MissingError(f"a separate account for the program ({error.strerror})") from error
    os.close(control)
    os.close(result)
    return _status(os.waitpid(builder, 0)[1])


def _expect(heard: int, word: bytes) -> None:
    said = os.read(heard, _MOST_TOLD_BYTES)
    if said != word:
        raise MissingError(said.decode(errors="replace") or "the process that builds the sandbox was killed")


def _guarded(control: int, run: Callable[[], None]) -> NoReturn:
    """Call `run` in a process that ends here; tell what goes wrong."""
    try:
        run()
    except BaseException as error:  # noqa: BLE001 — told to the process outside
        _tell(control, missing=str(error))
    os._exit(1)


def _name_accounts(builder: int) -> None:
    """Say which accounts outside the builder's accounts are.

    Root stays root, for the mounts, and gives the program the account nobody. Anyone else is called nobody inside.
    """
    folder = Path("/proc") / str(builder)
    root = os.geteuid() == 0
    if not root:
        (folder / "setgroups").write_text("deny")
    for name, own in (("uid_map", os.geteuid()), ("gid_map", os.getegid())):
        lines = f"0 {own} 1\n{NOBODY} {NOBODY} 1\n" if root else f"{NOBODY} {own} 1\n"
        (folder / name).write_text(lines)


def _build(job: Job, control: int, result: int, tell: int, go: int) -> None:
    """Make the new world and wait for what happens in it. Tells the launcher each of two steps, or what is missing."""
    kernel.die_with_parent()
    try:
        kernel.unshare(kernel.ALL_NAMESPACES)
    except OSError as error:
        os.write(tell, f"namespaces of its own ({error.strerror})".encode())
        os._exit(1)
    os.write(tell, _APART)
    if not os.read(go, 1):
        os._exit(1)
    try:
        _new_root(job)
    except OSError as error:
        os.write(tell, f"a file system of its own ({error})".encode())
        os._exit(1)
    os.write(tell, _BUILT)
    os.close(tell)
    os.close(go)
    first = os.fork()  # number 1 of the new world
    if not first:
        _guarded(control, lambda: _first(job, control, result))
    os.close(control)
    os.close(result)
    os._exit(_status(os.waitpid(first, 0)[1]))


def _new_root(job: Job) -> None:
    """Change to a root that has nothing but the folders of the job and of the system, read only, and a small /tmp."""
    os.umask(0o022)
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    harmless = kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("none", _ROOT, "tmpfs", harmless, "size=1m,mode=755")
    wanted = [path for path in (*_SYSTEM, *job.folders) if os.path.lexists(path)]
    for path in sorted(set(wanted)):  # outer folders come before inner ones
        _show(path, kernel.ATTR_READ_ONLY | kernel.ATTR_NOSUID | kernel.ATTR_NODEV)
    for path in _DEVICES:
        _show(path, kernel.ATTR_READ_ONLY | kernel.ATTR_NOSUID)
    files = Path(_ROOT, "tmp")
    files.mkdir(exist_ok=True)
    size = f"size={job.limits.file_bytes},nr_inodes=1000,mode=1777"
    kernel.mount("none", str(files), "tmpfs", harmless | kernel.MS_NOEXEC, size)
    kernel.restrict_mount(_ROOT, kernel.ATTR_READ_ONLY, recursive=False)
    kernel.change_root(_ROOT)
    os.chdir("/tmp")  # noqa: S108 — of the new root


def _show(path: str, attributes: int) -> None:
    """Show a file or folder at the same place of the new root."""
    source, target = Path(path), Path(_ROOT + path)
    if target.exists():  # lies in a folder that is shown
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        target.symlink_to(source.readlink())
        return
    if source.is_dir():
        target.mkdir()
    else:
        target.touch()
    kernel.mount(path, str(target), None, kernel.MS_BIND | kernel.MS_REC)
    kernel.restrict_mount(str(target), attributes)


def _first(job: Job, control: int, result: int) -> None:
    """Start the program's process, and bury all that end until it does."""
    kernel.die_with_parent()
    os.setsid()  # or the program could signal the builder and the launcher, with those of its process group
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # what has no handler, the kernel keeps from a process with number 1
    signal.signal(signal.SIGALRM, lambda *_: os._exit(1))
    signal.alarm(int(job.limits.seconds) + _MORE_S)  # should nobody be left to end this
    program = os.fork()
    if not program:
        _guarded(control, lambda: _program(job, control, result))
    os.close(control)
    os.close(result)
    while True:
        pid, status = os.wait()
        if pid == program:
            os._exit(_status(status))


def _program(job: Job, control: int, result: int) -> NoReturn:
    """Become the program's process."""
    if os.geteuid() == 0:  # in a weaker sandbox too: a program is never root
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    signal.alarm(0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    _close_all_but(control, result)
    _limit(job.limits)
    os.environ.clear()
    os.umask(0o077)
    try:
        kernel.no_new_privileges()
        calls.install(forks=job.limits.forks)
        kernel.drop_capabilities()
    except OSError as error:
        missing = f"a filter for system calls ({error})"
        if not job.weaker:
            raise MissingError(missing) from error
        _tell(control, lacks=missing)
    _tell(control, what=STARTED)
    os.close(control)
    harness.run(job, result)


def _close_all_but(*kept: int) -> None:
    """Close all files but the streams and these."""
    last = 2
    for each in (*sorted(kept), resource.getrlimit(resource.RLIMIT_NOFILE)[0]):
        os.closerange(last + 1, each)
        last = each


def _limit(limits: Limits) -> None:
    _bound(resource.RLIMIT_CPU, limits.processor_seconds, limits.processor_seconds + 1)
    for name, value in (
        ("AS", limits.memory_bytes),
        ("FSIZE", limits.file_bytes),
        ("NOFILE", limits.open_files),
        ("NPROC", limits.tasks + _OWN_PROCESSES),
        ("CORE", 0),
        ("MEMLOCK", 0),
        ("MSGQUEUE", 0),
        ("SIGPENDING", 64),
        ("NICE", 0),
        ("RTPRIO", 0),
    ):
        _bound(getattr(resource, f"RLIMIT_{name}"), value, value)


def _bound(which: int, soft: int, hard: int) -> None:
    """Limit a resource, unless it is limited further already."""
    most = resource.getrlimit(which)[1]
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(which, (soft, hard))


def _status(waited: int) -> int:
    """A status to end with: that of the process, or 128 and the signal that ended it, as shells have it."""
    code = os.waitstatus_to_exitcode(waited)
    return 128 - code if code < 0 else code
