"""A loaded model that says some of its tokens only: an output matrix of a fixed size, filled while passes run.

All but that matrix is the model's own: weights, keys and values, threads, machine code (kernels know formats, not
sizes). So a sequence may change between the two from pass to pass. The size is fixed because records hold addresses:
the program is made once, and only what lies at these addresses changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from time import sleep
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from foretell.engine.approximate import Approximated
from foretell.engine.gather import lanes, move
from foretell.engine.layout import LAYOUTS
from foretell.engine.lower import Lowering
from foretell.engine.pack import Packed, Weights, pack_matrix
from foretell.engine.program import Program
from foretell.engine.team import i64
from foretell.errors import ForetellError

if TYPE_CHECKING:
    from foretell.engine.native import NativeModel

ROWS: Final = 16  # of its passes; larger ones run with all tokens
PIECE: Final = 128  # outputs moved at a time: some hundred microseconds in which no other Python runs
NEW: Final = 16  # outputs packed at a time, which takes longer
BREATH_S: Final = 0.0002  # between pieces, so that whoever waits for the interpreter has it


class Cut:
    """Tokens that a model says, and the program of its passes over at most ROWS rows.

    Args:
        model: a loaded one that can say more tokens than these.
        size: how many tokens; fixed.

    ids: int32 [size], ascending; before the first `fill` they mean nothing. full: whether they and the matrix agree.
    """

    def __init__(self, model: NativeModel, size: int) -> None:
        name = model.hyper.output
        whole = model.weights.tensors[name]
        if not 0 < size < whole.outputs:
            raise ForetellError(f"cannot cut {whole.outputs} outputs to {size}: give fewer")
        self.size, self.full = size, False
        self.ids: NDArray[np.int32] = i64(-(-size // 2)).view(np.int32)[:size]
        self._model, self._name, self._layout, self._inputs = model, name, LAYOUTS[whole.layout], whole.inputs
        n_bytes = self._layout.bytes(size, whole.inputs)
        self._data = i64(n_bytes // 8).view(np.uint8)
        self._weights = Weights({name: Packed(whole.layout, size, whole.inputs, 0, n_bytes)}, self._data)
        self._lowering: Lowering | None = None
        self._program: Program | None = None

    @property
    def program(self) -> Program:
        """Of a cut that is full."""
        if self._program is None or not self.full:
            raise ForetellError("this cut of the output matrix is not filled: fill it first")
        return self._program

    def fits(self, rows: int, wanted: int) -> bool:
        """Whether its program can run a pass of this size."""
        return rows <= ROWS and wanted <= ROWS

    def fill(self, ids: Sequence[int], going: Callable[[], bool]) -> bool:
        """Say these tokens from now on, `size` different ones; not while a session uses it. For any one thread.

        going: looked at between pieces of a millisecond or less. False, and the cut is empty, when it said no.
        """
        new = np.unique(np.asarray(ids, np.int32))
        if len(new) != self.size or new[0] < 0 or new[-1] >= self._model.hyper.vocabulary:
            raise ForetellError(f"{len(new)} token ids were given to a cut of {self.size}, or some that are none")
        if self._lowering is not None:
            self._lowering.silence(self.ids)  # no pass will write to these again
        self.full = False
        for _ in self._pieces(new):
            if not going():
                return False
            sleep(BREATH_S)
        self.ids[:] = new
        if self._lowering is None:
            self._lower()
        self.full = True
        return True

    def _pieces(self, ids: NDArray[np.int32]) -> Iterator[None]:
        """Move what the model has in memory, pack what it left out."""
        model, places = self._model, np.arange(self.size)
        rows, has = ids.astype(np.int64), np.ones(self.size, np.bool_)
        if model.keep is not None:
            rows = np.searchsorted(model.keep, ids).clip(max=len(model.keep) - 1)
            has = model.keep[rows] == ids
        target = lanes(self._data, self._layout, self._inputs)
        source = lanes(model.weights.part(self._name), self._layout, self._inputs)
        held, left = places[has], places[~has]
        for at in range(0, len(held), PIECE):
            piece = held[at : at + PIECE]
            move(source, rows[piece], target, piece)
            yield
        if not len(left):
            return
        others = Approximated(model.gguf, model.hyper, keep=ids[left].tolist(), precision=model.precision)
        for at in range(0, len(left), NEW):
            piece = left[at : at + NEW]
            data = others.rows(self._name, at, at + len(piece))
            packed = pack_matrix(self._layout.name, data.reshape(-1), len(piece), self._inputs)
            move(lanes(packed.reshape(-1), self._layout, self._inputs), np.arange(len(piece)), target, piece)
            yield

    def _lower(self) -> None:
        """The program, once: it points to the ids and the matrix, whatever they hold."""
        model = self._model
        self._lowering = model.lowered(ROWS, ROWS, model.weights.joined(self._weights), self.ids)
        self._program = Program(self._lowering, model.kernels)
