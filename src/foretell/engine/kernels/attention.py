"""Attention of the rows of a pass to their sequence's keys and values.

The keys that a row sees are those of logical positions 0..its own. All but the last few lie in pages at their logical
position: what is committed, and the *trunk*, the chain of first children of this pass. The rest are ancestors off the
trunk and lie in a side page, by slot.

Sums run over spans of PAGE logical positions and the spans are merged in order (the online softmax of arXiv
2205.14135), so a row's result depends on logical positions alone: not on slots, tiles, threads or what else is in the
pass. Lanes hold 16 positions for scores and 16 dimensions for values; every lane adds in the order of positions, so
it does not matter whether a key came from a page or from the side.

A work item is a tile of rows of one sequence and a key-value head. With few tiles each span is an item of its own and
leaves a partial result for `merge`; with many, an item goes over all its spans.
"""

from __future__ import annotations

from itertools import product

from llvmlite import ir

from foretell.engine import intrinsics
from foretell.engine.emit import F16, F32, I32, I64, PTR, Fn, Pointer, Value, vector
from foretell.engine.isa import ISA
from foretell.engine.kernels import frame as frames
from foretell.engine.kernels.elementwise import exp
from foretell.engine.kernels.frame import R_S_AT, R_S_COUNT, R_SEEN, R_SPANS, ROW_FIELDS, TILE_FIELDS, TILE_ROWS
from foretell.engine.layout import PAGE

FLOATS, INTS, HALVES = vector(F32), vector(I32), vector(F16)
EXPORTS = ("attend", "merge")

# A register tile: query vectors (row and head), for all of which keys and values are widened once, and vectors of keys
# or values, for all of which queries are read once.
PANEL = {"avx512": (12, 2), "avx2": (4, 1), "portable": (4, 1)}
# Floats from one query vector to the next in scratch: the largest head size, room for a span of scores, and an odd
# number of cache lines, so that the vectors do not share a few sets of the cache.
LINE = 272
LOWEST = -3.0e38

# The record of both operations. FRAME: address of the pass's numbers, `foretell.engine.kernels.frame`.
(
    QKV,
    QKV_STRIDE,
    HEADS,
    KV_HEADS,
    HEAD,
    SCALE,
    LAYER_AT,
    FRAME,
    OUT,
    OUT_STRIDE,
    SCRATCH,
    SCRATCH_BYTES,
) = range(12)
FIELDS = 12


def scratch_bytes(group_heads: int) -> int:
    """Bytes of scratch a thread needs for a tile of rows and the heads of a group."""
    vectors = TILE_ROWS * group_heads
    return 4 * LINE * vectors * 4 + 64 * vectors + 4096


def partial_floats(head_size: int) -> int:
    """Floats of a partial result: maximum, sum, padding to 16, weighted values."""
    return 16 + head_size


def build(module: ir.Module, isa: ISA) -> None:
    """All functions of this file."""
    most, across = PANEL[isa.name]
    for count in range(1, most + 1):
        for columns in range(1, across + 1):
            _panel(module, isa, count, columns, asks=False)
            _panel(module, isa, count, columns, asks=True)
    _panels(module, isa)
    _merge_into(module, isa)
    _attend(module, isa)
    _merge(module, isa)


def _panel(module: ir.Module, isa: ISA, count: int, columns: int, *, asks: bool) -> None:
    """out[j][c][16] = sum over k of a[j][k] * b[k][c][16 halves]; the lines of a are LINE floats apart.

    stride, step: bytes from one k and from one c to the next in b. line: bytes from one j to the next in out.
    One that asks also asks for a line of two places with each k: `near` for the first-level cache, `far` for the
    second. Asking for many at once stops everything.
    """
    more = [PTR, PTR] if asks else []
    fn = Fn(module, isa, _panel_name(count, columns, asks=asks), [PTR, PTR, I64, I64, I64, PTR, I64, *more])
    fn.raw.linkage = "internal"
    a, b, stride, step, length, out, line, *places = fn.args
    acc = [[fn.var(fn.const(FLOATS, 0.0)) for _ in range(columns)] for _ in range(count)]
    with fn.range(0, length) as k:
        right = [intrinsics.from_half(fn, b.load(HALVES, k * stride + step * c)) for c in range(columns)]
        for place, level in zip(places, (3, 2), strict=False):
            fn.prefetch(place.at(k * 64), level)
        left = a.at(k * 4).opaque()
        for j in range(count):
            factor = left.load(F32, 4 * LINE * j).splat()
            for total, vectors in zip(acc[j], right, strict=True):
                total.set(fn.fma(factor, vectors, total.get()))
    for j in range(count):
        for c in range(columns):
            out.store(acc[j][c].get(), line * j + 64 * c)
    fn.finish()


def _panel_name(count: int, columns: int, *, asks: bool) -> str:
    return f"panel_{count}_{columns}{'_asking' if asks else ''}"


def _panels(module: ir.Module, isa: ISA) -> None:
    """`panel` for any number of query vectors and columns of 16.

    near, far: what the first panel of each column asks for; `far` moves on by `apart` bytes with each column.
    """
    fn = Fn(module, isa, "panels", [PTR, PTR, I64, I64, I64, PTR, I64, I64, I64, PTR, PTR, I64])
    fn.raw.linkage = "internal"
    a, b, stride, step, length, out, line, vectors, columns, near, far, apart = fn.args
    most, across = PANEL[isa.name]
    with fn.range(0, columns, across) as c:
        width = fn.minimum(columns - c, fn.const(I64, across))
        with fn.range(0, vectors, most) as j:
            count = fn.minimum(vectors - j, fn.const(I64, most))
            to = out.at(j * line + c * 64)
            args = [v.raw for v in (a.at(j * (4 * LINE)), b.at(c * step), stride, step, length, to, line)]
            after = fn.raw.append_basic_block("done")
            asking = (most + 1) * across  # added to the number of a case
            first = j.eq(0).select(fn.const(I64, asking), fn.const(I64, 0))
            switch = fn.b.switch((count * across + width + first).raw, after)
            for n, w, asks in product(range(1, most + 1), range(1, across + 1), (False, True)):
                case = fn.raw.append_basic_block(f"case{n}_{w}")
                switch.add_case(ir.Constant(I64, n * across + w + asking * asks), case)
                fn.b.position_at_end(case)
                more = [near.raw, far.at(c * apart).raw] if asks else []
                fn.b.call(module.globals[_panel_name(n, w, asks=asks)], [*args, *more])
                fn.b.branch(after)
            fn.b.position_at_end(after)
    fn.finish()


def _merge_into(module: ir.Module, isa: ISA) -> None:
    """Fold a span's (maximum, sum, values) into a running one. State: maximum f32, sum f32; values f32[size]."""
    fn = Fn(module, isa, "merge_into", [PTR, PTR, PTR, PTR, I64])
    fn.raw.linkage = "internal"
    state, values, part, part_values, size = fn.args
    m, new = state.load(F32), part.load(F32)
    top = fn.maximum(m, new)
    keep, take = exp(fn, (m - top).splat()), exp(fn, (new - top).splat())
    state.store(top)
    state.store(fn.fma(state.load(F32, 4), keep.lane(0), part.load(F32, 4) * take.lane(0)), 4)
    with fn.range(0, size, 16) as d:
        values.store(fn.fma(values.load(FLOATS, d * 4), keep, part_values.load(FLOATS, d * 4) * take), d * 4)
    fn.finish()


class _Job:
    """The loaded record and frame, and the scratch of this thread."""

    def __init__(self, fn: Fn, record: Pointer, thread: Value) -> None:
        self.fn = fn
        self.qkv, self.out, frame = (record.load_pointer(8 * f) for f in (QKV, OUT, FRAME))
        self.table, self.tiles, self.side, self.slots, self.partials = (
            frame.load_pointer(8 * f)
            for f in (frames.ROW_TABLE, frames.TILE_TABLE, frames.SIDE, frames.SIDE_SLOTS, frames.PARTIALS)
        )
        self.spans, self.split, self.rows = (frame.load(I64, 8 * f) for f in (frames.SPANS, frames.SPLIT, frames.ROWS))
        self.stride, self.heads, self.kv_heads, self.size, self.layer_at, self.out_stride = (
            record.load(I64, 8 * f) for f in (QKV_STRIDE, HEADS, KV_HEADS, HEAD, LAYER_AT, OUT_STRIDE)
        )
        self.scale = record.load(F32, 8 * SCALE)
        self.group = self.heads.udiv(self.kv_heads)
        vectors = self.group * TILE_ROWS
        base = record.load_pointer(8 * SCRATCH).at(thread * record.load(I64, 8 * SCRATCH_BYTES))
        line = vectors * (4 * LINE)
        self.queries, self.scores, self.part, self.values = (base.at(line * k) for k in range(4))
        self.state = base.at(line * 4)
        self.side_scores = base.at(line * 4 + vectors * 16)
        self.part_line = (self.size + 16) * 4  # bytes of a partial result

    def keys_of(self, page: Pointer, head: Value) -> Pointer:
        """This layer's keys of a head in a page."""
        return page.at(self.layer_at + head * self.size * (2 * PAGE))

    def values_of(self, page: Pointer, head: Value) -> Pointer:
        """This layer's values of a head in a page."""
        return page.at(self.layer_at + (self.kv_heads + head) * self.size * (2 * PAGE))

    def partial(self, head: Value, span: Value, row: Value) -> Pointer:
        """The partial results of a key-value head, a span and the rows from this one on, one query head's each."""
        number = ((head * self.spans + span) * self.rows + row) * self.group
        return self.partials.at(number * self.part_line)

    def row(self, number: Value, field: int) -> Value:
        """A field of a row."""
        return self.table.load(I64, number * (8 * ROW_FIELDS) + 8 * field)


def _attend(module: ir.Module, isa: ISA) -> None:
    """Items: tiles times key-value heads, times spans where these are split."""
    fn = Fn(module, isa, "attend", [PTR, I64, I64, I64])
    record, begin, end, thread = fn.args
    job = _Job(fn, record, thread)
    split = job.split.ne(0)
    per_head = split.select(job.spans, fn.const(I64, 1))
    with fn.range(begin, end) as number:
        tile_head = number.udiv(per_head)
        first, number_of_tile = number - tile_head * per_head, tile_head.udiv(job.kv_heads)
        head = tile_head - number_of_tile * job.kv_heads
        tile = job.tiles.at(number_of_tile * (8 * TILE_FIELDS))
        last = tile.load(I64, 8 * frames.T_SPANS)
        with fn.when(first < last):
            _tile(fn, job, tile, head, first, split.select(first + 1, last))
    fn.finish()


def _tile(fn: Fn, job: _Job, tile: Pointer, head: Value, first: Value, last: Value) -> None:
    """A range of spans of a tile and a head: their partial results, or with all spans the rows' results."""
    first_row, rows = tile.load(I64, 8 * frames.T_ROW), tile.load(I64, 8 * frames.T_ROWS)
    pages, vectors = tile.load_pointer(8 * frames.T_PAGES), rows * job.group
    _gather_queries(fn, job, first_row, rows, head)
    with fn.when(job.split.eq(0)), fn.range(0, vectors) as j:
        job.state.store(fn.const(F32, LOWEST), j * 16)
        job.state.store(fn.const(F32, 0.0), j * 16 + 4)
        with fn.range(0, job.size, 16) as d:
            job.values.store(fn.const(FLOATS, 0.0), j * (4 * LINE) + d * 4)
    final = tile.load(I64, 8 * frames.T_SPANS) - 1
    with fn.range(first, last) as span:
        page, coming = (pages.load_pointer(at * 8) for at in (span, fn.minimum(span + 1, final)))
        apart = job.partial(head, span, first_row)
        part = Pointer(fn, fn.b.select(job.split.ne(0).raw, apart.raw, job.part.raw))
        _span(fn, job, page, coming, part, span, first_row, rows, head)
        with fn.when(job.split.eq(0)), fn.range(0, rows) as r, fn.when(span < job.row(first_row + r, R_SPANS)):
            first_head = r * job.group
            with fn.range(first_head, first_head + job.group) as j:
                new = part.at(j * job.part_line)
                at = job.state.at(j * 16), job.values.at(j * (4 * LINE)), new, new.at(64)
                fn.b.call(fn.module.globals["merge_into"], [*(p.raw for p in at), job.size.raw])
    with fn.when(job.split.eq(0)), fn.range(0, rows) as r, fn.range(0, job.group) as g:
        j = r * job.group + g
        _finish(fn, job, job.state.at(j * 16), job.values.at(j * (4 * LINE)), first_row + r, head * job.group + g)


def _finish(fn: Fn, job: _Job, state: Pointer, values: Pointer, row: Value, head: Value) -> None:
    """Divide by the sum and write a row's head."""
    inverse = (fn.const(F32, 1.0) / state.load(F32, 4)).splat()
    to = job.out.at((row * job.out_stride + head * job.size) * 4)
    with fn.range(0, job.size, 16) as d:
        to.store(values.load(FLOATS, d * 4) * inverse, d * 4)


def _merge(module: ir.Module, isa: ISA) -> None:
    """Fold the partial results of each row and head, in the order of spans. Items: rows times heads."""
    fn = Fn(module, isa, "merge", [PTR, I64, I64, I64])
    record, begin, end, thread = fn.args
    job = _Job(fn, record, thread)
    with fn.range(begin, end) as query:
        row = query.udiv(job.heads)
        head = query - row * job.heads
        shared = head.udiv(job.group)
        within = (head - shared * job.group) * job.part_line
        job.state.store(fn.const(F32, LOWEST))
        job.state.store(fn.const(F32, 0.0), 4)
        with fn.range(0, job.size, 16) as d:
            job.values.store(fn.const(FLOATS, 0.0), d * 4)
        with fn.range(0, job.row(row, R_SPANS)) as span:
            part = job.partial(shared, span, row).at(within)
            fn.b.call(
                module.globals["merge_into"], [job.state.raw, job.values.raw, part.raw, part.at(64).raw, job.size.raw]
            )
        _finish(fn, job, job.state, job.values, row, head)
    fn.finish()


def _gather_queries(fn: Fn, job: _Job, first_row: Value, rows: Value, head: Value) -> None:
    """Scaled queries of the tile, one line each."""
    scale = job.scale.splat()
    with fn.range(0, rows) as r, fn.range(0, job.group) as g:
        source = job.qkv.at(((first_row + r) * job.stride + (head * job.group + g) * job.size) * 4)
        to = job.queries.at((r * job.group + g) * (4 * LINE))
        with fn.range(0, job.size, 16) as d:
            to.store(source.load(FLOATS, d * 4) * scale, d * 4)


def _span(
    fn: Fn,
    job: _Job,
    page: Pointer,
    coming: Pointer,
    part: Pointer,
    span: Value,
    first_row: Value,
    rows: Value,
    head: Value,
) -> None:
    """Scores, exponentials and weighted values of one span for a tile of rows, as partial results into `part`.

    coming: the page that is next.
    """
    start, vectors = span * PAGE, rows * job.group
    seen = fn.var(fn.const(I64, 0))
    with fn.range(0, rows) as r:
        seen.set(fn.maximum(seen.get(), job.row(first_row + r, R_SEEN) - start))
    present = fn.minimum(seen.get(), fn.const(I64, PAGE))
    keys = job.keys_of(page, head)
    panels, call = fn.module.globals["panels"], fn.b.call
    values = job.values_of(page, head)
    step = 16 * PANEL[fn.isa.name][1]
    still, everything = fn.const(I64, 0), job.size * (2 * PAGE)
    with fn.range(0, present, step) as p:
        columns = (fn.minimum(present - p, fn.const(I64, step)) + 15).lshr(4)
        at, to = p * job.size * 2, job.scores.at(p * 4)
        line = fn.const(I64, 4 * LINE)
        key_args = job.queries, keys.at(at), fn.const(I64, 32), job.size * 32, job.size, to, line, vectors, columns
        # Values are read in strides later: ask now for as many of them as this step reads of keys; and for more keys.
        call(panels, [v.raw for v in (*key_args, keys.at((p + step) * job.size * 2), values.at(at), still)])
    with fn.range(0, rows) as r:
        _softmax_row(fn, job, part, start, first_row + r, r, head)
    to, line, columns = part.at(64), job.part_line, job.size.lshr(4)
    value_args = job.scores, values, job.size * 2, fn.const(I64, 32), present, to, line, vectors, columns
    ask = job.scores, job.keys_of(coming, head), everything.udiv(job.size.lshr(4))
    call(panels, [v.raw for v in (*value_args, *ask)])
    with fn.range(0, rows) as r:
        _add_side(fn, job, part, start, first_row + r, r, head)


def _softmax_row(fn: Fn, job: _Job, part: Pointer, start: Value, row: Value, r: Value, head: Value) -> None:
    """Mask what the row does not see, put in side ancestors' scores, exponentiate; see `_add_side` for the side."""
    seen, s_at, s_count = (job.row(row, f) for f in (R_SEEN, R_S_AT, R_S_COUNT))
    lanes = fn.table(I32, list(range(16)))
    with fn.range(0, job.group) as g:
        j = r * job.group + g
        line = job.scores.at(j * (4 * LINE))
        with fn.when(seen - start < PAGE), fn.range(0, PAGE, 16) as p:
            visible = lanes < (seen - start - p).trunc(I32).splat()
            line.store(visible.select(line.load(FLOATS, p * 4), fn.const(FLOATS, LOWEST)), p * 4)
        with fn.range(0, s_count) as k:
            at = seen + k - start
            inside = (at >= 0) & (at < PAGE)
            with fn.when(inside):
                slot = job.slots.load(I64, (s_at + k) * 8)
                page = job.side.load_pointer(slot.udiv(PAGE) * 8)
                keys = job.keys_of(page, head).at((slot & (PAGE - 1)).lshr(4) * job.size * 32)
                query = job.queries.at(j * (4 * LINE))
                none = fn.const(I64, 0)
                args = query, keys, fn.const(I64, 32), none, job.size, job.side_scores, none
                fn.b.call(fn.module.globals[_panel_name(1, 1, asks=False)], [a.raw for a in args])
                line.store(job.side_scores.load(F32, (slot & 15) * 4), at * 4)
        top = fn.var(fn.const(FLOATS, LOWEST))
        with fn.range(0, PAGE, 16) as p:
            top.set(fn.maximum(top.get(), line.load(FLOATS, p * 4)))
        largest = top.get().fold(fn.maximum)
        total = fn.var(fn.const(FLOATS, 0.0))
        with fn.range(0, PAGE, 16) as p:
            e = exp(fn, line.load(FLOATS, p * 4) - largest.splat())
            line.store(e, p * 4)
            total.set(total.get() + e)
        part.store(largest, j * job.part_line)
        part.store(total.get().fold(lambda a, b: a + b), j * job.part_line + 4)
        with fn.range(0, s_count) as k:
            at = seen + k - start
            inside = (at >= 0) & (at < PAGE)
            with fn.when(inside):
                # The second half of the line is free; pages must not count these positions.
                line.store(line.load(F32, at * 4), at * 4 + 4 * PAGE)
                line.store(fn.const(F32, 0.0), at * 4)


def _add_side(fn: Fn, job: _Job, part: Pointer, start: Value, row: Value, r: Value, head: Value) -> None:
    """Add the weighted values of side ancestors, in the order of positions."""
    seen, s_at, s_count = (job.row(row, f) for f in (R_SEEN, R_S_AT, R_S_COUNT))
    with fn.range(0, s_count) as k:
        at = seen + k - start
        inside = (at >= 0) & (at < PAGE)
        with fn.when(inside):
            slot = job.slots.load(I64, (s_at + k) * 8)
            page = job.side.load_pointer(slot.udiv(PAGE) * 8)
            values = job.values_of(page, head).at((slot & (PAGE - 1)) * job.size * 2)
            with fn.range(0, job.group) as g:
                j = r * job.group + g
                weight = job.scores.load(F32, j * (4 * LINE) + at * 4 + 4 * PAGE).splat()
                with fn.range(0, job.size, 16) as d:
                    to = part.at(j * job.part_line + d * 4 + 64)
                    to.store(fn.fma(weight, intrinsics.from_half(fn, values.load(HALVES, d * 2)), to.load(FLOATS)))
