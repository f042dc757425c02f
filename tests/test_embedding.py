"""Embedding in generated code against `foretell.engine.dequantise`, bit for bit, in every format."""

import ctypes
from functools import cache, partial

import numpy as np
import pytest

from foretell.engine import isa as instruction_sets
from foretell.engine.dequantise import FORMATS, dequantise
from foretell.engine.jit import Library
from foretell.engine.kernels import embedding
from foretell.engine.kernels import frame as frames
from tiny import ISAS

ROWS = 37


@cache
def library(isa: str, name: str) -> Library:
    build = partial(embedding.build, name=name)
    return Library(f"embedding_{name}", embedding.exports(name), instruction_sets.ALL[isa], build, None)


def random_rows(name: str, width: int) -> np.ndarray:
    """Random bytes, so all bit patterns of quants and scales, but no infinite or undefined numbers."""
    rng = np.random.default_rng(FORMATS[name].type_id)
    data = rng.integers(0, 256, (ROWS, FORMATS[name].row_bytes(width)), np.uint8)
    if name in {"F32", "F16", "BF16"}:
        kind, largest = {"F32": ("<u4", 0x7F800000), "F16": ("<u2", 0x7C00), "BF16": ("<u2", 0x7F80)}[name]
        bits = data.view(kind)
        bits[(bits & largest) == largest] &= ~np.array(largest, kind)
        return data
    blocks = data.reshape(ROWS, -1, FORMATS[name].block_bytes)
    halves = {"Q6_K": (208,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q4_1": (0, 2), "Q5_1": (0, 2)}.get(name, (0,))
    for at in halves:
        high = blocks[:, :, at + 1]
        high[(high & 0x7C) == 0x7C] &= 0x83  # exponents of infinities become those of subnormal numbers
    return data


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", FORMATS)
def test_embedded_tokens_are_the_dequantised_rows(name: str, isa: str) -> None:
    width = 3 * max(FORMATS[name].block, 16)
    data = random_rows(name, width)
    tokens = np.random.default_rng(1).permutation(ROWS)
    frame = np.zeros(frames.TOKENS + ROWS, np.int64)
    frame[frames.TOKENS :] = tokens
    out = np.full((ROWS, width), np.nan, np.float32)
    record = np.zeros(embedding.FIELDS, np.int64)
    record[: embedding.OUT + 1] = frame.ctypes.data, data.ctypes.data, data.shape[1], width, out.ctypes.data
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
    run = call(library(isa, name)[f"embed_{name}"])
    run(record.ctypes.data, 0, 20, 0)
    run(record.ctypes.data, 20, ROWS, 1)
    expected = dequantise(name, data.reshape(-1), (ROWS, width))[tokens]
    assert np.isfinite(expected).all()
    assert out.tobytes() == expected.tobytes()
