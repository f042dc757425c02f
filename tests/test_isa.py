"""Operations that differ between instruction sets, each alone against NumPy; and objects that need nothing else."""

import ctypes
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest
from llvmlite import ir

from foretell.engine import intrinsics
from foretell.engine import isa as instruction_sets
from foretell.engine.dequantise import FORMATS
from foretell.engine.emit import F16, F32, I8, I16, I32, I64, PTR, Fn, Value, vector
from foretell.engine.isa import ALL, PORTABLE, choose
from foretell.engine.jit import Library
from foretell.engine.kernels import Kernels, attention, modules
from foretell.engine.kernels.elementwise import exp, silu
from foretell.engine.layout import LAYOUTS
from foretell.errors import UsageError
from tiny import ISAS

each_isa = pytest.mark.parametrize("instructions", ISAS)


def lanewise(
    instructions: str, body: Callable[..., Value], out: np.dtype, *inputs: tuple[ir.Type, np.ndarray]
) -> np.ndarray:
    """Apply a function of vectors of 16 lanes (or as many as the types have) to arrays, vector by vector."""

    def build(module: ir.Module, isa: instruction_sets.ISA) -> None:
        fn = Fn(module, isa, "each", [PTR] * (len(inputs) + 1) + [I64])
        *pointers, target, count = fn.args
        with fn.range(0, count) as i:
            loaded = [
                p.load(kind, i * (array.itemsize * kind.count))
                for p, (kind, array) in zip(pointers, inputs, strict=True)
            ]
            value = body(fn, *loaded)
            target.store(value, i * (out.itemsize * value.type.count))
        fn.finish()

    library = Library("each", ("each",), choose(instructions), build, None)
    kind, first = inputs[-1]
    vectors = first.size // kind.count
    result = np.zeros(vectors * 16, out)
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (len(inputs) + 1), ctypes.c_int64)(library["each"])
    call(*[array.ctypes.data for _, array in inputs], result.ctypes.data, vectors)
    return result


def bits(values: np.ndarray) -> np.ndarray:
    return values.view(f"u{values.itemsize}")


HARD_FLOATS = np.array(
    [0.0, -0.0, 1e-45, -1e-45, 1.17549435e-38, 3.4e38, -3.4e38, np.inf, -np.inf, 65504, 65519.99, 65520, 1e5],
    np.float32,
)


@each_isa
def test_from_half_is_exact_for_every_half(instructions: str) -> None:
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    got = lanewise(instructions, intrinsics.from_half, np.dtype(np.float32), (vector(F16), halves))
    number = ~np.isnan(halves)
    assert (bits(got)[number] == bits(halves.astype(np.float32))[number]).all()
    assert np.isnan(got[~number]).all()


@each_isa
def test_to_half_rounds_to_even_and_stays_finite(instructions: str) -> None:
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    middles = (halves[:-1] + halves[1:]) / 2  # exact in float32
    near = [middles, np.nextafter(middles, np.float32(0)), np.nextafter(middles, np.float32(np.inf)), halves]
    random = np.random.default_rng(0).integers(0, 2**32, 100_000, np.uint32).view(np.float32)
    values = np.concatenate([*near, *(-each for each in near), random[~np.isnan(random)], HARD_FLOATS])
    values = np.ascontiguousarray(np.resize(values, -(-values.size // 16) * 16))
    got = lanewise(instructions, intrinsics.to_half, np.dtype(np.float16), (vector(F32), values))
    assert (bits(got) == bits(values.clip(-65504, 65504).astype(np.float16))).all()


@each_isa
def test_to_half_of_nothing_is_finite(instructions: str) -> None:
    """Keys and values that are no numbers must not reach other sequences through pages used again."""
    values = np.full(16, np.nan, np.float32)
    got = lanewise(instructions, intrinsics.to_half, np.dtype(np.float16), (vector(F32), values))
    assert np.isfinite(got).all()


@each_isa
def test_exp(instructions: str) -> None:
    x = np.concatenate([np.linspace(-87.3, 88, 2**18, dtype=np.float32), np.linspace(-1, 1, 2**16, dtype=np.float32)])
    got = lanewise(instructions, exp, np.dtype(np.float32), (vector(F32), x))
    exact = np.exp(x.astype(np.float64))
    # The reduction and the polynomial cost 2 units in the last place (2^-23); twice that without fused multiply-add.
    assert np.max(np.abs(got - exact) / exact) < (2 if choose(instructions).fused else 4) * 2.0**-23


@each_isa
def test_exp_at_its_ends(instructions: str) -> None:
    x = np.array([0, -0.0, -87.4, -1e3, attention.LOWEST, -np.inf, 88, 89, 1e9, np.inf, *[0] * 6], np.float32)
    got = lanewise(instructions, exp, np.dtype(np.float32), (vector(F32), x))
    assert got[:6].tolist() == [1, 1, 0, 0, 0, 0]
    assert got[6:10].tolist() == [got[6]] * 4
    assert np.isfinite(got).all()


@each_isa
def test_silu(instructions: str) -> None:
    x = np.concatenate([np.linspace(-90, 90, 2**14), [-1e4, 1e4, 0, -0.0], np.zeros(12)]).astype(np.float32)
    got = lanewise(instructions, silu, np.dtype(np.float32), (vector(F32), x))
    exact = x / (1 + np.exp(-x.astype(np.float64).clip(-700, 700)))
    assert np.allclose(got, exact, rtol=1e-6, atol=1e-30)


@each_isa
def test_round_even(instructions: str) -> None:
    x = np.concatenate([np.arange(-512, 512) / 4, np.random.default_rng(1).normal(0, 1e5, 4096)]).astype(np.float32)
    got = lanewise(instructions, Fn.round_even, np.dtype(np.int32), (vector(F32), x))
    assert (got == np.rint(x)).all()


@each_isa
@pytest.mark.parametrize("width", [4, 5, 6, 8])
def test_dot_is_exact_up_to_the_extremes(instructions: str, width: int) -> None:
    """Sums of products of bytes overflow 16 bits, which some instructions have in between."""
    rng, most, vectors = np.random.default_rng(2), 2**width - 1, 8
    weights = np.concatenate([np.full(1024, most), rng.integers(0, most + 1, 512 * 50)]).astype(np.uint8)
    inputs = np.concatenate([np.full(512, 127), np.full(512, -128), rng.integers(-128, 128, 512 * 50)]).astype(np.int8)
    start = np.concatenate([np.zeros(32), rng.integers(-(2**30), 2**30, 16 * 50)]).astype(np.int32)

    def body(fn: Fn, w: Value, x: Value, acc: Value) -> Value:
        pieces = [w.lanes(range(64 * k, 64 * k + 64)) for k in range(vectors)]

        def given(lanes: range) -> list[Value]:
            return [x.lanes([16 * k + lane for lane in lanes]) for k in range(vectors)]

        return intrinsics.dots(fn, [acc], pieces, [given], width)[0]

    arrays = (vector(I8, 512), weights), (vector(I32, 128), inputs.view(np.int32)), (vector(I32), start)
    got = lanewise(instructions, body, np.dtype(np.int32), *arrays)
    products = (weights.astype(np.int32) * inputs).reshape(-1, vectors, 16, 4)
    assert (got == start + products.sum(axis=(1, 3)).reshape(-1)).all()


@each_isa
def test_dot_of_pairs_is_exact(instructions: str) -> None:
    rng = np.random.default_rng(3)
    a, b = (
        np.concatenate([np.full(32, -32768 * k), rng.integers(-32768, 32768, 32 * 50)]).astype(np.int16) for k in (0, 1)
    )
    start = np.zeros(16 * 51, np.int32)
    got = lanewise(
        instructions,
        lambda fn, a, b, acc: intrinsics.dot_pairs(fn, acc, a, b),
        np.dtype(np.int32),
        (vector(I16, 32), a),
        (vector(I16, 32), b),
        (vector(I32), start),
    )
    assert (got == (a.astype(np.int64) * b).reshape(-1, 2).sum(axis=1)).all()


def undefined_symbols(image: bytes) -> set[str]:
    """Names that a 64-bit ELF object expects from elsewhere; those of linker-made tables are not names of code."""
    assert image[:5] == b"\x7fELF\x02"
    order = "<" if image[5] == 1 else ">"
    at, size, count = struct.unpack_from(order + "Q", image, 40)[0], *struct.unpack_from(order + "HH", image, 58)
    sections = [struct.unpack_from(order + "IIQQQQIIQQ", image, at + size * k) for k in range(count)]
    found = set()
    for _, kind, _, _, offset, length, link, *_ in sections:
        if kind != 2:  # SHT_SYMTAB
            continue
        names = sections[link][4]
        for entry in range(offset + 24, offset + length, 24):  # the first is empty
            name, _, _, section = struct.unpack_from(order + "IBBH", image, entry)
            if section == 0:
                found.add(image[names + name : image.index(b"\0", names + name)].decode())
    return found - {"_GLOBAL_OFFSET_TABLE_", ".TOC."}


@each_isa
def test_objects_need_nothing_from_outside(instructions: str, cache_dir: Path) -> None:
    Kernels(choose(instructions), LAYOUTS, FORMATS, cache_dir / "code")
    objects = sorted((cache_dir / "code").glob(f"*.{instructions}.*.o"))
    assert len(objects) == len(modules(LAYOUTS, FORMATS))
    if objects[0].read_bytes()[:4] != b"\x7fELF":
        pytest.skip("only ELF objects are looked into")
    assert [path.name for path in objects if undefined_symbols(path.read_bytes())] == []


@pytest.mark.parametrize(("triple", "features"), [("aarch64", ""), ("powerpc64le", ""), ("riscv64", "+m,+a,+f,+d")])
def test_portable_kernels_compile_for_other_processors(triple: str, features: str) -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    triple += "-unknown-linux-gnu"
    machine = llvm.Target.from_triple(triple).create_target_machine(features=features, opt=1, reloc="pic")

    def image(build: Callable[[ir.Module], None]) -> bytes:
        module = ir.Module("other")
        module.triple, module.data_layout = triple, str(machine.target_data)
        build(module)
        parsed = llvm.parse_assembly(str(module))
        parsed.verify()
        return bytes(machine.emit_object(parsed))

    for name, module in modules(("Q4_K", "Q5_1", "F16"), ("Q6_K", "Q4_1", "BF16")).items():
        assert undefined_symbols(image(partial(module.build, isa=PORTABLE))) == set(), name


def test_an_unknown_instruction_set_is_refused() -> None:
    with pytest.raises(UsageError, match=r"unknown instruction set 'sse9'; known: .*portable"):
        choose("sse9")


def test_one_that_the_processor_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instruction_sets, "host", lambda: ALL["avx2"])
    with pytest.raises(UsageError, match="this processor lacks what avx512 needs; its best is avx2"):
        choose("avx512")
    assert choose(None) is ALL["avx2"]
    assert choose("portable") is PORTABLE


def test_other_processors_get_the_portable_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instruction_sets.platform, "machine", lambda: "riscv64")
    assert instruction_sets.host() is PORTABLE
