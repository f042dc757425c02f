"""The models that Foretell knows by name, read from `catalogue.toml`."""

import difflib
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Self

from foretell.errors import ForetellError


@dataclass(frozen=True, slots=True)
class Hub:
    """A file of a repository on the Hugging Face hub."""

    repo: str
    file: str
    revision: str = "main"

    @property
    def label(self) -> str:
        """What a person calls this source."""
        return f"Hugging Face hub, {self.repo}"


@dataclass(frozen=True, slots=True)
class Packages:
    """A file cut into parts that lie in Python packages, one part in each wheel.

    package: the packages' name, with `{part}` for the number from 1 to `parts`.
    member: pattern of the data file's path in the wheel.
    """

    package: str
    version: str
    parts: int
    member: str

    @property
    def label(self) -> str:
        """What a person calls this source."""
        more = f" and {self.parts - 1} more" if self.parts > 1 else ""
        return f"Python packages, {self.package.format(part=1)}{more}"


Source = Hub | Packages


@dataclass(frozen=True, slots=True)
class Entry:
    """A model with a name: the facts of its file and where it can be had. draft: the entry that guesses well for it."""

    name: str
    title: str
    file: str
    size_bytes: int
    sha256: str
    licence: str
    sources: tuple[Source, ...]
    draft: str | None = None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All entries by name, and the name of the model that is used when none is given."""

    entries: dict[str, Entry]
    default: str

    @classmethod
    def load(cls) -> Self:
        """The catalogue that comes with Foretell."""
        return cls.parse(files("foretell.models").joinpath("catalogue.toml").read_text(encoding="utf-8"))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a catalogue from TOML; its form is described at the head of `catalogue.toml`."""
        table = tomllib.loads(text)
        entries = [_entry(each) for each in table["model"]]
        return cls({each.name: each for each in entries}, table["default"])

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())

    def get(self, name: str) -> Entry | None:
        """The entry of that name, upper or lower case."""
        return self.entries.get(name.lower())

    def unknown(self, name: str) -> ForetellError:
        """The error for a name that is none of ours, with the nearest ones."""
        near = difflib.get_close_matches(name.lower(), self.entries, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(self.entries)}."
        return ForetellError(f"unknown model {name!r}; {hint} Otherwise give a path or hf:org/repo/file.gguf")


def _entry(table: dict[str, Any]) -> Entry:
    sources = tuple(_source(dict(each)) for each in table["sources"])
    return Entry(**{**table, "sources": sources})


def _source(table: dict[str, Any]) -> Source:
    kind = table.pop("kind")
    return Hub(**table) if kind == "hub" else Packages(**table)
