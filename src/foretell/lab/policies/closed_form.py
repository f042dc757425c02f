"""The best fixed length by the formula of speculative decoding (Leviathan et al., arXiv 2211.17192, theorem 3.8).

With acceptance a and a draft pass that costs c passes of the target, chains of g guesses are expected to speed
generation up by

    (1 - a^(g + 1)) / ((1 - a) (g c + 1))

which takes a pass of the target over g + 1 rows to cost as much as over one. Acceptance and costs are the profile's.
"""

from dataclasses import dataclass
from math import inf
from typing import Final

from foretell.cost.facts import Facts
from foretell.lab.policies.policy import STEPS, Kit
from foretell.runtime.bind import Bound
from foretell.runtime.choose import DRAFT

ALMOST: Final = 1 - 1e-9


def length(acceptance: float, cost: float) -> int:
    """The number of guesses that the formula finds best, at most STEPS; 0 where none pay.

    >>> length(0.8, 0.05), length(0.5, 0.3), length(0.2, 0.5)
    (8, 1, 0)
    """
    a = min(acceptance, ALMOST)
    return max(range(STEPS + 1), key=lambda g: (1 - a ** (g + 1)) / ((1 - a) * (g * cost + 1)))


def measured(facts: Facts) -> tuple[float, float]:
    """Acceptance of a guess whose ancestors are right, over all places, and the relative cost of a draft pass."""
    known = facts.model(DRAFT)
    if known.calibration:
        acceptance = sum(right * share for _, right, share in known.calibration)
    else:
        acceptance = known.chances[0] if known.chances else 0.0
    return acceptance, known.pass_ms(1) / facts.target(1) if facts.target(1) else inf


@dataclass(frozen=True, slots=True)
class ClosedForm:
    """Chains of the length that the formula says."""

    name = "closed-form"
    drafts = True
    pipeline = None

    def fresh(self) -> "ClosedForm":
        """Itself."""
        return self

    def bound(self, kit: Kit) -> Bound:
        """See the class."""
        best = length(*measured(kit.model.facts))
        if not best:
            return kit.bound(kit.lookup(0), 1)
        return kit.bound(kit.chain(best), best)
