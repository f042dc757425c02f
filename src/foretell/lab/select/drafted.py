"""What a draft model said along the target's answers: how often it was right, at which place of a chain, how sure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp
from typing import Any, Final

from foretell.lab.replay.trace import Text

PLACES: Final = 8  # of a chain
_ENDS: Final = (0.2, 0.4, 0.6, 0.8, 0.9, 0.97, 1.0)  # upper ends of classes of the draft's own probability


@dataclass(frozen=True, slots=True)
class Drafted:
    """places: how many were looked at. right: share at which the draft model's choice was the target's.

    by_place: share at which its first 1, 2, ... choices in a row were. brier: mean square of the difference between its
    probability of its choice and whether that was right. reliability: by class of that probability, as many places,
    what it said on average, and how often it was right.
    """

    places: int
    right: float
    by_place: tuple[float, ...]
    brier: float
    reliability: tuple[tuple[int, float, float], ...]

    def to_json(self) -> dict[str, Any]:
        """By stable names."""
        return {
            "places": self.places,
            "right": self.right,
            "by_place": list(self.by_place),
            "brier": self.brier,
            "reliability": [{"places": n, "said": said, "right": right} for n, said, right in self.reliability],
        }


def drafted(texts: Iterable[Text], variant: str) -> Drafted | None:
    """Of a variant of the draft model that every text has; a prompt shorter than what it reads counts as whole.

    None when there is no place to look at.
    """
    sure: list[float] = []
    right: list[bool] = []
    runs: list[int] = []
    for text in texts:
        along = text.drafts.get(variant) or text.drafts[variant.partition("/")[0]]
        agrees = [said == came for said, came in zip(along.said.tokens, text.answer[1:], strict=False)]
        sure += [exp(-nats) for nats in along.said.nats[: len(agrees)]]
        right += agrees
        runs += _runs(agrees)
    if not right:
        return None
    n = len(right)
    return Drafted(
        places=n,
        right=sum(right) / n,
        by_place=tuple(sum(run >= place for run in runs) / n for place in range(1, PLACES + 1)),
        brier=sum((q - hit) ** 2 for q, hit in zip(sure, right, strict=True)) / n,
        reliability=tuple(_reliability(sure, right)),
    )


def _runs(agrees: Sequence[bool]) -> list[int]:
    """How many in a row, from each place on.

    >>> _runs([True, True, False, True])
    [2, 1, 0, 1]
    """
    out: list[int] = []
    for each in reversed(agrees):
        out.append((out[-1] if out else 0) + 1 if each else 0)
    return out[::-1]


def _reliability(sure: Sequence[float], right: Sequence[bool]) -> Iterable[tuple[int, float, float]]:
    for low, high in pairwise((-1.0, *_ENDS)):
        group = [(q, hit) for q, hit in zip(sure, right, strict=True) if low < q <= high or (q > high == _ENDS[-1])]
        if group:
            yield len(group), sum(q for q, _ in group) / len(group), sum(hit for _, hit in group) / len(group)
