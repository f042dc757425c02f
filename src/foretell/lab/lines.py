"""A file of JSON lines that is appended to: whatever moment its writer is killed at, it can be gone on with.

A line is written by one call and is on the disk before `add` returns, so a killed writer leaves at most one line
that is incomplete, at the end; the next writer cuts it off. One process at a time may write.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from foretell.errors import ForetellError, UsageError, why


class Lines:
    """A file to append to; a context manager. Made if it does not exist.

    Args:
        path: the file.
        another: what to do where this one cannot be used, such as "give another --record".

    Nothing is changed before `mend` or `add`, so that a file which turns out to be something else stays as it is.
    """

    def __init__(self, path: Path, another: str) -> None:
        self._path, self._another = path, another
        try:
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        except OSError as error:
            raise ForetellError(f"cannot write {path}: {error.strerror}; {another}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # given back when this process ends, however it does
        except OSError as error:
            os.close(self._file)
            raise UsageError(f"{path} is being written by another process: wait, or {another}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Others may write."""
        os.close(self._file)

    @property
    def empty(self) -> bool:
        """Whether there is nothing in it, not even a broken line."""
        return not os.fstat(self._file).st_size

    def mend(self) -> bool:
        """Cut off a last line that broke off. Whether there are whole lines.

        Raises:
            UsageError: there is text without an end of line that no writer of such lines can have left.
        """
        data = self._path.read_bytes()
        end = data.rfind(b"\n") + 1
        if not end and data and not data.startswith(b"{"):
            raise UsageError(f"{self._path} is no record: {self._another}")
        os.ftruncate(self._file, end)
        return end > 0

    def add(self, line: Mapping[str, Any]) -> None:
        """One more line; when this returns it is kept."""
        data = json.dumps(line).encode() + b"\n"
        try:
            while data:  # one call, unless the disk is full or a signal comes
                data = data[os.write(self._file, data) :]
            os.fsync(self._file)
        except OSError as error:
            raise ForetellError(
                f"cannot write {self._path}: {error.strerror}; what is in it is kept and can be gone on with"
            ) from error


def read(path: Path, give: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each line's place, for messages, and what it says. A last line that broke off is left out.

    give: what to give instead of a file that cannot be read, such as "give a file that --record wrote".
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ForetellError(f"cannot read {path}: {why(error)}; {give}") from error
    for number, text in enumerate(lines[:-1], 1):  # behind the last line's end there is nothing, or a broken line
        where = f"{path}, line {number}"
        try:
            line = json.loads(text)
        except ValueError as error:
            raise ForetellError(f"{where}: {error}; {give}") from error
        if not isinstance(line, dict):
            raise ForetellError(f"{where}: {text[:60]!r} is no JSON object; {give}")
        yield where, line
