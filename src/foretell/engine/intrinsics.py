"""The few operations that differ between instruction sets; all give the same result on each.

Everything else in a kernel is generic LLVM vector code, which LLVM cuts to the registers that the target has.
"""

from __future__ import annotations

from collections.abc import Sequence

from foretell.engine.emit import F16, F32, I8, I16, I32, Fn, Value, vector

INTS = vector(I32)
_PAIR_BITS = 6  # two products of a 6-bit weight and a signed byte fit 16 bits: 2 * 63 * 128 < 2^15


def dots(
    fn: Fn, sums: Sequence[Value], weights: Sequence[Value], inputs: Sequence[Sequence[Value]], bits: int
) -> list[Value]:
    """sums[row][lane] += sum over vectors and their 4 bytes of unsigned weights times signed inputs; exact.

    sums: <16 x i32> a row; weights: <64 x i8> below 2^bits; inputs[row]: <16 x i32>, four signed bytes a lane.
    """
    if fn.isa.name != "avx512":
        return [_dot(fn, total, weights, mine, bits) for total, mine in zip(sums, inputs, strict=True)]
    out = list(sums)  # rows take turns, so that none waits for its own last product
    for v, w in enumerate(weights):
        for row, mine in enumerate(inputs):
            out[row] = fn.call("llvm.x86.avx512.vpdpbusd.512", out[row].type, out[row], w.bits(INTS), mine[v])
    return out


def _dot(fn: Fn, acc: Value, weights: Sequence[Value], inputs: Sequence[Value], bits: int) -> Value:
    match fn.isa.name:
        case "avx2" if bits <= _PAIR_BITS:
            return _dot_avx2(fn, acc, weights, inputs, bits)
        case "avx2":
            return _dot_avx2_wide(fn, acc, weights, inputs)
        case _:
            return _dot_generic(acc, weights, inputs)


def _dot_avx2(fn: Fn, acc: Value, weights: Sequence[Value], inputs: Sequence[Value], bits: int) -> Value:
    """Pairs of products in 16 bits, as many added there as cannot overflow, then widened."""
    together = 2**15 // (2 * (2**bits - 1) * 128)
    ones = fn.const(vector(I16, 16), 1)
    halves = [acc.lanes(range(8)), acc.lanes(range(8, 16))]
    pairs = list(zip(weights, inputs, strict=True))
    for half in range(2):
        pick = range(32 * half, 32 * half + 32)
        for start in range(0, len(pairs), together):
            total = fn.const(vector(I16, 16), 0)
            for w, x in pairs[start : start + together]:
                args = w.lanes(pick), x.bits(vector(I8, 64)).lanes(pick)
                total = total + fn.call("llvm.x86.avx2.pmadd.ub.sw", vector(I16, 16), *args)
            halves[half] = halves[half] + fn.call("llvm.x86.avx2.pmadd.wd", vector(I32, 8), total, ones)
    return halves[0].lanes(range(16), halves[1])


def _dot_avx2_wide(fn: Fn, acc: Value, weights: Sequence[Value], inputs: Sequence[Value]) -> Value:
    """Bytes widened to 16 bits: products and pair sums cannot saturate, whatever the weights' range."""
    for weight, given in zip(weights, inputs, strict=True):
        u, s = weight.zext(vector(I16, 64)), given.bits(vector(I8, 64)).sext(vector(I16, 64))
        parts = []
        for k in range(4):
            a, b = u.lanes(range(16 * k, 16 * k + 16)), s.lanes(range(16 * k, 16 * k + 16))
            parts.append(fn.call("llvm.x86.avx2.pmadd.wd", vector(I32, 8), a, b))
        pairs = parts[0].lanes(range(16), parts[1]), parts[2].lanes(range(16), parts[3])
        both = pairs[0].lanes(range(32), pairs[1])
        acc = acc + both.lanes(range(0, 32, 2)) + both.lanes(range(1, 32, 2))
    return acc


def _dot_generic(acc: Value, weights: Sequence[Value], inputs: Sequence[Value]) -> Value:
    for weight, given in zip(weights, inputs, strict=True):
        for k in range(4):
            pick = range(k, 64, 4)
            u = weight.lanes(pick).zext(vector(I32))
            s = given.bits(vector(I8, 64)).lanes(pick).sext(vector(I32))
            acc = acc + u * s
    return acc


def dot_pairs(fn: Fn, acc: Value, a: Value, b: Value) -> Value:
    """acc[lane] += a[2 lane] * b[2 lane] + a[2 lane + 1] * b[2 lane + 1]; <32 x i16> signed, exact."""
    if fn.isa.name == "avx512":
        return fn.call("llvm.x86.avx512.vpdpwssd.512", acc.type, acc, a.bits(acc.type), b.bits(acc.type))
    if fn.isa.name == "avx2":
        low, high = (
            fn.call("llvm.x86.avx2.pmadd.wd", vector(I32, 8), a.lanes(pick), b.lanes(pick))
            for pick in (range(16), range(16, 32))
        )
        return acc + low.lanes(range(16), high)
    wide = a.sext(vector(I32, 32)) * b.sext(vector(I32, 32))
    return acc + wide.lanes(range(0, 32, 2)) + wide.lanes(range(1, 32, 2))


def from_half(fn: Fn, half: Value) -> Value:
    """<n x half> to <n x float>, exact."""
    n = half.type.count
    if fn.isa.half:
        return Value(fn, fn.b.fpext(half.raw, vector(F32, n)))
    # Shift the fields into place; a multiplication by 2^112 rebiases the exponent and gets subnormals right too.
    bits = half.bits(vector(I16, n)).zext(vector(I32, n))
    sign, rest = (bits & 0x8000) << 16, bits & 0x7FFF
    scaled = (rest << 13).bits(vector(F32, n)) * fn.const(vector(F32, n), 2.0**112)
    special = (rest << 13) | 0x7F800000
    magnitude = (rest >= 0x7C00).select(special, scaled.bits(vector(I32, n)))
    return (magnitude | sign).bits(vector(F32, n))


def to_half(fn: Fn, value: Value) -> Value:
    """<n x float> to <n x half>, nearest even; finite values beyond half's range become its largest."""
    n = value.type.count
    limit = fn.const(vector(F32, n), 65504.0)
    value = fn.maximum(fn.minimum(value, limit), -limit)
    if fn.isa.half:
        return Value(fn, fn.b.fptrunc(value.raw, vector(F16, n)))
    bits = value.bits(vector(I32, n))
    sign, rest = bits.lshr(16) & 0x8000, bits & 0x7FFFFFFF
    rounded = (rest - 0x38000000 + 0xFFF + (rest.lshr(13) & 1)).lshr(13)
    # Below 2^-14 adding 0.5 aligns the value so that its low mantissa bits are half's subnormal, rounded to even.
    small = (rest.bits(vector(F32, n)) + 0.5).bits(vector(I32, n)) - 0x3F000000
    return ((rest < 0x38800000).select(small, rounded) | sign).trunc(vector(I16, n)).bits(vector(F16, n))
