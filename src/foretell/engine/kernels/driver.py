"""The native loop that runs passes: all threads walk the same stages and take chunks of work.

The chunks of a stage are cut into one span for each thread. A thread takes its own in order, so that it reads memory
as one stream, and when they are gone what is left of the others' spans. A stage is done when all its chunks are done,
not when all threads have come: a thread that the operating system has put aside holds up nobody unless it holds a
chunk. Counters carry the number of the pass in their upper half, so a thread that wakes up late takes nothing from a
later pass.

A team's record may name a frame and two functions of it (`foretell.engine.kernels.frame`): `begin` plans each pass,
and `advance`, behind each, says whether another one follows in the same call.
"""

from __future__ import annotations

from llvmlite import ir

from foretell.engine.emit import I64, PTR, VOID, Fn, Pointer, Value, constant
from foretell.engine.isa import ISA

EXPORTS = ("run_pass", "continue_pass", "await_pass")

# The team's shared record, 8-byte fields on cache lines of their own where threads write: see `foretell.engine.team`.
# LIMIT: chunks that thread 0 does in a call; LATER: the same for passes behind the first; LEFT: of the present call.
# FRAME, BEGIN, ADVANCE: addresses; the functions' may be null. AGAIN: what `advance` says.
EPOCH, CANCEL, BEGUN, FINISHED, THREADS, QUIT = 0, 8, 16, 17, 18, 24
LIMIT, LATER, LEFT, FRAME, BEGIN, ADVANCE, STAGES, STAGE_COUNT, AGAIN = range(32, 41)
TEAM_FIELDS = 48
EPOCHS = 0x3FFFFFFF  # numbers of passes begin anew behind this one
# A stage: its counters stand on lines of their own, last the chunks taken of each thread's span.
DONE, CHUNKS, OPS, OP_COUNT, PLANNED, TAKEN = 0, 8, 9, 10, 11, 16
_LINE = 8
# An operation: function, record, items, items a chunk, number of its first chunk in the stage. Where a frame plans:
# items are FACTOR times the frame's field OF, and none where NEED has a bit that the frame's has not.
O_FN, O_RECORD, O_ITEMS, O_CHUNK, O_FIRST, O_FACTOR, O_OF, O_NEED = range(8)
OP_FIELDS = 8


def stage_fields(threads: int) -> int:
    """Fields of a stage that a team of so many threads runs."""
    return TAKEN + _LINE * threads


def build(module: ir.Module, isa: ISA) -> None:
    """`run_pass` and `continue_pass` for thread 0, `await_pass` for the others."""
    _work(module, isa)
    _run(module, isa)
    _await(module, isa)


def _atomic_load(fn: Fn, at: Pointer) -> Value:
    return Value(fn, fn.b.load_atomic(fn.b.bitcast(at.raw, I64.as_pointer()), "acquire", 8))


def _atomic_store(fn: Fn, at: Pointer, value: Value) -> None:
    fn.b.store_atomic(value.raw, fn.b.bitcast(at.raw, I64.as_pointer()), "release", 8)


def _pause(fn: Fn) -> None:
    if fn.isa.name != "portable":
        fn.b.call(fn.external("llvm.x86.sse2.pause", VOID, []), [])


def _work(module: ir.Module, isa: ISA) -> None:
    """Walk the stages of a pass until they are done or `limit` chunks are.

    Thread 0 notes what is left of the limit, and that it got to the end.
    """
    fn = Fn(module, isa, "work", [PTR, I64, I64, I64])
    fn.raw.linkage = "internal"
    team, thread, epoch, limit = fn.args
    stages, count = team.load_pointer(8 * STAGES), team.load(I64, 8 * STAGE_COUNT)
    tag = epoch << 32
    number, left = fn.var(fn.const(I64, 0)), fn.var(limit)
    with fn.loop_while() as leave_pass_if:
        leave_pass_if(number.get() >= count)
        stage = stages.at(number.get() * stage_bytes(team))
        chunks = _atomic_load(fn, stage.at(8 * CHUNKS))
        with fn.loop_while() as leave_if:
            leave_if(left.get() <= 0)
            mine = _take(fn, team, stage, tag, chunks, thread)
            leave_if(mine < 0)
            _do_chunk(fn, team, stage, mine, thread)
            fn.b.atomic_rmw("add", fn.b.bitcast(stage.at(8 * DONE).raw, I64.as_pointer()), constant(I64, 1), "acq_rel")
            left.set(left.get() - 1)
        leave_pass_if(left.get() <= 0)
        all_done = tag + chunks
        with fn.loop_while() as leave_if:
            # Beyond: the pass is over and a later one may have begun; the next `_take` finds nothing for this epoch.
            done = _atomic_load(fn, stage.at(8 * DONE))
            leave_if(done >= all_done)
            quitting = _atomic_load(fn, team.at(8 * QUIT)).ne(0)
            leave_if(quitting & thread.ne(0))
            _pause(fn)
        number.set(number.get() + 1)
    with fn.when(thread.eq(0)):
        team.store(left.get(), 8 * LEFT)
        with fn.when(number.get() >= count):
            _atomic_store(fn, team.at(8 * FINISHED), epoch)
    fn.finish()


def stage_bytes(team: Pointer) -> Value:
    """Bytes from one stage of the team's table to the next."""
    return (team.load(I64, 8 * THREADS) * _LINE + TAKEN) * 8


def _take(fn: Fn, team: Pointer, stage: Pointer, tag: Value, chunks: Value, thread: Value) -> Value:
    """The number of a chunk that is now ours, or -1: of our span if it has any left, else of the next that has."""
    threads = team.load(I64, 8 * THREADS)
    mine, tried = fn.var(fn.const(I64, -1)), fn.var(fn.const(I64, 0))
    with fn.loop_while() as leave_if:
        owner = (thread + tried.get()).urem(threads)
        first, end = (chunks * owner).udiv(threads), (chunks * (owner + 1)).udiv(threads)
        counter = stage.at((owner * _LINE + TAKEN) * 8)
        taken = _atomic_load(fn, counter)
        free = (taken >= tag) & (taken < tag + end - first)
        with fn.when(free):
            at = fn.b.bitcast(counter.raw, I64.as_pointer())
            pair = fn.b.cmpxchg(at, taken.raw, (taken + 1).raw, "acq_rel", "monotonic")
            won = Value(fn, fn.b.extract_value(pair, 1))
            mine.set(won.select(first + taken - tag, mine.get()))
        leave_if(mine.get() >= 0)
        tried.set(free.select(tried.get(), tried.get() + 1))
        leave_if(tried.get() >= threads)
    return mine.get()


def _do_chunk(fn: Fn, team: Pointer, stage: Pointer, chunk: Value, thread: Value) -> None:
    """Find the operation that the chunk belongs to and run it; a cancelled pass only counts its chunks."""
    ops, count = stage.load_pointer(8 * OPS), stage.load(I64, 8 * OP_COUNT)
    found = fn.var(fn.const(I64, 0))
    with fn.range(1, count) as k:
        found.set((ops.load(I64, k * (8 * OP_FIELDS) + 8 * O_FIRST) <= chunk).select(k, found.get()))
    op = ops.at(found.get() * (8 * OP_FIELDS))
    size, items = op.load(I64, 8 * O_CHUNK), op.load(I64, 8 * O_ITEMS)
    begin = (chunk - op.load(I64, 8 * O_FIRST)) * size
    with fn.when(_atomic_load(fn, team.at(8 * CANCEL)).eq(0)):
        fn.call_pointer(
            op.load_pointer(8 * O_FN), op.load_pointer(8 * O_RECORD), begin, fn.minimum(begin + size, items), thread
        )


def _run(module: ir.Module, isa: ISA) -> None:
    """`run_pass` begins a pass and takes part in it, and in those that follow it; `continue_pass` goes on with it.

    Both return early after LIMIT chunks, so that the caller can handle signals; FINISHED is not BEGUN then.
    """
    _announce(module, isa)
    _go_on(module, isa)
    for name, calls in (("continue_pass", ["go_on"]), ("run_pass", ["announce", "go_on"])):
        fn = Fn(module, isa, name, [PTR])
        (team,) = fn.args
        team.store(team.load(I64, 8 * LIMIT), 8 * LEFT)
        for call in calls:
            fn.b.call(module.globals[call], [team.raw])
        fn.finish()


def _announce(module: ir.Module, isa: ISA) -> None:
    """Plan a pass, reset the stages' counters, tell the other threads."""
    fn = Fn(module, isa, "announce", [PTR])
    fn.raw.linkage = "internal"
    (team,) = fn.args
    begin = team.load_pointer(8 * BEGIN)
    with fn.when(begin.given()):
        fn.call_pointer(begin, team.load_pointer(8 * FRAME), team)
    epoch = team.load(I64, 8 * BEGUN).urem(EPOCHS) + 1
    _atomic_store(fn, team.at(8 * BEGUN), epoch)
    stages, count = team.load_pointer(8 * STAGES), team.load(I64, 8 * STAGE_COUNT)
    threads = team.load(I64, 8 * THREADS)
    with fn.range(0, count) as s:
        # In this order: a thread still walking an earlier pass sees either the old count of chunks or counters beyond
        # its reach.
        stage = stages.at(s * stage_bytes(team))
        with fn.range(0, threads) as owner:
            _atomic_store(fn, stage.at((owner * _LINE + TAKEN) * 8), (epoch << 32) | 0x7FFFFFFF)
        _atomic_store(fn, stage.at(8 * CHUNKS), stage.load(I64, 8 * PLANNED))
        _atomic_store(fn, stage.at(8 * DONE), epoch << 32)
        with fn.range(0, threads) as owner:
            _atomic_store(fn, stage.at((owner * _LINE + TAKEN) * 8), epoch << 32)
    _atomic_store(fn, team.at(8 * EPOCH), epoch)
    fn.finish()


def _go_on(module: ir.Module, isa: ISA) -> None:
    """Take part in the pass that has begun; behind it `advance` decides whether another begins. Not when cancelled."""
    fn = Fn(module, isa, "go_on", [PTR])
    fn.raw.linkage = "internal"
    (team,) = fn.args
    with fn.loop_while() as leave_if:
        epoch, left = team.load(I64, 8 * BEGUN), team.load(I64, 8 * LEFT)
        fn.b.call(module.globals["work"], [team.raw, ir.Constant(I64, 0), epoch.raw, left.raw])
        leave_if(team.load(I64, 8 * FINISHED).ne(epoch))
        advance = team.load_pointer(8 * ADVANCE)
        leave_if(advance.given().eq(0))
        leave_if(_atomic_load(fn, team.at(8 * CANCEL)).ne(0))
        fn.call_pointer(advance, team.load_pointer(8 * FRAME), team)
        leave_if(team.load(I64, 8 * AGAIN).eq(0))
        team.store(team.load(I64, 8 * LATER), 8 * LIMIT)
        fn.b.call(module.globals["announce"], [team.raw])
    fn.finish()


def _await(module: ir.Module, isa: ISA) -> None:
    """Join each new pass; return after `spins` idle turns or when asked to quit. `seen` keeps the last epoch joined."""
    fn = Fn(module, isa, "await_pass", [PTR, I64, I64, PTR])
    team, thread, spins, seen = fn.args
    idle = fn.var(fn.const(I64, 0))
    with fn.loop_while() as leave_if:
        epoch = _atomic_load(fn, team.at(8 * EPOCH))
        fresh = epoch.ne(seen.load(I64))
        with fn.when(fresh):
            seen.store(epoch)
            fn.b.call(module.globals["work"], [team.raw, thread.raw, epoch.raw, ir.Constant(I64, 2**62)])
            idle.set(fn.const(I64, 0))
        _pause(fn)
        idle.set(idle.get() + 1)
        leave_if(idle.get() > spins)
        leave_if(_atomic_load(fn, team.at(8 * QUIT)).ne(0))
    fn.finish()
