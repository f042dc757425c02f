"""A results folder: the plan, and rows that are appended to, so that a run that was killed is gone on with."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from foretell.errors import ForetellError, UsageError, why
from foretell.lab.experiment.plan import Plan, show
from foretell.lab.experiment.read import parse
from foretell.lab.experiment.rows import ROWS, Key, Row, read_rows
from foretell.lab.lines import Lines

PLAN: Final = "plan.toml"
_ANOTHER: Final = "give another folder with --out"


class Results:
    """A folder to add rows to; a context manager. Made if it does not exist.

    Args:
        folder: the folder.
        plan: with the digests of its suites. Of a folder's own plan it may only have more seeds or repeats.

    Attributes:
        rows: those that it had.

    Raises:
        UsageError: the folder is another plan's, or another process writes to it.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder = folder
        self.rows: list[Row] = []
        path, kept = folder / PLAN, folder / ROWS
        try:
            folder.mkdir(parents=True, exist_ok=True)
            foreign = not path.exists() and not kept.exists() and any(folder.iterdir())
        except OSError as error:
            raise ForetellError(f"cannot make the folder {folder}: {error.strerror}; {_ANOTHER}") from error
        if foreign:
            raise UsageError(f"{folder} has files but no {PLAN}, so it is no results folder: {_ANOTHER}")
        self._lines = Lines(kept, _ANOTHER)
        try:
            if not self._lines.empty and b"\n" in kept.read_bytes():
                _check_same(path, plan)
                self.rows = read_rows([folder])
            self._lines.mend()
            _replace(path, show(plan))
        except BaseException:
            self._lines.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()

    @property
    def known(self) -> set[Key]:
        """The keys of its rows."""
        return {each.key for each in self.rows}

    def add(self, row: Row) -> None:
        """One more; when this returns it is kept."""
        self._lines.add(row.to_json())
        self.rows.append(row)


def remarks(rows: Sequence[Row], now: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is mixed in a folder that goes on, in words. now: of each configuration, the fields of its rows to come."""
    out = []
    here = {each["machine"] for each in now}
    others = sorted({each.machine for each in rows} - here)
    if others:
        out.append(
            f"there are rows of another machine, which are kept apart from those of this one: {'; '.join(others)}"
        )
    for name, what in (("version", "version"), ("commit", "commit"), ("engine", "engine")):
        mine = {each[name] for each in now}
        before = sorted({getattr(each, name) for each in rows if each.machine in here} - mine)
        if before:
            out.append(f"rows so far are of {what} {', '.join(before)}, those to come of {', '.join(sorted(mine))}")
    for model in dict.fromkeys(each["model"] for each in now):
        mine = {each["model_digest"] for each in now if each["model"] == model}
        if {each.model_digest for each in rows if each.model == model and each.machine in here} - mine:
            out.append(f"{model} is another file than before: it is asked again, and its rows are kept apart")
    return out


def _check_same(path: Path, plan: Plan) -> None:
    if not path.exists():
        raise UsageError(f"{path.parent} has rows but no {PLAN}, so nobody knows of what: {_ANOTHER}")
    try:
        before = parse(path.read_text(encoding="utf-8"), str(path), plan.name, Path())
    except (OSError, UnicodeDecodeError) as error:
        raise ForetellError(f"cannot read {path}: {why(error)}; {_ANOTHER}") from error
    if not before.grows_to(plan):
        raise UsageError(
            f"{path.parent} has results of another plan (it differs in {before.differences(plan)}): {_ANOTHER}, or the "
            "same options"
        )


def _replace(path: Path, text: str) -> None:
    """The whole text or what was there before, whatever happens meanwhile."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with new.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise ForetellError(f"cannot write {path}: {error.strerror}; {_ANOTHER}") from error
