"""What the machine can do at best, measured with the thread team that runs passes.

`read_*` do nothing but read: B, the bandwidth that products are measured against. A piece is cut into a few streams
that are read side by side; which number of streams is best, and whether asking ahead helps, differs between machines,
so there are several. `peak` does nothing but the products' dot operation on registers: P.
"""

from __future__ import annotations

from llvmlite import ir

from foretell.engine import intrinsics
from foretell.engine.emit import I8, I32, I64, PTR, Fn, Pointer, Value, Var, vector
from foretell.engine.isa import ISA
from foretell.engine.kernels.weights import BYTES, INTS, prefetch_run

STREAMS = (1, 2, 4, 8)
READS = tuple(f"read_{how}_{n}" for how in ("plain", "ahead") for n in STREAMS)
EXPORTS = (*READS, "peak")

# Fields of the record of both, in units of 8 bytes. Of a reading: where, and bytes of an item, a multiple of UNIT.
BASE, PIECE, SINK = range(3)
FIELDS = 8
SINK_BYTES = 64  # of a thread: results, so that nothing is left out as unused

_UNROLL = 4
UNIT = 64 * _UNROLL * max(STREAMS)
_TURNS = 4096  # of the loop of `peak`, an item


def build(module: ir.Module, isa: ISA) -> None:
    """All of EXPORTS, as operations of the driver."""
    for streams in STREAMS:
        _read(module, isa, f"read_plain_{streams}", streams, ahead=False)
        _read(module, isa, f"read_ahead_{streams}", streams, ahead=True)
    _peak(module, isa)


def _read(module: ir.Module, isa: ISA, name: str, streams: int, *, ahead: bool) -> None:
    fn = Fn(module, isa, name, [PTR, I64, I64, I64])
    record, begin, end, thread = fn.args
    base, piece = record.load_pointer(8 * BASE), record.load(I64, 8 * PIECE)
    part = piece.udiv(streams)
    seen = [fn.var(fn.const(INTS, 0)) for _ in range(streams)]
    with fn.range(begin, end) as item:
        first = base.at(item * piece)
        with fn.range(0, part, 64 * _UNROLL) as at:
            for stream, mine in enumerate(seen):
                here = first.at(part * stream + at)
                if ahead:
                    prefetch_run(fn, here, 64 * _UNROLL)
                for line in range(_UNROLL):
                    mine.set(mine.get() ^ here.load(INTS, 64 * line))
    _keep(record.load_pointer(8 * SINK).at(thread * SINK_BYTES), seen)
    fn.finish()


def multiply_adds(isa: ISA) -> int:
    """What `peak` does in one item."""
    sums, weights = _shape(isa)
    return _TURNS * sums * weights * 64


def _shape(isa: ISA) -> tuple[int, int]:
    """Independent sums, and weight vectors that each is given a turn: these hide latency and fit the registers."""
    return (16, 2) if isa.name == "avx512" else (2, 8)


def _peak(module: ir.Module, isa: ISA) -> None:
    fn = Fn(module, isa, "peak", [PTR, I64, I64, I64])
    record, begin, end, thread = fn.args
    count, per_sum = _shape(isa)
    sink = record.load_pointer(8 * SINK).at(thread * SINK_BYTES)
    sums = [fn.var(fn.const(INTS, 0)) for _ in range(count)]
    given = fn.var(sink.load(I32).splat())  # unknown to the compiler
    weights = [((given.get() ^ k) & 0x0F0F0F0F).bits(vector(I8, BYTES.count)) for k in range(per_sum)]
    # One operation that the compiler cannot look into needs nothing else. Several could be moved out of the loop unless
    # their inputs change.
    changes = isa.name != "avx512"
    with fn.range(begin, end), fn.range(0, _TURNS):
        for k, total in enumerate(sums):
            x = given.get() ^ k if changes else given.get()
            total.set(intrinsics.dots(fn, [total.get()], weights, [_registers(x, per_sum)], 4)[0])
        if changes:
            given.set(given.get() + 1)
    _keep(sink, sums)
    fn.finish()


def _registers(x: Value, count: int) -> intrinsics.Inputs:
    return lambda lanes: [x.lanes(lanes)] * count


def _keep(sink: Pointer, values: list[Var]) -> None:
    """Store the combination of all values."""
    whole = values[0].get()
    for value in values[1:]:
        whole = whole ^ value.get()
    sink.store(whole)
