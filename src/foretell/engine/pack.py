"""Weights rearranged for the kernels, done once per model, kept in the cache directory and read from there afterwards.

    pack file ::= magic (8 bytes), header length u64, header JSON, padding to 4096, tensors each aligned to 64

The header lists what lies where. It follows from the model, so a reader compares it with what it expects and believes
nothing else. Written under a temporary name and renamed, so an interrupted packing leaves nothing that could be
mistaken for a pack; what it leaves is removed by the next one. A lock makes a second process wait for the first.
"""

from __future__ import annotations

import contextlib
import errno
import json
import mmap
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from foretell.engine.approximate import Approximated
from foretell.engine.dequantise import dequantise, unpack
from foretell.engine.layout import GROUP, LAYOUTS, Layout, aligned, groups
from foretell.errors import ForetellError
from foretell.models.gguf import GGUF

VERSION = 1  # of the arrangement; a change makes old packs unused
_MAGIC = b"FTPACK01"
_PIECE = 16 << 20  # bytes of a file that a thread reads at a time
_ROWS = 256  # output rows packed at a time by one thread: pieces that stay near the processor
Bytes = NDArray[np.uint8]
Source = GGUF | Approximated


@dataclass(frozen=True, slots=True)
class Packed:
    """A tensor in a pack. `layout` is empty for vectors, which are float32 padded with zeros to 16."""

    layout: str
    outputs: int
    inputs: int
    offset: int
    n_bytes: int


@dataclass(frozen=True, slots=True)
class Weights:
    """An opened pack, as bytes in memory; some of its tensors may be those of another one.

    tensors: all. data: bytes of those that are not another's. other: the other one.
    """

    tensors: dict[str, Packed]
    data: Bytes
    other: Weights | None = None

    def address(self, name: str) -> int:
        """Where a tensor lies in memory."""
        if self.other is not None and name in self.other.tensors:
            return self.other.address(name)
        return int(self.data.ctypes.data) + self.tensors[name].offset

    def part(self, name: str) -> Bytes:
        """A tensor's bytes."""
        if self.other is not None and name in self.other.tensors:
            return self.other.part(name)
        packed = self.tensors[name]
        return self.data[packed.offset : packed.offset + packed.n_bytes]

    def joined(self, other: Weights) -> Weights:
        """With the other one's tensors in the place of those of the same names."""
        return Weights(self.tensors | other.tensors, self.data, other)


def pack_matrix(name: str, data: Bytes, outputs: int, inputs: int) -> Bytes:
    """A GGUF matrix (its bytes) in the packed arrangement of its format."""
    layout = LAYOUTS[name]
    out = np.zeros((groups(outputs), layout.group_bytes(inputs)), np.uint8)
    rows = data.reshape(outputs, -1)
    for start in range(0, outputs, _ROWS):
        stop = min(outputs, start + _ROWS)
        _pack_rows(layout, rows[start:stop], inputs, out[start // GROUP : groups(stop)])
    return out


def _pack_rows(layout: Layout, rows: Bytes, inputs: int, out: Bytes) -> None:
    outputs = len(rows)
    padding = -outputs % GROUP
    if layout.family == "float":
        _pack_float(layout, rows, inputs, padding, out)
        return
    pieces = unpack(layout.name, rows.reshape(-1), (outputs, inputs))
    quants, d = _padded(pieces.q, padding), _padded(pieces.d, padding)
    low, high = _quants(layout, quants, inputs)
    count, blocks = len(out), inputs // layout.block
    d16 = _halves(d)
    if layout.family == "block":
        parts = [low.reshape(count, -1), high.reshape(count, -1), d16.reshape(count, -1)]
        if layout.minimum and pieces.m is not None:
            parts.append(_halves(_padded(pieces.m, padding)).reshape(count, -1))
        at = 0
        for part in parts:
            out[:, at : at + part.shape[1]] = part
            at += part.shape[1]
        return
    block = out.reshape(count, blocks, layout.block_bytes)
    block[:, :, : 8 * layout.low_bytes] = low.reshape(count, blocks, -1)
    block[:, :, 8 * layout.low_bytes : layout.scales_at] = high.reshape(count, blocks, -1)
    if pieces.scales is None:
        raise ValueError(f"{layout.name} has no integer scales")
    scales = _padded(pieces.scales, padding).view(np.uint8).reshape(count, GROUP, blocks, -1)
    block[:, :, layout.scales_at : layout.minima_at] = scales.transpose(0, 2, 3, 1).reshape(count, blocks, -1)
    block[:, :, layout.d_at : layout.d_at + 32] = d16
    if layout.minimum and pieces.mins is not None and pieces.dmin is not None:
        minima = _padded(pieces.mins, padding).reshape(count, GROUP, blocks, 4, 2).transpose(0, 2, 3, 1, 4)
        block[:, :, layout.minima_at : layout.d_at] = minima.reshape(count, blocks, -1)
        block[:, :, layout.d_at + 32 : layout.d_at + 64] = _halves(_padded(pieces.dmin, padding))


def _padded(rows: NDArray[np.generic], padding: int) -> NDArray[np.generic]:
    return np.pad(rows, ((0, padding), (0, 0))) if padding else rows


def _halves(d: NDArray[np.generic]) -> Bytes:
    """[16 g, blocks] of f16 to bytes [g, blocks, 32]."""
    count, blocks = len(d) // GROUP, d.shape[1]
    turned = np.ascontiguousarray(d.astype(np.float16).reshape(count, GROUP, blocks).transpose(0, 2, 1))
    return turned.view(np.uint8).reshape(count, blocks, 32)


def _quants(layout: Layout, quants: NDArray[np.generic], inputs: int) -> tuple[Bytes, Bytes]:
    """Low and high parts, [groups, runs of 32, bytes]. See `foretell.engine.layout`."""
    count, runs = len(quants) // GROUP, inputs // 32
    # [group, run, vector, 64 bytes]: four inputs of sixteen outputs are one vector
    vectors: Bytes = (
        np.ascontiguousarray(quants.view(np.uint32).reshape(count, GROUP, runs, 8).transpose(0, 2, 3, 1))
        .view(np.uint8)
        .reshape(count, runs, 8, 64)
    )
    if layout.low == 8:
        return vectors, np.zeros((count, runs, 0), np.uint8)
    low: Bytes = (vectors[:, :, 0::2] & np.uint8(15)) | (vectors[:, :, 1::2] << np.uint8(4))
    if layout.high == 0:
        return low, np.zeros((count, runs, 0), np.uint8)
    above: Bytes = vectors >> np.uint8(4)
    per_line = 8 // layout.high
    high: Bytes = np.zeros((count, runs, 8 // per_line, 64), np.uint8)
    for v in range(8):
        high[:, :, v // per_line] |= above[:, :, v] << np.uint8(layout.high * (v % per_line))
    return low, high


def _pack_float(layout: Layout, rows: Bytes, inputs: int, padding: int, out: Bytes) -> None:
    kind = {2: np.uint16, 4: np.uint32}[layout.item_bytes]
    items = _padded(np.ascontiguousarray(rows).view(kind), padding)
    turned = np.ascontiguousarray(items.reshape(len(out), GROUP, inputs).transpose(0, 2, 1))
    flat = turned.view(np.uint8).reshape(len(out), -1)
    out[:, : flat.shape[1]] = flat


def plan(source: Source, skip: frozenset[str]) -> tuple[dict[str, Packed], int]:
    """Where each tensor will lie, offsets from the first tensor, and the bytes of all."""
    tensors, at = {}, 0
    for name, tensor in source.tensors.items():
        if name in skip:
            continue
        if len(tensor.shape) == 1:
            packed = Packed("", 1, tensor.shape[0], at, aligned(4 * tensor.shape[0]))
        else:
            outputs, inputs = tensor.shape
            packed = Packed(tensor.format, outputs, inputs, at, LAYOUTS[tensor.format].bytes(outputs, inputs))
        tensors[name] = packed
        at += aligned(packed.n_bytes)
    return tensors, at


def pack(
    source: Source, skip: frozenset[str], progress: Callable[[int, int], None] | None = None
) -> tuple[dict[str, Packed], Bytes]:
    """Pack a model in memory. progress(done bytes, all bytes) is called from the calling thread."""
    tensors, total = plan(source, skip)
    out = _memory(total)
    _fill(source, tensors, out, total, progress)
    return tensors, out


def _fill(
    source: Source, tensors: dict[str, Packed], out: Bytes, total: int, progress: Callable[[int, int], None] | None
) -> None:
    """Pack all tensors into `out`, which holds zeros: in pieces, so that an interrupt need not wait long."""

    def one(piece: tuple[str, int]) -> int:
        name, start = piece
        packed = tensors[name]
        stop = min(packed.outputs, start + _ROWS)
        rows, image = source.rows(name, start, stop), out[packed.offset : packed.offset + packed.n_bytes]
        if not packed.layout:
            values = dequantise(source.tensors[name].format, rows.reshape(-1), (packed.inputs,)).view(np.uint8)
            image[: values.size] = values
            return packed.n_bytes
        part = image.reshape(groups(packed.outputs), -1)[start // GROUP : groups(stop)]
        _pack_rows(LAYOUTS[packed.layout], rows, packed.inputs, part)
        return packed.n_bytes * (stop - start) // packed.outputs

    done = 0
    pool = ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1))
    try:
        pieces = [(name, start) for name, packed in tensors.items() for start in range(0, packed.outputs, _ROWS)]
        for size in pool.map(one, pieces):
            done += size
            if progress is not None:
                progress(done, total)
    finally:
        pool.shutdown(cancel_futures=True)
    if progress is not None:
        progress(total, total)  # shares of matrices were rounded down


def _head(tensors: dict[str, Packed]) -> bytes:
    """The beginning of a pack file, up to the first tensor."""
    text = json.dumps({name: astuple(packed) for name, packed in tensors.items()}).encode()
    head = _MAGIC + len(text).to_bytes(8, "little") + text
    return head.ljust(aligned(len(head), 4096), b"\0")


def open_pack(path: Path, source: Source, skip: frozenset[str], unread: frozenset[str] = frozenset()) -> Weights | None:
    """The weights of a pack file, or None where there is none or it is not a whole pack of this model.

    unread: tensors that nobody will look at; they take no memory.
    """
    tensors, total = plan(source, skip)
    head = _head(tensors)
    try:
        with path.open("rb") as file:
            if file.read(len(head)) != head or os.fstat(file.fileno()).st_size != len(head) + total:
                return None
            gaps = [tensors[name] for name in unread if name in tensors]
            data = _read(file, len(head), total, sorted((each.offset, each.offset + each.n_bytes) for each in gaps))
    except OSError:
        return None
    return Weights(tensors, data)


def _read(file: BinaryIO, start: int, size: int, gaps: Sequence[tuple[int, int]]) -> Bytes:
    """Bytes of a file in memory, without those of some gaps (from, to) in them, ascending."""
    if not hasattr(os, "preadv"):
        return np.memmap(file, np.uint8, "r", offset=start, shape=(size,))
    memory = _memory(size)
    view = memory.data

    ends = [0, *(place for gap in gaps for place in gap), size]
    pieces = [
        (at, min(at + _PIECE, last))
        for first, last in zip(ends[::2], ends[1::2], strict=True)
        for at in range(first, last, _PIECE)
    ]

    def piece(span: tuple[int, int]) -> None:
        at, end = span
        while at < end:
            got = os.preadv(file.fileno(), [view[at:end]], start + at)
            if not got:
                raise OSError("the file became shorter")
            at += got

    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        list(pool.map(piece, pieces))
    return memory


def _memory(size: int) -> Bytes:
    """Zeros, in huge pages where the system has them (docs/adr/0005-weights-in-huge-pages.md)."""
    if not hasattr(mmap, "MAP_ANONYMOUS"):
        return np.zeros(size, np.uint8)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel built without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, np.uint8)


def write_pack(
    path: Path, source: Source, skip: frozenset[str], progress: Callable[[int, int], None] | None = None
) -> Weights:
    """Pack a model, unless another process does so meanwhile, and keep it in a file."""
    tensors, total = plan(source, skip)
    head = _head(tensors)
    partial = f".partial-{path.stem}-"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            weights = open_pack(path, source, skip)
            if weights is not None:
                return weights
            for left in path.parent.glob(f"{partial}*"):
                left.unlink(missing_ok=True)  # of a process that was killed: we hold the lock
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=partial)
            try:
                with os.fdopen(handle, "r+b") as file:
                    _reserve(file.fileno(), len(head) + total)
                    tensors, data = pack(source, skip, progress)
                    file.write(head)
                    for at in range(0, total, _PIECE):  # so that an interrupt need not wait for all
                        file.write(data[at : at + _PIECE].data)
                Path(temporary).replace(path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
    except OSError as error:
        reason = error.strerror or error
        raise ForetellError(
            f"cannot write the packed weights ({(len(head) + total) / 1e9:.1f} GB) to {path.parent}: {reason}; "
            "free space there or set FORETELL_CACHE to another directory"
        ) from error
    return Weights(tensors, data)


def _reserve(handle: int, size: int) -> None:
    """Take the disk space now: running out later, inside a memory map, would kill the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, size)
        return
    if shutil.disk_usage(handle).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.ftruncate(handle, size)
