"""Rows as Parquet, for pandas and DuckDB. Knobs are a text of JSON there."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

from foretell.errors import ForetellError
from foretell.lab.experiment.rows import Row, from_json


def write(path: Path, rows: Sequence[Row]) -> None:
    """A file of rows; one that is there is replaced when the new one is whole."""
    arrow, parquet = _arrow()
    kinds = {"str": arrow.string(), "int": arrow.int64(), "float": arrow.float64()}
    schema = arrow.schema([(each.name, kinds[_kind(each.type)]) for each in fields(Row)])
    columns = [row.to_json() | {"knobs": json.dumps(row.knobs)} for row in rows]
    new = path.with_name(f".{path.name}.new")
    try:
        parquet.write_table(arrow.Table.from_pylist(columns, schema=schema), new)
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise ForetellError(f"cannot write {path}: {error}; give another file") from error


def require() -> None:
    """Raise ForetellError where pyarrow is not installed."""
    _arrow()


def read(path: Path) -> Iterator[Row]:
    """The rows of a file. ForetellError where it is none."""
    arrow, parquet = _arrow()
    try:
        found = parquet.read_table(path).to_pylist()
    except (OSError, arrow.ArrowException) as error:
        raise ForetellError(f"cannot read {path}: {' '.join(str(error).split())[:200]}; give a file of rows") from error
    for number, each in enumerate(found, 1):
        yield from_json(each, f"{path}, row {number}")


def _kind(annotation: Any) -> str:
    """The column's type: of a number that may be missing the number's, of all else text."""
    text = getattr(annotation, "__name__", None) or str(annotation)
    first = text.split(" ")[0]
    return first if first in ("int", "float") else "str"


def _arrow() -> tuple[ModuleType, ModuleType]:
    try:
        import pyarrow  # noqa: PLC0415 — large, seldom needed
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise ForetellError("Parquet needs pyarrow: pip install 'foretell[lab]'") from None
    return pyarrow, parquet
