"""Where top-k and top-p end, and the likeliest tokens: a histogram, then a closer look at the one bin that matters.

An entry of a span's histogram packs a count (upper 20 bits) and a sum of weights (lower 44 bits: 8192 weights of at
most 2^30). Histograms leave out what lies below a row's *floor*: tokens that cannot be among the first k, or that
cannot matter to top-p. Bins down to the floor are complete but for tokens below the floor in the last one.
"""

from __future__ import annotations

from llvmlite import ir

from foretell.engine.emit import F32, I32, I64, PTR, Fn, Pointer, Value, vector
from foretell.engine.isa import ISA
from foretell.engine.kernels.exact import exp, log, weights
from foretell.engine.kernels.keys import (
    LONGS,
    LONGS8,
    Scratch,
    bin_of,
    end_list,
    gather,
    key_of,
    select,
    sort,
    span_histogram,
    token_of,
    weight_from,
)
from foretell.engine.kernels.logits import (
    FLOATS,
    INTS,
    LOWEST,
    NO_ID,
    P_LANES,
    P_SUM,
    R_CUT,
    R_CUT_ID,
    R_FLOOR,
    R_ID,
    R_LEAST,
    R_MAX,
    R_TOTAL,
    TAIL,
    TOP,
    TOP_IDS,
    TOP_K,
    TOP_LOGITS,
    TOP_P,
    TOP_STRIDE,
    Job,
    any_lane,
    ids_at,
    merge_spans,
)

EXPORTS = ("row_max", "row_max_top", "histogram", "histogram_top", "cut", "rank")

COUNT_AT = 44
WEIGHTLESS = 21.0  # so far below the largest, a weight is 0: 2^30 e^-21 < 1
NEGLIGIBLE = 30.0  # 150,000 exponentials below e^-30 do not change a sum of at least 1 by 1e-7
F64, DOUBLES = ir.DoubleType(), vector(ir.DoubleType())


def build(module: ir.Module, isa: ISA) -> None:
    """All operations of this file."""
    for top in (False, True):
        _row_max(module, isa, top=top)
        _histogram(module, isa, top=top)
    _cut(module, isa)
    _rank(module, isa)


def _row_max(module: ir.Module, isa: ISA, *, top: bool) -> None:
    """The largest logit of a row, which is the choice of temperature 0, and the row's floor. Items: rows."""
    fn = Fn(module, isa, "row_max_top" if top else "row_max", [PTR, I64, I64, I64])
    record, begin, end, thread = fn.args
    job = Job(fn, record)
    scratch = Scratch(job, thread)
    k, lanes = record.load(I64, 8 * (TOP if top else TOP_K)), job.spans * 16
    with fn.range(begin, end) as row:
        entry = job.row(row)
        value, where = merge_spans(fn, job, row, fn.const(I32, 0))
        floor = fn.var(fn.const(F32, LOWEST))
        with fn.when((k > 0) & (k <= lanes)):
            # The k-th largest of the maxima of all spans' lanes: each of them is another token.
            with fn.range(0, job.spans) as span:
                scratch.keys.store(key_of(job.part(row, span).load(FLOATS, P_LANES), fn.const(INTS, 0)), span * 128)
            end_list(fn, scratch.keys, lanes)
            floor.set(token_of(select(fn, scratch, lanes, k))[0])
        least = fn.var(floor.get())
        if not top:
            with fn.when(record.load(I64, 8 * TOP_P).ne(0)):
                floor.set(fn.maximum(floor.get(), value - WEIGHTLESS))
                least.set(floor.get())
                with fn.when(k.eq(0)):
                    floor.set(fn.maximum(floor.get(), _tail(fn, job, row, value)))
            job.out.store(where, row * 4)
        entry.store(value, 8 * R_MAX)
        entry.store(where, 8 * R_ID)
        entry.store(floor.get(), 8 * R_FLOOR)
        entry.store(least.get(), 8 * R_LEAST)
        entry.store(fn.const(F32, LOWEST), 8 * R_CUT)
        entry.store(fn.const(I32, NO_ID), 8 * R_CUT_ID)
    fn.finish()


def _tail(fn: Fn, job: Job, row: Value, largest: Value) -> Value:
    """What top-p cannot reach: even a whole vocabulary of logits below it weighs less than the 1 - p that may miss.

    All weights together are at least those of the spans' lanes' maxima.
    """
    known = fn.var(fn.const(FLOATS, 0.0))
    with fn.range(0, job.spans) as span:
        known.set(known.get() + exp(fn, job.part(row, span).load(FLOATS, P_LANES) - largest.splat()))
    share = log(fn, known.get().fold(lambda a, b: a + b)) + job.record.load(F32, 8 * TAIL)
    return largest + fn.minimum(share, fn.const(F32, 0.0))


def _limit(fn: Fn, entry: Pointer) -> Value:
    """One more than the last bin with tokens from the floor up."""
    return bin_of(fn, entry.load(F32, 8 * R_FLOOR), entry.load(F32, 8 * R_MAX)) + 1


def _histogram(module: ir.Module, isa: ISA, *, top: bool) -> None:
    """Count a span's logits by bins, with their weights; and sum up all weights, or all exponentials.

    Items: rows times spans.
    """
    fn = Fn(module, isa, "histogram_top" if top else "histogram", [PTR, I64, I64, I64])
    record, begin, end, thread = fn.args
    job = Job(fn, record)
    lanes = Scratch(job, thread).lanes
    with fn.range(begin, end) as item:
        row, span, first, last = job.locate(item)
        line, entry, bins = job.line(row), job.row(row), span_histogram(job, row, span)
        largest, floor, least = (entry.load(F32, 8 * f).splat() for f in (R_MAX, R_FLOOR, R_LEAST))
        limit = _limit(fn, entry)
        with fn.range(0, limit.zext(I64) + 1, 8) as b:
            bins.store(fn.const(LONGS8, 0), b * 8)
        if top:
            least = fn.minimum(least, largest - NEGLIGIBLE)
        total = fn.var(fn.const(FLOATS, 0.0) if top else fn.const(LONGS, 0))
        with fn.range(first, last, 16) as i:
            real, value = ids_at(fn, i) < last.trunc(I32).splat(), line.load(FLOATS, i * 4)
            with fn.when(any_lane((value >= least) & real)):
                value = real.select(value, fn.const(FLOATS, LOWEST))
                if top:
                    share = fn.const(LONGS, 0)
                    total.set(total.get() + exp(fn, value - largest))
                else:
                    share = weights(fn, value - largest).zext(LONGS)
                    total.set(total.get() + share)
                with fn.when(any_lane(value >= floor)):
                    number = real.select(bin_of(fn, value, largest), limit.splat())
                    _count(bins, lanes, fn.minimum(number, limit.splat()), share)
        job.part(row, span).store(_fold_doubles(fn, total.get()) if top else _fold(total.get()), P_SUM)
    fn.finish()


def _fold(longs: Value) -> Value:
    return longs.fold(lambda a, b: a + b)


def _fold_doubles(fn: Fn, floats: Value) -> Value:
    return Value(fn, fn.b.fpext(floats.raw, DOUBLES)).fold(lambda a, b: _add(fn, a, b))


def _add(fn: Fn, a: Value, b: Value) -> Value:
    return Value(fn, fn.b.fadd(a.raw, b.raw))


def _count(bins: Pointer, lanes: Pointer, number: Value, share: Value) -> None:
    """Add lanes to their bins, by way of memory: that is quicker than to take a register apart."""
    lanes.store(share + (1 << COUNT_AT))
    lanes.store(number, 128)
    for lane in range(16):
        at = lanes.load(I32, 128 + 4 * lane).zext(I64) * 8
        bins.store(bins.load(I64, at) + lanes.load(I64, 8 * lane), at)


def _add_histograms(fn: Fn, job: Job, scratch: Scratch, row: Value, limit: Value) -> None:
    """Counts and weights of a row by bin."""
    with fn.range(0, limit, 8) as b:
        scratch.counts.store(fn.const(LONGS8, 0), b * 8)
        scratch.weights.store(fn.const(LONGS8, 0), b * 8)
    with fn.range(0, job.spans) as span:
        bins = span_histogram(job, row, span)
        with fn.range(0, limit, 8) as b:
            packed = bins.load(LONGS8, b * 8)
            scratch.counts.store(scratch.counts.load(LONGS8, b * 8) + packed.lshr(COUNT_AT), b * 8)
            scratch.weights.store(scratch.weights.load(LONGS8, b * 8) + (packed & ((1 << COUNT_AT) - 1)), b * 8)


def _find(fn: Fn, bins: Pointer, limit: Value, needed: Value) -> tuple[Value, Value]:
    """The first bin with which the sum reaches what is needed, and the sum before it; `limit` if there is none."""
    at, before = fn.var(fn.const(I64, 0)), fn.var(fn.const(I64, 0))
    with fn.loop_while() as leave_if:
        leave_if(at.get() >= limit)
        now = before.get() + bins.load(I64, at.get() * 8)
        leave_if(now >= needed)
        before.set(now)
        at.set(at.get() + 1)
    return at.get(), before.get()


def _cut(module: ir.Module, isa: ISA) -> None:
    """The last token in rank order that top-k and then top-p keep. Items: rows."""
    fn = Fn(module, isa, "cut", [PTR, I64, I64, I64])
    record, begin, end, thread = fn.args
    job = Job(fn, record)
    scratch = Scratch(job, thread)
    k = record.load(I64, 8 * TOP_K)
    with fn.range(begin, end) as row:
        entry = job.row(row)
        limit = _limit(fn, entry).zext(I64)
        _add_histograms(fn, job, scratch, row, limit)
        total = fn.var(fn.const(I64, 0))  # the weights of those that top-k keeps
        with fn.range(0, job.spans) as span:
            total.set(total.get() + job.part(row, span).load(I64, P_SUM))
        with fn.when(k > 0):
            where, before = _find(fn, scratch.counts, limit, k)
            with fn.when(where < limit):
                count = gather(fn, row, where)
                last = select(fn, scratch, count, k - before)
                _store_cut(entry, last)
                total.set(weight_from(fn, scratch.keys, scratch.key_weights, count, last))
                with fn.range(0, where) as b:
                    total.set(total.get() + scratch.weights.load(I64, b * 8))
        with fn.when(record.load(I64, 8 * TOP_P).ne(0)):
            needed = _share(fn, record.load(F64, 8 * TOP_P), total.get())
            where, before = _find(fn, scratch.weights, limit, needed)
            with fn.when(where < limit):
                count = gather(fn, row, where)
                _store_cut(entry, select(fn, scratch, count, needed - before, weighed=True))
    fn.finish()


def _store_cut(entry: Pointer, key: Value) -> None:
    value, where = token_of(key)
    entry.store(value, 8 * R_CUT)
    entry.store(where, 8 * R_CUT_ID)


def _share(fn: Fn, p: Value, total: Value) -> Value:
    """ceil(p * total) in float64."""
    b = fn.b
    product = b.fmul(p.raw, b.sitofp(total.raw, F64))
    whole = b.fptosi(product, I64)
    more = b.fcmp_ordered("<", b.sitofp(whole, F64), product)
    return Value(fn, b.add(whole, b.zext(more, I64)))


def _rank(module: ir.Module, isa: ISA) -> None:
    """The likeliest tokens in rank order, and the sum of all exponentials, spans added in order. Items: rows."""
    fn = Fn(module, isa, "rank", [PTR, I64, I64, I64])
    record, begin, end, thread = fn.args
    job = Job(fn, record)
    scratch = Scratch(job, thread)
    wanted, stride = record.load(I64, 8 * TOP), record.load(I64, 8 * TOP_STRIDE) * 4
    with fn.range(begin, end) as row:
        entry = job.row(row)
        limit = _limit(fn, entry).zext(I64)
        _add_histograms(fn, job, scratch, row, limit)
        where, _ = _find(fn, scratch.counts, limit, wanted)
        count = gather(fn, row, where, upto=True)
        last, kept = select(fn, scratch, count, wanted), fn.var(fn.const(I64, 0))
        with fn.range(0, count) as i:
            key = scratch.keys.load(I64, i * 8)
            scratch.keys.store(key, kept.get() * 8)
            kept.set(kept.get() + (key >= last).zext(I64))
        sort(fn, scratch, kept.get())
        ids, values = (record.load_pointer(8 * f).at(row * stride) for f in (TOP_IDS, TOP_LOGITS))
        with fn.range(0, wanted) as i:
            value, token = token_of(scratch.keys.load(I64, i * 8))
            ids.store(token, i * 4)
            values.store(value, i * 4)
        total = fn.var(fn.const(F64, 0.0))
        with fn.range(0, job.spans) as span:
            total.set(_add(fn, total.get(), job.part(row, span).load(F64, P_SUM)))
        entry.store(total.get(), 8 * R_TOTAL)
    fn.finish()
