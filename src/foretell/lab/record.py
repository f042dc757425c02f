"""A file of runs, appended to as they come, so that a long measurement can be stopped, gone on with and looked at.

Each line has `klass` and `id` of the prompt, `configuration`, `repeat`, `digest` of the token ids, and the fields of
the result but for the text; `foretell.lab.log` says what else the file has.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from foretell.errors import ForetellError
from foretell.lab.log import Log, Recorded
from foretell.lab.suite import Key, Prompt, Run
from foretell.runtime.events import Result


class Record(Log[Run]):
    """A file to write runs to; a context manager.

    Args:
        path, facts, resume: as for `Log`.
        prompts: those that are run; class and id together must tell them apart.

    `runs` are those of these prompts that the file had.
    """

    same: ClassVar = ("what", "model", "draft", "machine", "suite", "suite_digest", "max_tokens", "temperature", "seed")
    named: ClassVar = "pipelines"

    def __init__(self, path: Path, facts: Mapping[str, Any], prompts: Sequence[Prompt], *, resume: bool) -> None:
        by_id = {(each.klass, each.id): each for each in prompts}
        if len(by_id) < len(prompts):
            raise ForetellError("two prompts of a class have the same id: a record needs ids that differ")
        super().__init__(path, facts, resume=resume)
        self.runs = [
            Run(by_id[run.prompt.klass, run.prompt.id], run.configuration, run.result, run.repeat)
            for run in self.entries
            if (run.prompt.klass, run.prompt.id) in by_id
        ]

    @staticmethod
    def to_json(entry: Run) -> Mapping[str, Any]:
        """A line."""
        result = {name: value for name, value in entry.result.to_json().items() if name != "text"}
        about = {"klass": entry.prompt.klass, "id": entry.prompt.id, "configuration": entry.configuration}
        return about | {"repeat": entry.repeat, "digest": digest(entry.result.tokens)} | result

    @staticmethod
    def from_json(line: Mapping[str, Any]) -> Run:
        """Of whose prompt only class and id are known."""
        about = ("klass", "id", "configuration", "repeat", "digest")
        result = Result.from_json({name: value for name, value in line.items() if name not in about} | {"text": ""})
        return Run(Prompt(line["klass"], line["id"], ""), line["configuration"], result, line["repeat"])

    @staticmethod
    def key(entry: Run) -> Key:
        """Prompt, configuration and repeat."""
        return entry.key


def read(path: Path) -> Recorded[Run]:
    """A file's facts and runs, of whose prompts only class and id are known."""
    return Record.read(path)


def digest(tokens: Iterable[int]) -> str:
    """Twelve hexadecimal digits that tell token sequences apart."""
    return hashlib.sha256(" ".join(map(str, tokens)).encode()).hexdigest()[:12]
