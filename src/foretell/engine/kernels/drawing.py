"""The draw: argmax of (logit - largest) / temperature + noise, the noise computed only where it can matter."""

from __future__ import annotations

from llvmlite import ir

from foretell.accept.noise import NOISE_MAX
from foretell.engine.emit import F32, I32, I64, PTR, Fn, Value
from foretell.engine.isa import ISA
from foretell.engine.kernels.exact import SLACK, noise, noise_bits, noise_bound, row_key
from foretell.engine.kernels.logits import (
    FLOATS,
    INTS,
    INVERSE,
    LOWEST,
    MIN_P,
    NO_ID,
    P_ID,
    P_VALUE,
    R_CUT,
    R_CUT_ID,
    R_ID,
    R_MAX,
    R_POSITION,
    SEED,
    Job,
    any_lane,
    fold_best,
    ids_at,
    merge_spans,
)

EXPORTS = ("draw", "draw_merge")


def build(module: ir.Module, isa: ISA) -> None:
    """All operations of this file."""
    _draw(module, isa)
    _draw_merge(module, isa)


def _draw(module: ir.Module, isa: ISA) -> None:
    """The best score of each span. Items: rows times spans.

    A token cannot win if its score would be below `least` with the largest noise that there is, nor, seen more closely,
    with the most that its noise's bits allow. `least` begins as the score of the largest logit, which always survives,
    and rises with each better score found.
    """
    fn = Fn(module, isa, "draw", [PTR, I64, I64, I64])
    record, begin, end, _ = fn.args
    job = Job(fn, record)
    inverse, min_p = record.load(F32, 8 * INVERSE).splat(), record.load(F32, 8 * MIN_P).splat()
    seed = record.load(I64, 8 * SEED)
    with fn.range(begin, end) as item:
        row, span, first, last = job.locate(item)
        line, entry, beyond = job.line(row), job.row(row), last.trunc(I32).splat()
        largest, cut = (entry.load(F32, 8 * f).splat() for f in (R_MAX, R_CUT))
        cut_id, likeliest = (entry.load(I32, 8 * f).splat() for f in (R_CUT_ID, R_ID))
        key0, key1 = (key.splat() for key in row_key(seed, entry.load(I64, 8 * R_POSITION)))
        best, where = fn.var(fn.const(FLOATS, LOWEST)), fn.var(fn.const(INTS, NO_ID))
        least = fn.var(noise(fn, noise_bits(likeliest, key0, key1)))
        with fn.range(first, last, 16) as i:
            value = line.load(FLOATS, i * 4)
            below = value - largest
            scaled = below * inverse
            hopeful = (scaled + (NOISE_MAX + SLACK) >= least.get()) & (value >= cut) & (below >= min_p)
            with fn.when(any_lane(hopeful)):
                ids = ids_at(fn, i)
                bits = noise_bits(ids, key0, key1)
                hopeful = hopeful & (scaled + noise_bound(fn, bits) >= least.get()) & (ids < beyond)
                with fn.when(any_lane(hopeful)):
                    hopeful = hopeful & ((value > cut) | (ids <= cut_id))
                    score = scaled + noise(fn, bits)
                    better = hopeful & (score > best.get())
                    where.set(better.select(ids, where.get()))
                    best.set(better.select(score, best.get()))
                    least.set(fn.maximum(least.get(), best.get().fold(fn.maximum).splat()))
        part = job.part(row, span)
        value, where_best = fold_best(fn, best.get(), where.get())
        part.store(value, P_VALUE)
        part.store(where_best, P_ID)
    fn.finish()


def _draw_merge(module: ir.Module, isa: ISA) -> None:
    """The token drawn. Items: rows."""
    fn = Fn(module, isa, "draw_merge", [PTR, I64, I64, I64])
    record, begin, end, _ = fn.args
    job = Job(fn, record)
    with fn.range(begin, end) as row:
        token: Value = merge_spans(fn, job, row, job.row(row).load(I32, 8 * R_ID))[1]
        job.out.store(token, row * 4)
    fn.finish()
