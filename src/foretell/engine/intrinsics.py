"""The few operations that differ between instruction sets; all give the same result on each.

Everything else in a kernel is generic LLVM vector code, which LLVM cuts to the registers that the target has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from foretell.engine.emit import F16, F32, I8, I16, I32, LANES, Fn, Value, vector

INTS = vector(I32)
_PAIR_BITS = 6  # two products of a 6-bit weight and a signed byte fit 16 bits: 2 * 63 * 128 < 2^15


# Inputs of a row for a range of lanes: for each weight vector <lanes x i32>, four signed bytes a lane.
Inputs = Callable[[range], list[Value]]
_ALL = range(LANES)


def dots(fn: Fn, sums: Sequence[Value], weights: Sequence[Value], inputs: Sequence[Inputs], bits: int) -> list[Value]:
    """sums[row][lane] += sum over vectors and their 4 bytes of unsigned weights times signed inputs; exact.

    sums: <16 x i32> a row; weights: <64 x i8> below 2^bits.
    """
    match fn.isa.name:
        case "avx512":
            out, given = list(sums), [row(_ALL) for row in inputs]
            for v, w in enumerate(weights):  # rows take turns, so that none waits for its own last product
                for r, row in enumerate(given):
                    out[r] = fn.call("llvm.x86.avx512.vpdpbusd.512", INTS, out[r], w.bits(INTS), row[v])
            return out
        case "avx2":
            one = _half_avx2 if bits <= _PAIR_BITS else _half_avx2_wide
            halves = []
            for lanes in (range(8), range(8, 16)):  # in turn: the weights of both would not fit the registers
                part = [w.lanes(range(4 * lanes.start, 4 * lanes.stop)) for w in weights]
                pairs = zip(sums, inputs, strict=True)
                halves.append([one(fn, total.lanes(lanes), part, row(lanes), bits) for total, row in pairs])
            return [low.lanes(range(16), high) for low, high in zip(*halves, strict=True)]
        case _:
            return [_dot_generic(total, weights, row(_ALL)) for total, row in zip(sums, inputs, strict=True)]


def _half_avx2(fn: Fn, acc: Value, weights: Sequence[Value], inputs: Sequence[Value], bits: int) -> Value:
    """Pairs of products in 16 bits, as many added there as cannot overflow, then widened."""
    together = 2**15 // (2 * (2**bits - 1) * 128)
    ones = fn.const(vector(I16, 16), 1)
    for start in range(0, len(weights), together):
        total = fn.const(vector(I16, 16), 0)
        for w, x in list(zip(weights, inputs, strict=True))[start : start + together]:
            total = total + fn.call("llvm.x86.avx2.pmadd.ub.sw", vector(I16, 16), w, x.bits(vector(I8, 32)))
        acc = acc + fn.call("llvm.x86.avx2.pmadd.wd", vector(I32, 8), total, ones)
    return acc


def _half_avx2_wide(fn: Fn, acc: Value, weights: Sequence[Value], inputs: Sequence[Value], _: int) -> Value:
    """Bytes widened to 16 bits: products and pair sums cannot saturate, whatever the weights' range."""
    for weight, given in zip(weights, inputs, strict=True):
        u, s = weight.zext(vector(I16, 32)), given.bits(vector(I8, 32)).sext(vector(I16, 32))
        low, high = (
            fn.call("llvm.x86.avx2.pmadd.wd", vector(I32, 8), u.lanes(pick), s.lanes(pick))
            for pick in (range(16), range(16, 32))
        )
        pairs = low.lanes(range(16), high)
        acc = acc + pairs.lanes(range(0, 16, 2)) + pairs.lanes(range(1, 16, 2))
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
