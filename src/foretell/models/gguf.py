"""A memory-mapped reader of GGUF files, versions 2 and 3.

    header    magic "GGUF", version u32, tensor count u64, metadata count u64
    metadata  key string, value type u32, value          (repeated; a string is a length u64 and its UTF-8 bytes)
    tensors   name string, dimension count u32, dimensions u64 each, format u32, offset u64         (repeated)
    data      starts at the next multiple of `general.alignment`; tensor offsets count from here

Opening reads the header, the small metadata and the tensor table. Arrays (a vocabulary has 150,000 strings) are only
stepped over and are decoded when somebody asks for them. Nothing in the file is believed: every count is held against
the bytes that are left before anything is read or allocated for it, so a file that lies ends as one `ForetellError`.
"""

import contextlib
import mmap
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from foretell.errors import ForetellError, why
from foretell.models.formats import FORMATS, SUPPORTED, UNSUPPORTED

_STRING, _ARRAY, _BOOL = 8, 9, 7
# Metadata types of a fixed size: number in the file → (struct code, NumPy type).
_SCALARS: dict[int, tuple[struct.Struct, np.dtype[Any]]] = {
    number: (struct.Struct(f"<{code}"), np.dtype(f"<{kind}"))
    for number, code, kind in (
        (0, "B", "u1"),
        (1, "b", "i1"),
        (2, "H", "u2"),
        (3, "h", "i2"),
        (4, "I", "u4"),
        (5, "i", "i4"),
        (6, "f", "f4"),
        (_BOOL, "B", "u1"),
        (10, "Q", "u8"),
        (11, "q", "i8"),
        (12, "d", "f8"),
    )
}
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")
_HEADER = struct.Struct("<4sIQQ")
_VERSIONS = (2, 3)
_MAX_NAME = 65535  # the format's own limit on keys
_MAX_DIMENSIONS = 4
_MIN_ENTRY = 8 + 4 + 1  # bytes of the smallest metadata entry: an empty key, a type, one byte
_MIN_TENSOR = 8 + 4 + 4 + 8  # bytes of the smallest entry of the tensor table


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where a tensor lies.

    shape: NumPy order, the reverse of the file's, so a matrix is (outputs, inputs). format: a name such as "Q4_K".
    offset: bytes from the start of the file. n_bytes: its size there.
    """

    name: str
    format: str
    shape: tuple[int, ...]
    offset: int
    n_bytes: int


@dataclass(frozen=True, slots=True)
class _Array:
    """A metadata array that was stepped over: its element type, length and first byte."""

    kind: int
    count: int
    start: int


class _Reader:
    """Steps through the file's bytes and refuses to step past their end."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path = path
        self.data = data
        self.size = len(data)
        self.at = 0

    def fail(self, what: str) -> NoReturn:
        raise ForetellError(f"{self.path} is damaged: {what}; fetch the file again")

    def need(self, count: int, what: str) -> None:
        """Check that `count` more bytes exist."""
        if count > self.size - self.at:
            raise ForetellError(
                f"{self.path} is truncated or lies about its sizes: {what} needs {count} bytes at byte {self.at} "
                f"but the file ends at {self.size}; fetch the file again"
            )

    def u32(self, what: str) -> int:
        self.need(4, what)
        (value,) = _U32.unpack_from(self.data, self.at)
        self.at += 4
        return int(value)

    def u64(self, what: str) -> int:
        self.need(8, what)
        (value,) = _U64.unpack_from(self.data, self.at)
        self.at += 8
        return int(value)

    def string(self, what: str, limit: int | None = None) -> str:
        size = self.u64(what)
        if limit is not None and size > limit:
            self.fail(f"{what} claims {size} bytes, more than {limit}")
        self.need(size, what)
        raw = self.data[self.at : self.at + size]
        self.at += size
        return self.text(raw, what)

    def text(self, raw: bytes, what: str) -> str:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            self.fail(f"{what} is not valid UTF-8")

    def value(self, key: str) -> Any:
        """One metadata value; an array is stepped over."""
        kind = self.u32(f"the type of {key}")
        if kind == _STRING:
            return self.string(key)
        if kind == _ARRAY:
            return self._array(key)
        if kind not in _SCALARS:
            self.fail(f"{key} has the unknown type {kind}")
        layout = _SCALARS[kind][0]
        self.need(layout.size, key)
        (value,) = layout.unpack_from(self.data, self.at)
        self.at += layout.size
        return bool(value) if kind == _BOOL else value

    def _array(self, key: str) -> _Array:
        kind = self.u32(f"the element type of {key}")
        count = self.u64(f"the length of {key}")
        start = self.at
        if kind == _STRING:
            self._skip_strings(key, count)
            return _Array(kind, count, start)
        if kind not in _SCALARS:  # arrays of arrays too: the format allows them and nothing writes them
            self.fail(f"{key} is an array of the unsupported type {kind}")
        n_bytes = count * _SCALARS[kind][0].size
        self.need(n_bytes, key)
        self.at += n_bytes
        return _Array(kind, count, start)

    def _skip_strings(self, key: str, count: int) -> None:
        self.need(8 * count, key)
        unpack, data, at = _U64.unpack_from, self.data, self.at
        last = self.size - 8
        # The loop runs 300,000 times for a vocabulary and its merges, so it does nothing but step.
        for _ in range(count):
            if at > last:
                break
            at += 8 + unpack(data, at)[0]
        else:
            if at <= self.size:
                self.at = at
                return
        raise ForetellError(
            f"{self.path} is truncated or lies about its sizes: the strings of {key} run past the end of the file; "
            "fetch the file again"
        )

    def decode(self, key: str, array: _Array) -> list[str] | NDArray[Any]:
        """The values of an array that `value` has stepped over and so found to lie within the file."""
        if array.kind != _STRING:
            dtype = _SCALARS[array.kind][1]
            values = np.frombuffer(self.data, dtype, array.count, array.start)
            return values != 0 if array.kind == _BOOL else values.copy()  # a view would keep the file mapped
        unpack, data, at = _U64.unpack_from, self.data, array.start
        strings: list[str] = []
        append = strings.append
        try:
            for _ in range(array.count):
                start = at + 8
                at = start + unpack(data, at)[0]
                append(data[start:at].decode())
        except UnicodeDecodeError:
            self.fail(f"string {len(strings)} of {key} is not valid UTF-8")
        return strings


def _shown(name: str) -> str:
    """A name out of the file as a short single line, whatever it contains."""
    return repr(name if len(name) <= 80 else f"{name[:77]}...")


class Metadata(Mapping[str, Any]):
    """The file's keys and values: int, float, bool, str, a list of str or a NumPy array. Arrays decode on first use."""

    def __init__(self, reader: _Reader, values: dict[str, Any]) -> None:
        self._reader = reader
        self._values = values

    def __getitem__(self, key: str) -> Any:
        value = self._values[key]
        if isinstance(value, _Array):
            value = self._values[key] = self._reader.decode(_shown(key), value)
        return value

    def __contains__(self, key: object) -> bool:  # the inherited one would decode
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class GGUF:
    """An open GGUF file. `close` it, or use it as a context manager; views from `data` stay valid afterwards."""

    def __init__(self, path: Path, mapped: mmap.mmap) -> None:
        self.path = path
        self._mapped = mapped
        reader = _Reader(path, mapped)
        self.version, n_tensors, n_values = _read_header(reader)
        values = _read_metadata(reader, n_values)
        self.metadata: Mapping[str, Any] = Metadata(reader, values)
        _refuse_split(path, values)
        self.tensors: Mapping[str, Tensor] = MappingProxyType(
            _read_tensors(reader, n_tensors, _alignment(reader, values))
        )

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Map the file and check everything but the tensors' values. Raises ForetellError for any fault."""
        path = Path(path)
        if path.exists() and not path.is_file():
            raise ForetellError(f"{path} is not a file; give the path of a model in GGUF format")
        try:
            with path.open("rb") as file:
                magic = file.read(4)
                if magic != b"GGUF":
                    raise ForetellError(
                        f"{path} is not a GGUF file: it begins with {magic!r} instead of b'GGUF'; "
                        "give the path of a model in GGUF format"
                    )
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise ForetellError(f"cannot read {path}: {why(error)}; check the path") from error
        try:
            return cls(path, mapped)
        except BaseException:
            mapped.close()
            raise

    def data(self, name: str) -> NDArray[np.uint8]:
        """The tensor's bytes as they lie in the file: a read-only view, nothing is copied."""
        tensor = self.tensors[name]
        return np.frombuffer(self._mapped, np.uint8, tensor.n_bytes, tensor.offset)

    def rows(self, name: str, start: int, stop: int) -> NDArray[np.uint8]:
        """The bytes of a matrix's outputs from `start` to `stop`, [stop - start, bytes of an output]: a view.

        A vector is one output.
        """
        shape = self.tensors[name].shape
        return self.data(name).reshape(shape[0] if len(shape) > 1 else 1, -1)[start:stop]

    def close(self) -> None:
        """Let go of the file. Views that are still in use keep it mapped until they are gone."""
        with contextlib.suppress(BufferError):
            self._mapped.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _read_header(reader: _Reader) -> tuple[int, int, int]:
    reader.need(_HEADER.size, "the header")
    _, version, n_tensors, n_values = _HEADER.unpack_from(reader.data, 0)
    reader.at = _HEADER.size
    if int.from_bytes(version.to_bytes(4, "little"), "big") in _VERSIONS:
        raise ForetellError(f"{reader.path} is a big-endian GGUF file; convert it to little-endian first")
    if version not in _VERSIONS:
        raise ForetellError(
            f"{reader.path} has GGUF version {version}; versions 2 and 3 are supported, so convert the model again"
        )
    reader.need(
        n_values * _MIN_ENTRY + n_tensors * _MIN_TENSOR, f"a table of {n_values} values and {n_tensors} tensors"
    )
    return version, n_tensors, n_values


def _read_metadata(reader: _Reader, count: int) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for index in range(count):
        key = reader.string(f"metadata key {index}", _MAX_NAME)
        if key in values:
            reader.fail(f"the metadata key {_shown(key)} appears twice")
        values[key] = reader.value(_shown(key))
    return values


def _refuse_split(path: Path, values: dict[str, Any]) -> None:
    count = values.get("split.count", 0)
    if isinstance(count, int) and count > 1:
        part = values.get("split.no", 0)
        number = part + 1 if isinstance(part, int) else "?"
        raise ForetellError(
            f"{path} is part {number} of {count} of a split model; join the parts first (llama-gguf-split --merge)"
        )


def _alignment(reader: _Reader, values: dict[str, Any]) -> int:
    alignment = values.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        reader.fail(f"general.alignment is {str(alignment)[:40]}, not a power of two")
    return alignment


def _read_tensors(reader: _Reader, count: int, alignment: int) -> dict[str, Tensor]:
    entries = [_read_tensor(reader, index, alignment) for index in range(count)]
    base = -(-reader.at // alignment) * alignment
    tensors: dict[str, Tensor] = {}
    for tensor in entries:
        if tensor.name in tensors:
            reader.fail(f"the tensor {_shown(tensor.name)} appears twice")
        end = base + tensor.offset + tensor.n_bytes
        if end > reader.size:
            raise ForetellError(
                f"{reader.path} is truncated or lies about its sizes: the tensor {_shown(tensor.name)} ends "
                f"at byte {end} but the file at {reader.size}; fetch the file again"
            )
        tensors[tensor.name] = Tensor(tensor.name, tensor.format, tensor.shape, base + tensor.offset, tensor.n_bytes)
    _refuse_overlap(reader, tensors)
    return tensors


def _read_tensor(reader: _Reader, index: int, alignment: int) -> Tensor:
    """One entry of the table; its offset still counts from the start of the data."""
    name = reader.string(f"the name of tensor {index}", _MAX_NAME)
    n_dimensions = reader.u32(f"tensor {_shown(name)}")
    if n_dimensions > _MAX_DIMENSIONS:
        reader.fail(f"the tensor {_shown(name)} claims {n_dimensions} dimensions, more than {_MAX_DIMENSIONS}")
    sizes = [reader.u64(f"tensor {_shown(name)}") for _ in range(n_dimensions)]
    number = reader.u32(f"tensor {_shown(name)}")
    offset = reader.u64(f"tensor {_shown(name)}")
    if number not in FORMATS:
        known = UNSUPPORTED.get(number, f"number {number}")
        raise ForetellError(
            f"{reader.path}: the tensor {_shown(name)} has the unsupported format {known}; "
            f"use a file with only these: {SUPPORTED}"
        )
    form = FORMATS[number]
    inner = sizes[0] if sizes else 1
    n_values = 1
    for size in sizes:
        n_values *= size
    if n_values == 0 or inner % form.block:
        reader.fail(f"the tensor {_shown(name)} has the dimensions {sizes}, which blocks of {form.block} do not fill")
    if offset % alignment:
        reader.fail(f"the tensor {_shown(name)} begins at {offset}, not a multiple of {alignment}")
    return Tensor(name, form.name, tuple(reversed(sizes)), offset, n_values // form.block * form.block_bytes)


def _refuse_overlap(reader: _Reader, tensors: dict[str, Tensor]) -> None:
    end, before = 0, ""
    for tensor in sorted(tensors.values(), key=lambda each: each.offset):
        if tensor.offset < end:
            reader.fail(f"the tensors {_shown(before)} and {_shown(tensor.name)} overlap")
        end, before = tensor.offset + tensor.n_bytes, tensor.name
