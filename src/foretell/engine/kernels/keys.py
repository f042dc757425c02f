"""Tokens as integer keys: gathered from the bins of a histogram, selected by bisection, sorted.

A bin is 1/32 wide, counted down from the row's largest logit; the last one holds all the rest. A key of 64 bits ascends
with the logit and descends with the id, so that rank order is the keys' descending order.
"""

from __future__ import annotations

from llvmlite import ir

from foretell.engine.emit import F32, I16, I32, I64, PTR, Fn, Pointer, Value, Var, vector
from foretell.engine.isa import ISA
from foretell.engine.kernels.exact import like, weights
from foretell.engine.kernels.logits import (
    FLOATS,
    HISTOGRAMS,
    P_VALUE,
    R_MAX,
    SCRATCH,
    SCRATCH_BYTES,
    SPAN,
    Job,
    any_lane,
    ids_at,
)

BINS = 1024
BINS_PER_UNIT = 32.0
HISTOGRAM_BYTES = 8 * (BINS + 8)  # behind the bins in use: where lanes that do not count are counted
LONGS, LONGS8 = vector(I64), vector(I64, 8)
NO_KEY = -(2**63)  # no token's: it would be a NaN's
# A thread's scratch: the lanes of a vector, the row's counts and weights by bin, two lists: keys and their weights.
LANES_AT, COUNTS_AT, WEIGHTS_AT, KEYS_AT = 0, 256, 256 + HISTOGRAM_BYTES, 256 + 2 * HISTOGRAM_BYTES


def scratch_bytes(vocabulary: int) -> int:
    """Scratch that a thread needs: a list has room for all tokens or all spans' lanes, and for some vectors more."""
    lanes = -(-vocabulary // SPAN) * 16
    return KEYS_AT + 2 * 8 * (max(vocabulary, lanes) + 64)


class Scratch:
    """The parts of a thread's scratch."""

    def __init__(self, job: Job, thread: Value) -> None:
        size = job.record.load(I64, 8 * SCRATCH_BYTES)
        base = job.record.load_pointer(8 * SCRATCH).at(thread * size)
        self.lanes, self.counts, self.weights = (base.at(at) for at in (LANES_AT, COUNTS_AT, WEIGHTS_AT))
        self.apart = (size - KEYS_AT).lshr(1)
        self.keys = base.at(KEYS_AT)
        self.key_weights = self.keys.at(self.apart)


def build(module: ir.Module, isa: ISA) -> None:
    """The functions that other files call by name."""
    _gather(module, isa, upto=False)
    _gather(module, isa, upto=True)
    _select(module, isa, weighed=False)
    _select(module, isa, weighed=True)
    _sort(module, isa)


def bin_of(fn: Fn, value: Value, largest: Value) -> Value:
    """The bin of logits, as int32; the last one if there is no telling (infinities)."""
    return fn.minimum((largest - value) * BINS_PER_UNIT, fn.const(value.type, BINS - 1)).to_int()


def key_of(value: Value, ids: Value) -> Value:
    """Keys of tokens. Adding 0 makes the two zeros equal."""
    longs, bits = like(I64, value), (value + 0.0).bits(like(I32, value))
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return (ordered.sext(longs) << 32) | (ids ^ -1).zext(longs)


def token_of(key: Value) -> tuple[Value, Value]:
    """Logit and id of a key."""
    ordered = (key >> 32).trunc(I32)
    return (ordered ^ ((ordered >> 31) & 0x7FFFFFFF)).bits(F32), key.trunc(I32) ^ -1


def span_histogram(job: Job, row: Value, span: Value) -> Pointer:
    """A span's histogram."""
    return job.record.load_pointer(8 * HISTOGRAMS).at((row * job.spans + span) * HISTOGRAM_BYTES)


def gather(fn: Fn, row: Value, bin_wanted: Value, *, upto: bool = False) -> Value:
    """The keys of a row's tokens in a bin, or up to it, and their weights into the scratch; how many there are."""
    record, _, _, thread = fn.args
    return _call(fn, "gather_upto" if upto else "gather_bin", record, row, bin_wanted, thread)


def select(fn: Fn, scratch: Scratch, count: Value, needed: Value, *, weighed: bool = False) -> Value:
    """The largest key with which the number of keys not below it, or their weights, reaches what is needed."""
    return _call(fn, "select_weight" if weighed else "select_count", scratch.keys, scratch.key_weights, count, needed)


def sort(fn: Fn, scratch: Scratch, count: Value) -> None:
    """Sort the keys in scratch in descending order. Overwrites the weights."""
    args = scratch.keys, scratch.apart, count
    fn.b.call(fn.module.globals["sort"], [a.raw for a in args])


def weight_from(fn: Fn, keys: Pointer, key_weights: Pointer | None, count: Value, least: Value) -> Value:
    """The weights of the keys not below `least`, or their number."""
    total, one = fn.var(fn.const(LONGS8, 0)), fn.const(LONGS8, 1)
    with fn.range(0, count, 8) as i:
        enough = keys.load(LONGS8, i * 8) >= least.splat(8)
        share = one if key_weights is None else key_weights.load(LONGS8, i * 8)
        total.set(total.get() + enough.select(share, fn.const(LONGS8, 0)))
    return total.get().fold(lambda a, b: a + b)


def end_list(fn: Fn, keys: Pointer, count: Value) -> None:
    """Fill up the last vector of a list of keys."""
    keys.store(fn.const(LONGS8, NO_KEY), count * 8)


def _call(fn: Fn, name: str, *args: Pointer | Value) -> Value:
    result = fn.scratch(8)
    fn.b.call(fn.module.globals[name], [*(a.raw for a in args), result.raw])
    return result.load(I64)


def _internal(module: ir.Module, isa: ISA, name: str, params: list[ir.Type]) -> Fn:
    fn = Fn(module, isa, name, params)
    fn.raw.linkage = "internal"
    return fn


def _gather(module: ir.Module, isa: ISA, *, upto: bool) -> None:
    fn = _internal(module, isa, "gather_upto" if upto else "gather_bin", [PTR, I64, I64, I64, PTR])
    record, row, bin_wanted, thread, result = fn.args
    job = Job(fn, record)
    scratch = Scratch(job, thread)
    line, largest = job.line(row), job.row(row).load(F32, 8 * R_MAX)
    count, target = fn.var(fn.const(I64, 0)), bin_wanted.trunc(I32)
    with fn.range(0, job.spans) as span:
        if upto:
            some = bin_of(fn, job.part(row, span).load(F32, P_VALUE), largest) <= target
        else:
            some = span_histogram(job, row, span).load(I64, bin_wanted * 8).ne(0)
        with fn.when(some):
            first = span * SPAN
            with fn.range(first, fn.minimum(first + SPAN, job.vocabulary), 16) as i:
                ids, value = ids_at(fn, i), line.load(FLOATS, i * 4)
                bins = bin_of(fn, value, largest.splat())
                near = bins <= target.splat() if upto else bins.eq(target.splat())
                hits = near & (ids < job.vocabulary.trunc(I32).splat())
                with fn.when(any_lane(hits)):
                    below = hits.select(value - largest.splat(), fn.const(FLOATS, 0.0))
                    _append(scratch, count, hits, key_of(value, ids), weights(fn, below).zext(LONGS))
    end_list(fn, scratch.keys, count.get())
    result.store(count.get())
    fn.finish()


def _append(scratch: Scratch, count: Var, hits: Value, keys: Value, key_weights: Value) -> None:
    """Append the lanes that are hits, by way of memory: that is quicker than to take a register apart."""
    scratch.lanes.store(keys)
    scratch.lanes.store(key_weights, 128)
    mask = hits.bits(I16).zext(I64)
    for lane in range(16):
        at = count.get() * 8
        scratch.keys.store(scratch.lanes.load(I64, 8 * lane), at)
        scratch.key_weights.store(scratch.lanes.load(I64, 128 + 8 * lane), at)
        count.set(count.get() + (mask.lshr(lane) & 1))


def _select(module: ir.Module, isa: ISA, *, weighed: bool) -> None:
    fn = _internal(module, isa, "select_weight" if weighed else "select_count", [PTR, PTR, I64, I64, PTR])
    keys, key_weights, count, needed, result = fn.args
    least, most = fn.var(fn.const(LONGS8, 2**63 - 1)), fn.var(fn.const(LONGS8, NO_KEY))
    with fn.range(0, count, 8) as i:
        key = keys.load(LONGS8, i * 8)
        most.set(fn.maximum(most.get(), key))
        least.set(fn.minimum(least.get(), key.eq(NO_KEY).select(2**63 - 1, key)))
    low, high = fn.var(least.get().fold(fn.minimum)), fn.var(most.get().fold(fn.maximum))
    with fn.loop_while() as leave_if:
        leave_if(low.get() >= high.get())
        distance = high.get() - low.get()  # as an unsigned number it does not overflow
        middle = low.get() + distance.lshr(1) + (distance & 1)
        enough = weight_from(fn, keys, key_weights if weighed else None, count, middle) >= needed
        low.set(enough.select(middle, low.get()))
        high.set(enough.select(high.get(), middle - 1))
    result.store(low.get())
    fn.finish()


def _sort(module: ir.Module, isa: ISA) -> None:
    """Merge ever longer runs from one list into the other, `apart` bytes on, and back. Reads a key beyond the list."""
    fn = _internal(module, isa, "sort", [PTR, I64, I64])
    keys, apart, count = fn.args
    width, source = fn.var(fn.const(I64, 1)), fn.var(fn.const(I64, 0))
    with fn.loop_while() as leave_if:
        leave_if(width.get() >= count)
        target = apart - source.get()
        start = fn.var(fn.const(I64, 0))
        with fn.loop_while() as last_if:
            last_if(start.get() >= count)
            middle = fn.minimum(start.get() + width.get(), count)
            end = fn.minimum(middle + width.get(), count)
            _merge(fn, keys.at(source.get()), keys.at(target), start.get(), middle, end)
            start.set(end)
        source.set(target)
        width.set(width.get() * 2)
    with fn.when(source.get().ne(0)), fn.range(0, count) as i:
        keys.store(keys.at(apart).load(I64, i * 8), i * 8)
    fn.finish()


def _merge(fn: Fn, source: Pointer, target: Pointer, start: Value, middle: Value, end: Value) -> None:
    """Merge two sorted runs, without branches."""
    i, j = fn.var(start), fn.var(middle)
    with fn.range(start, end) as k:
        left, right = source.load(I64, i.get() * 8), source.load(I64, j.get() * 8)
        first = (i.get() < middle) & ((j.get() >= end) | (left > right))
        target.store(first.select(left, right), k * 8)
        step = first.zext(I64)
        i.set(i.get() + step)
        j.set(j.get() + 1 - step)
