"""Cheaper weights for a draft: matrices in a format of fewer bits, an output matrix cut to frequent tokens.

A pass over few rows takes the time of reading the weights, so fewer bytes are a faster draft. Verification guards the
text: at exact levels an approximated draft changes the speed and how many guesses are right, nothing else.

Fewer bits: weights become float32 and are quantised again, by the formulas of the reference quantisers in ggml's
`ggml-quants.c`, to the bytes that a GGUF file would hold. Fewer outputs: of the output matrix only the rows of some
token ids are packed (FR-Spec, arXiv 2502.14856), and scores are those of the whole vocabulary with the others at minus
infinity. Embeddings stay whole, because any token may be read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.engine.dequantise import FORMATS, dequantise
from foretell.engine.hyper import Hyper
from foretell.errors import UsageError
from foretell.models.gguf import GGUF, Tensor

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

PRECISIONS = ("Q4_0", "Q4_K")
_CHUNK = 1 << 17  # weights quantised at a time: the pieces stay in the second-level cache


class Approximated:
    """A model file as it is packed: some tensors in another format, or with fewer outputs. Or the file as it is.

    Args:
        gguf: the file. hyper: its shape.
        keep: the token ids that can be scored, in any order; None for all.
        precision: one of PRECISIONS, or None. Matrices that take more bits a weight are stored in it; in Q4_0 where
            their inputs are no multiple of its blocks, and as they are where that does not fit either.

    tensors: as in the file but for format and shape; offset and n_bytes say where the original lies.
    keep: int32, ascending, each once; None for all. output: name of the matrix that is cut to these.
    """

    def __init__(
        self, gguf: GGUF, hyper: Hyper, *, keep: Sequence[int] | None = None, precision: str | None = None
    ) -> None:
        if precision is not None and precision not in PRECISIONS:
            raise UsageError(f"precision is {precision!r}, must be one of {', '.join(PRECISIONS)}")
        self.keep = None if keep is None else _ids(keep, hyper.vocabulary)
        self._gguf, self._precision, self._hyper, self.output = gguf, precision, hyper, hyper.output
        self.tensors: Mapping[str, Tensor] = {name: self._changed(tensor) for name, tensor in gguf.tensors.items()}

    @property
    def whole(self) -> Approximated:
        """The same with all tokens."""
        if self.keep is None:
            return self
        return Approximated(self._gguf, self._hyper, precision=self._precision)

    @property
    def key(self) -> str:
        """Names the approximation in file names; empty when there is none."""
        key = f"-{self._precision.lower()}" if self._precision else ""
        return key if self.keep is None else f"{key}-k{hashlib.sha256(self.keep.tobytes()).hexdigest()[:16]}"

    def rows(self, name: str, start: int, stop: int) -> Bytes:
        """The bytes of a tensor's outputs from `start` to `stop`: uint8 [stop - start, bytes of an output]."""
        was, now = self._gguf.tensors[name], self.tensors[name]
        if self.keep is not None and name == self.output:
            rows = self._gguf.rows(name, 0, was.shape[0])[self.keep[start:stop]]
        else:
            rows = self._gguf.rows(name, start, stop)
        return rows if was.format == now.format else requantise(rows, was.format, now.format, now.shape[-1])

    def _changed(self, tensor: Tensor) -> Tensor:
        if len(tensor.shape) == 1:
            return tensor
        outputs, inputs = tensor.shape
        if self.keep is not None and tensor.name == self.output:
            outputs = len(self.keep)
        return replace(tensor, format=_cheaper(tensor.format, inputs, self._precision), shape=(outputs, inputs))


def _ids(keep: Sequence[int], vocabulary: int) -> NDArray[np.int32]:
    """Token ids, checked, ascending, each once."""
    if len(keep) == 0:
        raise UsageError("no token is to be kept; keep at least one")
    least, most = min(keep), max(keep)
    if least < 0 or most >= vocabulary:
        wrong = least if least < 0 else most
        raise UsageError(f"token {wrong} is to be kept; the vocabulary has tokens 0 to {vocabulary - 1}")
    return np.unique(np.asarray(keep, np.int32))


def _cheaper(name: str, inputs: int, precision: str | None) -> str:
    """The format that a matrix is stored in."""
    if precision is None:
        return name
    fitting = (each for each in (precision, "Q4_0") if inputs % FORMATS[each].block == 0)
    return next((each for each in fitting if _bits(name) > _bits(each)), name)


def _bits(name: str) -> float:
    """Bits of a weight, scales included."""
    return 8 * FORMATS[name].block_bytes / FORMATS[name].block


def requantise(rows: Bytes, was: str, now: str, inputs: int) -> Bytes:
    """Outputs in another format. rows: uint8 [outputs, bytes of an output in format `was`]."""
    out = np.empty((len(rows), FORMATS[now].row_bytes(inputs)), np.uint8)
    step = max(1, _CHUNK // inputs)
    for start in range(0, len(rows), step):
        piece = rows[start : start + step]
        out[start : start + step] = quantise(now, dequantise(was, piece.reshape(-1), (len(piece), inputs)))
    return out


def quantise(name: str, weights: Floats) -> Bytes:
    """The bytes of float32 weights [outputs, inputs] in one of PRECISIONS: uint8 [outputs, bytes of an output].

    A block too small for its float16 scale becomes zeros.
    """
    match name:
        case "Q4_0":
            return _q4_0(weights.reshape(len(weights), -1, 32)).reshape(len(weights), -1)
        case "Q4_K":
            return _q4_k(weights.reshape(len(weights), -1, 8, 32)).reshape(len(weights), -1)
        case _:
            raise ValueError(f"weights cannot be quantised to {name}")


def _q4_0(x: Floats) -> Bytes:
    """[outputs, blocks, 32]: the weight farthest from zero becomes -8 steps exactly, the others are rounded."""
    farthest = np.abs(x).argmax(axis=-1, keepdims=True)
    d = np.take_along_axis(x, farthest, axis=-1) / np.float32(-8)
    scaled = x * _inverse(d)
    scaled += np.float32(8.5)
    q = np.minimum(scaled, np.float32(15)).astype(np.uint8)
    out = np.empty((*x.shape[:2], 18), np.uint8)
    out[..., :2] = _halves(d[..., 0])
    np.left_shift(q[..., 16:], 4, out=out[..., 2:])
    out[..., 2:] |= q[..., :16]
    return out


def _q4_k(x: Floats) -> Bytes:
    """[outputs, blocks, 8, 32]: a run is q · step - offset; steps and offsets are 6 bits of the block's greatest."""
    steps, offsets = (part.reshape(x.shape[:3]) for part in _fit(x.reshape(-1, 32)))
    d, scales = _six_bits(steps)
    dmin, mins = _six_bits(offsets)
    step = (d[..., None].astype(np.float32) * scales)[..., None]
    offset = (dmin[..., None].astype(np.float32) * mins)[..., None]
    q = np.rint((x + offset) * _inverse(step)).clip(0, 15).astype(np.uint8)
    out = np.empty((*x.shape[:2], 144), np.uint8)
    out[..., :2], out[..., 2:4] = _halves(d), _halves(dmin)
    out[..., 4:8] = scales[..., :4] | scales[..., 4:] >> 4 << 6
    out[..., 8:12] = mins[..., :4] | mins[..., 4:] >> 4 << 6
    out[..., 12:16] = scales[..., 4:] & 15 | mins[..., 4:] << 4
    out[..., 16:] = (q[:, :, ::2] | q[:, :, 1::2] << 4).reshape(*x.shape[:2], 128)
    return out


def _six_bits(values: Floats) -> tuple[NDArray[np.float16], Bytes]:
    """Values [.., 8], none negative, as a float16 times integers up to 63."""
    most = values.max(axis=-1)
    whole = np.rint(values * (63 * _inverse(most))[..., None]).clip(0, 63)
    return (most / np.float32(63)).astype(np.float16), whole.astype(np.uint8)


def _fit(x: Floats) -> tuple[Floats, Floats]:
    """Steps and offsets of runs [runs, 32]: x is about q · step - offset, with q from 0 to 15 and offset at least 0.

    For 21 roundings to integers (the run's span being 14 to 16 steps), step and offset follow by least squares; the
    best of them and of the span in 15 steps is taken. Errors weigh more where weights are large.
    """
    weight = np.abs(x)
    weight += np.sqrt(np.mean(x * x, axis=-1, keepdims=True))
    low = np.minimum(x.min(axis=-1), np.float32(0))
    span = x.max(axis=-1) - low
    above, per_span = x - low[:, None], _inverse(span)
    sum_w, sum_x = weight.sum(axis=-1), _dot(weight, x)
    step = span / np.float32(15)
    best = _error(x, weight, _levels(above, 15 * per_span), step, low)
    for tenths in range(140, 161):
        q = _levels(above, np.float32(tenths / 10) * per_span)
        share = weight * q
        sum_q, sum_qq, sum_qx = share.sum(axis=-1), _dot(share, q), _dot(share, x)
        per_determinant = _inverse(sum_w * sum_qq - sum_q * sum_q)
        new_step = (sum_w * sum_qx - sum_x * sum_q) * per_determinant
        new_low = (sum_qq * sum_x - sum_q * sum_qx) * per_determinant
        new_step = np.where(new_low > 0, sum_qx * _inverse(sum_qq), new_step)
        new_low = np.minimum(new_low, np.float32(0))
        error = _error(x, weight, q, new_step, new_low)
        better = (per_determinant > 0) & (error < best)
        step, low, best = (np.where(better, new, old) for new, old in ((new_step, step), (new_low, low), (error, best)))
    return step, np.float32(0) - low  # 0 - low: no negative zero


def _levels(above: Floats, scale: Floats) -> Floats:
    """Distances from the least weight [runs, 32], times a scale for each run, as integers from 0 to 15."""
    q = above * scale[:, None]
    np.rint(q, out=q)
    np.minimum(q, np.float32(15), out=q)
    return q


def _error(x: Floats, weight: Floats, q: Floats, step: Floats, low: Floats) -> Floats:
    """Sum of weighted squares of q · step + low - x, by runs."""
    difference = q * step[:, None]
    difference += low[:, None] - x
    difference *= difference
    return _dot(weight, difference)


def _dot(a: Floats, b: Floats) -> Floats:
    products: Floats = np.einsum("ij,ij->i", a, b)
    return products


def _inverse(d: Floats) -> Floats:
    """1 / d, and 0 where d would be 0 as a float16."""
    out: Floats = np.zeros_like(d)
    np.divide(np.float32(1), d, out=out, where=np.abs(d) > 2.0**-25)
    return out


def _halves(d: NDArray[np.floating[Any]]) -> Bytes:
    """[.., blocks] to the bytes of float16, [.., blocks, 2]."""
    return np.ascontiguousarray(d.astype("<f2"))[..., None].view(np.uint8)
