import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from foretell.errors import ForetellError
from foretell.models.formats import FORMATS
from foretell.models.gguf import GGUF


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def entry(key: str, kind: int, raw: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + raw


def array(key: str, kind: int, count: int, raw: bytes) -> bytes:
    return entry(key, 9, struct.pack("<IQ", kind, count) + raw)


def info(name: str, sizes: list[int], form: int, offset: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, form, offset)


def build(
    values: list[bytes] = [],  # noqa: B006 — never changed
    tensors: list[bytes] = [],  # noqa: B006 — never changed
    data: bytes = b"",
    version: int = 3,
    alignment: int = 32,
) -> bytes:
    head = struct.pack("<4sIQQ", b"GGUF", version, len(tensors), len(values)) + b"".join(values) + b"".join(tensors)
    return head + b"\0" * (-len(head) % alignment) + data


def write(folder: Path, raw: bytes) -> Path:
    path = folder / "m.gguf"
    path.write_bytes(raw)
    return path


def refusal(folder: Path, raw: bytes) -> str:
    with pytest.raises(ForetellError) as caught:
        GGUF.open(write(folder, raw))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("version", [2, 3])
def test_reads_every_kind_of_metadata(tmp_path: Path, version: int) -> None:
    values = [
        entry("u8", 0, struct.pack("<B", 200)),
        entry("i8", 1, struct.pack("<b", -3)),
        entry("u16", 2, struct.pack("<H", 60000)),
        entry("i16", 3, struct.pack("<h", -300)),
        entry("u32", 4, struct.pack("<I", 1 << 31)),
        entry("i32", 5, struct.pack("<i", -5)),
        entry("f32", 6, struct.pack("<f", 0.5)),
        entry("bool", 7, b"\1"),
        entry("text", 8, text("grün\n")),
        entry("u64", 10, struct.pack("<Q", 1 << 63)),
        entry("i64", 11, struct.pack("<q", -1)),
        entry("f64", 12, struct.pack("<d", 0.1)),
        array("words", 8, 3, text("a") + text("") + text("ü")),
        array("numbers", 5, 3, struct.pack("<3i", 1, -2, 3)),
        array("flags", 7, 2, b"\0\1"),
        array("none", 8, 0, b""),
    ]
    with GGUF.open(write(tmp_path, build(values, version=version))) as gguf:
        assert gguf.version == version
        found = dict(gguf.metadata)
        assert "words" in gguf.metadata
        assert len(gguf.metadata) == len(values)
    numbers, flags = found.pop("numbers"), found.pop("flags")
    assert numbers.dtype == np.int32
    assert numbers.tolist() == [1, -2, 3]
    assert flags.tolist() == [False, True]
    assert found == {
        "u8": 200,
        "i8": -3,
        "u16": 60000,
        "i16": -300,
        "u32": 1 << 31,
        "i32": -5,
        "f32": 0.5,
        "bool": True,
        "text": "grün\n",
        "u64": 1 << 63,
        "i64": -1,
        "f64": 0.1,
        "words": ["a", "", "ü"],
        "none": [],
    }


def test_tensors_have_numpy_shapes_and_views_outlive_the_file(tmp_path: Path) -> None:
    data = bytes(range(96)) + b"\0" * 32 + bytes(range(144))
    raw = build(tensors=[info("a", [8, 3], 0, 0), info("b", [256], 12, 128)], data=data)
    gguf = GGUF.open(write(tmp_path, raw))
    assert gguf.tensors["a"].shape == (3, 8)
    assert (gguf.tensors["b"].format, gguf.tensors["b"].n_bytes) == ("Q4_K", 144)
    view = gguf.data("a")
    gguf.close()
    assert view.tobytes() == data[:96]
    assert not view.flags.writeable


def test_alignment_comes_from_the_file(tmp_path: Path) -> None:
    values = [entry("general.alignment", 4, struct.pack("<I", 64))]
    raw = build(values, [info("a", [1], 0, 64)], b"\0" * 64 + b"abcd", alignment=64)
    with GGUF.open(write(tmp_path, raw)) as gguf:
        assert gguf.data("a").tobytes() == b"abcd"


def test_agrees_with_the_gguf_package(tmp_path: Path) -> None:
    import gguf as reference

    path = tmp_path / "written.gguf"
    writer = reference.GGUFWriter(path, "llama")
    writer.add_array("words", ["x", "yy"])
    writer.add_uint32("llama.block_count", 7)
    matrix = np.arange(64, dtype=np.float32).reshape(2, 32)
    writer.add_tensor("matrix", matrix)
    for name in ("Q4_0", "Q5_1", "Q8_0"):
        kind = reference.GGMLQuantizationType[name]
        writer.add_tensor(name, reference.quantize(matrix, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with GGUF.open(path) as ours:
        assert ours.metadata["general.architecture"] == "llama"
        assert ours.metadata["llama.block_count"] == 7
        assert ours.metadata["words"] == ["x", "yy"]
        assert ours.data("matrix").view(np.float32).reshape(ours.tensors["matrix"].shape).tolist() == matrix.tolist()
        for name in ("Q4_0", "Q5_1", "Q8_0"):
            assert ours.tensors[name].shape == (2, 32)
            expected = reference.quantize(matrix, reference.GGMLQuantizationType[name])
            assert ours.data(name).tobytes() == expected.tobytes()


def test_block_sizes_agree_with_the_gguf_package() -> None:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    for number, form in FORMATS.items():
        kind = GGMLQuantizationType(number)
        assert (kind.name, *GGML_QUANT_SIZES[kind]) == (form.name, form.block, form.block_bytes)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "not a GGUF file"),
        (b"PK\3\4 something else", "begins with b'PK"),
        (b"GGUF", "the header needs 24 bytes"),
        (build(version=1), "version 1"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
        (struct.pack("<4sIQQ", b"GGUF", 3, 0, 1 << 60), "a table of"),
        (struct.pack("<4sIQQ", b"GGUF", 3, 1 << 60, 0), "a table of"),
        (build([text("k") + struct.pack("<I", 99) + b"\0" * 9]), "unknown type 99"),
        (build([entry("k", 0, b"\1"), entry("k", 0, b"\1")]), "appears twice"),
        (build([entry("k", 8, struct.pack("<Q", 1 << 62))]), "needs 4611686018427387904 bytes"),
        (build([entry("k", 8, text(b"\xff\xfe"))]), "not valid UTF-8"),
        (build([array("k", 5, 1 << 61, b"")]), "lies about its sizes"),
        (build([array("k", 8, 1 << 61, b"")]), "lies about its sizes"),
        (build([array("k", 8, 2, text("a") + struct.pack("<Q", 1 << 63))]), "past the end"),
        (build([array("k", 9, 1, struct.pack("<IQ", 0, 0))]), "an array of the unsupported type 9"),
        (build([entry("split.count", 2, struct.pack("<H", 3))]), "part 1 of 3"),
        (build([entry("general.alignment", 4, struct.pack("<I", 24))]), "not a power of two"),
        (build([entry("general.alignment", 8, text("32"))]), "not a power of two"),
        (build(tensors=[info("a", [1] * 5, 0, 0)]), "5 dimensions"),
        (build(tensors=[info("a", [256], 10, 0)]), "unsupported format Q2_K; use a file with only these: F32, F16"),
        (build(tensors=[info("a", [256], 77, 0)]), "unsupported format number 77"),
        (build(tensors=[info("a", [33], 2, 0)], data=b"\0" * 64), "do not fill"),
        (build(tensors=[info("a", [0], 0, 0)]), "do not fill"),
        (build(tensors=[info("a", [8], 0, 4)], data=b"\0" * 64), "not a multiple of 32"),
        (build(tensors=[info("a", [8], 0, 0)], data=b"\0" * 31), "truncated"),
        (build(tensors=[info("a", [8], 0, 1 << 62)], data=b"\0" * 32), "truncated"),
        (build(tensors=[info("a", [1 << 63] * 4, 0, 0)], data=b"\0" * 32), "truncated"),
        (build(tensors=[info("a", [8], 0, 0), info("a", [8], 0, 32)], data=b"\0" * 64), "appears twice"),
        (build(tensors=[info("a", [9], 0, 0), info("b", [8], 0, 32)], data=b"\0" * 64), "overlap"),
    ],
)
def test_refuses_bad_files_with_one_line(tmp_path: Path, raw: bytes, says: str) -> None:
    assert says in refusal(tmp_path, raw)


def test_bad_text_in_an_array_is_found_when_it_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, build([array("k", 8, 2, text("a") + text(b"\xff"))]))
    with GGUF.open(path) as gguf, pytest.raises(ForetellError, match="string 1 of 'k'"):
        gguf.metadata["k"]


def test_long_and_odd_names_stay_on_one_short_line(tmp_path: Path) -> None:
    assert len(refusal(tmp_path, build([entry("x\n" * 9000, 99, b"\0" * 8)]))) < 400


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ForetellError, match="No such file"):
        GGUF.open(tmp_path / "missing.gguf")
    with pytest.raises(ForetellError, match="is not a file"):
        GGUF.open(tmp_path)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    values = [array("words", 8, 2, text("a") + text("bc")), entry("n", 4, struct.pack("<I", 1))]
    whole = build(values, [info("a", [8], 0, 0)], b"\0" * 32)
    GGUF.open(write(tmp_path, whole)).close()
    for size in range(len(whole)):
        refusal(tmp_path, whole[:size])


SAMPLE = build(
    [
        entry("general.alignment", 4, struct.pack("<I", 32)),
        array("words", 8, 3, text("a") + text("bc") + text("")),
        array("numbers", 6, 4, b"\0" * 16),
        array("flags", 7, 2, b"\0\1"),
        entry("name", 8, text("x")),
    ],
    [info("a", [32, 2], 2, 0), info("b", [4], 0, 64)],
    b"\0" * 80,
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """The sample with some bytes changed, words overwritten with telling numbers, and perhaps cut or made longer."""
    raw = bytearray(SAMPLE)
    for at, value in draw(st.lists(st.tuples(st.integers(0, len(raw) - 1), st.integers(0, 255)), max_size=6)):
        raw[at] = value
    numbers = st.sampled_from([0, 1, 8, 9, 31, 1 << 31, (1 << 32) - 1, 1 << 62, (1 << 63) - 1, (1 << 64) - 1])
    for at, value in draw(st.lists(st.tuples(st.integers(4, len(raw) - 8), numbers), max_size=3)):
        raw[at : at + 8] = struct.pack("<Q", value)
    size = draw(st.one_of(st.just(len(raw)), st.integers(0, len(raw))))
    return bytes(raw[:size]) + draw(st.binary(max_size=40))


@settings(max_examples=400, deadline=None)
@given(st.one_of(damaged(), st.binary(max_size=300), st.binary(max_size=300).map(lambda tail: b"GGUF\3\0\0\0" + tail)))
@example(SAMPLE)
def test_any_bytes_are_a_model_or_one_error(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = write(tmp_path_factory.getbasetemp(), raw)
    try:
        with GGUF.open(path) as gguf:
            for name, tensor in gguf.tensors.items():
                assert gguf.data(name).nbytes == tensor.n_bytes
            for key in gguf.metadata:
                assert gguf.metadata[key] is not None
    except ForetellError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017 — an error is allowed, not required
