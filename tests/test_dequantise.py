import numpy as np
import pytest
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf import quants as oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from foretell.engine.dequantise import FORMATS, dequantise, unpack
from foretell.errors import ForetellError

QUANTISED = [name for name, entry in FORMATS.items() if entry.family != "float"]
WRITABLE = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"]  # what the oracle can quantise
HALVES = {"Q4_1": [0, 2], "Q5_1": [0, 2], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}  # float16 fields; else at 0


def random_bytes(name: str, outputs: int, inputs: int, seed: int) -> np.ndarray:
    """Valid blocks of random bits whose float16 and float32 values are finite."""
    rng, entry = np.random.default_rng(seed), FORMATS[name]
    if entry.family == "float":
        values = rng.normal(size=(outputs, inputs)).astype(np.float32)
        return oracle.quantize(values, GGMLQuantizationType[name]).view(np.uint8)
    blocks = rng.integers(0, 256, (outputs, inputs // entry.block, entry.block_bytes), np.uint8)
    for at in HALVES.get(name, [0]):
        halves = rng.normal(size=blocks.shape[:2]).astype(np.float16)
        halves[rng.random(halves.shape) < 0.1] = 0
        blocks[:, :, at : at + 2] = halves[:, :, None].view(np.uint8)
    return blocks.reshape(outputs, -1)


def test_the_table_agrees_with_the_format_s_definition():
    for name, entry in FORMATS.items():
        kind = GGMLQuantizationType[name]
        assert (entry.type_id, entry.block, entry.block_bytes) == (kind.value, *GGML_QUANT_SIZES[kind])


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("outputs", "inputs"), [(1, 256), (7, 512), (40, 1024)])
def test_random_bits_give_exactly_the_oracle_s_values(name, outputs, inputs):
    data = random_bytes(name, outputs, inputs, seed=outputs)
    expected = oracle.dequantize(data, GGMLQuantizationType[name]).view(np.float32)
    values = dequantise(name, data.ravel(), (outputs, inputs))
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, expected.reshape(outputs, inputs))


@pytest.mark.parametrize("name", WRITABLE)
@settings(max_examples=25, deadline=None)
@given(values=arrays(np.float32, (3, 64), elements=st.floats(-100, 100, width=16)))
def test_quantised_values_come_back_as_the_oracle_s(name, values):
    kind = GGMLQuantizationType[name]
    with np.errstate(all="ignore"):  # the oracle divides by subnormal scales
        data = oracle.quantize(values, kind)
    expected = oracle.dequantize(data, kind).view(np.float32)
    np.testing.assert_array_equal(dequantise(name, data.view(np.uint8).ravel(), values.shape), expected)


@pytest.mark.parametrize("name", QUANTISED)
def test_the_pieces_reproduce_the_weights_and_stay_in_range(name):
    outputs, inputs = 5, 768
    data = random_bytes(name, outputs, inputs, seed=3).ravel()
    pieces = unpack(name, data, (outputs, inputs))
    blocks = inputs // FORMATS[name].block
    assert pieces.q.dtype == np.uint8
    assert pieces.q.shape == (outputs, inputs)
    assert pieces.d.dtype == np.float16
    assert pieces.d.shape == (outputs, blocks)
    bits = int(name[1])
    assert pieces.q.max() == 2**bits - 1
    assert pieces.offset == (0 if name in {"Q4_1", "Q5_1", "Q4_K", "Q5_K"} else 2 ** (bits - 1))

    def spread(piece):  # one value per input, in exact arithmetic
        return np.repeat(piece.astype(np.float64), inputs // piece.shape[1], axis=1)

    weights = (pieces.q.astype(np.float64) - pieces.offset) * spread(pieces.d)
    if pieces.scales is not None:
        assert pieces.scales.dtype == (np.int8 if name == "Q6_K" else np.uint8)
        assert pieces.scales.shape == (outputs, inputs // (16 if name == "Q6_K" else 32))
        weights *= spread(pieces.scales)
    if pieces.mins is not None:
        assert pieces.mins.shape == (outputs, inputs // 32)
        assert max(pieces.mins.max(), pieces.scales.max()) == 63
        weights -= spread(pieces.dmin) * spread(pieces.mins)
    if pieces.m is not None:
        weights += spread(pieces.m)
    np.testing.assert_allclose(dequantise(name, data, (outputs, inputs)), weights, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", FORMATS)
def test_slices_of_outputs_give_slices_of_weights(name):
    data = random_bytes(name, 9, 512, seed=9)
    whole = dequantise(name, data.ravel(), (9, 512))
    part = data.view(np.uint8).reshape(9, -1)[2:6]
    np.testing.assert_array_equal(dequantise(name, part, (4, 512)), whole[2:6])


def test_a_large_matrix_is_done_in_pieces_and_a_vector_in_one():
    data = random_bytes("Q5_1", 1100, 1024, seed=1)
    expected = oracle.dequantize(data, GGMLQuantizationType.Q5_1)
    np.testing.assert_array_equal(dequantise("Q5_1", data.ravel(), (1100, 1024)), expected)
    vector = np.arange(5, dtype=np.float32)
    np.testing.assert_array_equal(dequantise("F32", vector.view(np.uint8), (5,)), vector)


@pytest.mark.parametrize(
    ("name", "size", "shape", "message"),
    [
        ("IQ4_XS", 136, (1, 256), "IQ4_XS is not supported; supported are F32, F16, Q4_0"),
        ("Q4_K", 144, (1, 255), "255 inputs cannot be stored as Q4_K"),
        ("Q4_0", 17, (1, 32), r"shape \(1, 32\) needs 18 bytes, not 17"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(name, size, shape, message):
    with pytest.raises(ForetellError, match=message):
        dequantise(name, np.zeros(size, np.uint8), shape)


def test_float_formats_have_no_pieces():
    with pytest.raises(ValueError, match="F16 has no integer pieces"):
        unpack("F16", np.zeros(4, np.uint8), (1, 2))
