"""The embedded tokens of a pass: rows of the embedding matrix as they lie in the file, made float32.

The bits are those of `foretell.engine.dequantise`: the same products and sums in the same order, each rounded to
float32. See there for the formats.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from llvmlite import ir

from foretell.engine import intrinsics
from foretell.engine.dequantise import FORMATS
from foretell.engine.emit import F16, F32, I8, I16, I32, I64, PTR, Fn, Pointer, Value, vector
from foretell.engine.isa import ISA
from foretell.engine.kernels import frame as frames

# The record. FRAME: address of the pass's numbers, which the token ids are among. DATA: the matrix, rows of ROW_BYTES.
# OUT: f32 [rows][WIDTH].
FRAME, DATA, ROW_BYTES, WIDTH, OUT = range(5)
FIELDS = 8

FLOATS, INTS, BYTES = vector(F32), vector(I32), vector(I8)
Store = Callable[[int, Value], None]  # 16 values of a block, from the input of this number on


def exports(name: str) -> tuple[str, ...]:
    """Operations in the module of a format."""
    return (f"embed_{name}",)


def build(module: ir.Module, isa: ISA, name: str) -> None:
    """The operation of a format. Items: rows."""
    fn = Fn(module, isa, f"embed_{name}", [PTR, I64, I64, I64])
    record, begin, end, _ = fn.args
    tokens = record.load_pointer(8 * FRAME).at(8 * frames.TOKENS)
    data, out = record.load_pointer(8 * DATA), record.load_pointer(8 * OUT)
    row_bytes, width = record.load(I64, 8 * ROW_BYTES), record.load(I64, 8 * WIDTH)
    block = max(16, FORMATS[name].block)
    block_bytes = FORMATS[name].row_bytes(block)
    with fn.range(begin, end) as row:
        source, target = data.at(tokens.load(I64, row * 8) * row_bytes), out.at(row * width * 4)
        with fn.range(0, width.udiv(block)) as b:
            _BLOCKS[name](fn, source.at(b * block_bytes), partial(_store, target.at(b * (4 * block))))
    fn.finish()


def _store(target: Pointer, first: int, values: Value) -> None:
    target.store(values, 4 * first)


def _half(fn: Fn, at: Pointer, offset: int) -> Value:
    """A float16 in the file, in every lane."""
    return intrinsics.from_half(fn, at.load(vector(F16, 1), offset)).lane(0).splat()


def _bytes(at: Pointer, offset: int) -> Value:
    """16 bytes as integers from 0 to 255."""
    return at.load(BYTES, offset).zext(INTS)


def _f32(_: Fn, at: Pointer, store: Store) -> None:
    store(0, at.load(FLOATS))


def _f16(fn: Fn, at: Pointer, store: Store) -> None:
    store(0, intrinsics.from_half(fn, at.load(vector(F16))))


def _bf16(_: Fn, at: Pointer, store: Store) -> None:
    store(0, (at.load(vector(I16)).zext(INTS) << 16).bits(FLOATS))


def _block(fn: Fn, at: Pointer, store: Store, *, offset: int = 0, minimum: bool = False, fifth: bool = False) -> None:
    """32 inputs: d, perhaps m, perhaps four bytes of fifth bits, then nibbles, the low ones first."""
    d, m = _half(fn, at, 0), _half(fn, at, 2) if minimum else None
    high_at = 4 if minimum else 2
    nibbles = _bytes(at, high_at + (4 if fifth else 0))
    for first, low in ((0, nibbles & 15), (16, nibbles.lshr(4))):
        q = low
        if fifth:
            bits = at.load(I32, high_at, align=1).splat().lshr(fn.table(I32, range(first, first + 16)))
            q = low | ((bits & 1) << 4)
        values = (q.to_float() - float(offset) if offset else q.to_float()) * d
        store(first, values if m is None else values + m)


def _q8_0(fn: Fn, at: Pointer, store: Store) -> None:
    d = _half(fn, at, 0)
    for first in (0, 16):
        store(first, at.load(BYTES, 2 + first).sext(INTS).to_float() * d)


def _runs(fn: Fn, at: Pointer) -> list[tuple[Value, Value]]:
    """Scale and minimum of each of the eight runs of Q4_K and Q5_K."""
    d, dmin = _half(fn, at, 0), _half(fn, at, 2)
    byte = [at.load(I8, 4 + k).zext(I32) for k in range(12)]
    scales = [byte[k] & 63 for k in range(4)] + [byte[8 + k] & 15 | byte[k].lshr(2) & 48 for k in range(4)]
    minima = [byte[4 + k] & 63 for k in range(4)] + [byte[8 + k].lshr(4) | byte[4 + k].lshr(2) & 48 for k in range(4)]
    return [(d * s.to_float().splat(), dmin * m.to_float().splat()) for s, m in zip(scales, minima, strict=True)]


def _q4_k(fn: Fn, at: Pointer, store: Store, *, fifth: bool = False) -> None:
    """256 inputs. 32 bytes hold two runs, low halves first; the fifth bits of run r are the bits r of 32 bytes more."""
    low_at, high_at = (48, 16) if fifth else (16, 0)
    for run, (scale, minimum) in enumerate(_runs(fn, at)):
        for part in (0, 16):
            nibbles = _bytes(at, low_at + 32 * (run // 2) + part)
            q = nibbles.lshr(4) if run % 2 else nibbles & 15
            if fifth:
                q = q | ((_bytes(at, high_at + part).lshr(run) & 1) << 4)
            store(32 * run + part, q.to_float() * scale - minimum)


def _q6_k(fn: Fn, at: Pointer, store: Store) -> None:
    """Two halves of 128 inputs, each four runs of 32: 64 bytes of lower 4 bits, 32 bytes of upper 2 bits."""
    d = _half(fn, at, 208)
    for k in range(16):  # 16 inputs and their scale
        half, run, part = k // 8, k % 8 // 2, k % 2
        nibbles = _bytes(at, 64 * half + 32 * (run % 2) + 16 * part)
        low = nibbles & 15 if run < 2 else nibbles.lshr(4)
        high = _bytes(at, 128 + 32 * half + 16 * part).lshr(2 * run) & 3
        scale = d * at.load(I8, 192 + k).sext(I32).to_float().splat()
        store(16 * k, ((low | (high << 4)).to_float() - 32.0) * scale)


_BLOCKS: dict[str, Callable[[Fn, Pointer, Store], None]] = {
    "F32": _f32,
    "F16": _f16,
    "BF16": _bf16,
    "Q4_0": partial(_block, offset=8),
    "Q4_1": partial(_block, minimum=True),
    "Q5_0": partial(_block, offset=16, fifth=True),
    "Q5_1": partial(_block, minimum=True, fifth=True),
    "Q8_0": _q8_0,
    "Q4_K": _q4_k,
    "Q5_K": partial(_q4_k, fifth=True),
    "Q6_K": _q6_k,
}
