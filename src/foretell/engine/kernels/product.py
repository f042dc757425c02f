"""Products of packed weights with the rows of a pass: y[row][output] = sum over inputs of weight * activation.

One tile function per number of rows: it unpacks each weight vector once and uses it for all rows of the tile. The
order of accumulation for an output is that of its blocks, whatever the tile, so a row's result does not depend on how
many rows came with it.

The operation `product` works on a range of groups of 16 outputs; more rows than a tile loop over tiles inside the
group, so weights come from memory once. Its epilogue adds a bias or the previous content of y. `gated` computes
silu(gate) * up of two matrices.
"""

from __future__ import annotations

from llvmlite import ir

from foretell.engine import intrinsics
from foretell.engine.emit import F32, I8, I16, I32, I64, LANES, PTR, Fn, Pointer, Slot, Value, Var, vector
from foretell.engine.isa import ISA
from foretell.engine.kernels.elementwise import silu
from foretell.engine.kernels.weights import FLOATS, HALVES, INTS, prefetch_run, unpacked
from foretell.engine.layout import ACTIVATIONS, Layout, aligned

# Fields of the argument record, in units of 8 bytes: see `foretell.engine.program`.
WEIGHTS, GROUP_BYTES, BLOCKS, VALUES, SCALES, SUMS, OUT, OUT_STRIDE, ROWS, BIAS, ADD, WEIGHTS2, GROUP_BYTES2 = range(13)
SCRATCH, SCRATCH_BYTES = 13, 14  # of a thread: results of two groups of outputs for all rows
FIELDS = 15


def scratch_bytes(rows: int) -> int:
    """Scratch that a thread needs for passes of so many rows, whole tiles."""
    return 2 * 64 * aligned(rows, 16)


def exports(layout: Layout) -> tuple[str, ...]:
    """Operations in the module of a format."""
    return (f"product_{layout.name}", f"gated_{layout.name}")


def build(module: ir.Module, isa: ISA, layout: Layout) -> None:
    """Tile functions for 1..isa.tile rows, and the operations."""
    body = {"superblock": _superblock, "block": _block, "float": _float}[layout.family]
    for rows in range(1, isa.tile + 1):
        fn = _function(module, isa, f"tile_{layout.name}_{rows}", [PTR, PTR, PTR, PTR, I64, PTR])
        body(fn, layout, rows)
        fn.finish()
    fn = _function(module, isa, "group", [PTR, PTR, PTR])
    _group(fn, layout)
    fn.finish()
    _product(module, isa, layout)
    _gated(module, isa, layout)


def _function(module: ir.Module, isa: ISA, name: str, params: list[ir.Type]) -> Fn:
    fn = Fn(module, isa, name, params)
    fn.raw.linkage = "internal"
    return fn


def _sums(fn: Fn, rows: int, memory: Pointer) -> list[Var | Slot]:
    """A float vector of zeros for each row: in registers, or in memory where they are too many."""
    zero = fn.const(FLOATS, 0.0)
    if rows <= fn.isa.resident:
        return [fn.var(zero) for _ in range(rows)]
    for r in range(rows):
        memory.store(zero, 64 * r)
    return [Slot(memory.at(64 * r), FLOATS) for r in range(rows)]


def _broadcast(at: Pointer, count: int) -> intrinsics.Inputs:
    """Groups of four inputs, each for all lanes. Where lanes come in parts they are read again, not kept."""

    def read(lanes: range) -> list[Value]:
        here = at if len(lanes) == LANES else at.opaque()
        return [here.load(I32, 4 * v).splat(len(lanes)) for v in range(count)]

    return read


def _superblock(fn: Fn, layout: Layout, rows: int) -> None:
    """Per sub-block an exact integer dot product, scaled in float; per superblock the activation's scale.

    acc[row] += dx * (d * sum_s scale_s * dot_s - dmin * sum_s minimum_s * sum(x)_s)
    """
    weights, values, scales, sums, blocks, out = fn.args
    sums_bytes = ACTIVATIONS["superblock"].sums_bytes
    memory = fn.scratch(64 * rows)
    acc = _sums(fn, rows, out)
    with fn.range(0, blocks) as i:
        base, x = weights.at(i * layout.block_bytes), values.at(i * (256 * rows))
        xs, dx = sums.at(i * (sums_bytes * rows)), scales.at(i * (4 * rows))
        part = _sums(fn, rows, memory)
        with fn.range(0, 8) as s:
            low, high = base.at(s * layout.low_bytes), base.at(s * layout.high_bytes + 8 * layout.low_bytes)
            prefetch_run(fn, base.at(s * (layout.low_bytes + layout.high_bytes)), layout.low_bytes + layout.high_bytes)
            vectors = unpacked(layout, low, high)
            inputs = x.at(s * 32).opaque()
            per_scale = layout.sub // 4
            for half in range(32 // layout.sub):
                scale_at = (s * (32 // layout.sub) + half) * 16 + layout.scales_at
                quants = base.load(vector(I8), scale_at)
                scale = (quants.zext(INTS) if layout.minimum else quants.sext(INTS)).to_float()
                start = [fn.const(INTS, 0)] * rows
                if layout.offset:
                    start = [xs.load(I32, s * 8 + (sums_bytes * r + 4 * half)).splat() for r in range(rows)]
                mine = range(half * per_scale, (half + 1) * per_scale)
                given = [_broadcast(inputs.at(256 * r + 4 * mine[0]), len(mine)) for r in range(rows)]
                dots = intrinsics.dots(fn, start, [vectors[v] for v in mine], given, layout.bits)
                for total, dot in zip(part, dots, strict=True):
                    total.set(fn.fma(dot.to_float(), scale, total.get()))
        prefetch_run(fn, base.at(layout.scales_at), layout.block_bytes - layout.scales_at)
        d = intrinsics.from_half(fn, base.load(HALVES, layout.d_at))
        if layout.minimum:
            dmin = intrinsics.from_half(fn, base.load(HALVES, layout.d_at + 32))
            minima = [base.load(vector(I8, 32), layout.minima_at + 32 * p).zext(vector(I16, 32)) for p in range(4)]
        for r in range(rows):
            factor = dx.load(F32, 4 * r).splat()
            acc[r].set(fn.fma(d * factor, part[r].get(), acc[r].get()))
            if layout.minimum:
                low_sum = fn.const(INTS, 0)
                for p in range(4):
                    pair = xs.load(I32, sums_bytes * r + 64 + 4 * p).splat().bits(vector(I16, 32))
                    low_sum = intrinsics.dot_pairs(fn, low_sum, minima[p], pair)
                acc[r].set(fn.fma(dmin * factor, -low_sum.to_float(), acc[r].get()))
    for r in range(rows):
        out.store(acc[r].get(), 64 * r)


def _block(fn: Fn, layout: Layout, rows: int) -> None:
    """acc[row] += (d * dx) * dot(quant - offset, x), and + m * (dx * sum(x)) where the format has m."""
    weights, values, scales, sums, blocks, out = fn.args
    sums_bytes = ACTIVATIONS["block"].sums_bytes
    acc = _sums(fn, rows, out)
    high_at = weights.at(blocks * layout.low_bytes)
    d_at = high_at.at(blocks * layout.high_bytes)
    m_at = d_at.at(blocks * 32)
    with fn.range(0, blocks) as i:
        x, xs, dx = values.at(i * (32 * rows)).opaque(), sums.at(i * (sums_bytes * rows)), scales.at(i * (4 * rows))
        prefetch_run(fn, weights.at(i * layout.low_bytes), layout.low_bytes)
        vectors = unpacked(layout, weights.at(i * layout.low_bytes), high_at.at(i * layout.high_bytes))
        d = intrinsics.from_half(fn, d_at.load(HALVES, i * 32))
        m = intrinsics.from_half(fn, m_at.load(HALVES, i * 32)) if layout.minimum else None
        start = [fn.const(INTS, 0)] * rows
        if layout.offset:
            start = [xs.load(I32, 8 * r).splat() << layout.offset.bit_length() - 1 for r in range(rows)]
        dots = intrinsics.dots(fn, start, vectors, [_broadcast(x.at(32 * r), 8) for r in range(rows)], layout.bits)
        for r in range(rows):
            acc[r].set(fn.fma(d * dx.load(F32, 4 * r).splat(), dots[r].to_float(), acc[r].get()))
            if m is not None:
                acc[r].set(fn.fma(m, xs.load(F32, 8 * r + 4).splat(), acc[r].get()))
    for r in range(rows):
        out.store(acc[r].get(), 64 * r)


def _float(fn: Fn, layout: Layout, rows: int) -> None:
    """acc[row] += weight * x, input by input."""
    weights, values, _, _, inputs, out = fn.args
    acc = [fn.var(fn.const(FLOATS, 0.0)) for _ in range(rows)]
    size = layout.item_bytes * 16
    with fn.range(0, inputs) as i:
        prefetch_run(fn, weights.at(i * size), size)
        w = _widened(fn, layout, weights.at(i * size))
        for r in range(rows):
            acc[r].set(fn.fma(w, values.load(F32, i * (4 * rows) + 4 * r).splat(), acc[r].get()))
    for r in range(rows):
        out.store(acc[r].get(), 64 * r)


def _widened(fn: Fn, layout: Layout, at: Pointer) -> Value:
    match layout.name:
        case "F32":
            return at.load(FLOATS)
        case "F16":
            return intrinsics.from_half(fn, at.load(HALVES))
        case _:
            return (at.load(vector(I16)).zext(INTS) << 16).bits(FLOATS)


class _Record:
    """The loaded argument record of a product."""

    def __init__(self, record: Pointer) -> None:
        self.values, self.scales, self.sums = (record.load_pointer(8 * f) for f in (VALUES, SCALES, SUMS))
        self.blocks, self.stride = record.load(I64, 8 * BLOCKS), record.load(I64, 8 * OUT_STRIDE)
        self.rows = record.load_pointer(8 * ROWS).load(I64)
        self.out = record.load_pointer(8 * OUT)

    def tile(self, layout: Layout, first: Value) -> list[Pointer]:
        """Values, scales and sums of the tile that begins with row `first`."""
        activation = ACTIVATIONS[layout.family]
        item = 4 if layout.family == "float" else activation.block
        sizes = item, 4, activation.sums_bytes
        return [
            p.at(first * self.blocks * n) for p, n in zip((self.values, self.scales, self.sums), sizes, strict=True)
        ]


def _group(fn: Fn, layout: Layout) -> None:
    """out[row][16] of one group for all rows, a tile at a time. Function (record, the group's weights, out)."""
    record, weights, out = fn.args
    r, tile = _Record(record), fn.isa.tile
    with fn.range(0, r.rows, tile) as first:
        args = [weights, *r.tile(layout, first), r.blocks, out.at(first * 64)]
        after = fn.raw.append_basic_block("tiled")
        switch = fn.b.switch(fn.minimum(r.rows - first, fn.const(I64, tile)).raw, after)
        for n in range(1, tile + 1):
            case = fn.raw.append_basic_block(f"rows{n}")
            switch.add_case(ir.Constant(I64, n), case)
            fn.b.position_at_end(case)
            fn.b.call(fn.module.globals[f"tile_{layout.name}_{n}"], [a.raw for a in args])
            fn.b.branch(after)
        fn.b.position_at_end(after)


def _product(module: ir.Module, isa: ISA, layout: Layout) -> None:
    fn = Fn(module, isa, f"product_{layout.name}", [PTR, I64, I64, I64])
    record, begin, end, thread = fn.args
    r = _Record(record)
    weights, size = record.load_pointer(8 * WEIGHTS), record.load(I64, 8 * GROUP_BYTES)
    bias, add = record.load_pointer(8 * BIAS), record.load(I64, 8 * ADD)
    out = record.load_pointer(8 * SCRATCH).at(thread * record.load(I64, 8 * SCRATCH_BYTES))
    with fn.range(begin, end) as g:
        fn.b.call(module.globals["group"], [record.raw, weights.at(g * size).raw, out.raw])
        with fn.range(0, r.rows) as row:
            at = r.out.at((row * r.stride + g * 16) * 4)
            value = fn.var(out.load(FLOATS, row * 64))
            with fn.when(bias.given()):
                value.set(value.get() + bias.load(FLOATS, g * 64))
            with fn.when(add.ne(0)):
                value.set(value.get() + at.load(FLOATS))
            at.store(value.get())
    fn.finish()


def _gated(module: ir.Module, isa: ISA, layout: Layout) -> None:
    fn = Fn(module, isa, f"gated_{layout.name}", [PTR, I64, I64, I64])
    record, begin, end, thread = fn.args
    r = _Record(record)
    gate, gate_size = record.load_pointer(8 * WEIGHTS), record.load(I64, 8 * GROUP_BYTES)
    up, up_size = record.load_pointer(8 * WEIGHTS2), record.load(I64, 8 * GROUP_BYTES2)
    half = record.load(I64, 8 * SCRATCH_BYTES)
    gates = record.load_pointer(8 * SCRATCH).at(thread * half)
    ups = gates.at(half.lshr(1))
    with fn.range(begin, end) as g:
        fn.b.call(module.globals["group"], [record.raw, gate.at(g * gate_size).raw, gates.raw])
        fn.b.call(module.globals["group"], [record.raw, up.at(g * up_size).raw, ups.raw])
        with fn.range(0, r.rows) as row:
            value = silu(fn, gates.load(FLOATS, row * 64)) * ups.load(FLOATS, row * 64)
            r.out.store(value, (row * r.stride + g * 16) * 4)
    fn.finish()
