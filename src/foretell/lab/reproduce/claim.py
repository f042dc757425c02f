"""A claim of a paper beside what was measured, and whether it holds."""

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from foretell.lab.quality.intervals import percentiles

Values = NDArray[np.float64]
Relation = Literal["equal", "same", "more", "less"]
Verdict = Literal["holds", "nearly", "does not hold", "undecided"]
NEARLY: Final = 0.1  # as far off, of what is claimed, a figure is still called near
FEWEST: Final = 3  # items: below, an interval says nothing


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim in one case.

    paper: its arXiv number. says: the claim. case: which models, which texts, which settings. claimed, measured: the
    figures. relation: what the claim says of the measured one beside the claimed one; "same" allows for no chance. low,
    high: of the measured one, 95 % (the uncertainty of both where what is claimed rests on measurements too); None
    where it is not known. of: what was counted, such as "8 prompts".
    """

    paper: str
    says: str
    case: str
    relation: Relation
    claimed: float
    measured: float
    low: float | None
    high: float | None
    of: str

    @property
    def verdict(self) -> Verdict:
        """Whether it holds, as far as the sample can say."""
        if self.relation == "same":
            return "holds" if self.measured == self.claimed else "does not hold"
        if self.low is None or self.high is None:
            return "undecided"
        match self.relation:
            case "equal":
                if self.low <= self.claimed <= self.high:
                    return "holds"
                return "nearly" if abs(self.measured - self.claimed) <= NEARLY * abs(self.claimed) else "does not hold"
            case "more":
                return _beyond(self.low - self.claimed, self.high - self.claimed)
            case "less":
                return _beyond(self.claimed - self.high, self.claimed - self.low)

    def to_json(self) -> dict[str, Any]:
        """The fields by name, and the verdict."""
        return asdict(self) | {"verdict": self.verdict}


def interval(measured: Values, claimed: Values, items: int) -> tuple[float, float] | tuple[None, None]:
    """Where the measured figure may be while the claimed one stands still, of resamples of both.

    measured, claimed: float64 [1 + resamples], of the sample itself first.
    """
    gaps = measured[1:] - claimed[1:]
    if items < FEWEST or not np.isfinite(gaps).all():
        return None, None
    low, high = percentiles(gaps)
    return float(claimed[0]) + low, float(claimed[0]) + high


def _beyond(worst: float, best: float) -> Verdict:
    """Of how much a figure is beyond another one, in the direction that the claim says."""
    if worst > 0:
        return "holds"
    return "does not hold" if best <= 0 else "undecided"
