"""A file of judged answers, appended to as they come: whatever moment a run is killed at, it can be gone on with.

JSON lines. The first says what is measured, and a run that is gone on with adds another such line; the others are
answers. A line is written by one call and is on the disk before the next question is asked, so a run that was killed
has at most one line that is incomplete, at the end; it is cut off. One process at a time may write.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Self

from foretell.errors import ForetellError, UsageError
from foretell.lab.quality.items import Verdict
from foretell.runtime.events import Result

WHAT: Final = "quality"
# What has to be the same when a run is gone on with.
SAME: Final = (
    "what",
    "task",
    "data_digest",
    "model",
    "model_digest",
    "draft",
    "draft_digest",
    "machine",
    "max_tokens",
    "temperature",
    "seed",
    "limits",
    "weaker_sandbox",
)
_CONFIGURATIONS: Final = "configurations"  # name → what is known of it; names may be added
_RESULT: Final = tuple(each.name for each in fields(Result))


@dataclass(frozen=True, slots=True)
class Answer:
    """What one configuration answered to one question, and what it is worth."""

    id: str
    configuration: str
    result: Result
    verdict: Verdict

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from all others of a run."""
        return self.id, self.configuration

    def to_json(self) -> dict[str, Any]:
        """A line."""
        about = {"id": self.id, "configuration": self.configuration, "right": self.verdict.right}
        return about | {"why": self.verdict.why, "extracted": self.verdict.extracted} | self.result.to_json()


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a file has. facts: the newest of each name; configurations: all. answers: one of each key."""

    facts: Mapping[str, Any]
    answers: Sequence[Answer]


class Record:
    """A file to write answers to; a context manager.

    Args:
        path: it must not exist, or be empty, unless `resume` is given.
        facts: what is measured, by the names of SAME, and `configurations`.
        resume: go on with a file whose facts are the same.

    `answers` are those that the file had. UsageError for another run's file or one that another process writes.
    """

    def __init__(self, path: Path, facts: Mapping[str, Any], *, resume: bool) -> None:
        self.answers: Sequence[Answer] = ()
        self._path = path
        try:
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        except OSError as error:
            raise ForetellError(f"cannot write {path}: {error.strerror}; give another --record") from error
        try:
            self._begin(facts, resume)
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def add(self, answer: Answer) -> None:
        """One more answer; when this returns it is kept."""
        self._write(answer.to_json())

    def _begin(self, facts: Mapping[str, Any], resume: bool) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # given back when this process ends, however it does
        except OSError as error:
            raise UsageError(
                f"{self._path} is being written by another process: wait, or give another --record"
            ) from error
        if os.fstat(self._file).st_size:
            if not resume:
                raise UsageError(f"{self._path} exists: give --resume to go on with it, or another --record")
            data = self._path.read_bytes()
            end = data.rfind(b"\n") + 1
            if end:
                before = read(self._path)
                _check_same(self._path, before.facts, facts)
                self.answers = before.answers
            elif not data.startswith(b"{"):
                raise UsageError(f"{self._path} is no record: give another --record")
            os.ftruncate(self._file, end)  # a last line that broke off
        self._write(facts)

    def _write(self, line: Mapping[str, Any]) -> None:
        data = json.dumps(line).encode() + b"\n"
        try:
            while data:  # one call, unless the disk is full or a signal comes
                data = data[os.write(self._file, data) :]
            os.fsync(self._file)
        except OSError as error:
            raise ForetellError(
                f"cannot write {self._path}: {error.strerror}; what is in it is kept, --resume goes on with it"
            ) from error


def read(path: Path) -> Recorded:
    """A file's facts and answers. A last line that broke off is left out."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ForetellError(f"cannot read {path}: {error}; give a file that --record wrote") from error
    facts: dict[str, Any] = {}
    answers: dict[tuple[str, str], Answer] = {}
    for number, text in enumerate(lines[:-1], 1):  # behind the last line's end there is nothing, or a broken line
        try:
            line = json.loads(text)
            if "what" in line:
                facts |= line | {_CONFIGURATIONS: facts.get(_CONFIGURATIONS, {}) | line[_CONFIGURATIONS]}
            else:
                answer = _answer(line)
                answers.setdefault(answer.key, answer)
        except (ValueError, KeyError, TypeError) as error:
            raise ForetellError(f"{path}, line {number}: {error}; expected a line that --record wrote") from error
    if facts.get("what") != WHAT:
        raise ForetellError(f"{path} does not say that it measured quality: give a file that --record wrote")
    return Recorded(facts, tuple(answers.values()))


def answered_by_all(answers: Iterable[Answer], configurations: Sequence[str], ids: Sequence[str]) -> list[str]:
    """Those of the ids that every configuration has answered, in their order."""
    known = {each.key for each in answers}
    return [each for each in ids if all((each, name) in known for name in configurations)]


def _answer(line: Mapping[str, Any]) -> Answer:
    result = {name: line[name] for name in _RESULT} | {"tokens": tuple(line["tokens"]), "notes": tuple(line["notes"])}
    verdict = Verdict(line["right"], line["extracted"], line["why"])
    return Answer(line["id"], line["configuration"], Result(**result), verdict)


def _check_same(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for name in SAME:
        if before.get(name) != now.get(name):
            raise UsageError(
                f"{path} was recorded with {name} {before.get(name)!r}, this is {now.get(name)!r}: "
                "give another --record, or the same options"
            )
    for name, its in now[_CONFIGURATIONS].items():
        known = before[_CONFIGURATIONS].get(name, its)
        if its.get("origin") != "level" and known != its:  # what a level comes to may change with what is known
            raise UsageError(f"{path} was recorded with another pipeline {name}: give another --record")
