"""A file of what was measured and what came of it: what `--record` writes and `--resume` goes on with.

JSON lines. The first says what is measured, and a measurement that is gone on with adds another such line; the others
are entries.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Generic, Self, TypeVar

from foretell.errors import ForetellError, UsageError
from foretell.lab.lines import Lines
from foretell.lab.lines import read as read_lines

E = TypeVar("E")
_ANOTHER: Final = "give another --record"
_GIVE: Final = "give a file that --record wrote"


@dataclass(frozen=True, slots=True)
class Recorded(Generic[E]):
    """What a file has. facts: the newest of each name; of configurations all. entries: one of each key."""

    facts: Mapping[str, Any]
    entries: Sequence[E]


class Log(ABC, Generic[E]):
    """A file to write entries to; a context manager.

    Args:
        path: it must not exist, or be empty, unless `resume` is given.
        facts: what is measured, by the names of `same`, and under `named` the configurations.
        resume: go on with a file whose facts are the same.

    Attributes:
        entries: those that the file had. changed: levels that came to other pipelines before: what they come to may
            differ from load to load, as what is known of the machine does.
        same: what has to be the same when a measurement is gone on with. named: the fact whose value has what is known
            of a configuration by its name; names may be added.

    Raises:
        UsageError: it is another measurement's file, or another process writes it.
    """

    same: ClassVar[tuple[str, ...]]
    named: ClassVar[str]

    def __init__(self, path: Path, facts: Mapping[str, Any], *, resume: bool) -> None:
        self.entries: Sequence[E] = ()
        self.changed: list[str] = []
        self._lines = Lines(path, _ANOTHER)
        try:
            self._begin(path, facts, resume)
        except BaseException:
            self._lines.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()

    def add(self, entry: E) -> None:
        """One more entry; when this returns it is kept."""
        self._lines.add(self.to_json(entry))

    @staticmethod
    @abstractmethod
    def to_json(entry: E) -> Mapping[str, Any]:
        """A line, without a field `what`."""

    @staticmethod
    @abstractmethod
    def from_json(line: Mapping[str, Any]) -> E:
        """The entry of a line. KeyError, TypeError or ValueError where it has none."""

    @staticmethod
    @abstractmethod
    def key(entry: E) -> Hashable:
        """What tells it from all others."""

    @classmethod
    def read(cls, path: Path) -> Recorded[E]:
        """A file's facts and entries. A last line that broke off is left out."""
        facts: dict[str, Any] = {}
        entries: dict[Hashable, E] = {}
        for where, line in read_lines(path, _GIVE):
            try:
                if "what" in line:
                    facts |= line | {cls.named: facts.get(cls.named, {}) | line[cls.named]}
                else:
                    entry = cls.from_json(line)
                    entries.setdefault(cls.key(entry), entry)
            except (KeyError, TypeError, ValueError) as error:
                raise ForetellError(f"{where}: {error}; expected a line that --record wrote") from error
        if not facts:
            raise ForetellError(f"{path} does not say what was measured: {_GIVE}")
        return Recorded(facts, tuple(entries.values()))

    def _begin(self, path: Path, facts: Mapping[str, Any], resume: bool) -> None:
        if not self._lines.empty:
            if not resume:
                raise UsageError(f"{path} exists: give --resume to go on with it, or another --record")
            if b"\n" in path.read_bytes():
                before = self.read(path)
                self._check_same(path, before.facts, facts)
                self.entries = before.entries
            self._lines.mend()
        self._lines.add(facts)

    def _check_same(self, path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        for name in self.same:
            if before.get(name) != now.get(name):
                raise UsageError(
                    f"{path} was recorded with {name} {before.get(name)!r}, this is {now.get(name)!r}: "
                    f"{_ANOTHER}, or the same options"
                )
        known = before[self.named]
        self.changed = [name for name, its in now[self.named].items() if known.get(name, its) != its]
        for name in self.changed:
            if now[self.named][name].get("origin") != "level":
                raise UsageError(f"{path} was recorded with another pipeline {name}: {_ANOTHER}")
