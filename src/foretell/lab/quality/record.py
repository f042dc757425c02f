"""A file of judged answers, appended to as they come; `foretell.lab.log` says what else it has."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from foretell.errors import ForetellError
from foretell.lab.log import Log
from foretell.lab.log import Recorded as Logged
from foretell.lab.quality.items import Verdict
from foretell.runtime.events import Result

WHAT: Final = "quality"
_ABOUT: Final = ("id", "configuration", "right", "why", "extracted")


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


Recorded = Logged[Answer]


class Record(Log[Answer]):
    """A file to write answers to; a context manager. Arguments as for `Log`."""

    same: ClassVar = (
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
    named: ClassVar = "configurations"

    @staticmethod
    def to_json(entry: Answer) -> Mapping[str, Any]:
        """A line."""
        about = (entry.id, entry.configuration, entry.verdict.right, entry.verdict.why, entry.verdict.extracted)
        return dict(zip(_ABOUT, about, strict=True)) | entry.result.to_json()

    @staticmethod
    def from_json(line: Mapping[str, Any]) -> Answer:
        """The answer of a line."""
        result = Result.from_json({name: value for name, value in line.items() if name not in _ABOUT})
        verdict = Verdict(line["right"], line["extracted"], line["why"])
        return Answer(line["id"], line["configuration"], result, verdict)

    @staticmethod
    def key(entry: Answer) -> tuple[str, str]:
        """Question and configuration."""
        return entry.key


def read(path: Path) -> Recorded:
    """A file's facts and answers."""
    found = Record.read(path)
    if found.facts["what"] != WHAT:
        raise ForetellError(f"{path} does not say that it measured quality: give a file that --record wrote")
    return found


def answered_by_all(answers: Iterable[Answer], configurations: Sequence[str], ids: Sequence[str]) -> list[str]:
    """Those of the ids that every configuration has answered, in their order."""
    known = {each.key for each in answers}
    return [each for each in ids if all((each, name) in known for name in configurations)]
