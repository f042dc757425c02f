"""The arithmetic of a draw, operation for operation as `foretell.accept.noise` and `foretell.accept.warpers` define it.

No fused multiply-add here: every instruction set, and NumPy, must give the same bits. Functions take a vector of any
width, or a single number.
"""

from __future__ import annotations

import math

from llvmlite import ir

from foretell.accept.noise import LN2, LOG_Q, MIX32, MIX64, NEAR, SQRT_HALF_BITS, STRIDE
from foretell.accept.warpers import EXP_LOWEST, EXP_Q, LN2_HIGH, LN2_LOW, LOG2_E, WEIGHT_SCALE
from foretell.engine.emit import F32, I32, Fn, Value, vector

SLACK = 0.01  # far more than the rounding of `noise_bound` and of the noise itself


def like(element: ir.Type, value: Value) -> ir.Type:
    """The type of a value with another element."""
    return vector(element, value.type.count) if isinstance(value.type, ir.VectorType) else element


def signed(number: int, bits: int = 32) -> int:
    """An unsigned constant as LLVM's signed one."""
    return number - 2**bits if number >= 2 ** (bits - 1) else number


def exp(fn: Fn, x: Value) -> Value:
    """`warpers.exp`: e^x for x <= 0."""
    x = fn.maximum(x, fn.const(x.type, float(EXP_LOWEST)))
    n = (x * float(LOG2_E) - 0.5).to_int()
    whole = n.to_float()
    r = (x - whole * float(LN2_HIGH)) - whole * float(LN2_LOW)
    q = fn.const(r.type, float(EXP_Q[-1]))
    for coefficient in reversed(EXP_Q[:-1]):
        q = q * r + float(coefficient)
    return (((r * r) * q + r) + 1.0) * ((n + 127) << 23).bits(r.type)


def weights(fn: Fn, below: Value) -> Value:
    """`warpers.weights`: integers, so that their sums do not depend on the order."""
    return (exp(fn, below) * float(WEIGHT_SCALE)).to_int()


def row_key(seed: Value, position: Value) -> tuple[Value, Value]:
    """`noise.row_key` of a seed that is mixed already."""
    a, m, b, n, c = MIX64
    z = seed + (position + 1) * signed(STRIDE, 64)
    z = (z ^ z.lshr(a)) * signed(m, 64)
    z = (z ^ z.lshr(b)) * signed(n, 64)
    z = z ^ z.lshr(c)
    return z.lshr(32).trunc(I32), z.trunc(I32)


def noise_bits(ids: Value, key0: Value, key1: Value) -> Value:
    """`noise.bits`: 32 uniform bits a token id."""
    return _mix(_mix(ids + key0) ^ key1)


def noise(fn: Fn, bits: Value) -> Value:
    """`noise.gumbel` from its bits."""
    return -log(fn, _exponential(fn, bits))


def noise_bound(fn: Fn, bits: Value) -> Value:
    """A number that the noise of these bits does not reach, without a logarithm.

    The noise is -log(E), E >= v = (bits + 1/2) / 2^32 >= f / 2^24 with f = floor(bits / 256) + 1/512, so it is at most
    log(2) (24 - log2(f)). And log2(f) is at least what the bits of f say when read as a fixed-point number: the
    exponent exactly, the mantissa by a chord.
    """
    f = bits.lshr(8).to_float() + 0.5 / 256
    chord = f.bits(like(I32, f)).to_float()
    return fn.const(f.type, (24 + 127) * math.log(2) + SLACK) - chord * (math.log(2) / 2**23)


def _mix(x: Value) -> Value:
    a, m, b, n, c = MIX32
    x = (x ^ x.lshr(a)) * signed(m)
    x = (x ^ x.lshr(b)) * signed(n)
    return x ^ x.lshr(c)


def _exponential(fn: Fn, bits: Value) -> Value:
    floats = like(F32, bits)
    v = (_unsigned_to_float(fn, bits, floats) + 0.5) * 2.0**-32
    w = (_unsigned_to_float(fn, bits ^ -1, floats) + 0.5) * 2.0**-32
    near = Value(fn, fn.b.icmp_unsigned("<", bits.raw, fn.const(bits.type, NEAR).raw))
    return near.select(-_log1p(fn, -v), -log(fn, w))


def _unsigned_to_float(fn: Fn, bits: Value, kind: ir.Type) -> Value:
    return Value(fn, fn.b.uitofp(bits.raw, kind))


def log(fn: Fn, x: Value) -> Value:
    """`noise.log` of positive normal numbers."""
    i = x.bits(like(I32, x)) - SQRT_HALF_BITS
    e = (i >> 23).to_float()
    f = ((i & 0x7FFFFF) + SQRT_HALF_BITS).bits(x.type) - 1.0
    return _log1p(fn, f) + e * float(LN2)


def _log1p(fn: Fn, f: Value) -> Value:
    q = fn.const(f.type, float(LOG_Q[-1]))
    for coefficient in reversed(LOG_Q[:-1]):
        q = q * f + float(coefficient)
    f2 = f * f
    return f + (f2 * (q * f) - f2 * 0.5)
