"""Operations on rows of activations: normalise, quantise, rotate and store keys and values.

Records are arrays of 8-byte fields; the field numbers of each operation stand beside it and are what
`foretell.engine.program` fills in.
"""

from __future__ import annotations

from llvmlite import ir

from foretell.engine import intrinsics
from foretell.engine.emit import F32, I8, I16, I32, I64, PTR, Fn, Pointer, Value, vector
from foretell.engine.isa import ISA
from foretell.engine.kernels.elementwise import silu
from foretell.engine.layout import ACTIVATIONS, PAGE

FLOATS, INTS = vector(F32), vector(I32)

EXPORTS = ("quantise", "norm", "rope_store", "silu_multiply")

# Where an operation leaves rows for products to read; shared by `norm` and `quantise`. A null address leaves a form
# out.
ROWS, WIDTH, SB_VALUES, SB_SCALES, SB_SUMS, BL_VALUES, BL_SCALES, BL_SUMS, FL_VALUES, SOURCE, STRIDE = range(11)
# norm only. GATHER: address of i64 row numbers, or null for all rows in order.
WEIGHT, EPSILON, GATHER, NORMED = range(11, 15)
FIELDS = 15


def build(module: ir.Module, isa: ISA) -> None:
    """All operations of this file."""
    _quantise(module, isa)
    _norm(module, isa)
    _rope_store(module, isa)
    _silu_multiply(module, isa)


class _Targets:
    """The three forms that a row may be left in, and where row `row` and block `block` of it go."""

    def __init__(self, fn: Fn, record: Pointer) -> None:
        self.fn = fn
        self.rows, self.width = record.load_pointer(8 * ROWS).load(I64), record.load(I64, 8 * WIDTH)
        self.superblock = [record.load_pointer(8 * f) for f in (SB_VALUES, SB_SCALES, SB_SUMS)]
        self.block = [record.load_pointer(8 * f) for f in (BL_VALUES, BL_SCALES, BL_SUMS)]
        self.float = record.load_pointer(8 * FL_VALUES)

    def place(self, row: Value) -> tuple[Value, Value, Value]:
        """First row of the row's tile, rows of that tile, the row's place in it."""
        fn, tile = self.fn, self.fn.isa.tile
        place = row & (tile - 1)
        first = row - place
        return first, fn.minimum(self.rows - first, fn.const(I64, tile)), place

    def write(self, source: Pointer, row: Value, begin: Value, end: Value) -> None:
        """Quantise inputs begin..end (multiples of 256, or the row's end) of a row."""
        fn = self.fn
        first, tile, place = self.place(row)
        with fn.when(self.superblock[0].given()):
            self._superblock(source, first, tile, place, begin, end)
        with fn.when(self.block[0].given()):
            self._block(source, first, tile, place, begin, end)
        with fn.when(self.float.given()), fn.range(begin, end) as i:
            value = source.load(F32, i * 4)
            self.float.store(value, (first * self.width + i * tile + place) * 4)

    def _superblock(self, source: Pointer, first: Value, tile: Value, place: Value, begin: Value, end: Value) -> None:
        fn, (values, scales, sums) = self.fn, self.superblock
        blocks, sums_bytes = self.width.lshr(8), ACTIVATIONS["superblock"].sums_bytes
        with fn.range(begin.lshr(8), end.lshr(8)) as b:
            index = first * blocks + b * tile + place
            out, total = values.at(index * 256), sums.at(index * sums_bytes)
            inverse, scale = _scale(fn, source.at(b * 1024), 16)
            scales.store(scale, index * 4)
            with fn.range(0, 16, 2) as v:
                pair = fn.var(fn.const(I32, 0))
                for half in range(2):
                    quant = fn.round_even(source.load(FLOATS, b * 1024 + (v + half) * 64) * inverse)
                    out.store(quant.trunc(vector(I8)), (v + half) * 16)
                    sum16 = quant.fold(lambda x, y: x + y)
                    total.store(sum16 * -32, (v + half) * 4)
                    pair.set(pair.get() + sum16)
                total.store(pair.get().trunc(I16), v + 64)

    def _block(self, source: Pointer, first: Value, tile: Value, place: Value, begin: Value, end: Value) -> None:
        fn, (values, scales, sums) = self.fn, self.block
        blocks = self.width.lshr(5)
        with fn.range(begin.lshr(5), end.lshr(5)) as b:
            index = first * blocks + b * tile + place
            inverse, scale = _scale(fn, source.at(b * 128), 2)
            scales.store(scale, index * 4)
            total = fn.const(I32, 0)
            for v in range(2):
                quant = fn.round_even(source.load(FLOATS, b * 128 + 64 * v) * inverse)
                values.store(quant.trunc(vector(I8)), index * 32 + 16 * v)
                total = total + quant.fold(lambda x, y: x + y)
            sums.store(-total, index * 8)
            sums.store(total.to_float() * scale, index * 8 + 4)


def _scale(fn: Fn, source: Pointer, vectors: int) -> tuple[Value, Value]:
    """(127 / largest in every lane, largest / 127) of 16 * vectors numbers; both 0 when all are 0."""
    top = fn.const(FLOATS, 0.0)
    for v in range(vectors):
        top = fn.maximum(top, fn.absolute(source.load(FLOATS, 64 * v)))
    largest = top.fold(fn.maximum)
    # A denormal maximum would make the inverse infinite: such a block counts as zero.
    inverse = (largest > 1e-30).select(fn.const(F32, 127.0) / largest, fn.const(F32, 0.0))
    return inverse.splat(), (largest > 1e-30).select(largest * (1 / 127), fn.const(F32, 0.0))


def _quantise(module: ir.Module, isa: ISA) -> None:
    """Items: rows times spans of 1024 inputs."""
    fn = Fn(module, isa, "quantise", [PTR, I64, I64, I64])
    record, item0, item1, _ = fn.args
    targets = _Targets(fn, record)
    source, stride = record.load_pointer(8 * SOURCE), record.load(I64, 8 * STRIDE)
    spans = (targets.width + 1023).lshr(10)
    with fn.range(item0, item1) as item:
        row, begin = item.udiv(spans), (item - item.udiv(spans) * spans) * 1024
        end = fn.minimum(begin + 1024, targets.width)
        targets.write(source.at(row * stride * 4), row, begin, end)
    fn.finish()


def _norm(module: ir.Module, isa: ISA) -> None:
    """RMS norm (arXiv 1910.07467): x * weight / sqrt(mean(x^2) + epsilon), then quantised. Items: rows."""
    fn = Fn(module, isa, "norm", [PTR, I64, I64, I64])
    record, begin, end, thread = fn.args
    targets = _Targets(fn, record)
    source, stride = record.load_pointer(8 * SOURCE), record.load(I64, 8 * STRIDE)
    weight, epsilon, gather = (
        record.load_pointer(8 * WEIGHT),
        record.load(F32, 8 * EPSILON),
        record.load_pointer(8 * GATHER),
    )
    normed = record.load_pointer(8 * NORMED).at(thread * targets.width * 4)
    with fn.range(begin, end) as row:
        number = fn.var(row)
        with fn.when(gather.given()):
            number.set(gather.load(I64, row * 8))
        x = source.at(number.get() * stride * 4)
        normalise(fn, x, normed, weight, targets.width, epsilon)
        targets.write(normed, row, fn.const(I64, 0), targets.width)
    fn.finish()


def normalise(fn: Fn, x: Pointer, out: Pointer, weight: Pointer, width: Value, epsilon: Value) -> None:
    """out = x * weight / sqrt(mean(x^2) + epsilon); width a multiple of 16."""
    total = fn.var(fn.const(FLOATS, 0.0))
    with fn.range(0, width, 16) as i:
        v = x.load(FLOATS, i * 4)
        total.set(fn.fma(v, v, total.get()))
    mean = total.get().fold(lambda a, b: a + b) / Value(fn, fn.b.sitofp(width.raw, F32))
    root = fn.call("llvm.sqrt.f32", F32, mean + epsilon)
    scale = (fn.const(F32, 1.0) / root).splat()
    with fn.range(0, width, 16) as i:
        out.store(x.load(FLOATS, i * 4) * scale * weight.load(FLOATS, i * 4), i * 4)


# rope_store. QKV: f32 [rows][stride]: heads of queries, then of keys, then of values. COS, SIN: f32
# [position][rope_half]. POSITION: i64 [rows]. KEY_AT: i64 [rows], address of layer 0's keys of the page (or the side
# store) that takes the row; SLOT: i64 [rows], the slot in it. LAYER_AT: bytes to this layer. Q_NORM, K_NORM: f32
# [head size] or null. INTERLEAVED: pairs (2i, 2i + 1), not (i, i + half).
(
    R_ROWS,
    QKV,
    QKV_STRIDE,
    HEADS,
    KV_HEADS,
    HEAD,
    ROPE_HALF,
    COS,
    SIN,
    POSITION,
    KEY_AT,
    SLOT,
    LAYER_AT,
    Q_NORM,
    K_NORM,
    R_EPSILON,
    INTERLEAVED,
) = range(17)
ROPE_FIELDS = 17


def _rope_store(module: ir.Module, isa: ISA) -> None:
    """Rotary embedding (arXiv 2104.09864) of queries and keys in place, keys and values to their page. Items: rows.

    A page of a layer: keys f16 [kv head][PAGE / 16][head size][16 slots], then values f16 [kv head][PAGE slots][head
    size].
    """
    fn = Fn(module, isa, "rope_store", [PTR, I64, I64, I64])
    record, begin, end, _ = fn.args
    qkv, stride = record.load_pointer(8 * QKV), record.load(I64, 8 * QKV_STRIDE)
    heads, kv_heads, size, half = (record.load(I64, 8 * f) for f in (HEADS, KV_HEADS, HEAD, ROPE_HALF))
    cos, sin, positions, key_at, slots = (record.load_pointer(8 * f) for f in (COS, SIN, POSITION, KEY_AT, SLOT))
    layer_at, epsilon = record.load(I64, 8 * LAYER_AT), record.load(F32, 8 * R_EPSILON)
    norms = record.load_pointer(8 * Q_NORM), record.load_pointer(8 * K_NORM)
    interleaved = record.load(I64, 8 * INTERLEAVED).ne(0)
    with fn.range(begin, end) as row:
        base, position = qkv.at(row * stride * 4), positions.load(I64, row * 8)
        c, s = cos.at(position * half * 4), sin.at(position * half * 4)
        keys, slot = key_at.load_pointer(row * 8).at(layer_at), slots.load(I64, row * 8)
        with fn.range(0, heads + kv_heads) as h:
            x = base.at(h * size * 4)
            for norm, mine in zip(norms, (h < heads, h >= heads), strict=True):
                with fn.when(norm.given() & mine):
                    normalise(fn, x, x, norm, size, epsilon)
            first, gap = (
                interleaved.select(fn.const(I64, 2), fn.const(I64, 1)),
                interleaved.select(fn.const(I64, 1), half),
            )
            with fn.range(0, half) as i:
                at = i * first
                a, b = x.load(F32, at * 4), x.load(F32, (at + gap) * 4)
                ci, si = c.load(F32, i * 4), s.load(F32, i * 4)
                x.store(a * ci - b * si, at * 4)
                x.store(fn.fma(a, si, b * ci), (at + gap) * 4)
        values = keys.at(kv_heads * size * (2 * PAGE))
        with fn.range(0, kv_heads) as h:
            k, v = base.at((heads + h) * size * 4), base.at((heads + kv_heads + h) * size * 4)
            to_k = keys.at((h * PAGE * size + slot.lshr(4) * size * 16 + (slot & 15)) * 2)
            to_v = values.at((h * PAGE + slot) * size * 2)
            with fn.range(0, size, 16) as d:
                rounded = intrinsics.to_half(fn, k.load(FLOATS, d * 4))
                for lane in range(16):
                    to_k.store(rounded.lane(lane), (d + lane) * 32)
                to_v.store(intrinsics.to_half(fn, v.load(FLOATS, d * 4)), d * 2)
    fn.finish()


def _silu_multiply(module: ir.Module, isa: ISA) -> None:
    """gate = silu(gate) * up. Record: gate, up, floats a row (a multiple of 16). Items: rows."""
    fn = Fn(module, isa, "silu_multiply", [PTR, I64, I64, I64])
    record, begin, end, _ = fn.args
    gate, up, stride = record.load_pointer(0), record.load_pointer(8), record.load(I64, 16)
    with fn.range(begin * stride, end * stride, 16) as i:
        gate.store(silu(fn, gate.load(FLOATS, i * 4)) * up.load(FLOATS, i * 4), i * 4)
    fn.finish()
