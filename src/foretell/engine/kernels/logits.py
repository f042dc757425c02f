"""What the operations on logits share: record, rows and spans. The first look at each logit, bias and penalty."""

from __future__ import annotations

from llvmlite import ir

from foretell.accept.sampling import MOST_BIASES, PENALTY_WINDOW
from foretell.engine.emit import F32, I32, I64, PTR, Fn, Pointer, Value, vector
from foretell.engine.isa import ISA

FLOATS, INTS = vector(F32), vector(I32)
EXPORTS = ("span_max", "bias", "unbias", "penalise", "restore")
SPAN = 8192  # logits that a work item looks at
NO_ID = 2**31 - 1
LOWEST = float("-inf")

# The record that all operations share. Rows and spans have tables of fixed-size entries, see below.
# LOGITS: f32 [rows][LOGITS_STRIDE], of which VOCABULARY are real; the rest must be readable.
# STATE: [rows]. PARTS, HISTOGRAMS: [rows][spans]. OUT: i32 [rows], the chosen tokens. SCRATCH: for each thread.
# HISTORY: i32 [rows][64]. SAVED: f32 [rows][64]. TOP_IDS: i32 [rows][TOP_STRIDE]. TOP_LOGITS: f32, the same.
# TOP: likeliest tokens that are wanted. TOP_K: 0 is off. TOP_P: f64, zero bits are off. TAIL: f32, log((1 - p) / ids).
# MIN_P: f32, its logarithm. INVERSE: f32, of the temperature. PENALTY: f32. SEED: of the noise, mixed.
# BIAS_COUNT: tokens that have a bias. BIAS_IDS: i32, theirs, each once. BIAS: f32. UNBIASED: f32 [rows][1024].
LOGITS, LOGITS_STRIDE, VOCABULARY, PARTS, OUT, STATE, HISTOGRAMS, SCRATCH, SCRATCH_BYTES, HISTORY, SAVED = range(11)
TOP_IDS, TOP_LOGITS, TOP_STRIDE, TOP, TOP_K, TOP_P, TAIL, MIN_P, INVERSE, PENALTY, SEED = range(11, 22)
BIAS_COUNT, BIAS_IDS, BIAS, UNBIASED = range(22, 26)
FIELDS = 32

# A row's entry, fields of 8 bytes. MAX f32, ID i32: the largest logit. CUT f32, CUT_ID i32: the last token in rank
# order that may be drawn. FLOOR, LEAST f32: tokens from FLOOR up are counted in histograms, from LEAST up summed up.
# POSITION: of the token that is drawn. COUNT: tokens of history. TOTAL: f64, the sum of e^(logit - largest).
R_MAX, R_ID, R_CUT, R_CUT_ID, R_FLOOR, R_LEAST, R_POSITION, R_COUNT, R_TOTAL = range(9)
ROW_FIELDS = 16
# A span's part, in bytes: f32 value, i32 id of its best token (by score after `draw`); the sum of its exponentials
# (f64) or weights (i64); f32 [16], the lanes' maxima.
P_VALUE, P_ID, P_SUM, P_LANES = 0, 4, 8, 64
PART_BYTES = 128


class Job:
    """The loaded record."""

    def __init__(self, fn: Fn, record: Pointer) -> None:
        self.fn, self.record = fn, record
        self.logits, self.parts, self.state, self.out = (
            record.load_pointer(8 * f) for f in (LOGITS, PARTS, STATE, OUT)
        )
        self.stride, self.vocabulary = (record.load(I64, 8 * f) for f in (LOGITS_STRIDE, VOCABULARY))
        self.spans = (self.vocabulary + (SPAN - 1)).udiv(SPAN)

    def line(self, row: Value) -> Pointer:
        """A row's logits."""
        return self.logits.at(row * self.stride * 4)

    def row(self, number: Value) -> Pointer:
        """A row's entry."""
        return self.state.at(number * (8 * ROW_FIELDS))

    def part(self, row: Value, span: Value) -> Pointer:
        """A span's part."""
        return self.parts.at((row * self.spans + span) * PART_BYTES)

    def locate(self, item: Value) -> tuple[Value, Value, Value, Value]:
        """Row, span, first id and id beyond the last of a work item of an operation over rows and spans."""
        row = item.udiv(self.spans)
        span = item - row * self.spans
        first = span * SPAN
        return row, span, first, self.fn.minimum(first + SPAN, self.vocabulary)


def ids_at(fn: Fn, first: Value) -> Value:
    """The ids of 16 logits."""
    return first.trunc(I32).splat() + fn.table(I32, list(range(16)))


def any_lane(mask: Value) -> Value:
    """Whether a bit of <16 x i1> is set."""
    return mask.bits(ir.IntType(16)).ne(0)


def fold_best(fn: Fn, values: Value, ids: Value) -> tuple[Value, Value]:
    """The largest lane and its id, the lowest id of equal ones."""
    top = values.fold(fn.maximum)
    return top, values.eq(top.splat()).select(ids, fn.const(INTS, NO_ID)).fold(fn.minimum)


def merge_spans(fn: Fn, job: Job, row: Value, default: Value) -> tuple[Value, Value]:
    """The best part of a row's spans; the default id when all of them are -inf."""
    best, where = fn.var(fn.const(F32, LOWEST)), fn.var(default)
    with fn.range(0, job.spans) as span:
        part = job.part(row, span)
        value = part.load(F32, P_VALUE)
        better = value > best.get()
        where.set(better.select(part.load(I32, P_ID), where.get()))
        best.set(better.select(value, best.get()))
    return best.get(), where.get()


def _span_max(module: ir.Module, isa: ISA) -> None:
    """The largest logit of each span, and of each of its lanes. Items: rows times spans."""
    fn = Fn(module, isa, "span_max", [PTR, I64, I64, I64])
    record, begin, end, _ = fn.args
    job = Job(fn, record)
    with fn.range(begin, end) as item:
        row, span, first, last = job.locate(item)
        line, beyond = job.line(row), last.trunc(I32).splat()
        best, where = fn.var(fn.const(FLOATS, LOWEST)), fn.var(fn.const(INTS, NO_ID))
        with fn.range(first, last, 16) as i:
            ids, value = ids_at(fn, i), line.load(FLOATS, i * 4)
            better = (value > best.get()) & (ids < beyond)
            where.set(better.select(ids, where.get()))
            best.set(better.select(value, best.get()))
        part = job.part(row, span)
        value, where_best = fold_best(fn, best.get(), where.get())
        part.store(value, P_VALUE)
        part.store(where_best, P_ID)
        part.store(best.get(), P_LANES)
    fn.finish()


def _bias(module: ir.Module, isa: ISA) -> None:
    """Add the bias to its tokens' logits and save what they were. Items: rows."""
    fn = Fn(module, isa, "bias", [PTR, I64, I64, I64])
    record, begin, end, _ = fn.args
    job, bias = Job(fn, record), record.load_pointer(8 * BIAS)
    with fn.range(begin, end) as row:
        line, count, ids, saved = _given(job, row)
        with fn.range(0, count) as i:
            at = ids.load(I32, i * 4).sext(I64) * 4
            value = line.load(F32, at)
            saved.store(value, i * 4)
            line.store(value + bias.load(F32, i * 4), at)
    fn.finish()


def _unbias(module: ir.Module, isa: ISA) -> None:
    """Undo `bias`. Items: rows."""
    fn = Fn(module, isa, "unbias", [PTR, I64, I64, I64])
    record, begin, end, _ = fn.args
    job = Job(fn, record)
    with fn.range(begin, end) as row:
        line, count, ids, saved = _given(job, row)
        with fn.range(0, count) as i:
            line.store(saved.load(F32, i * 4), ids.load(I32, i * 4).sext(I64) * 4)
    fn.finish()


def _given(job: Job, row: Value) -> tuple[Pointer, Value, Pointer, Pointer]:
    ids, saved = (job.record.load_pointer(8 * f) for f in (BIAS_IDS, UNBIASED))
    return job.line(row), job.record.load(I64, 8 * BIAS_COUNT), ids, saved.at(row * (4 * MOST_BIASES))


def _penalise(module: ir.Module, isa: ISA) -> None:
    """Lower the logits of recent tokens and save what they were. Items: rows.

    All are read before any is written, because a token may occur twice.
    """
    fn = Fn(module, isa, "penalise", [PTR, I64, I64, I64])
    record, begin, end, _ = fn.args
    job, penalty = Job(fn, record), record.load(F32, 8 * PENALTY)
    with fn.range(begin, end) as row:
        line, count, history, saved = _recent(job, row)
        with fn.range(0, count) as i:
            saved.store(line.load(F32, history.load(I32, i * 4).sext(I64) * 4), i * 4)
        with fn.range(0, count) as i:
            value = saved.load(F32, i * 4)
            line.store((value > 0.0).select(value / penalty, value * penalty), history.load(I32, i * 4).sext(I64) * 4)
    fn.finish()


def _restore(module: ir.Module, isa: ISA) -> None:
    """Undo `penalise`. Items: rows."""
    fn = Fn(module, isa, "restore", [PTR, I64, I64, I64])
    record, begin, end, _ = fn.args
    job = Job(fn, record)
    with fn.range(begin, end) as row:
        line, count, history, saved = _recent(job, row)
        with fn.range(0, count) as i:
            line.store(saved.load(F32, i * 4), history.load(I32, i * 4).sext(I64) * 4)
    fn.finish()


def _recent(job: Job, row: Value) -> tuple[Pointer, Value, Pointer, Pointer]:
    history, saved = (job.record.load_pointer(8 * f).at(row * (4 * PENALTY_WINDOW)) for f in (HISTORY, SAVED))
    return job.line(row), job.row(row).load(I64, 8 * R_COUNT), history, saved


def build(module: ir.Module, isa: ISA) -> None:
    """All operations of this file."""
    _span_max(module, isa)
    _bias(module, isa)
    _unbias(module, isa)
    _penalise(module, isa)
    _restore(module, isa)
