"""One question of a calibration: what the target said, what the small model said, and how sure it was."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from foretell.runtime.signals import disagreement

EXACT = "O2"  # the configuration to beat: the target, exact, at the default level
SMALL = "small"
AGAIN = "small again"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a configuration answered to a question, and what that took.

    right: whether it was. tokens: generated. processor_s: of all threads. digest: tells texts apart.
    ids: of the small model's tokens; surprise, closeness, entropy: of each (`foretell.runtime.signals.Step`); at_s,
    processor_at_s: seconds and processor seconds from the request until it was there. energy: what it took
    (`foretell.profile.energy.joules.Joules.to_json`).
    """

    id: str
    configuration: str
    right: bool
    tokens: int
    digest: str
    finish: str
    first_token_s: float | None
    response_s: float
    processor_s: float
    rounds: int
    tokens_per_s: float | None = None
    why: str = ""
    extracted: str = ""
    ids: tuple[int, ...] = ()
    surprise: tuple[float, ...] = ()
    closeness: tuple[float, ...] = ()
    entropy: tuple[float, ...] = ()
    at_s: tuple[float, ...] = ()
    processor_at_s: tuple[float, ...] = ()
    energy: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """A line."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @staticmethod
    def from_json(line: Mapping[str, Any]) -> "Answer":
        """The answer of a line. KeyError, TypeError or ValueError where it has none."""
        lists = ("ids", "surprise", "closeness", "entropy", "at_s", "processor_at_s")
        given: dict[str, Any] = {name: tuple(value) if name in lists else value for name, value in line.items()}
        return Answer(**given)


@dataclass(frozen=True, slots=True)
class Sample:
    """A question with all answers to it. task: whose question. disagreement: of the small model's two answers."""

    id: str
    task: str
    answers: Mapping[str, Answer] = field(default_factory=dict)
    disagreement: float | None = None

    @property
    def exact(self) -> Answer:
        """Of the target."""
        return self.answers[EXACT]

    @property
    def small(self) -> Answer:
        """Of the small model alone."""
        return self.answers[SMALL]


def samples(answers: Sequence[Answer], needed: Sequence[str]) -> list[Sample]:
    """Questions that all of the needed configurations have answered, in the order in which they came."""
    by_id: dict[str, dict[str, Answer]] = {}
    for each in answers:
        by_id.setdefault(each.id, {})[each.configuration] = each
    out = []
    for name, found in by_id.items():
        if all(each in found for each in needed):
            other = found.get(AGAIN)
            differs = None if other is None else disagreement(found[SMALL].ids, other.ids)
            out.append(Sample(name, name.partition("/")[0], found, differs))
    return out
