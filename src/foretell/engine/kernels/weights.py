"""Reading packed weights: unpacking quants to bytes, and asking for them ahead of time."""

from __future__ import annotations

from foretell.engine.emit import F16, F32, I8, I32, Fn, Pointer, Value, vector
from foretell.engine.layout import Layout

BYTES, INTS, FLOATS, HALVES = vector(I8, 64), vector(I32), vector(F32), vector(F16)
FAR, NEAR = 4096, 1024  # bytes ahead of the weights in use: into the second-level cache, then into the first


def unpacked(layout: Layout, low: Pointer, high: Pointer) -> list[Value]:
    """The 8 vectors of 32 inputs of 16 outputs as unsigned bytes."""
    if layout.low == 8:
        return [low.load(BYTES, 64 * v) for v in range(8)]
    planes = [high.load(BYTES, 64 * k).bits(INTS) for k in range(layout.high)]
    out = []
    for v in range(8):
        line = low.load(BYTES, 64 * (v // 2)).bits(INTS)
        quant = (line.lshr(4) if v % 2 else line) & 0x0F0F0F0F
        if layout.high == 1:
            quant = quant | (_shifted(planes[0], 4 - v) & 0x10101010)
        elif layout.high == 2:
            quant = quant | (_shifted(planes[v // 4], 4 - 2 * (v % 4)) & 0x30303030)
        out.append(quant.bits(BYTES))
    return out


def _shifted(value: Value, left: int) -> Value:
    return value << left if left > 0 else value.lshr(-left) if left < 0 else value


def prefetch_run(fn: Fn, at: Pointer, size: int) -> None:
    """Ask for what lies ahead of `size` bytes of weights."""
    for line in range(0, size, 64):
        fn.prefetch(at.at(line + FAR), 2)
        fn.prefetch(at.at(line + NEAR), 3)
