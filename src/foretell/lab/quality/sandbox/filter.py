"""The system calls that a program in the sandbox does without: a seccomp filter, assembled here.

What it denies fails with "operation not permitted": sockets, whatever looks into other processes, mounts and
namespaces, kernel interfaces with a history of faults, and memory that counts for no process (shared segments, memory
files).
"""

import ctypes
import os
import struct
from dataclasses import dataclass
from typing import Final

from foretell.lab.quality.sandbox import kernel

# Name → its number on x86_64 and on aarch64. Numbers above 423 are the same everywhere.
DENIED: Final = {
    "socket": (41, 198),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsmount": (432, 432),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "acct": (163, 89),
    "personality": (135, 92),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
}
_FORKS: Final = {"x86_64": (57, 58), "aarch64": ()}  # calls that only make processes; clone makes threads too
_CLONE: Final = (56, 220)
_CLONE3: Final = 435  # its flags lie in memory, where a filter cannot look; the C library falls back to clone
_X32: Final = 0x40000000  # a second set of numbers on x86_64
_ARCHITECTURES: Final = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_PERMISSION, _NO_SUCH_CALL = 1, 38
_ANY: Final = 0xFFFFFFFF  # what clone is given is never 0: it says at least what signal tells of the end

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction: code, places to skip when a comparison holds and when it does not, operand."""

    code: int
    value: int
    holds: int = 0
    fails: int = 0

    def packed(self) -> bytes:
        """As struct sock_filter."""
        return struct.pack("HBBI", self.code, self.holds, self.fails, self.value)


def program(machine: str, *, forks: bool) -> list[Step]:
    """The filter for a kind of processor. forks: allow new processes. OSError when its numbers are not known here."""
    if machine not in _ARCHITECTURES:
        raise OSError(f"seccomp: the numbers of system calls are not known for {machine}")
    column, architecture = _ARCHITECTURES[machine]
    steps = [
        Step(_LOAD, _ARCHITECTURE),
        Step(_JUMP_EQUAL, architecture, 1, 0),
        Step(_RETURN, _KILL),
        Step(_LOAD, _NUMBER),
        Step(_JUMP_AT_LEAST, _X32, 0, 1),
        Step(_RETURN, _KILL),
        Step(_JUMP_EQUAL, _CLONE3, 0, 1),
        Step(_RETURN, _ERROR | _NO_SUCH_CALL),
    ]
    denied = [numbers[column] for numbers in DENIED.values()]
    for number in (*denied, *(() if forks else _FORKS[machine])):
        steps += [Step(_JUMP_EQUAL, number, 0, 1), Step(_RETURN, _ERROR | _PERMISSION)]
    return [
        *steps,
        Step(_JUMP_EQUAL, _CLONE[column], 1, 0),
        Step(_RETURN, _ALLOW),
        Step(_LOAD, _FIRST_ARGUMENT),
        Step(_JUMP_ANY_BIT, kernel.ALL_NAMESPACES, 0, 1),
        Step(_RETURN, _ERROR | _PERMISSION),
        Step(_JUMP_ANY_BIT, _ANY if forks else kernel.CLONE_THREAD, 1, 0),
        Step(_RETURN, _ERROR | _PERMISSION),
        Step(_RETURN, _ALLOW),
    ]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))


def install(*, forks: bool) -> None:
    """Filter the calls of this process from now on. It must have given up new privileges before.

    forks: whether it may still start processes; threads it may in any case.
    """
    code = b"".join(each.packed() for each in program(os.uname().machine, forks=forks))
    held = ctypes.create_string_buffer(code, len(code))
    filter_ = _Program(len(code) // 8, ctypes.addressof(held))
    kernel.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(filter_))
