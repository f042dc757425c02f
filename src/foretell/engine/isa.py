"""The instruction sets that kernels are generated for, and the few operations that differ between them.

Everything else in a kernel is generic LLVM vector code, which LLVM cuts to the registers that the target has.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING

from foretell.errors import UsageError

if TYPE_CHECKING:
    from foretell.engine.emit import Fn, Value


@dataclass(frozen=True, slots=True)
class ISA:
    """One instruction set. `cpu` and `features` are LLVM's names; `needs` are the host features that must be present.

    tile: most rows that a product's register tile holds.
    """

    name: str
    cpu: str
    features: tuple[str, ...]
    needs: tuple[str, ...]
    tile: int
    fused: bool
    half: bool

    def fma(self, fn: Fn, a: Value, b: Value, c: Value) -> Value:
        """a * b + c."""
        if not self.fused:
            return a * b + c
        from foretell.engine.emit import F32, Value

        suffix = f"v{a.type.count}f32" if a.type != F32 else "f32"
        return Value(fn, fn.call(f"llvm.fma.{suffix}", a.type, a, b, c).raw)

    def dot(self, fn: Fn, acc: Value, weights: Value, inputs: Value) -> Value:
        """acc[lane] += sum over 4 bytes of unsigned weights times signed inputs; exact.

        acc: <16 x i32>; weights: <64 x i8> unsigned; inputs: <16 x i32>, four signed bytes a lane.
        """
        match self.name:
            case "avx512":
                return fn.call("llvm.x86.avx512.vpdpbusd.512", acc.type, acc, weights.bits(acc.type), inputs)
            case "avx2":
                return _dot_avx2(fn, acc, weights, inputs)
            case _:
                return _dot_generic(fn, acc, weights, inputs)

    def dot_pairs(self, fn: Fn, acc: Value, a: Value, b: Value) -> Value:
        """acc[lane] += a[2 lane] * b[2 lane] + a[2 lane + 1] * b[2 lane + 1]; <32 x i16> signed, exact."""
        from foretell.engine.emit import I32, vector

        if self.name == "avx512":
            return fn.call("llvm.x86.avx512.vpdpwssd.512", acc.type, acc, a.bits(acc.type), b.bits(acc.type))
        wide = a.sext(vector(I32, 32)) * b.sext(vector(I32, 32))
        return acc + wide.lanes(range(0, 32, 2)) + wide.lanes(range(1, 32, 2))

    def from_half(self, fn: Fn, half: Value) -> Value:
        """<n x half> to <n x float>, exact."""
        from foretell.engine.emit import F32, I16, I32, Value, vector

        n = half.type.count
        if self.half:
            return Value(fn, fn.b.fpext(half.raw, vector(F32, n)))
        # Shift the fields into place and let a multiplication by 2^112 rebias the exponent; subnormals come out right too.
        bits = half.bits(vector(I16, n)).zext(vector(I32, n))
        sign, rest = (bits & 0x8000) << 16, bits & 0x7FFF
        scaled = (rest << 13).bits(vector(F32, n)) * fn.const(vector(F32, n), 2.0**112)
        special = (rest << 13) | 0x7F800000
        magnitude = (rest >= 0x7C00).select(special, scaled.bits(vector(I32, n)))
        return (magnitude | sign).bits(vector(F32, n))

    def to_half(self, fn: Fn, value: Value) -> Value:
        """<n x float> to <n x half>, nearest even; finite values beyond half's range become its largest."""
        from foretell.engine.emit import F16, F32, I16, I32, Value, vector

        n = value.type.count
        limit = fn.const(vector(F32, n), 65504.0)
        value = fn.maximum(fn.minimum(value, limit), -limit)
        if self.half:
            return Value(fn, fn.b.fptrunc(value.raw, vector(F16, n)))
        bits = value.bits(vector(I32, n))
        sign, rest = bits.lshr(16) & 0x8000, bits & 0x7FFFFFFF
        rounded = (rest - 0x38000000 + 0xFFF + (rest.lshr(13) & 1)).lshr(13)
        # Below 2^-14 adding 0.5 aligns the value so that its low mantissa bits are half's subnormal, rounded to even.
        small = (rest.bits(vector(F32, n)) + 0.5).bits(vector(I32, n)) - 0x3F000000
        return ((rest < 0x38800000).select(small, rounded) | sign).trunc(vector(I16, n)).bits(vector(F16, n))


def _dot_avx2(fn: Fn, acc: Value, weights: Value, inputs: Value) -> Value:
    from foretell.engine.emit import I16, I32, I8, vector

    # Bytes widened to 16 bits: products and pair sums cannot saturate, whatever the weights' range.
    u, s = weights.zext(vector(I16, 64)), inputs.bits(vector(I8, 64)).sext(vector(I16, 64))
    parts = []
    for k in range(4):
        a, b = u.lanes(range(16 * k, 16 * k + 16)), s.lanes(range(16 * k, 16 * k + 16))
        parts.append(fn.call("llvm.x86.avx2.pmadd.wd", vector(I32, 8), a, b))
    pairs = parts[0].lanes(range(16), parts[1]), parts[2].lanes(range(16), parts[3])
    both = pairs[0].lanes(range(32), pairs[1])
    return acc + both.lanes(range(0, 32, 2)) + both.lanes(range(1, 32, 2))


def _dot_generic(fn: Fn, acc: Value, weights: Value, inputs: Value) -> Value:
    from foretell.engine.emit import I32, I8, vector

    for k in range(4):
        pick = range(k, 64, 4)
        u = weights.lanes(pick).zext(vector(I32))
        s = inputs.bits(vector(I8, 64)).lanes(pick).sext(vector(I32))
        acc = acc + u * s
    return acc


AVX512 = ISA(
    "avx512",
    "x86-64-v4",
    ("+avx512vnni",),
    ("avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512cd", "avx512vnni"),
    tile=8,
    fused=True,
    half=True,
)
AVX2 = ISA("avx2", "x86-64-v3", (), ("avx2", "fma", "f16c", "bmi2"), tile=4, fused=True, half=True)
PORTABLE = ISA("portable", "", (), (), tile=4, fused=False, half=False)
ALL = {isa.name: isa for isa in (AVX512, AVX2, PORTABLE)}


def host() -> ISA:
    """The best instruction set that this processor has."""
    import llvmlite.binding as llvm

    if platform.machine().lower() not in {"x86_64", "amd64"}:
        return PORTABLE
    have = llvm.get_host_cpu_features()
    return next(isa for isa in ALL.values() if all(have.get(f, False) for f in isa.needs))


def choose(name: str | None) -> ISA:
    """An instruction set by name, or the host's best. Raises UsageError when the name is unknown or the host lacks it."""
    best = host()
    if name is None:
        return best
    if name not in ALL:
        raise UsageError(f"unknown instruction set {name!r}; known: {', '.join(ALL)}")
    names = list(ALL)
    if names.index(name) < names.index(best.name):
        raise UsageError(f"this processor lacks what {name} needs; its best is {best.name}")
    return ALL[name]
