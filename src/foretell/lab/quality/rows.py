"""Reads the files that evaluation sets come in: JSON lines (also gzipped), a JSON array, Parquet, parallel texts."""

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretell.errors import ForetellError, why

SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".parquet", ".src")


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a file. where: for messages, the file and the line."""

    where: str
    fields: Mapping[str, Any]

    def text(self, *names: str) -> str:
        """A field that is a text and not empty, by the first of these names that there is. Numbers are texts too."""
        value = self._first(names)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str) or not value.strip():
            raise ForetellError(f"{self.where}: {names[0]} is {value!r:.60}; expected a text")
        return value

    def texts(self, *names: str, optional: bool = False) -> tuple[str, ...]:
        """A field that is a list of texts, or one text. optional: none, if the field is missing or null."""
        if optional and all(self.fields.get(name) is None for name in names):
            return ()
        value = self._first(names)
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
            raise ForetellError(f"{self.where}: {names[0]} is {value!r:.60}; expected a list of texts")
        if not values and not optional:
            raise ForetellError(f"{self.where}: {names[0]} is empty; expected at least one text")
        return tuple(values)

    def _first(self, names: tuple[str, ...]) -> Any:
        for name in names:
            if self.fields.get(name) is not None:
                return self.fields[name]
        raise ForetellError(f"{self.where}: the field {' or '.join(names)} is missing or null; is it this task's file?")


def read_rows(path: Path) -> Iterator[Row]:
    """The records of a file, by what its name ends in. ForetellError, with the line, for what cannot be read."""
    try:
        if path.name.endswith(".parquet"):
            yield from _parquet(path)
        elif path.name.endswith(".src"):
            yield from _parallel(path)
        elif path.name.endswith(".json"):
            yield from _array(path)
        else:
            yield from _lines(path)
    except (OSError, UnicodeDecodeError, EOFError, zlib.error) as error:
        raise ForetellError(f"cannot read {path}: {why(error)}; give one of {', '.join(SUFFIXES)}") from error


def _lines(path: Path) -> Iterator[Row]:
    with gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                where = f"{path}, line {number}"
                yield _row(where, _parsed(line.decode(), where))


def _array(path: Path) -> Iterator[Row]:
    found = _parsed(path.read_text(encoding="utf-8"), str(path))
    if not isinstance(found, list):
        raise ForetellError(f"{path} is no array: one of JSON objects is expected, or JSON lines in a .jsonl file")
    for number, each in enumerate(found, 1):
        yield _row(f"{path}, entry {number}", each)


def _parquet(path: Path) -> Iterator[Row]:
    try:
        from pyarrow import ArrowException, parquet  # noqa: PLC0415 — large, seldom needed
    except ImportError:
        raise ForetellError(f"reading {path} needs pyarrow: pip install 'foretell[lab]'") from None
    try:
        found = parquet.read_table(path).to_pylist()
    except ArrowException as error:
        raise ForetellError(f"cannot read {path}: {' '.join(str(error).split())[:200]}") from error
    for number, each in enumerate(found, 1):
        yield _row(f"{path}, row {number}", each)


def _parallel(path: Path) -> Iterator[Row]:
    """`test.src` with a sentence a line, and corrections of the same lines in `test.ref0`, `test.ref1`, ..."""
    references = sorted(path.parent.glob(f"{path.stem}.ref*"))
    if not references:
        raise ForetellError(f"there are no references beside {path}: put {path.stem}.ref0, {path.stem}.ref1, ... there")
    sources = path.read_text(encoding="utf-8").splitlines()
    columns = [each.read_text(encoding="utf-8").splitlines() for each in references]
    for each, column in zip(references, columns, strict=True):
        if len(column) != len(sources):
            raise ForetellError(f"{each} has {len(column)} lines and {path} {len(sources)}: they must be the same many")
    for number, source in enumerate(sources, 1):
        corrections = [column[number - 1] for column in columns]
        yield Row(f"{path}, line {number}", {"sentence": source, "corrections": corrections})


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ForetellError(f"{where}: {error}; expected JSON") from error


def _row(where: str, found: object) -> Row:
    if not isinstance(found, dict):
        raise ForetellError(f"{where}: {str(found)[:60]!r} is no JSON object; expected one with named fields")
    return Row(where, found)
