"""Each kernel alone against NumPy, through the same records that programs fill in."""

import ctypes
import math
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from foretell.engine.dequantise import FORMATS, dequantise
from foretell.engine.isa import choose
from foretell.engine.kernels import Kernels, attention, product
from foretell.engine.kernels import frame as frames
from foretell.engine.layout import ACTIVATIONS, GROUP, LAYOUTS, PAGE, groups, page_layer_bytes
from foretell.engine.pack import pack_matrix
from foretell.engine.team import i64
from tiny import ISAS

FAMILIES = {"superblock": 256, "block": 32, "float": 1}
INPUTS = {"superblock": 768, "block": 160, "float": 100}
ROW_COUNTS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33)


class Bench:
    """Runs kernels of one instruction set."""

    def __init__(self, instructions: str, cache_dir: Path) -> None:
        self.isa = choose(instructions)
        self.kernels = Kernels(self.isa, LAYOUTS, (), cache_dir / "code")
        self._keep: list[object] = []

    def run(self, kernel: str, fields: list[int], begin: int, end: int) -> None:
        record = i64(len(fields))
        record[:] = fields
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
        kind(self.kernels[kernel])(record.ctypes.data, begin, end, 0)

    def at(self, array: np.ndarray | None) -> int:
        """The address of an array, which is kept alive."""
        self._keep.append(array)
        return 0 if array is None else int(array.ctypes.data)

    def buffer(self, n_bytes: int) -> np.ndarray:
        """Bytes that a kernel writes, filled with what would be noticed, and some room behind as programs have it."""
        raw = i64(n_bytes // 8 + 2048).view(np.uint8)
        raw[:] = 0xA5
        return raw

    def counts(self, rows: int) -> int:
        counts = i64(8)
        counts[:2] = rows, rows
        return self.at(counts)


@pytest.fixture(scope="module", params=ISAS)
def bench(request: pytest.FixtureRequest, cache_dir: Path) -> Iterator[Bench]:
    return Bench(request.param, cache_dir)


class Forms:
    """The quantised forms of rows [rows][width], as the kernels leave them."""

    def __init__(self, bench: Bench, rows: int, width: int, families: tuple[str, ...]) -> None:
        self.rows, self.width, self.tile = rows, width, bench.isa.tile
        self.parts = {f: [bench.buffer(size * rows) for size in ACTIVATIONS[f].sizes(width)] for f in families}
        address = {f: [bench.at(part) for part in parts] for f, parts in self.parts.items()}
        none = [0, 0, 0]
        self.counts = bench.counts(rows)
        self.fields = [
            self.counts,
            width,
            *address.get("superblock", none),
            *address.get("block", none),
            address.get("float", none)[0],
        ]
        self.addresses = address

    def _rows(self, part: np.ndarray, item: int, blocks: int) -> np.ndarray:
        """[rows, blocks, item bytes] from tiles [blocks][rows of the tile][item]."""
        out, at = [], 0
        for first in range(0, self.rows, self.tile):
            count = min(self.tile, self.rows - first)
            size = count * blocks * item
            out.append(part[at : at + size].reshape(blocks, count, item).transpose(1, 0, 2))
            at += size
        assert (part[at : at + 64] == 0xA5).all()  # nothing is written behind
        return np.ascontiguousarray(np.concatenate(out))

    def values(self, family: str) -> np.ndarray:
        """int8 [rows, blocks, block], or float32 [rows, width]."""
        if family == "float":
            return self._rows(self.parts[family][0], 4, self.width).view(np.float32).reshape(self.rows, -1)
        block = FAMILIES[family]
        return self._rows(self.parts[family][0], block, self.width // block).view(np.int8)

    def scales(self, family: str) -> np.ndarray:
        return self._rows(self.parts[family][1], 4, self.width // FAMILIES[family]).view(np.float32)[:, :, 0]

    def sums(self, family: str) -> np.ndarray:
        """uint8 [rows, blocks, bytes]."""
        return self._rows(self.parts[family][2], ACTIVATIONS[family].sums_bytes, self.width // FAMILIES[family])


def activations(rows: int, width: int, seed: int = 0) -> np.ndarray:
    """Normal numbers of very different sizes, with outliers, zeros and blocks too small to be scaled."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (rows, width)) * 10.0 ** rng.integers(-3, 4, (rows, 1))
    x[:, :: max(2, width // 5)] *= 30
    x[rows // 2, : width // 2] = 0
    x[rows // 3] *= 1e-36 if rows > 2 else 1
    return x.astype(np.float32)


def expected_form(x: np.ndarray, block: int) -> tuple[np.ndarray, np.ndarray]:
    """int8 values [rows, blocks, block] and float32 scales [rows, blocks], by the kernels' definition in float32."""
    cut = x.reshape(len(x), -1, block)
    largest = np.abs(cut).max(axis=2)
    usable = largest > np.float32(1e-30)
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.where(usable, np.float32(127) / largest, np.float32(0))
    scale = np.where(usable, largest * np.float32(1 / 127), np.float32(0))
    return np.rint(cut * inverse[:, :, None]).astype(np.int8), scale


def quantised(bench: Bench, x: np.ndarray, families: tuple[str, ...]) -> Forms:
    rows, width = x.shape
    forms = Forms(bench, rows, width, families)
    bench.run("quantise", [*forms.fields, bench.at(x), width], 0, rows * -(-width // 1024))
    return forms


def check_forms(forms: Forms, x: np.ndarray, families: tuple[str, ...]) -> None:
    """Values, scales and sums of all forms are those of x, exactly."""
    for family in families:
        values = forms.values(family)
        if family == "float":
            assert values.tobytes() == x.tobytes()
            continue
        expected, scales = expected_form(x, FAMILIES[family])
        assert np.array_equal(values, expected)
        assert np.array_equal(forms.scales(family), scales)
        sums, wide = forms.sums(family), expected.astype(np.int32)
        if family == "block":
            total = wide.sum(axis=2)
            assert np.array_equal(sums[:, :, :4].copy().view(np.int32)[:, :, 0], -total)
            assert np.array_equal(sums[:, :, 4:].copy().view(np.float32)[:, :, 0], total.astype(np.float32) * scales)
        else:
            by16 = wide.reshape(*wide.shape[:2], 16, 16).sum(axis=3)
            by32 = wide.reshape(*wide.shape[:2], 8, 32).sum(axis=3)
            assert np.array_equal(sums[:, :, :64].copy().view(np.int32), -32 * by16)
            assert np.array_equal(sums[:, :, 64:].copy().view(np.int16), by32)


@pytest.mark.parametrize("rows", ROW_COUNTS)
def test_quantise(bench: Bench, rows: int) -> None:
    for width, families in ((2304, ("superblock", "block", "float")), (160, ("block",)), (37, ("float",))):
        x = activations(rows, width)
        check_forms(quantised(bench, x, families), x, families)


@pytest.mark.parametrize("rows", [1, 5, 17])
def test_norm(bench: Bench, rows: int) -> None:
    width, families = 512, ("superblock", "block", "float")
    x = activations(rows + 3, width)
    weight = np.random.default_rng(1).normal(1, 0.2, width).astype(np.float32)
    gather = np.random.default_rng(2).permutation(rows + 3)[:rows].astype(np.int64)
    for rows_of in (None, gather):
        forms = Forms(bench, rows, width, families)
        bits = struct.unpack("<I", struct.pack("<f", 1e-5))[0]
        normed = bench.buffer(4 * width)
        fields = [*forms.fields, bench.at(x), width, bench.at(weight), bits, bench.at(rows_of), bench.at(normed)]
        bench.run("norm", fields, 0, rows)
        source = x[:rows] if rows_of is None else x[rows_of]
        exact = source.astype(np.float64) / np.sqrt((source.astype(np.float64) ** 2).mean(axis=1, keepdims=True) + 1e-5)
        got = forms.values("float")
        assert np.allclose(got, exact * weight, rtol=2e-6, atol=1e-30)
        check_forms(forms, got, families)


def random_matrix(name: str, outputs: int, inputs: int, seed: int) -> np.ndarray:
    """Bytes of a GGUF matrix with all quants and integer scales among them, and float scales of both signs."""
    rng = np.random.default_rng(seed)
    entry = FORMATS[name]
    if entry.family == "float":
        values = rng.normal(0, 1, (outputs, inputs)).astype(np.float32)
        if name == "BF16":
            return np.ascontiguousarray(values.view(np.uint16)[:, 1::2]).view(np.uint8)
        return values.astype(np.float16 if name == "F16" else np.float32).view(np.uint8)
    blocks = rng.integers(0, 256, (outputs, inputs // entry.block, entry.block_bytes), np.uint8)
    blocks[0, 0] = 255  # the greatest quants
    halves = rng.normal(0, 0.01, (*blocks.shape[:2], 2)).astype(np.float16)
    halves[1] = 6e-8  # the smallest subnormal
    raw = halves.view(np.uint8).reshape(*blocks.shape[:2], 4)
    if name == "Q6_K":
        blocks[:, :, 208:] = raw[:, :, :2]
    elif LAYOUTS[name].minimum:
        blocks[:, :, :4] = raw
    else:
        blocks[:, :, :2] = raw[:, :, :2]
    return blocks.reshape(outputs, -1)


def product_fields(
    bench: Bench, name: str, weights: np.ndarray, inputs: int, forms: Forms, out: np.ndarray, stride: int
) -> list[int]:
    layout = LAYOUTS[name]
    fields = [0] * product.FIELDS
    fields[product.WEIGHTS], fields[product.GROUP_BYTES] = bench.at(weights), layout.group_bytes(inputs)
    fields[product.BLOCKS] = inputs // layout.block
    fields[product.VALUES], fields[product.SCALES], fields[product.SUMS] = forms.addresses[layout.family]
    fields[product.OUT], fields[product.OUT_STRIDE], fields[product.ROWS] = bench.at(out), stride, forms.counts
    fields[product.SCRATCH] = bench.at(bench.buffer(product.scratch_bytes(forms.rows)))
    fields[product.SCRATCH_BYTES] = product.scratch_bytes(forms.rows)
    return fields


def rounded(forms: Forms, family: str) -> np.ndarray:
    """The rows as the product sees them, float64."""
    if family == "float":
        return forms.values("float").astype(np.float64)
    values = forms.values(family) * forms.scales(family).astype(np.float64)[:, :, None]
    return values.reshape(forms.rows, -1)


@pytest.mark.parametrize("name", LAYOUTS)
def test_product(bench: Bench, name: str) -> None:
    """Against float64 on the rounded rows; each row's bits are those that it has alone."""
    family = LAYOUTS[name].family
    outputs, inputs = 40, INPUTS[family]
    data = random_matrix(name, outputs, inputs, 3)
    weights = pack_matrix(name, data.reshape(-1), outputs, inputs)
    wide = dequantise(name, data, (outputs, inputs)).astype(np.float64)
    stride = groups(outputs) * GROUP
    x = activations(max(ROW_COUNTS), inputs, 4)
    bias = np.zeros(stride, np.float32)
    bias[:outputs] = np.random.default_rng(5).normal(0, 1, outputs)
    alone = [_alone(bench, name, weights, inputs, x[row : row + 1], stride) for row in range(len(x))]
    for rows in ROW_COUNTS:
        forms = quantised(bench, x[:rows], (family,))
        exact = rounded(forms, family) @ wide.T
        size = np.abs(rounded(forms, family)) @ np.abs(wide).T + 1e-30
        out = np.full((rows, stride), 7, np.float32)
        fields = product_fields(bench, name, weights, inputs, forms, out, stride)
        bench.run(f"product_{name}", fields, 0, groups(outputs))
        # Each of a few hundred float32 operations adds at most 2^-24 of the magnitudes summed so far.
        assert np.max(np.abs(out[:, :outputs] - exact) / size) < 2e-6
        assert (out[:, outputs:] == 0).all()
        assert [row.tobytes() for row in out] == alone[:rows]
        plain = out.copy()
        fields[product.BIAS], fields[product.ADD] = bench.at(bias), 1
        bench.run(f"product_{name}", fields, 1, groups(outputs))  # not the first group
        assert np.array_equal(out[:, :GROUP], plain[:, :GROUP])
        assert np.array_equal(out[:, GROUP:], (plain + bias)[:, GROUP:] + plain[:, GROUP:])


def _alone(bench: Bench, name: str, weights: np.ndarray, inputs: int, x: np.ndarray, stride: int) -> bytes:
    forms = quantised(bench, np.ascontiguousarray(x), (LAYOUTS[name].family,))
    out = np.zeros((1, stride), np.float32)
    bench.run(f"product_{name}", product_fields(bench, name, weights, inputs, forms, out, stride), 0, stride // GROUP)
    return out.tobytes()


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("rows", [1, 3, 9, 17])
def test_gated(bench: Bench, name: str, rows: int) -> None:
    """Silu of one product times another: against the two products."""
    family = LAYOUTS[name].family
    outputs, inputs = 48, INPUTS[family]
    matrices = [
        pack_matrix(name, random_matrix(name, outputs, inputs, seed).reshape(-1), outputs, inputs) for seed in (6, 7)
    ]
    x = np.random.default_rng(8).normal(0, 1, (rows, inputs)).astype(np.float32)
    forms = quantised(bench, x, (family,))
    outs = [np.zeros((rows, outputs), np.float32) for _ in range(3)]
    for matrix, out in zip(matrices, outs, strict=False):
        bench.run(f"product_{name}", product_fields(bench, name, matrix, inputs, forms, out, outputs), 0, 3)
    fields = product_fields(bench, name, matrices[0], inputs, forms, outs[2], outputs)
    fields[product.WEIGHTS2], fields[product.GROUP_BYTES2] = bench.at(matrices[1]), LAYOUTS[name].group_bytes(inputs)
    bench.run(f"gated_{name}", fields, 0, 3)
    gate, up = (out.astype(np.float64) for out in outs[:2])
    assert np.allclose(outs[2], gate / (1 + np.exp(-gate.clip(-80))) * up, rtol=1e-5, atol=1e-25)


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("norms", [False, True])
@pytest.mark.parametrize("half", [24, 16])
def test_rope_store(bench: Bench, interleaved: bool, norms: bool, half: int) -> None:
    heads, kv_heads, size, rows = 6, 2, 48, 5
    rng = np.random.default_rng(9)
    stride = (heads + 2 * kv_heads) * size
    qkv = rng.normal(0, 2, (rows, stride)).astype(np.float32)
    qkv[0, -1] = 1e6  # beyond a half's range
    before = qkv.astype(np.float64).reshape(rows, -1, size)
    angles = rng.uniform(0, 7, (50, half))
    cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    weights = [rng.normal(1, 0.2, size).astype(np.float32) if norms else None for _ in range(2)]
    positions, slots = np.array([3, 49, 0, 17, 18]), np.array([3, PAGE - 1, 0, 17, 16])
    layer_at = page_layer_bytes(kv_heads, size)
    pages = [np.zeros(2 * layer_at // 2, np.float16) for _ in range(2)]
    which = [0, 1, 1, 0, 1]
    key_at = np.array([pages[k].ctypes.data for k in which])
    bits = struct.unpack("<I", struct.pack("<f", 1e-6))[0]
    fields = [bench.counts(rows), bench.at(qkv), stride, heads, kv_heads, size, half, bench.at(cos), bench.at(sin)]
    fields += [
        bench.at(positions),
        bench.at(key_at),
        bench.at(slots),
        layer_at,
        *(bench.at(w) for w in weights),
        bits,
        int(interleaved),
    ]
    bench.run("rope_store", fields, 0, rows)

    expected = before.copy()
    for head in range(heads + kv_heads):
        weight = weights[head >= heads]
        if weight is not None:
            expected[:, head] *= weight / np.sqrt((expected[:, head] ** 2).mean(axis=1, keepdims=True) + 1e-6)
        first, second = (
            (slice(0, 2 * half, 2), slice(1, 2 * half, 2)) if interleaved else (slice(half), slice(half, 2 * half))
        )
        a, b = expected[:, head, first].copy(), expected[:, head, second].copy()
        c, s = cos[positions], sin[positions]
        expected[:, head, first], expected[:, head, second] = a * c - b * s, a * s + b * c
    got = qkv.reshape(rows, -1, size)
    assert np.allclose(got, expected, rtol=1e-5, atol=1e-5)
    halves = got.clip(-65504, 65504).astype(np.float16)
    for row in range(rows):
        layer = pages[which[row]][layer_at // 2 :]
        keys = layer[: layer.size // 2].reshape(kv_heads, PAGE // 16, size, 16)
        values = layer[layer.size // 2 :].reshape(kv_heads, PAGE, size)
        slot = int(slots[row])
        assert np.array_equal(keys[:, slot >> 4, :, slot & 15], halves[row, heads : heads + kv_heads])
        assert np.array_equal(values[:, slot], halves[row, heads + kv_heads :])
    assert all((page[: layer_at // 2] == 0).all() for page in pages)  # the other layer


@pytest.mark.parametrize("length", [1, 15, PAGE, PAGE + 1, 2 * PAGE + 77])
@pytest.mark.parametrize(("heads", "kv_heads", "size"), [(6, 2, 48), (1, 1, 16), (14, 2, 64), (2, 2, 256)])
def test_attend(bench: Bench, length: int, heads: int, kv_heads: int, size: int) -> None:
    """Rows that see different lengths, some of it off the trunk, against float64; with and without partial results."""
    rng = np.random.default_rng(10)
    rows, layer_at = 11, page_layer_bytes(kv_heads, size)
    side_counts = [k % 4 if k else 0 for k in range(rows)]
    seen = [max(0 if side_counts[k] else 1, length - 3 * (k % 3)) for k in range(rows)]
    lengths = [seen[k] + side_counts[k] for k in range(rows)]
    spans = [-(-n // PAGE) for n in lengths]
    pages = [
        rng.normal(0, 1, layer_at).astype(np.float16) for _ in range(max(spans) + 1)
    ]  # two layers; the last is the side's
    side_slots = rng.permutation(PAGE)[: sum(side_counts)].astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(side_counts)[:-1]])
    stride = (heads + 2 * kv_heads) * size
    qkv = rng.normal(0, 2, (rows, stride)).astype(np.float32)
    table = np.array([[seen[k], starts[k], side_counts[k], spans[k]] for k in range(rows)], np.int64)
    addresses = np.array([page.ctypes.data for page in pages], np.int64)
    side = addresses[-1:].copy()
    width = heads * size

    def run(partial: bool) -> np.ndarray:
        out = np.zeros((rows, width), np.float32)
        starts_of = range(0, rows, frames.TILE_ROWS)
        tiles = [(k, min(frames.TILE_ROWS, rows - k), addresses.ctypes.data, max(spans)) for k in starts_of]
        work = np.array(tiles, np.int64)
        frame = np.zeros(frames.TOKENS, np.int64)
        partials = bench.buffer(4 * rows * heads * max(spans) * attention.partial_floats(size))
        frame[frames.ROWS] = rows
        frame[frames.ROW_TABLE], frame[frames.TILE_TABLE] = bench.at(table), bench.at(work)
        frame[frames.SIDE], frame[frames.SIDE_SLOTS] = bench.at(side), bench.at(side_slots)
        frame[frames.PARTIALS], frame[frames.SPANS], frame[frames.SPLIT] = bench.at(partials), max(spans), partial
        scratch = bench.buffer(attention.scratch_bytes(heads // kv_heads))
        bits = struct.unpack("<I", struct.pack("<f", size**-0.5))[0]
        fields = [bench.at(qkv), stride, heads, kv_heads, size, bits, layer_at, bench.at(frame)]
        fields += [bench.at(out), width, bench.at(scratch), 0]
        bench.run("attend", fields, 0, len(tiles) * kv_heads * (max(spans) if partial else 1))
        if partial:
            bench.run("merge", fields, 0, rows * heads)
        return out

    whole, merged = run(False), run(True)
    assert whole.tobytes() == merged.tobytes()
    layers = [page[layer_at // 2 :] for page in pages]
    keys = [layer[: layer.size // 2].reshape(kv_heads, PAGE // 16, size, 16) for layer in layers]
    keys = [np.moveaxis(k, 3, 2).reshape(kv_heads, PAGE, size).astype(np.float64) for k in keys]
    values = [layer[layer.size // 2 :].reshape(kv_heads, PAGE, size).astype(np.float64) for layer in layers]
    for row in range(rows):
        mine = side_slots[starts[row] : starts[row] + side_counts[row]]
        for head in range(heads):
            kv = head // (heads // kv_heads)
            k, v = (
                np.concatenate([*(page[kv] for page in of[:-1]), np.zeros((0, size))])[: seen[row]]
                for of in (keys, values)
            )
            k, v = np.concatenate([k, keys[-1][kv, mine]]), np.concatenate([v, values[-1][kv, mine]])
            weights = k @ qkv[row, head * size : (head + 1) * size].astype(np.float64) / math.sqrt(size)
            weights = np.exp(weights - weights.max())
            exact = weights @ v / weights.sum()
            assert np.allclose(whole[row, head * size : (head + 1) * size], exact, rtol=1e-4, atol=2e-5)
