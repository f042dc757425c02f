"""Reads the fields of a plan's tables, and says of a wrong one where it stands and what is meant, perhaps."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from foretell.errors import UsageError
from foretell.lab.experiment.place import Path, place


@dataclass(frozen=True, slots=True)
class Fields:
    """A table of a plan.

    table: its fields. source: the plan's file, or its name. text: all of the plan. path: where in it the table is.
    """

    table: Mapping[str, Any]
    source: str
    text: str
    path: Path = ()

    def wrong(self, name: str, what: str, value: object = None) -> UsageError:
        """An error about a field. value: the one of several that is wrong."""
        path = (*self.path, name) if name else self.path
        written = f'"{value}"' if isinstance(value, str) else "" if value is None else str(value)
        found = place(self.text, path, written)
        where = "" if found is None else f", line {found[0]}, column {found[1]}"
        return UsageError(f"{self.source}{where}: {what}")

    def one_of(self, name: str, value: str, known: Iterable[str], what: str) -> str:
        """The value, where it is known."""
        known = list(known)
        if value in known:
            return value
        raise self.wrong(name, f"there is no {what} {value!r}{nearest(value, known)}; {listed(known)}", value)

    def known(self, names: Sequence[str]) -> None:
        """Refuse fields of other names."""
        for name in self.table:
            if name not in names:
                raise self.wrong(name, f"there is no key {name!r} here{nearest(name, names)}; {listed(names)}")

    def inner(self, name: str, *more: str | int, of: object = None) -> "Fields":
        """A table within."""
        value = self.table.get(name, {}) if of is None else of
        path = (*self.path, name, *more)
        if not isinstance(value, Mapping):
            raise self.wrong(name, f"{name} is {value!r:.60}; expected a table")
        return Fields(value, self.source, self.text, path)

    def tables(self, name: str) -> "list[Fields]":
        """An array of tables, [[name]]."""
        value = self.table.get(name, [])
        if not isinstance(value, list):
            raise self.wrong(name, f"{name} is {value!r:.60}; expected tables under [[{name}]]")
        return [self.inner(name, number, of=each) for number, each in enumerate(value)]

    def string(self, name: str, default: str = "") -> str:
        """A text."""
        value = self.table.get(name, default)
        if not isinstance(value, str):
            raise self.wrong(name, f"{name} is {value!r:.60}; expected a text")
        return value

    def strings(self, name: str) -> tuple[str, ...]:
        """Texts, or one."""
        value = self.table.get(name, [])
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
            raise self.wrong(name, f"{name} is {value!r:.60}; expected a list of texts")
        return tuple(values)

    def numbers(self, name: str) -> tuple[float, ...]:
        """Numbers between 0 and 1, or one."""
        value = self.table.get(name, [])
        values = value if isinstance(value, list) else [value]
        for each in values:
            if not isinstance(each, int | float) or isinstance(each, bool) or not 0 < each < 1:
                raise self.wrong(name, f"{name} is {each!r:.60}; expected numbers between 0 and 1", each)
        return tuple(float(each) for each in values)

    def whole(self, name: str, default: int | None = None, least: int = 1) -> int | None:
        """A whole number, at least `least`."""
        value = self.table.get(name, default)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self.wrong(name, f"{name} is {value!r:.60}; expected a whole number of {least} or more")
        return value

    def number(self, name: str, default: float | None = None) -> float | None:
        """A number that is not negative."""
        value = self.table.get(name, default)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < float("inf"):
            raise self.wrong(name, f"{name} is {value!r:.60}; expected a number of 0 or more")
        return float(value)


def nearest(name: str, known: Iterable[str]) -> str:
    """Words about the known name that is most like this one."""
    near = difflib.get_close_matches(name, list(known), 1)
    return f"; {near[0]!r} is meant, perhaps" if near else ""


def listed(known: Iterable[str]) -> str:
    """Words about all names."""
    return f"there are {', '.join(known) or 'none'}"
