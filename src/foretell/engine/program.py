"""The program of a pass: lowered operations linked to machine code, in the tables that the native driver walks."""

from __future__ import annotations

import numpy as np

from foretell.engine.kernels import Kernels
from foretell.engine.kernels.driver import O_CHUNK, O_FACTOR, O_FN, O_NEED, O_OF, O_RECORD, OP_FIELDS
from foretell.engine.lower import Lowering
from foretell.engine.team import Hooks, i64, stage_table


class Program:
    """Runs passes of up to a lowering's rows, which first set `frame` and `scorer`.

    stages: for the team. plain, drafting: what the team calls around a pass, and around those of a draft.
    """

    def __init__(self, lowering: Lowering, kernels: Kernels) -> None:
        self._lowering = lowering
        self.rows, self.wanted = lowering.rows, lowering.wanted
        self.frame, self.scorer = lowering.frame, lowering.scorer
        self.plain = Hooks(lowering.frame.address, kernels["begin"], 0)
        self.drafting = self.plain._replace(advance=kernels["advance"])
        ops = [op for stage in lowering.stages for op in stage]
        table = i64(OP_FIELDS * len(ops)).reshape(len(ops), OP_FIELDS)
        for row, op in zip(table, ops, strict=True):
            row[O_FN], row[O_RECORD], row[O_CHUNK] = kernels[op.kernel], op.record.ctypes.data, op.chunk
            row[O_FACTOR], row[O_OF], row[O_NEED] = op.factor, op.kind.value, int(op.need)
        ends = np.cumsum([len(stage) for stage in lowering.stages])
        starts = ends - [len(stage) for stage in lowering.stages]
        self._ops = table
        self.stages = stage_table([table[a:b] for a, b in zip(starts, ends, strict=True)], lowering.threads)
