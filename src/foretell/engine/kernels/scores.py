"""From logits to what the decode loop asks for."""

from __future__ import annotations

import llvmlite.ir as ir

from foretell.engine.emit import F32, I32, I64, PTR, Fn, vector
from foretell.engine.isa import ISA

FLOATS, INTS = vector(F32), vector(I32)
EXPORTS = ("argmax", "argmax_merge")
SPAN = 8192  # logits a work item looks at

# LOGITS: f32 [rows][LOGITS_STRIDE]. VOCABULARY: how many are real. PARTS: {f32 value, i32 id} [rows][spans]. OUT: i32 [rows].
LOGITS, LOGITS_STRIDE, VOCABULARY, PARTS, OUT = range(5)
FIELDS = 8


def build(module: ir.Module, isa: ISA) -> None:
    """All operations of this file."""
    _argmax(module, isa)
    _argmax_merge(module, isa)


def _argmax(module: ir.Module, isa: ISA) -> None:
    """The largest logit of each span, ties to the lowest id. Items: rows times spans. The logits' padding must be readable."""
    fn = Fn(module, isa, "argmax", [PTR, I64, I64, I64])
    record, begin, end, _ = fn.args
    logits, parts = record.load_pointer(8 * LOGITS), record.load_pointer(8 * PARTS)
    stride, vocabulary = record.load(I64, 8 * LOGITS_STRIDE), record.load(I64, 8 * VOCABULARY)
    spans = (vocabulary + (SPAN - 1)).udiv(SPAN)
    lanes = fn.table(I32, list(range(16)))
    with fn.range(begin, end) as item:
        row = item.udiv(spans)
        span = item - row * spans
        line, first = logits.at(row * stride * 4), span * SPAN
        last = fn.minimum(first + SPAN, vocabulary)
        best = fn.var(fn.const(FLOATS, float("-inf")))
        where = fn.var(fn.const(INTS, 2**31 - 1))
        with fn.range(first, last, 16) as i:
            ids = i.trunc(I32).splat() + lanes
            value = line.load(FLOATS, i * 4)
            better = fn.b.and_((value > best.get()).raw, (ids < last.trunc(I32).splat()).raw)
            where.set(_pick(fn, better, ids, where.get()))
            best.set(_pick(fn, better, value, best.get()))
        top = best.get().fold(fn.maximum)
        ids = best.get().eq(top.splat()).select(where.get(), fn.const(INTS, 2**31 - 1))
        parts.store(top, item * 8)
        parts.store(ids.fold(fn.minimum), item * 8 + 4)
    fn.finish()


def _pick(fn: Fn, mask: ir.Value, yes: object, no: object) -> object:
    from foretell.engine.emit import Value

    return Value(fn, fn.b.select(mask, yes.raw, no.raw))


def _argmax_merge(module: ir.Module, isa: ISA) -> None:
    """The best of a row's spans. Items: rows."""
    fn = Fn(module, isa, "argmax_merge", [PTR, I64, I64, I64])
    record, begin, end, _ = fn.args
    parts, out = record.load_pointer(8 * PARTS), record.load_pointer(8 * OUT)
    spans = (record.load(I64, 8 * VOCABULARY) + (SPAN - 1)).udiv(SPAN)
    with fn.range(begin, end) as row:
        best = fn.var(fn.const(F32, float("-inf")))
        where = fn.var(fn.const(I32, 0))
        with fn.range(0, spans) as span:
            value, where_now = parts.load(F32, (row * spans + span) * 8), parts.load(I32, (row * spans + span) * 8 + 4)
            better = value > best.get()
            where.set(better.select(where_now, where.get()))
            best.set(better.select(value, best.get()))
        out.store(where.get(), row * 4)
    fn.finish()
