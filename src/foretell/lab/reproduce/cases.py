"""Rows that can be compared: of one machine, one pair of models and one suite; and sums over their prompts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from foretell.lab.experiment.rows import Key, Row
from foretell.lab.quality.intervals import resampled
from foretell.lab.reproduce.claim import Values
from foretell.lab.reproduce.ways import Way, way

ALONE = Way("alone")
Asked = tuple[Key, int]  # a question, and the how manieth time


@dataclass(frozen=True, slots=True)
class Case:
    """What each way answered to each question. small: the same of the draft model alone."""

    title: str
    model: str
    draft: str
    rows: Mapping[Way, Mapping[Asked, Row]]
    small: Mapping[Asked, Row] = field(default_factory=dict)

    def ways(self, method: str) -> list[Way]:
        """Those of a method, from short to long, from careful to bold."""
        return sorted(each for each in self.rows if each.method == method)

    def sample(self, *ways: Way) -> "Sample":
        """The questions that all of these answered."""
        return Sample.of([self.rows[each] for each in ways])


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows by side and prompt: those of a prompt under several seeds belong together, and are drawn together."""

    sides: Sequence[Sequence[Sequence[Row]]]  # [sides][prompts][seeds and repeats]

    @classmethod
    def of(cls, sides: Sequence[Mapping[Asked, Row]]) -> Self:
        """Of what all sides have."""
        common = [asked for asked in sides[0] if all(asked in each for each in sides)]
        prompts: dict[Key, list[Asked]] = {}
        for question, repeat in common:
            prompts.setdefault(question[:3], []).append((question, repeat))
        return cls([[[side[asked] for asked in its] for its in prompts.values()] for side in sides])

    @property
    def items(self) -> int:
        """How many prompts."""
        return len(self.sides[0])

    def rows(self, side: int) -> list[Row]:
        """All of a side."""
        return [row for its in self.sides[side] for row in its]

    def sums(self, side: int, figure: Callable[[Row], float]) -> NDArray[np.float64]:
        """float64 [prompts]."""
        return np.array([sum(map(figure, its)) for its in self.sides[side]], np.float64)

    def drawn(self, figure: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Values:
        """A figure of weights of the prompts: of the sample, then of each resample. nan where it is not known."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.concatenate([figure(np.ones((1, self.items))), resampled(self.items, figure)])

    def quotient(self, above: NDArray[np.float64], below: NDArray[np.float64]) -> Values:
        """Of two sums over the prompts."""
        return self.drawn(lambda weights: (weights @ above) / (weights @ below))


def cases(rows: Iterable[Row]) -> list[Case]:
    """Of rows, in the order in which they come. Rows of no known way are left out."""
    found: dict[Key, dict[Way, dict[Asked, Row]]] = {}
    for row in rows:
        its = way(row)
        if its is not None:
            found.setdefault(_place(row), {}).setdefault(its, {}).setdefault((row.question, row.repeat), row)
    out = []
    for by_way in found.values():
        one = next(iter(next(iter(by_way.values())).values()))
        if one.draft or set(by_way) != {ALONE}:
            small = found.get(_place(one, small=True), {}).get(ALONE, {})
            title = f"{one.model} with {one.draft}" if one.draft else one.model
            out.append(Case(f"{title}, {one.suite}", one.model, one.draft, by_way, small))
    return out


def _place(row: Row, *, small: bool = False) -> Key:
    models: Key = (row.model, row.model_digest, row.draft, row.draft_digest)
    if small:
        models = row.draft, row.draft_digest, "", ""
    return row.machine, *models, row.suite, row.temperature, row.max_tokens


def decoding_s(row: Row) -> float:
    """From its first token to its last."""
    return row.response_s - (row.first_token_s or 0.0)


def decoded(row: Row) -> float:
    """Tokens after the first, an end token among them."""
    return (row.tokens_per_s or 0.0) * decoding_s(row)
