"""A file of runs, appended to as they come, so that a long measurement can be stopped, gone on with and looked at.

JSON lines. The first says what is measured; a measurement that is gone on with adds another such line. The others are
runs: `klass` and `id` of the prompt, `configuration`, `repeat`, `digest` of the token ids, and the fields of the result
but for the text.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from foretell.errors import ForetellError, UsageError
from foretell.lab.suite import Prompt, Run
from foretell.runtime.events import Result

# What has to be the same when a measurement is gone on with.
SAME: Final = ("what", "model", "draft", "machine", "suite", "suite_digest", "max_tokens", "temperature", "seed")
_PIPELINES: Final = "pipelines"  # name → what is known of a configuration; names may be added
_FIELDS: Final = tuple(each.name for each in fields(Result) if each.name != "text")
_LATER: Final = ("notes",)  # that older files don't have


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a file has. facts: the newest of each name; pipelines: all."""

    facts: Mapping[str, Any]
    runs: Sequence[Run]


class Record:
    """A file to write runs to.

    Args:
        path: the file; it must not exist unless `resume` is given.
        facts: what is measured, with the names of SAME and `pipelines`.
        prompts: those that are run; class and id together must tell them apart.
        resume: go on with a file, whose facts must be the same.

    `runs` are those of these prompts that the file had. `changed` are levels that came to other pipelines before: what
    they come to may differ from load to load, as what is known of the machine does.
    """

    def __init__(self, path: Path, facts: Mapping[str, Any], prompts: Sequence[Prompt], *, resume: bool) -> None:
        by_id = {(each.klass, each.id): each for each in prompts}
        if len(by_id) < len(prompts):
            raise ForetellError("two prompts of a class have the same id: a record needs ids that differ")
        self.runs: list[Run] = []
        self.changed: list[str] = []
        self._path = path
        if path.exists() and not resume:
            raise UsageError(f"{path} exists: give --resume to go on with it, or another --record")
        if path.exists() and path.stat().st_size:
            before = read(path)
            _check_same(path, before.facts, facts)
            _mend(path)
            known, now = before.facts[_PIPELINES], facts[_PIPELINES]
            self.changed = [name for name, its in now.items() if known.get(name, its) != its]
            self.runs = [
                Run(by_id[run.prompt.klass, run.prompt.id], run.configuration, run.result, run.repeat)
                for run in before.runs
                if (run.prompt.klass, run.prompt.id) in by_id
            ]
        self._write(facts)

    def add(self, run: Run) -> None:
        """One more run."""
        result = {name: value for name, value in run.result.to_json().items() if name != "text"}
        about = {"klass": run.prompt.klass, "id": run.prompt.id, "configuration": run.configuration}
        self._write(about | {"repeat": run.repeat, "digest": digest(run.result.tokens)} | result)

    def _write(self, line: Mapping[str, Any]) -> None:
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise ForetellError(f"cannot write {self._path}: {error.strerror}; give another --record") from error


def read(path: Path) -> Recorded:
    """A file's facts and runs, of whose prompts only class and id are known. A last line that broke off is left out."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ForetellError(f"cannot read {path}: {error}; give a file that --record wrote") from error
    facts: dict[str, Any] = {}
    runs: list[Run] = []
    for number, text in enumerate(lines[:-1], 1):  # behind the last line's end there is nothing, or a broken line
        try:
            line = json.loads(text)
            if "what" in line:
                facts |= line | {_PIPELINES: facts.get(_PIPELINES, {}) | line[_PIPELINES]}
            else:
                runs.append(_run(line))
        except (ValueError, KeyError, TypeError) as error:
            raise ForetellError(f"{path}, line {number}: {error}; expected a line that --record wrote") from error
    if not facts:
        raise ForetellError(f"{path} does not say what was measured: give a file that --record wrote")
    return Recorded(facts, runs)


def digest(tokens: Iterable[int]) -> str:
    """Twelve hexadecimal digits that tell token sequences apart."""
    return hashlib.sha256(" ".join(map(str, tokens)).encode()).hexdigest()[:12]


def _run(line: Mapping[str, Any]) -> Run:
    result = {name: line[name] for name in _FIELDS if name not in _LATER or name in line}
    result |= {"tokens": tuple(line["tokens"]), "notes": tuple(line.get("notes", ())), "text": ""}
    return Run(Prompt(line["klass"], line["id"], ""), line["configuration"], Result(**result), line["repeat"])


def _check_same(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for name in SAME:
        if before.get(name) != now.get(name):
            raise UsageError(
                f"{path} was recorded with {name} {before.get(name)!r}, this is {now.get(name)!r}: "
                "give another --record, or the same options"
            )
    for name, its in now[_PIPELINES].items():
        if before[_PIPELINES].get(name, its) != its and its.get("origin") != "level":
            raise UsageError(f"{path} was recorded with another pipeline {name}: give another --record")


def _mend(path: Path) -> None:
    """Cut off a last line that broke off."""
    data = path.read_bytes()
    end = data.rfind(b"\n") + 1
    if end < len(data):
        path.write_bytes(data[:end])
