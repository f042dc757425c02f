"""From the logits of a cut output matrix to those of the whole vocabulary: whoever looks at logits sees true ids.

The rows of logits hold minus infinity everywhere; only the ids that are kept are ever written.
"""

from __future__ import annotations

from llvmlite import ir

from foretell.engine.emit import F32, I32, I64, PTR, Fn
from foretell.engine.isa import ISA

EXPORTS = ("spread",)
SPAN = 8192  # logits that a work item moves

# The record. SOURCE: f32 [rows][SOURCE_STRIDE], of which COUNT are real. IDS: i32 [COUNT]. TARGET: f32
# [rows][TARGET_STRIDE].
SOURCE, SOURCE_STRIDE, COUNT, IDS, TARGET, TARGET_STRIDE = range(6)
FIELDS = 8


def spans(count: int) -> int:
    """Work items of a row."""
    return -(-count // SPAN)


def build(module: ir.Module, isa: ISA) -> None:
    """target[row][ids[i]] = source[row][i]. Items: rows times spans."""
    fn = Fn(module, isa, "spread", [PTR, I64, I64, I64])
    record, begin, end, _ = fn.args
    source, ids, target = (record.load_pointer(8 * f) for f in (SOURCE, IDS, TARGET))
    source_stride, count, target_stride = (record.load(I64, 8 * f) for f in (SOURCE_STRIDE, COUNT, TARGET_STRIDE))
    per_row = (count + (SPAN - 1)).udiv(SPAN)
    with fn.range(begin, end) as item:
        row = item.udiv(per_row)
        first = (item - row * per_row) * SPAN
        line, to = source.at(row * source_stride * 4), target.at(row * target_stride * 4)
        with fn.range(first, fn.minimum(first + SPAN, count)) as i:
            to.store(line.load(F32, i * 4), ids.load(I32, i * 4).sext(I64) * 4)
    fn.finish()
