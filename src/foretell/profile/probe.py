"""The machine's best under our thread team: read bandwidth over a model's packed weights, and the dot products' peak.

Other programs take processor time and bandwidth away, so a figure means something only beside a pass that was timed in
the same moment: callers take turns between these and passes.
"""

import ctypes
from statistics import median
from time import perf_counter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from foretell.backend.protocol import Rows, Want
from foretell.engine.jit import Library
from foretell.engine.kernels import probe
from foretell.engine.kernels.driver import O_CHUNK, O_FN, O_ITEMS, O_RECORD, OP_FIELDS, OPS, PLANNED
from foretell.engine.lower import CHUNK_BYTES
from foretell.engine.native import NativeModel
from foretell.engine.session import NativeSession
from foretell.engine.team import i64, stage_table

_TRIALS: Final = 3  # of every way to read, to find the fastest
_PEAK_ITEMS: Final = 32  # a thread: a few milliseconds


class Probe:
    """Measures what a loaded model's passes could be at best.

    matrix_bytes: what a pass over one row reads. row_gmac: multiply-adds (10^9) of its matrix products. reading: the
    way of reading that was fastest when this was made, `read_<plain or ahead>_<streams>`.
    """

    def __init__(self, model: NativeModel) -> None:
        self._model = model
        matrices = [t for t in model.weights.tensors.values() if t.layout]
        self.matrix_bytes = sum(t.n_bytes for t in matrices)
        self.row_gmac = sum(t.outputs * t.inputs for t in matrices) / 1e9
        self._library = Library("probe", probe.EXPORTS, model.kernels.isa, probe.build, None)
        self._keep: list[NDArray[np.int64]] = []  # what the stages point to
        self._sink = i64(probe.SINK_BYTES // 8 * model.team.threads)
        data = model.weights.data
        piece = max(probe.UNIT, min(CHUNK_BYTES, data.nbytes) // probe.UNIT * probe.UNIT)
        items = data.nbytes // piece
        self._read_bytes = items * piece
        self._readings = {name: self._stage(name, int(data.ctypes.data), piece, items) for name in probe.READS}
        self._peak = self._stage("peak", 0, 0, _PEAK_ITEMS * model.team.threads)
        self._products: NDArray[np.int64] | None = None
        self.reading = probe.READS[0]
        self.reading = self._fastest()

    def bandwidth_gb_s(self) -> float:
        """Bytes per nanosecond of one reading of all packed weights."""
        return self._read_bytes / 1e9 / self._run(self._readings[self.reading])

    def peak_gmac_s(self) -> float:
        """10^9 multiply-adds per second of all threads together, on registers."""
        items = _PEAK_ITEMS * self._model.team.threads
        return items * probe.multiply_adds(self._model.kernels.isa) / 1e9 / self._run(self._peak)

    def products_gb_s(self, session: NativeSession, sequence: int) -> float:
        """Bytes per nanosecond that the matrix products of a pass over one row read.

        The pass runs as a whole first, which fills its buffers, then once more with nothing but its products.
        """
        session.step(Rows.chain([0], sequence), Want())
        stages = self._model.program(1, 1).stages
        kept = stages[[self._is_product(stage) for stage in stages]]
        if self._products is None or self._products.shape != kept.shape:
            self._products = i64(kept.size).reshape(kept.shape)
        self._products[:] = kept
        return self.matrix_bytes / 1e9 / self._run(self._products)

    def _is_product(self, stage: NDArray[np.int64]) -> bool:
        function = ctypes.c_int64.from_address(int(stage[OPS]) + 8 * O_FN).value
        layouts = {t.layout for t in self._model.weights.tensors.values() if t.layout}
        return function in {self._model.kernels[f"{kind}_{name}"] for kind in ("product", "gated") for name in layouts}

    def _fastest(self) -> str:
        times: dict[str, list[float]] = {name: [] for name in probe.READS}
        for _ in range(_TRIALS):
            for name, taken in times.items():
                taken.append(self._run(self._readings[name]))
        return min(times, key=lambda name: median(times[name]))

    def _run(self, stages: NDArray[np.int64]) -> float:
        """Seconds of running some stages."""
        begin = perf_counter()
        self._model.team.run(stages, len(stages), 1)
        return perf_counter() - begin

    def _stage(self, kernel: str, base: int, piece: int, items: int) -> NDArray[np.int64]:
        record = i64(probe.FIELDS)
        record[probe.BASE], record[probe.PIECE], record[probe.SINK] = base, piece, self._sink.ctypes.data
        op = i64(OP_FIELDS).reshape(1, OP_FIELDS)
        op[0, O_FN], op[0, O_RECORD] = self._library[kernel], record.ctypes.data
        op[0, O_ITEMS], op[0, O_CHUNK] = items, 1
        table = stage_table([op], self._model.team.threads)
        table[:, PLANNED] = items
        self._keep += [record, op]
        return table
