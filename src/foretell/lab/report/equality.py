"""Whether exact sides gave the tokens of the target alone, answer by answer."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from foretell.lab.experiment.rows import ALONE, Key, Row
from foretell.lab.report.study import Side, Study


@dataclass(frozen=True, slots=True)
class Equality:
    """An exact side against the one whose tokens count.

    answers: how many were compared, each repeat for itself. unequal: how many had other tokens. ids: their prompts.
    """

    side: str
    against: str
    answers: int
    unequal: int
    ids: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def equalities(study: Study) -> list[Equality]:
    """Every exact side against its model alone; without that against the study's first exact side of the model.

    A side is compared with itself too when it has repeats: they must be equal.
    """
    out = []
    exact = [side for side in study.sides if side.promise == "exact"]
    for side in exact:
        base = study.alone(side) or next(each for each in exact if each.model == side.model)
        right = _first(base.rows)
        asked = [row for row in side.rows if row.question in right and row.key != right[row.question].key]
        wrong = [row for row in asked if row.digest != right[row.question].digest]
        if asked:
            ids = tuple(dict.fromkeys(f"{row.klass} {row.id}" for row in wrong))
            out.append(Equality(side.name, base.name, len(asked), len(wrong), ids))
    return out


def unchecked(study: Study, found: Sequence[Equality]) -> list[Side]:
    """Exact sides that nothing could be compared with, but for models that ran by themselves."""
    checked = {name for each in found for name in (each.side, each.against)}
    return [
        side for side in study.sides if side.promise == "exact" and side.level != ALONE and side.name not in checked
    ]


def _first(rows: Sequence[Row]) -> dict[Key, Row]:
    out: dict[Key, Row] = {}
    for row in rows:
        out.setdefault(row.question, row)
    return out
