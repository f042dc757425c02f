"""The file of a calibration's answers, appended to as they come; `foretell.lab.log` says what else it has."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from foretell.lab.budget.sample import Answer
from foretell.lab.log import Log

WHAT: Final = "calibration"


class Record(Log[Answer]):
    """A file to write answers to; a context manager. Arguments as for `Log`."""

    same: ClassVar = (
        "what", "tasks", "data", "model", "model_digest", "draft", "draft_digest", "machine", "max_tokens",
        "temperature", "seed", "limits", "weaker_sandbox",
    )  # fmt: skip
    named: ClassVar = "configurations"

    @staticmethod
    def to_json(entry: Answer) -> Mapping[str, Any]:
        """A line."""
        return entry.to_json()

    @staticmethod
    def from_json(line: Mapping[str, Any]) -> Answer:
        """The answer of a line."""
        return Answer.from_json(line)

    @staticmethod
    def key(entry: Answer) -> tuple[str, str]:
        """Question and configuration."""
        return entry.id, entry.configuration
