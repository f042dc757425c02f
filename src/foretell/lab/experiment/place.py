"""Where in a TOML text something stands: the standard reader says so of wrong syntax only."""

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

Path = Sequence[str | int]  # names of tables and keys, and numbers of an array's entries
_HEADER: Final = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]")
_KEY: Final = re.compile(r"^\s*([\w.\-\"' ]+?)\s*=")
_QUOTES: Final = re.compile(r'"""|\'\'\'')


def place(text: str, path: Path, value: str = "") -> tuple[int, int] | None:
    r"""Line and column, from 1, of a key, table or entry; the nearest one around it that is found.

    Args:
        text: the TOML.
        path: such as ("run", 1, "levels").
        value: the part of the key's value that is meant, as it is written.

    >>> place('a = 1\n[[run]]\n[[run]]\n  level = "O9"', ("run", 1, "level"))
    (4, 3)
    >>> place('levels = ["O0",\n  "O9"]', ("levels",), '"O9"')
    (2, 3)
    """
    found = list(_statements(text))
    agree = [each for each in found if each.path == tuple(path[: len(each.path)])]
    if not agree:
        return None
    best = max(agree, key=lambda each: len(each.path))  # of several the first
    later = [each.start for each in found if each.start > best.start]
    begin, end, until = best.start, best.end, min(later, default=len(text))
    inner = [rf"\b{re.escape(str(each))}\s*=" for each in path[len(best.path) :] if isinstance(each, str)]
    for pattern in (*inner, *((re.escape(value),) if value else ())):  # within an inline table, or a value
        hit = re.compile(pattern).search(text, end, until)
        if hit is None:
            break
        begin, end = hit.span()
    return text.count("\n", 0, begin) + 1, begin - text.rfind("\n", 0, begin)


class _Statement(NamedTuple):
    """A header or a key: whose path it is, and where it stands."""

    path: tuple[str | int, ...]
    start: int
    end: int


def _statements(text: str) -> Iterator[_Statement]:
    table: list[str | int] = []
    counts: dict[str, int] = {}
    offset, quoted = 0, False
    for line in text.splitlines(keepends=True):
        begun, start = quoted, offset
        quoted ^= len(_QUOTES.findall(line)) % 2 == 1
        offset += len(line)
        if begun:
            continue
        if header := _HEADER.match(line):
            table = list(_names(header[2]))
            if header[1] == "[[":
                counts[header[2]] = counts.get(header[2], -1) + 1
                table.append(counts[header[2]])
            yield _Statement(tuple(table), start + header.start(1), start + header.end())
        elif key := _KEY.match(line):
            yield _Statement((*table, *_names(key[1])), start + key.start(1), start + key.end())


def _names(dotted: str) -> list[str]:
    return [each.strip().strip("\"'") for each in dotted.split(".")]
