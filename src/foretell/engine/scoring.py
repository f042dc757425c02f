"""What the caller wants of the logits of a pass, as operations of the pass: see `foretell.engine.kernels.scores`."""

from __future__ import annotations

import math
from collections.abc import Sequence as Items
from dataclasses import dataclass
from enum import IntFlag
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.accept.noise import mixed
from foretell.accept.sampling import MOST_BIASES, PENALTY_WINDOW
from foretell.accept.warpers import INVERSE_MOST
from foretell.backend.protocol import Scores, Want
from foretell.engine.kernels import logits as fields
from foretell.engine.kernels.keys import HISTOGRAM_BYTES, scratch_bytes
from foretell.engine.kernels.logits import PART_BYTES, ROW_FIELDS, SPAN
from foretell.engine.layout import aligned, float_bits
from foretell.engine.team import i64

# The weights from the floor up must reach ceil(p * all), where all are 2^30 or more: TAIL_SLACK * (1 - p) * all is far
# more than what rounding weights to integers and exponentials to float32 can do.
TAIL_SLACK, LEAST_MISSING = 0.01, 1e-6


class Need(IntFlag):
    """What a pass asks of the operations on logits."""

    ALWAYS = 0
    TOKEN = 1  # in every pass that scores rows
    TOP = 2
    PENALTY = 4
    LARGEST = 8  # of the logits that the token is chosen from; already known when they are those that TOP looked at
    CUT = 16
    DRAW = 32
    BIAS = 64


@dataclass(frozen=True, slots=True)
class ScoreOp:
    """A kernel; whether its items are rows times spans, or just rows; what it is needed for."""

    kernel: str
    by_span: bool
    need: Need


OPS = (
    ScoreOp("span_max", by_span=True, need=Need.TOP),
    ScoreOp("row_max_top", by_span=False, need=Need.TOP),
    ScoreOp("histogram_top", by_span=True, need=Need.TOP),
    ScoreOp("rank", by_span=False, need=Need.TOP),
    ScoreOp("bias", by_span=False, need=Need.BIAS),
    ScoreOp("penalise", by_span=False, need=Need.PENALTY),
    ScoreOp("span_max", by_span=True, need=Need.LARGEST),
    ScoreOp("row_max", by_span=False, need=Need.TOKEN),
    ScoreOp("histogram", by_span=True, need=Need.CUT),
    ScoreOp("cut", by_span=False, need=Need.CUT),
    ScoreOp("draw", by_span=True, need=Need.DRAW),
    ScoreOp("draw_merge", by_span=False, need=Need.DRAW),
    ScoreOp("restore", by_span=False, need=Need.PENALTY),
    ScoreOp("unbias", by_span=False, need=Need.BIAS),
)


def needs(want: Want) -> Need:
    """The operations that a want takes."""
    s, out = want.sampling, Need.TOKEN
    if want.top:
        out |= Need.TOP
    if s.repeat_penalty != 1:
        out |= Need.PENALTY
    if s.logit_bias:
        out |= Need.BIAS
    if out & (Need.PENALTY | Need.BIAS) or not want.top:
        out |= Need.LARGEST
    if s.temperature > 0:
        out |= Need.DRAW
        if s.top_k or s.top_p < 1:
            out |= Need.CUT
    return out


class Scorer:
    """The record of the operations on logits, and the memory that they work in.

    logits: float32 [rows, stride], where a pass will write them; stride is a multiple of 16, the first `vocabulary` of
    a row are real. kept: how many of these are ever above minus infinity; None for all. One pass at a time: `prepare`,
    then the operations that it says are needed, in the order of `OPS`, then `read`.
    """

    def __init__(self, logits: NDArray[np.float32], vocabulary: int, threads: int, kept: int | None = None) -> None:
        rows, stride = logits.shape
        self._logits, self._vocabulary = logits[:, :vocabulary], vocabulary
        self._kept = vocabulary if kept is None else kept
        self.spans = -(-vocabulary // SPAN)
        self._keep: list[NDArray[np.int64]] = []
        self.record = i64(fields.FIELDS)
        scratch = aligned(scratch_bytes(vocabulary))
        # Pages that are never touched take no memory: histograms and sorting of a whole vocabulary are rare.
        self._set(fields.LOGITS, logits.ctypes.data, stride, vocabulary)
        self._set(fields.PARTS, self._array(rows * self.spans * PART_BYTES).ctypes.data)
        self._set(fields.HISTOGRAMS, self._array(rows * self.spans * HISTOGRAM_BYTES).ctypes.data)
        self._set(fields.SCRATCH, self._array(threads * scratch).ctypes.data, scratch)
        self._tokens = self._table(fields.OUT, rows, 1, np.int32)[:, 0].data  # quicker to read than the array
        self._state = self._table(fields.STATE, rows, ROW_FIELDS, np.int64)
        self._history = self._table(fields.HISTORY, rows, PENALTY_WINDOW, np.int32)
        self._table(fields.SAVED, rows, PENALTY_WINDOW, np.float32)
        self._bias_ids = self._table(fields.BIAS_IDS, 1, MOST_BIASES, np.int32)[0]
        self._bias = self._table(fields.BIAS, 1, MOST_BIASES, np.float32)[0]
        self._table(fields.UNBIASED, rows, MOST_BIASES, np.float32)
        self._want: Want | None = None
        self._need, self._top = Need.ALWAYS, 0

    def _set(self, first: int, *values: int) -> None:
        self.record[first : first + len(values)] = values

    def _array(self, n_bytes: int) -> NDArray[np.int64]:
        self._keep.append(i64(-(-n_bytes // 8) + 8))
        return self._keep[-1]

    def _table(self, field: int, rows: int, width: int, kind: type[np.generic]) -> NDArray[Any]:
        array = self._array(rows * width * np.dtype(kind).itemsize).view(kind)[: rows * width].reshape(rows, width)
        self._set(field, array.ctypes.data)
        return array

    def _make_room(self, top: int) -> None:
        """Room for the likeliest tokens of each row."""
        if top <= self._top:
            return
        self._top, rows = max(top, 2 * self._top, 16), len(self._logits)
        self._top_ids = self._table(fields.TOP_IDS, rows, self._top, np.int32)
        self._top_logits = self._table(fields.TOP_LOGITS, rows, self._top, np.float32)
        self._set(fields.TOP_STRIDE, self._top)

    def prepare(self, want: Want) -> Need:
        """Set the coming pass's numbers but for those of its rows."""
        if want is not self._want:  # loops give the same one again and again
            self._want = None
            self._settle(want)
            self._want, self._need = want, needs(want)
        return self._need

    def set_positions(self, positions: Items[int]) -> None:
        """Of each row, how many tokens are before the one that is drawn."""
        self._state[: len(positions), fields.R_POSITION] = positions

    def set_histories(self, histories: Items[Items[int]]) -> None:
        """Of each row, the tokens before the one that is drawn; needed when there is a repeat penalty."""
        for row, history in enumerate(histories):
            recent = history[-PENALTY_WINDOW:]
            self._history[row, : len(recent)] = recent
            self._state[row, fields.R_COUNT] = len(recent)

    def _settle(self, want: Want) -> None:
        """Write a want's numbers into the record."""
        s, top = want.sampling, min(want.top, self._kept)
        self._make_room(top)
        self._set(fields.TOP, top)
        bias = [pair for pair in s.logit_bias if pair[0] < self._vocabulary]
        self._set(fields.BIAS_COUNT, len(bias))
        for place, (token, value) in enumerate(bias):
            self._bias_ids[place], self._bias[place] = token, value
        self._set(fields.PENALTY, float_bits(s.repeat_penalty))
        self._set(fields.TOP_K, 0, 0)
        if s.temperature == 0:
            return
        self.record.view(np.uint64)[fields.SEED] = mixed(s.seed)
        self._set(fields.TOP_K, min(s.top_k, self._kept))
        if s.top_p < 1:
            self._set(fields.TOP_P, int(np.float64(s.top_p).view(np.int64)), float_bits(self._tail(s.top_p)))
        self._set(fields.MIN_P, float_bits(math.log(s.min_p) if s.min_p > 0 else -math.inf))
        self._set(fields.INVERSE, float_bits(min(1 / s.temperature, INVERSE_MOST)))

    def _tail(self, top_p: float) -> float:
        """log((1 - p) / ids), a little less; of no effect where rounding to integers could show."""
        missing = 1 - top_p
        return math.log(missing / self._vocabulary) - TAIL_SLACK if missing > LEAST_MISSING else -100.0

    def read(self, count: int, want: Want) -> Scores:
        """What the pass left for its first `count` rows."""
        tokens: list[int] = self._tokens[:count].tolist()
        logits = self._logits[:count].copy() if want.logits else None
        if not want.top:
            return Scores(tokens, logits)
        top = min(want.top, self._kept)
        likeliest = self._top_logits[:count, :top].astype(np.float64)
        totals = self._state[:count, fields.R_TOTAL].view(np.float64).tolist()
        base = np.array([largest + math.log(total) for largest, total in zip(likeliest[:, 0], totals, strict=True)])
        chosen = self._logits[np.arange(count), tokens] - base
        above = (likeliest - base[:, None]).astype(np.float32)
        return Scores(tokens, logits, (chosen.astype(np.float32), self._top_ids[:count, :top].copy(), above))


def logprob(logit: float, largest: float, total: float) -> float:
    """A token's log-probability: its logit, the row's largest, and the sum of e^(logit - largest) over all tokens."""
    return logit - (largest + math.log(total))
