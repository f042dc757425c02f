"""Rows picked out of a packed matrix: a packed matrix again, without unpacking a weight.

The 16 outputs of a group lie side by side in every layout (`foretell.engine.layout`), as equally wide lanes of lines.
So an output is one lane of all lines of its group, whatever its format, and moving it copies these.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foretell.engine.layout import GROUP, Layout

Lanes = list[NDArray[np.unsignedinteger]]  # views [groups, blocks, lines, 16], one for each part of a layout


def lanes(packed: NDArray[np.uint8], layout: Layout, inputs: int) -> Lanes:
    """A packed matrix, uint8 [bytes], as views of its lanes: the last axis is the output within its group."""
    matrix = packed.reshape(-1, layout.group_bytes(inputs))
    blocks = matrix[:, None, :]
    if layout.family == "superblock":
        blocks = matrix.reshape(len(matrix), inputs // layout.block, layout.block_bytes)
    out, at = Lanes(), 0
    for start, lines, width in _parts(layout, inputs):
        at = at if start is None else start
        stop = at + GROUP * lines * width
        if lines:
            part = blocks[:, :, at:stop].view({1: np.uint8, 2: np.uint16, 4: np.uint32}[width])
            out.append(part.reshape(*blocks.shape[:2], lines, GROUP, copy=False))
        at = stop
    return out


def move(source: Lanes, outputs: NDArray[np.int64], target: Lanes, places: NDArray[np.int64]) -> None:
    """Copy outputs of one matrix to places in another one of the same layout and inputs."""
    at, lane = np.divmod(outputs, GROUP)
    to, into = np.divmod(places, GROUP)
    for theirs, ours in zip(source, target, strict=True):
        ours[to, :, :, into] = theirs[at, :, :, lane]


def _parts(layout: Layout, inputs: int) -> list[tuple[int | None, int, int]]:
    """Of a group, or of a superblock in it: (first byte, None where the last part ends; lines; bytes of a lane)."""
    low, high = layout.low_bytes // 64, layout.high_bytes // 64  # lines of 32 inputs
    match layout.family:
        case "float":
            return [(0, inputs, layout.item_bytes)]
        case "superblock":
            runs = layout.block // 32
            minima = [(layout.minima_at, runs // 2, 2)] if layout.minimum else []
            scales = (layout.scales_at, layout.block // layout.sub, 1)
            return [(0, runs * low, 4), (None, runs * high, 4), scales, *minima, (layout.d_at, 1 + layout.minimum, 2)]
        case _:
            blocks = inputs // layout.block
            return [(0, blocks * low, 4), (None, blocks * high, 4), (None, blocks * (1 + layout.minimum), 2)]
