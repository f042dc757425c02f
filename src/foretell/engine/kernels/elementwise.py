"""Functions of single numbers as float32 operations, the same wherever there is fused multiply-add."""

from __future__ import annotations

from foretell.engine.emit import I32, Fn, Value, vector

# exp(r) on [-ln2/2, ln2/2] as 1 + r + r^2 * P(r); Cephes' single-precision coefficients (Moshier, 1992), error below
# 2 units in the last place.
_EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)


def exp(fn: Fn, x: Value) -> Value:
    """Powers of e for vectors: 0 below about -87.3, capped at e^88, exactly 1 at 0."""
    kind, ints = x.type, vector(I32, x.type.count)
    low = fn.const(kind, -87.3)
    clamped = fn.maximum(fn.minimum(x, fn.const(kind, 88.0)), low)
    n = fn.round_even(clamped * 1.44269504)
    whole = n.to_float()
    r = fn.fma(whole, fn.const(kind, -0.693359375), clamped)
    r = fn.fma(whole, fn.const(kind, 2.12194440e-4), r)
    p = fn.const(kind, _EXP[0])
    for c in _EXP[1:]:
        p = fn.fma(p, r, fn.const(kind, c))
    y = fn.fma(p, r * r, r) + 1.0
    scaled = (y.bits(ints) + (n << 23)).bits(kind)
    return (x < low).select(fn.const(kind, 0.0), scaled)


def silu(fn: Fn, x: Value) -> Value:
    """x / (1 + e^-x)."""
    return x / (exp(fn, -x) + 1.0)
