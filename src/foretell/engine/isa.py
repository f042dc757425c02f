"""The instruction sets that kernels are generated for. What differs between them is in `intrinsics`."""

from __future__ import annotations

import platform
from dataclasses import dataclass

import llvmlite.binding as llvm

from foretell.errors import UsageError


@dataclass(frozen=True, slots=True)
class ISA:
    """One instruction set. `cpu` and `features` are LLVM's names; `needs` are the host features that must be present.

    tile: most rows of a product's tile, a power of two. resident: most rows whose float sums stay in registers beside
    the integer ones. fused: has fused multiply-add. half: converts float16.
    """

    name: str
    cpu: str
    features: tuple[str, ...]
    needs: tuple[str, ...]
    tile: int
    resident: int
    fused: bool
    half: bool


AVX512 = ISA(
    "avx512",
    "x86-64-v4",
    ("+avx512vnni", "+fast-dpwssd"),
    ("avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512cd", "avx512vnni"),
    tile=16,
    resident=8,
    fused=True,
    half=True,
)
AVX2 = ISA("avx2", "x86-64-v3", (), ("avx2", "fma", "f16c", "bmi2"), tile=8, resident=4, fused=True, half=True)
PORTABLE = ISA("portable", "", (), (), tile=4, resident=4, fused=False, half=False)
ALL = {isa.name: isa for isa in (AVX512, AVX2, PORTABLE)}


def host() -> ISA:
    """The best instruction set that this processor has."""
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        return PORTABLE
    have = llvm.get_host_cpu_features()
    return next(isa for isa in ALL.values() if all(have.get(f, False) for f in isa.needs))


def choose(name: str | None) -> ISA:
    """An instruction set by name, or the host's best. UsageError when it is unknown or the host lacks it."""
    best = host()
    if name is None:
        return best
    if name not in ALL:
        raise UsageError(f"unknown instruction set {name!r}; known: {', '.join(ALL)}")
    names = list(ALL)
    if names.index(name) < names.index(best.name):
        raise UsageError(f"this processor lacks what {name} needs; its best is {best.name}")
    return ALL[name]
