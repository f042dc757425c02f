"""The program of a pass: lowered operations linked to machine code, in the tables that the native driver walks."""

from __future__ import annotations

import numpy as np

from foretell.engine.kernels import Kernels, attention
from foretell.engine.kernels.driver import O_CHUNK, O_FIRST, O_FN, O_ITEMS, O_RECORD, OP_FIELDS, PLANNED
from foretell.engine.lower import Items, Lowering
from foretell.engine.scoring import Need
from foretell.engine.team import i64, stage_table


class Program:
    """Runs passes of up to a lowering's rows, which first set `frame`, `residual`, `scorer`, counts and attention."""

    def __init__(self, lowering: Lowering, kernels: Kernels) -> None:
        self._lowering = lowering
        self.rows, self.wanted = lowering.rows, lowering.wanted
        self.frame, self.residual, self.scorer = lowering.frame, lowering.residual, lowering.scorer
        self._link(lowering, kernels)

    def _link(self, lowering: Lowering, kernels: Kernels) -> None:
        """Tables for the driver, and index arrays to set the items of all operations at once."""
        stages = lowering.stages
        ops = [op for stage in stages for op in stage]
        table = i64(OP_FIELDS * len(ops)).reshape(len(ops), OP_FIELDS)
        for row, op in zip(table, ops, strict=True):
            row[O_FN], row[O_RECORD], row[O_CHUNK] = kernels[op.kernel], op.record.ctypes.data, op.chunk
        ends = np.cumsum([len(stage) for stage in stages])
        starts = ends - [len(stage) for stage in stages]
        self._ops, self._starts = table, starts
        self.stages = stage_table([table[a:b] for a, b in zip(starts, ends, strict=True)], lowering.threads)
        self._kinds, self._needs = np.array([op.kind.value for op in ops]), np.array([int(op.need) for op in ops])
        self._factors, self._chunks = np.array([op.factor for op in ops], np.int64), table[:, O_CHUNK]
        self._stage_of = np.repeat(np.arange(len(starts)), ends - starts)
        self._shape: tuple[int, int, int, int, int] | None = None
        self._addresses: tuple[int, ...] | None = None
        self._output_stage = int(self._stage_of[int(np.flatnonzero(self._kinds == Items.WANTED.value)[0])])

    def set_counts(self, rows: int, wanted: int, attend: int, merge: int, need: Need) -> None:
        """Work items of the coming pass. attend: attention's items. merge: rows to merge. need: of the logits."""
        shape = rows, wanted, attend, merge, int(need)
        if shape == self._shape:
            return
        self._shape = shape
        self.frame.counts[:2] = rows, wanted
        items = np.array([1 if wanted else 0, rows, wanted, attend, merge], np.int64)[self._kinds] * self._factors
        fixed = self._kinds == Items.FIXED.value
        items[fixed] = self._factors[fixed]
        if not wanted:
            items[self._stage_of >= self._output_stage] = 0
        items[(self._needs & ~int(need)) != 0] = 0
        chunks = -(-items // self._chunks)
        before = np.cumsum(chunks) - chunks
        self._ops[:, O_ITEMS] = items
        self._ops[:, O_FIRST] = before - before[self._starts][self._stage_of]
        self.stages[:, PLANNED] = np.add.reduceat(chunks, self._starts)

    def set_attention(self, items: int, side: int, side_slots: int, partials: int, spans: int) -> None:
        """Addresses that every layer's attention reads in the coming pass."""
        key = items, side, side_slots, partials, spans
        if key == self._addresses:
            return
        self._addresses = key
        for record in self._lowering.attentions:
            record[attention.ITEMS], record[attention.SIDE], record[attention.SIDE_SLOTS] = items, side, side_slots
            record[attention.PARTIALS], record[attention.SPANS] = partials, spans
