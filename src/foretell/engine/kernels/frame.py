"""The numbers of the present pass, and native code that works them out: before a pass, and between those of a draft.

The frame is one array of 8-byte fields. The caller writes those from ROWS on, in one go, and the token ids behind
them. `begin` does the rest: for a *chain* (rows of one sequence, each behind the one before, scores wanted of the last
ones) all tables by row, from the sequence's length and page table alone; for other passes the caller fills them. Then
it counts the work items of every operation. `advance` stands between the passes of a draft: it notes what the last one
chose and makes that the next one's row.
"""

from __future__ import annotations

from llvmlite import ir

from foretell.accept.sampling import PENALTY_WINDOW
from foretell.engine.emit import F32, I32, I64, PTR, Fn, Pointer, Value
from foretell.engine.isa import ISA
from foretell.engine.kernels import driver, logits
from foretell.engine.kernels.exact import log
from foretell.engine.layout import PAGE

EXPORTS = ("begin", "advance")
TILE_ROWS = 8  # rows of a tile, which attention looks at together

# Fixed: numbers of the model and the team, and addresses. POSITIONS, KEY_AT, SLOTS, WANTED_ROWS: i64 [rows], see
# `rowwise`. ROW_TABLE, TILE_TABLE: see below. SCORER: the record of the operations on logits. PARTIALS: attention's
# partial results. NOTES: see `advance`.
KV_HEADS, POSITIONS, KEY_AT, SLOTS, WANTED_ROWS, ROW_TABLE, TILE_TABLE, SCORER, PARTIALS, NOTES = range(10)
# Worked out by `begin`. ONE: 1. SCORED: 1 if any row's scores are wanted. ATTEND: work items of attention. MERGE: rows
# whose partial results are to be merged. SPLIT: 1 when each span is an item of its own.
ONE, SCORED, ATTEND, MERGE, SPLIT = range(10, 15)
# Kept by `advance`. STEPS_DONE: passes of the draft so far. REACHED: f64, log of the product of probabilities so far.
STEPS_DONE, REACHED = 15, 16
# Given: rows and wanted rows, `scoring.Need`. BASE, PAGES: of a chain, the committed length and the address of the
# page table; PAGES is null for other passes. TILES, SPANS: of those, tiles, and the most spans of a row. SIDE: address
# of the side pages' addresses. SIDE_SLOTS: address. HELD: of a chain, the address of the committed tokens, i64 [BASE].
# STEPS: most passes of a draft. LEAST, LEAST_REACH: f64, logs of what ends it sooner. Then the token ids, i64 [rows].
ROWS, WANTED, NEED, BASE, PAGES, HELD, TILES, SPANS, SIDE, SIDE_SLOTS, STEPS, LEAST, LEAST_REACH, TOKENS = range(17, 31)
# A row. SEEN: positions in pages that it sees. S_AT, S_COUNT: its side ancestors, itself included, as a range of
# SIDE_SLOTS. SPANS: of its positions.
R_SEEN, R_S_AT, R_S_COUNT, R_SPANS = range(4)
ROW_FIELDS = 4
# A tile: rows of one sequence. PAGES: address of its page table. SPANS: the most of its rows.
T_ROW, T_ROWS, T_PAGES, T_SPANS = range(4)
TILE_FIELDS = 4
# A note on a pass of a draft, and where its parts stand in it: the token chosen and the likeliest one (i32), their
# logits (f32), the sum of e^(logit - largest) over all tokens (f64). All but the first only when TOP was asked for.
NOTE = "iiffd"
N_TOKEN, N_LIKELIEST, N_LOGIT, N_LARGEST, N_TOTAL, NOTE_BYTES = 0, 4, 8, 12, 16, 24

F64 = ir.DoubleType()
_SHARES = 4  # items of attention that a thread should have, so that one put aside holds up little


def is_split(tiles: int, kv_heads: int, threads: int) -> bool:
    """Whether a pass has so few tiles that each span is an item of its own: SPLIT."""
    return tiles * kv_heads < threads * _SHARES


def build(module: ir.Module, isa: ISA) -> None:
    """The functions that the driver calls on a frame and its team."""
    _begin(module, isa)
    _advance(module, isa)


def _begin(module: ir.Module, isa: ISA) -> None:
    fn = Fn(module, isa, "begin", [PTR, PTR])
    frame, team = fn.args
    with fn.when(frame.load_pointer(8 * PAGES).given()):
        _lay_out_chain(fn, frame)
    rows, wanted, tiles, heads = (frame.load(I64, 8 * f) for f in (ROWS, WANTED, TILES, KV_HEADS))
    split = (tiles * heads < team.load(I64, 8 * driver.THREADS) * _SHARES).zext(I64)
    spans = split.ne(0).select(frame.load(I64, 8 * SPANS), fn.const(I64, 1))
    counts = {
        ONE: fn.const(I64, 1),
        SCORED: (wanted > 0).zext(I64),
        ATTEND: tiles * heads * spans,
        MERGE: rows * split,
        SPLIT: split,
    }
    for field, value in counts.items():
        frame.store(value, 8 * field)
    _plan(fn, frame, team)
    fn.finish()


def _lay_out_chain(fn: Fn, frame: Pointer) -> None:
    """Positions, where keys and values go, what each row sees, tiles, and where the wanted rows stand."""
    rows, wanted, base = (frame.load(I64, 8 * f) for f in (ROWS, WANTED, BASE))
    pages, positions, key_at, slots, wanted_rows, table, tile_table = (
        frame.load_pointer(8 * f) for f in (PAGES, POSITIONS, KEY_AT, SLOTS, WANTED_ROWS, ROW_TABLE, TILE_TABLE)
    )
    nothing = fn.const(I64, 0)
    with fn.range(0, rows) as row:
        position = base + row
        page = position.lshr(PAGE.bit_length() - 1)
        positions.store(position, row * 8)
        key_at.store(pages.load(I64, page * 8), row * 8)
        slots.store(position & (PAGE - 1), row * 8)
        _store(table.at(row * (8 * ROW_FIELDS)), position + 1, nothing, nothing, page + 1)
    with fn.range(0, rows, TILE_ROWS) as row:
        count = fn.minimum(rows - row, fn.const(I64, TILE_ROWS))
        spans = _spans(base + row + count)
        tile = tile_table.at(row * (8 * TILE_FIELDS // TILE_ROWS))
        _store(tile, row, count, frame.load(I64, 8 * PAGES), spans)
    frame.store((rows + (TILE_ROWS - 1)).udiv(TILE_ROWS), 8 * TILES)
    frame.store(_spans(base + rows), 8 * SPANS)
    scorer = frame.load_pointer(8 * SCORER)
    first, states = rows - wanted, scorer.load_pointer(8 * logits.STATE)
    with fn.range(0, wanted) as k:
        wanted_rows.store(first + k, k * 8)
        states.store(base + first + k + 1, k * (8 * logits.ROW_FIELDS) + 8 * logits.R_POSITION)
    with fn.when(_is_penalised(scorer) & frame.load(I64, 8 * STEPS_DONE).eq(0)):
        _lay_out_histories(fn, frame, scorer, states)


def _is_penalised(scorer: Pointer) -> Value:
    return scorer.load(F32, 8 * logits.PENALTY).ne(1.0)


def _lay_out_histories(fn: Fn, frame: Pointer, scorer: Pointer, states: Pointer) -> None:
    """Of each wanted row the last tokens up to its own: committed ones, then those of the pass."""
    rows, wanted, base = (frame.load(I64, 8 * f) for f in (ROWS, WANTED, BASE))
    held, tokens, histories = (
        frame.load_pointer(8 * HELD),
        frame.at(8 * TOKENS),
        scorer.load_pointer(8 * logits.HISTORY),
    )
    with fn.range(0, wanted) as k:
        end = base + rows - wanted + k + 1
        first = fn.maximum(end - PENALTY_WINDOW, fn.const(I64, 0))
        history = histories.at(k * (4 * PENALTY_WINDOW))
        states.store(end - first, k * (8 * logits.ROW_FIELDS) + 8 * logits.R_COUNT)
        with fn.range(first, fn.minimum(base, end)) as at:
            history.store(held.load(I64, at * 8).trunc(I32), (at - first) * 4)
        with fn.range(fn.maximum(first, base), end) as at:
            history.store(tokens.load(I64, (at - base) * 8).trunc(I32), (at - first) * 4)


def _recall(fn: Fn, scorer: Pointer, token: Value) -> None:
    """One token more in the history of the one wanted row, and the oldest one less."""
    history, state = scorer.load_pointer(8 * logits.HISTORY), scorer.load_pointer(8 * logits.STATE)
    count = fn.var(state.load(I64, 8 * logits.R_COUNT))
    with fn.when(count.get().eq(PENALTY_WINDOW)):
        with fn.range(1, PENALTY_WINDOW) as at:
            history.store(history.load(I32, at * 4), (at - 1) * 4)
        count.set(fn.const(I64, PENALTY_WINDOW - 1))
    history.store(token, count.get() * 4)
    state.store(count.get() + 1, 8 * logits.R_COUNT)


def _spans(length: Value) -> Value:
    return (length + (PAGE - 1)).lshr(PAGE.bit_length() - 1)


def _store(at: Pointer, *values: Value) -> None:
    for field, value in enumerate(values):
        at.store(value, 8 * field)


def _plan(fn: Fn, frame: Pointer, team: Pointer) -> None:
    """Items and chunks of all operations, from how many of what each has (a field of the frame) and what is needed."""
    stages, count, needed = (
        team.load_pointer(8 * driver.STAGES),
        team.load(I64, 8 * driver.STAGE_COUNT),
        frame.load(I64, 8 * NEED),
    )
    size = driver.stage_bytes(team)
    with fn.range(0, count) as number:
        stage, planned = stages.at(number * size), fn.var(fn.const(I64, 0))
        ops = stage.load_pointer(8 * driver.OPS)
        with fn.range(0, stage.load(I64, 8 * driver.OP_COUNT)) as k:
            op = ops.at(k * (8 * driver.OP_FIELDS))
            factor, of, need, chunk = (
                op.load(I64, 8 * f) for f in (driver.O_FACTOR, driver.O_OF, driver.O_NEED, driver.O_CHUNK)
            )
            wanted = (need & (needed ^ -1)).eq(0)
            items = wanted.select(factor * frame.load(I64, of * 8), fn.const(I64, 0))
            op.store(items, 8 * driver.O_ITEMS)
            op.store(planned.get(), 8 * driver.O_FIRST)
            planned.set(planned.get() + (items + chunk - 1).udiv(chunk))
        stage.store(planned.get(), 8 * driver.PLANNED)


def _advance(module: ir.Module, isa: ISA) -> None:
    """Note what the pass said of its one wanted row, and prepare the next; AGAIN of the team says whether there is one.

    There is none behind a token whose probability, or with which the product of probabilities, is too low. Logarithms
    are float32's here, so the caller gives bounds that are a little lower than those it means, and looks again.
    """
    fn = Fn(module, isa, "advance", [PTR, PTR])
    frame, team = fn.args
    scorer, done = frame.load_pointer(8 * SCORER), frame.load(I64, 8 * STEPS_DONE)
    token = scorer.load_pointer(8 * logits.OUT).load(I32)
    note = frame.load_pointer(8 * NOTES).at(done * NOTE_BYTES)
    note.store(token, N_TOKEN)
    chance = fn.var(fn.const(F32, 0.0))
    with fn.when(scorer.load(I64, 8 * logits.TOP).ne(0)):
        logit = scorer.load_pointer(8 * logits.LOGITS).load(F32, token.sext(I64) * 4)
        likeliest = scorer.load_pointer(8 * logits.TOP_IDS).load(I32)
        largest = scorer.load_pointer(8 * logits.TOP_LOGITS).load(F32)
        total = scorer.load_pointer(8 * logits.STATE).load(F64, 8 * logits.R_TOTAL)
        note.store(likeliest, N_LIKELIEST)
        for at, value in ((N_LOGIT, logit), (N_LARGEST, largest), (N_TOTAL, total)):
            note.store(value, at)
        chance.set(logit - largest - log(fn, Value(fn, fn.b.fptrunc(total.raw, F32))))
    b = fn.b
    this = b.fpext(chance.get().raw, F64)
    reached = b.fadd(this, frame.load(F64, 8 * REACHED).raw)
    frame.store(Value(fn, reached), 8 * REACHED)
    enough = b.fcmp_ordered("<", this, frame.load(F64, 8 * LEAST).raw)
    enough = b.or_(enough, b.fcmp_ordered("<", reached, frame.load(F64, 8 * LEAST_REACH).raw))
    more = b.and_(b.not_(enough), (done + 1 < frame.load(I64, 8 * STEPS)).raw)
    frame.store(done + 1, 8 * STEPS_DONE)
    with fn.when(_is_penalised(scorer)):
        _recall(fn, scorer, token)
    frame.store(frame.load(I64, 8 * BASE) + frame.load(I64, 8 * ROWS), 8 * BASE)
    frame.store(fn.const(I64, 1), 8 * ROWS)
    frame.store(token.sext(I64), 8 * TOKENS)
    team.store(Value(fn, more).zext(I64), 8 * driver.AGAIN)
    fn.finish()
