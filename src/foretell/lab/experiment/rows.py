"""One row per answer: what was asked of whom, what came, what it cost and was worth, and where the figures are from.

Rows are written as JSON lines (`rows.jsonl` of a results folder) and read from these or from Parquet.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal

from foretell.errors import ForetellError
from foretell.lab import lines

ROWS: Final = "rows.jsonl"  # their file in a results folder
PARQUET: Final = "rows.parquet"
ALONE: Final = "O0"  # the configuration that is the target without help
QUESTION: Final = ("suite", "klass", "id", "max_tokens", "temperature", "seed")
KEY: Final = ("machine", "model", "model_digest", "draft", "draft_digest", "configuration", *QUESTION, "repeat")
Promise = Literal["exact", "distribution", "lossy"]
Key = tuple[str | int | float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One answer of one configuration.

    What was asked:
        plan: its name. suite, klass, id: where the prompt is from, its class and its name there. model, draft: names;
        "" is no draft. configuration: its name, unique in a plan, by which configurations are compared. origin: what it
        is: "level", "preset", "file" or "budget" (`promise` says whether something may be lost). level: O0 to O3 or Oe,
        or "". pipeline: in text form. knobs: settings of the pipeline that the plan chose, such as epsilon or
        threshold. repeat: the how manieth time, from 0.
    What came:
        tokens: how many. digest: tells token sequences apart. finish: "stop" or "length". The others as in
        `foretell.runtime.events.Result`: first_token_s, response_s, tokens_per_s, rounds, draft_passes, guessed,
        acceptance, processor_s, answered_by.
    Energy: joules, between joules_low and joules_high (None: not known); joules_kind is "measured", "modelled" or
        "unavailable", joules_source who says so or why nobody can.
    Worth: score is 0 to 1, or None where nothing is judged; measure says what it is ("right", "chrF", "GLEU"); why is
        what was wrong, in a line.
    Where from: machine, version, commit ("" outside a checkout, ending in "+" where files were changed), engine (its
        build's key), model_digest, draft_digest, started (UTC, ISO 8601).
    """

    plan: str
    suite: str
    klass: str
    id: str
    model: str
    draft: str = ""
    configuration: str
    origin: str
    promise: Promise
    level: str = ""
    pipeline: str = ""
    knobs: Mapping[str, float | str] = field(default_factory=dict)
    max_tokens: int
    temperature: float
    seed: int
    repeat: int = 0
    prompt_tokens: int = 0
    tokens: int
    digest: str
    finish: str
    first_token_s: float | None
    response_s: float
    tokens_per_s: float | None
    rounds: int
    draft_passes: int = 0
    guessed: int = 0
    acceptance: float | None = None
    answered_by: str = "target"
    processor_s: float | None = None
    joules: float | None = None
    joules_low: float | None = None
    joules_high: float | None = None
    joules_kind: str = "unavailable"
    joules_source: str = ""
    score: float | None = None
    measure: str = ""
    why: str = ""
    machine: str
    version: str
    commit: str = ""
    engine: str = ""
    model_digest: str = ""
    draft_digest: str = ""
    started: str = ""

    @property
    def question(self) -> Key:
        """What tells its question from others: two configurations are compared on rows that share it."""
        return tuple(getattr(self, name) for name in QUESTION)

    @property
    def key(self) -> Key:
        """What tells it from all other rows."""
        return tuple(getattr(self, name) for name in KEY)

    def to_json(self) -> dict[str, Any]:
        """The fields by name, as plain JSON values."""
        return {name: getattr(self, name) for name in NAMES} | {"knobs": dict(self.knobs)}


NAMES: Final = tuple(each.name for each in fields(Row))
_NEEDED: Final = tuple(each.name for each in fields(Row) if each.default is MISSING and each.default_factory is MISSING)


def read_rows(paths: Iterable[Path]) -> list[Row]:
    """The rows of results folders, JSONL files and Parquet files, each once, in their order.

    A last line that broke off is left out; fields that a later version added are too.

    Raises:
        ForetellError: something is no such file; it says where.
    """
    found: dict[Key, Row] = {}
    for path in paths:
        for row in _rows(path):
            found.setdefault(row.key, row)
    return list(found.values())


def by_machine(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows of different machines, kept apart: times and joules of two machines are not compared."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.machine, []).append(row)
    return found


def from_json(line: Mapping[str, Any], where: str) -> Row:
    """A row of a line. where: for messages."""
    lacking = [name for name in _NEEDED if name not in line]
    if lacking:
        raise ForetellError(f"{where}: no {lacking[0]}; expected a row that `foretell lab run` wrote")
    knobs = line.get("knobs") or {}
    if isinstance(knobs, str):  # as Parquet has them
        knobs = json.loads(knobs)
    known = {name: line[name] for name in NAMES if name in line} | {"knobs": knobs}
    return Row(**known)


def _rows(path: Path) -> Iterator[Row]:
    if path.is_dir():
        inside = [path / name for name in (ROWS, PARQUET) if (path / name).is_file()]
        if not inside:
            raise ForetellError(f"{path} has no {ROWS}: give a folder that `foretell lab run` wrote, or a file of rows")
        path = inside[0]
    if path.suffix == ".parquet":
        from foretell.lab.experiment.parquet import read  # noqa: PLC0415 — pyarrow is an extra, seldom needed

        yield from read(path)
        return
    for where, line in lines.read(path, "give a results folder, or a file of rows"):
        yield from_json(line, where)
