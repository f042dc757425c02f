"""The weight formats of GGUF files: their sizes, their integer pieces, and the float32 values they stand for.

A matrix is (outputs, inputs); each output is a run of blocks over its inputs. Three families:

    superblock   256 inputs: float16 scale d, integer scales for runs of 16 or 32   Q4_K Q5_K Q6_K
    block        32 inputs: float16 scale d, perhaps a float16 offset m          Q4_0 Q4_1 Q5_0 Q5_1 Q8_0
    float        no blocks                                                       F32 F16 BF16

Every function works on whole outputs, so that threads can share a matrix by slices of its bytes (NumPy holds no lock
in these operations). The byte layouts are those of ggml's `ggml-common.h`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from foretell.errors import ForetellError
from foretell.models import formats

Bytes = NDArray[np.uint8]
Family = Literal["superblock", "block", "float"]

_CHUNK = 1 << 19  # weights unpacked at a time by `dequantise`: the pieces stay in the second-level cache


@dataclass(frozen=True, slots=True)
class Format:
    """A tensor format. type_id: its number in GGUF files. block: inputs per block. block_bytes: bytes per block."""

    name: str
    type_id: int
    block: int
    block_bytes: int
    family: Family

    def row_bytes(self, inputs: int) -> int:
        """Bytes of one output's weights."""
        if inputs % self.block:
            raise ForetellError(
                f"{inputs} inputs cannot be stored as {self.name}, which has blocks of {self.block}: "
                "the file is damaged, fetch it again"
            )
        return inputs // self.block * self.block_bytes


_FAMILIES: dict[int, Family] = {1: "float", 32: "block", 256: "superblock"}
FORMATS: dict[str, Format] = {
    stored.name: Format(stored.name, number, stored.block, stored.block_bytes, _FAMILIES[stored.block])
    for number, stored in formats.FORMATS.items()
}


@dataclass(frozen=True, slots=True)
class Unpacked:
    """The integer pieces of a quantised matrix. `blocks` is inputs / block, `runs` is inputs / (length of a run).

    A weight is  d · scale · (q - offset) - dmin · min + m, where a piece that the format lacks drops out
    (scale = 1, the others 0).

    q: uint8 [outputs, inputs]. offset: what stands for zero among the q. d: float16 [outputs, blocks].
    scales: uint8 [outputs, runs of 32] (Q4_K, Q5_K), int8 [outputs, runs of 16] (Q6_K), or None.
    mins: uint8 [outputs, runs of 32], dmin: float16 [outputs, blocks] (Q4_K, Q5_K), or None.
    m: float16 [outputs, blocks] (Q4_1, Q5_1), or None.
    """

    q: Bytes
    offset: int
    d: NDArray[np.float16]
    scales: NDArray[np.uint8] | NDArray[np.int8] | None = None
    mins: Bytes | None = None
    dmin: NDArray[np.float16] | None = None
    m: NDArray[np.float16] | None = None

    def weights(self) -> NDArray[np.float32]:
        """The float32 weights [outputs, inputs]: every product rounded to float32, in the order of the formula."""
        outputs, blocks = self.d.shape
        scale = self.d.astype(np.float32)[:, :, None]  # [outputs, blocks, runs in a block]
        if self.scales is not None:
            scale = scale * self.scales.reshape(outputs, blocks, -1).astype(np.float32)
        values = self.q.reshape(outputs, blocks, scale.shape[2], -1).astype(np.float32)
        if self.offset:
            values -= np.float32(self.offset)
        values *= scale[..., None]
        if self.mins is not None and self.dmin is not None:
            values -= (self.dmin[:, :, None] * self.mins.reshape(outputs, blocks, -1).astype(np.float32))[..., None]
        if self.m is not None:
            values += self.m.astype(np.float32)[:, :, None, None]
        return values.reshape(self.q.shape)


def dequantise(name: str, data: Bytes, shape: Sequence[int]) -> NDArray[np.float32]:
    """The weights as float32 of the given shape (last: the inputs). `data` holds exactly their bytes."""
    entry, rows = _rows(name, data, shape)
    if entry.family == "float":
        return _floats(name, rows).reshape(shape)
    outputs, inputs = len(rows), shape[-1]
    weights = np.empty((outputs, inputs), np.float32)
    step = max(1, _CHUNK // inputs)
    for start in range(0, outputs, step):
        weights[start : start + step] = _unpack(entry, rows[start : start + step]).weights()
    return weights.reshape(shape)


def unpack(name: str, data: Bytes, shape: Sequence[int]) -> Unpacked:
    """The integer pieces of a matrix in a superblock or block format. `data` holds exactly its bytes."""
    entry, rows = _rows(name, data, shape)
    if entry.family == "float":
        raise ValueError(f"{name} has no integer pieces")
    return _unpack(entry, rows)


def _rows(name: str, data: Bytes, shape: Sequence[int]) -> tuple[Format, Bytes]:
    """The format's entry, and the data as uint8 [outputs, bytes of an output]."""
    entry = FORMATS.get(name)
    if entry is None:
        raise ForetellError(f"tensor format {name} is not supported; supported are {', '.join(FORMATS)}")
    outputs, row_bytes = math.prod(shape[:-1]), entry.row_bytes(shape[-1])
    if data.size != outputs * row_bytes:
        raise ForetellError(
            f"a {name} tensor of shape {tuple(shape)} needs {outputs * row_bytes} bytes, not {data.size}: "
            "the file is damaged, fetch it again"
        )
    return entry, data.reshape(outputs, row_bytes)


def _floats(name: str, rows: Bytes) -> NDArray[np.float32]:
    contiguous = np.ascontiguousarray(rows)
    if name == "F32":
        return contiguous.view("<f4").astype(np.float32)
    if name == "F16":
        return contiguous.view("<f2").astype(np.float32)
    bits = contiguous.view("<u2").astype(np.uint32)  # BF16 is the upper half of a float32
    bits <<= 16
    return bits.view(np.float32)


def _unpack(entry: Format, rows: Bytes) -> Unpacked:
    outputs = len(rows)
    blocks = rows.reshape(outputs, -1, entry.block_bytes)
    match entry.name:
        case "Q4_0":
            return Unpacked(_nibbles(blocks[:, :, 2:]), 8, _half(blocks, 0))
        case "Q4_1":
            return Unpacked(_nibbles(blocks[:, :, 4:]), 0, _half(blocks, 0), m=_half(blocks, 2))
        case "Q5_0":
            return Unpacked(_five_bits(blocks[:, :, 2:6], blocks[:, :, 6:]), 16, _half(blocks, 0))
        case "Q5_1":
            q = _five_bits(blocks[:, :, 4:8], blocks[:, :, 8:])
            return Unpacked(q, 0, _half(blocks, 0), m=_half(blocks, 2))
        case "Q8_0":
            q = (blocks[:, :, 2:] ^ np.uint8(128)).reshape(outputs, -1)  # int8 + 128, without widening
            return Unpacked(q, 128, _half(blocks, 0))
        case "Q4_K":
            scales, mins = _scales_and_mins(blocks[:, :, 4:16])
            return Unpacked(_q4_k(blocks[:, :, 16:]), 0, _half(blocks, 0), scales, mins, _half(blocks, 2))
        case "Q5_K":
            scales, mins = _scales_and_mins(blocks[:, :, 4:16])
            q = _q5_k(blocks[:, :, 16:48], blocks[:, :, 48:])
            return Unpacked(q, 0, _half(blocks, 0), scales, mins, _half(blocks, 2))
        case "Q6_K":
            signed = np.ascontiguousarray(blocks[:, :, 192:208]).view(np.int8).reshape(outputs, -1)
            return Unpacked(_q6_k(blocks[:, :, :128], blocks[:, :, 128:192]), 32, _half(blocks, 208), signed)
        case _:
            raise ValueError(f"{entry.name} has no integer pieces")


def _half(blocks: Bytes, at: int) -> NDArray[np.float16]:
    """The float16 at byte `at` of each block: [outputs, blocks]."""
    return np.ascontiguousarray(blocks[:, :, at : at + 2]).view("<f2")[:, :, 0]


def _nibbles(packed: Bytes) -> Bytes:
    """[outputs, blocks, 16] → [outputs, inputs]: the low halves are inputs 0..15 of a block, the high ones 16..31."""
    outputs, blocks, _ = packed.shape
    q = np.empty((outputs, blocks, 2, 16), np.uint8)
    np.bitwise_and(packed, 15, out=q[:, :, 0])
    np.right_shift(packed, 4, out=q[:, :, 1])
    return q.reshape(outputs, -1)


def _five_bits(high: Bytes, low: Bytes) -> Bytes:
    """Bit i of the four `high` bytes is the fifth bit of input i of the block."""
    fifth = np.unpackbits(high, axis=2, bitorder="little").reshape(len(high), -1)
    fifth <<= 4
    fifth |= _nibbles(low)
    return fifth


def _scales_and_mins(packed: Bytes) -> tuple[Bytes, Bytes]:
    """[outputs, blocks, 12] → two of [outputs, blocks · 8], each 6 bits.

    Bytes 0-3 hold scales 0-3 and bytes 4-7 mins 0-3 in their lower 6 bits; the lower 4 bits of the others are in
    bytes 8-11 (scales low, mins high), their upper 2 bits in the spare bits of bytes 0-7.
    """
    outputs, blocks, _ = packed.shape
    first, second, third = packed[:, :, :4], packed[:, :, 4:8], packed[:, :, 8:]
    scales = np.concatenate([first & 63, third & 15 | first >> 2 & 48], axis=2)
    mins = np.concatenate([second & 63, third >> 4 | second >> 2 & 48], axis=2)
    return scales.reshape(outputs, blocks * 8), mins.reshape(outputs, blocks * 8)


def _q4_k(packed: Bytes) -> Bytes:
    """[outputs, blocks, 128] → [outputs, inputs]: 32 bytes hold two runs of 32, low halves first."""
    outputs, blocks, _ = packed.shape
    runs = packed.reshape(outputs, blocks, 4, 32)
    q = np.empty((outputs, blocks, 4, 2, 32), np.uint8)
    np.bitwise_and(runs, 15, out=q[:, :, :, 0])
    np.right_shift(runs, 4, out=q[:, :, :, 1])
    return q.reshape(outputs, -1)


def _q5_k(high: Bytes, low: Bytes) -> Bytes:
    """As Q4_K, and bit r of high byte i is the fifth bit of input i of run r."""
    outputs, blocks, _ = low.shape
    q = _q4_k(low).reshape(outputs, blocks, 8, 32)
    for run in range(8):
        fifth = high << 4 - run if run <= 4 else high >> run - 4
        fifth &= 16
        q[:, :, run] |= fifth
    return q.reshape(outputs, -1)


def _q6_k(low: Bytes, high: Bytes) -> Bytes:
    """Two halves of 128 inputs, each four runs of 32: 64 bytes of lower 4 bits, 32 bytes of upper 2 bits."""
    outputs, blocks, _ = low.shape
    q = np.empty((outputs, blocks, 2, 2, 64), np.uint8)
    lower = low.reshape(outputs, blocks, 2, 64)
    np.bitwise_and(lower, 15, out=q[:, :, :, 0])
    np.right_shift(lower, 4, out=q[:, :, :, 1])
    runs = q.reshape(outputs, blocks, 2, 4, 32)
    upper = high.reshape(outputs, blocks, 2, 32)
    for run in range(4):
        pair = upper << 4 - 2 * run if run <= 2 else upper >> 2 * run - 4
        pair &= 48
        runs[:, :, :, run] |= pair
    return q.reshape(outputs, -1)
