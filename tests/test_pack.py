"""Packed weights: the arrangement itself, and the file that holds it."""

import errno
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.engine import pack as packing
from foretell.engine.dequantise import FORMATS, Unpacked, dequantise, unpack
from foretell.engine.layout import GROUP, LAYOUTS, Layout, groups
from foretell.engine.native import NativeModel
from foretell.engine.pack import open_pack, pack, pack_matrix, plan, write_pack
from foretell.errors import ForetellError
from foretell.models.gguf import GGUF
from tiny import Zoo

NOTHING = frozenset[str]()


@pytest.fixture
def gguf(zoo: Zoo) -> Iterator[GGUF]:
    with GGUF.open(zoo.path("qwen2")) as gguf:
        yield gguf


def unpacked_quants(layout: Layout, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """[16, 32] quants of one run, bit by bit as the layout's description has them."""
    quants = np.zeros((GROUP, 32), np.uint8)
    for vector in range(8):
        for byte in range(64):
            if layout.low == 8:
                quant = low[64 * vector + byte]
            else:
                quant = low[64 * (vector // 2) + byte] >> (4 * (vector % 2)) & 15
            if layout.high == 1:
                quant |= (high[byte] >> vector & 1) << 4
            elif layout.high == 2:
                quant |= (high[64 * (vector // 4) + byte] >> 2 * (vector % 4) & 3) << 4
            quants[byte // 4, 4 * vector + byte % 4] = quant
    return quants


def halves(data: np.ndarray, at: int) -> np.ndarray:
    """Bits of the 16 halves at a byte."""
    return data[at : at + 32].view(np.uint16)


def of_family(family: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", [name for name, layout in LAYOUTS.items() if layout.family == family])


def packed(name: str, outputs: int, inputs: int) -> tuple[Unpacked, list[tuple[slice, np.ndarray]]]:
    """Parts of a random matrix, and for each packed group which outputs it holds and its bytes."""
    data = _random(name, outputs, inputs)
    image = pack_matrix(name, data, outputs, inputs)
    spans = [slice(first, min(first + GROUP, outputs)) for first in range(0, outputs, GROUP)]
    assert image.shape == (len(spans), LAYOUTS[name].group_bytes(inputs))
    return unpack(name, data, (outputs, inputs)), list(zip(spans, image, strict=True))


@of_family("superblock")
def test_superblocks_come_back(name: str) -> None:
    layout = LAYOUTS[name]
    pieces, image = packed(name, 19, 512)
    for rows, group in image:
        count = rows.stop - rows.start
        for number, block in enumerate(group.reshape(2, layout.block_bytes)):
            for run in range(8):
                low, high = block[run * layout.low_bytes :], block[8 * layout.low_bytes + run * layout.high_bytes :]
                at = 256 * number + 32 * run
                assert np.array_equal(unpacked_quants(layout, low, high)[:count], pieces.q[rows, at : at + 32])
            per_block = 256 // layout.sub
            of_block = slice(per_block * number, per_block * number + per_block)
            scales = block[layout.scales_at : layout.minima_at].reshape(per_block, GROUP).T
            assert pieces.scales is not None
            assert np.array_equal(scales[:count], pieces.scales[rows, of_block].view(np.uint8))
            d = halves(block, layout.d_at)
            assert np.array_equal(d[:count], pieces.d[rows, number].view(np.uint16))
            assert (d[count:] == 0).all()
            if layout.minimum:
                assert pieces.mins is not None
                assert pieces.dmin is not None
                minima = block[layout.minima_at : layout.d_at].reshape(4, GROUP, 2).transpose(1, 0, 2).reshape(GROUP, 8)
                assert np.array_equal(minima[:count], pieces.mins[rows, of_block])
                dmin = halves(block, layout.d_at + 32)
                assert np.array_equal(dmin[:count], pieces.dmin[rows, number].view(np.uint16))


@of_family("block")
def test_blocks_come_back(name: str) -> None:
    layout, blocks = LAYOUTS[name], 3
    pieces, image = packed(name, 19, 32 * blocks)
    high_at = blocks * layout.low_bytes
    d_at = high_at + blocks * layout.high_bytes
    for rows, group in image:
        count = rows.stop - rows.start
        for block in range(blocks):
            low, high = group[block * layout.low_bytes :], group[high_at + block * layout.high_bytes :]
            quants = unpacked_quants(layout, low, high)
            assert np.array_equal(quants[:count], pieces.q[rows, 32 * block : 32 * block + 32])
            d = halves(group, d_at + 32 * block)
            assert np.array_equal(d[:count], pieces.d[rows, block].view(np.uint16))
            assert (d[count:] == 0).all()
            if layout.minimum:
                assert pieces.m is not None
                m = halves(group, d_at + 32 * (blocks + block))
                assert np.array_equal(m[:count], pieces.m[rows, block].view(np.uint16))


@pytest.mark.parametrize(("name", "kind"), [("F32", np.float32), ("F16", np.float16), ("BF16", np.uint16)])
def test_floats_come_back(name: str, kind: type) -> None:
    outputs, inputs = 19, 37
    data = _random(name, outputs, inputs)
    image = pack_matrix(name, data, outputs, inputs)
    back = np.zeros((GROUP * 2, inputs), kind)
    for group in range(2):
        size = GROUP * inputs * np.dtype(kind).itemsize
        back[GROUP * group : GROUP * group + GROUP] = image[group][:size].view(kind).reshape(inputs, GROUP).T
    assert back[:outputs].tobytes() == data.tobytes()
    assert (back[outputs:] == 0).all()


def _random(name: str, outputs: int, inputs: int) -> np.ndarray:
    """Random bytes of a matrix."""
    return np.random.default_rng(1).integers(0, 256, outputs * FORMATS[name].row_bytes(inputs), np.uint8)


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(sorted(LAYOUTS)),
    outputs=st.integers(1, 70),
    blocks=st.integers(1, 3),
    rows=st.sampled_from([16, 32, 512]),
)
def test_pieces_make_the_same_whole(name: str, outputs: int, blocks: int, rows: int) -> None:
    inputs = blocks * FORMATS[name].block
    data = _random(name, outputs, inputs)
    whole = pack_matrix(name, data, outputs, inputs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "_ROWS", rows)
        assert pack_matrix(name, data, outputs, inputs).tobytes() == whole.tobytes()
    assert len(whole) == groups(outputs)
    assert whole.nbytes == LAYOUTS[name].bytes(outputs, inputs)


def test_a_model_packs_the_same_in_memory_and_on_disk(gguf: GGUF, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    tensors, data = pack(gguf, NOTHING)
    weights = write_pack(tmp_path / "a.pack", gguf, NOTHING, lambda done, total: told.append((done, total)))
    assert weights.tensors == tensors
    assert weights.data.tobytes() == data.tobytes()
    assert weights.data.ctypes.data % 64 == 0
    bias = weights.tensors["blk.0.attn_q.bias"]
    tensor = gguf.tensors["blk.0.attn_q.bias"]
    expected = dequantise(tensor.format, gguf.data(tensor.name), tensor.shape)
    assert np.array_equal(data[bias.offset :].view(np.float32)[: bias.inputs], expected)
    assert told == sorted(told)
    assert told[-1] == (len(data), len(data))


def test_platforms_without_positioned_reads_map_the_file(
    gguf: GGUF, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = write_pack(tmp_path / "a.pack", gguf, NOTHING)
    monkeypatch.delattr(os, "preadv", raising=False)
    mapped = open_pack(tmp_path / "a.pack", gguf, NOTHING)
    assert mapped is not None
    assert isinstance(mapped.data, np.memmap)
    assert mapped.data.tobytes() == read.data.tobytes()
    assert mapped.data.ctypes.data % 64 == 0


def test_a_file_that_shrinks_while_it_is_read_is_no_pack(
    gguf: GGUF, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.pack"
    write_pack(path, gguf, NOTHING)
    good, size = path.read_bytes(), path.stat().st_size
    path.write_bytes(good[:-1000])
    monkeypatch.setattr(packing.os, "fstat", lambda _: os.stat_result((0,) * 6 + (size, 0, 0, 0)))
    assert open_pack(path, gguf, NOTHING) is None


def test_without_a_file_there_are_no_weights(gguf: GGUF, tmp_path: Path) -> None:
    assert open_pack(tmp_path / "none.pack", gguf, NOTHING) is None


def damage(image: bytes, kind: str) -> bytes:
    head = 4096 * -(-(16 + int.from_bytes(image[8:16], "little")) // 4096)
    match kind:
        case "empty":
            return b""
        case "another magic":
            return b"FTPACK99" + image[8:]
        case "a header without end":
            return image[:8] + b"\xff" * 8 + image[16:]
        case "a header cut short":
            return image[:100]
        case "another offset":
            return image[:head].replace(b", 0, ", b", 64, ", 1)[:head] + image[head:]
        case "a tensor less":
            text = image[:head].replace(b"blk.0.attn_q.weight", b"blk.9.attn_q.weight")
            return text + image[head:]
        case "cut by a byte":
            return image[:-1]
        case "longer by a byte":
            return image + b"\0"
        case "not JSON":
            return image[:16] + b"\xff" * 50 + image[66:]
    raise AssertionError(kind)


DAMAGES = [
    "empty",
    "another magic",
    "a header without end",
    "a header cut short",
    "another offset",
    "a tensor less",
    "cut by a byte",
    "longer by a byte",
    "not JSON",
]


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_pack_is_made_again(gguf: GGUF, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "packed" / "x.pack"
    write_pack(path, gguf, NOTHING)
    good = path.read_bytes()
    bad = damage(good, kind)
    assert bad != good
    path.write_bytes(bad)
    assert open_pack(path, gguf, NOTHING) is None
    weights = write_pack(path, gguf, NOTHING)
    assert weights.data.tobytes() == good[-len(weights.data) :]
    assert path.read_bytes() == good


def test_a_pack_of_another_model_is_not_taken(zoo: Zoo, gguf: GGUF, tmp_path: Path) -> None:
    path = tmp_path / "x.pack"
    with GGUF.open(zoo.path("llama")) as other:
        write_pack(path, other, NOTHING)
    assert open_pack(path, gguf, NOTHING) is None


def test_a_full_disk_is_said_and_leaves_nothing(gguf: GGUF, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(packing, "_reserve", full)
    with pytest.raises(ForetellError, match=r"cannot write .* No space left .* free space") as error:
        write_pack(tmp_path / "x.pack", gguf, NOTHING)
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


def test_the_space_is_taken_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Running out of disk inside a memory map would kill the process."""
    with (tmp_path / "file").open("wb") as file:
        packing._reserve(file.fileno(), 100_000)
        assert os.fstat(file.fileno()).st_blocks * 512 >= 100_000
        monkeypatch.delattr(os, "posix_fallocate", raising=False)  # as on platforms without it
        packing._reserve(file.fileno(), 200_000)
        assert os.fstat(file.fileno()).st_size == 200_000
        with pytest.raises(OSError, match="No space left"):
            packing._reserve(file.fileno(), 1 << 60)


def test_an_unwritable_cache_is_said(gguf: GGUF, tmp_path: Path) -> None:
    (tmp_path / "packed").write_text("in the way")
    with pytest.raises(ForetellError, match=r"cannot write the packed weights .* set FORETELL_CACHE"):
        write_pack(tmp_path / "packed" / "x.pack", gguf, NOTHING)


def test_an_interrupt_leaves_nothing(gguf: GGUF, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_pack(tmp_path / "x.pack", gguf, NOTHING, interrupt)
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


def _pack_slowly(model: Path, path: Path) -> None:
    def crawl(done: int, total: int) -> None:
        time.sleep(60)

    with GGUF.open(model) as gguf:
        write_pack(path, gguf, NOTHING, crawl)


def test_killed_while_packing(zoo: Zoo, gguf: GGUF, tmp_path: Path) -> None:
    """What it leaves is never used, does not lock anybody out, and goes away with the next packing."""
    path = tmp_path / "x.pack"
    child = multiprocessing.get_context("spawn").Process(target=_pack_slowly, args=(zoo.path("qwen2"), path))
    child.start()
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob(".partial-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    (left,) = tmp_path.glob(".partial-*")
    other = tmp_path / ".partial-another-model"
    other.touch()
    assert open_pack(path, gguf, NOTHING) is None
    weights = write_pack(path, gguf, NOTHING)
    assert weights.data.tobytes() == pack(gguf, NOTHING)[1].tobytes()
    assert not left.exists()
    assert other.exists()


def _pack_or_wait(model: Path, path: Path, go: float, out: "multiprocessing.Queue[tuple[bool, int]]") -> None:
    worked = False

    def note(done: int, total: int) -> None:
        nonlocal worked
        worked = True
        time.sleep(0.01)

    with GGUF.open(model) as gguf:
        time.sleep(max(0.0, go - time.time()))
        write_pack(path, gguf, NOTHING, note)
        out.put((worked, path.stat().st_ino))


def test_two_processes_pack_once(zoo: Zoo, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    queue: multiprocessing.Queue[tuple[bool, int]] = context.Queue()
    go = time.time() + 1.5
    children = [
        context.Process(target=_pack_or_wait, args=(zoo.path("qwen2"), tmp_path / "x.pack", go, queue))
        for _ in range(2)
    ]
    for child in children:
        child.start()
    results = sorted(queue.get(timeout=60) for _ in children)
    for child in children:
        child.join()
    assert [worked for worked, _ in results] == [False, True]
    assert results[0][1] == results[1][1]


def test_plan_skips_and_aligns(zoo: Zoo) -> None:
    with GGUF.open(zoo.path("llama")) as gguf:
        tensors, total = plan(gguf, frozenset({"token_embd.weight"}))
        assert "token_embd.weight" not in tensors
        spans = sorted((each.offset, each.offset + each.n_bytes) for each in tensors.values())
        assert all(start % 64 == 0 for start, _ in spans)
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))
        assert spans[-1][1] <= total


def test_a_second_load_does_not_pack(zoo: Zoo, cache_dir: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    (cache_dir / "code").mkdir(parents=True, exist_ok=True)
    (tmp_path / "code").symlink_to(cache_dir / "code")
    for loads in range(2):
        before = len(told)
        model = NativeModel.load(
            zoo.path("qwen2"), threads=1, cache_dir=tmp_path, progress=lambda *now: told.append(now)
        )
        assert (len(told) > before) == (loads == 0)
        model.close()
    (path,) = (tmp_path / "packed").glob("*.pack")
    assert path.stat().st_size > 0
