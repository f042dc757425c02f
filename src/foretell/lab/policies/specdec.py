"""SpecDec++ (Huang et al., arXiv 2405.19715): stop when some guess of the chain is likely to be rejected.

The best rule of their decision process has this form: stop as soon as the chance that at least one guess so far is
wrong, 1 - (a1 a2 ... an), exceeds a threshold h. They train a head that predicts each a; here the draft's own
probability of its guess stands for it, as no head can be had for any pair of models. Their code's command line has
h = 0.3 and chains of 2 to 20; a larger one is played too. Cut to STEPS guesses here, which is as far as traces go.
"""

from dataclasses import dataclass

from foretell.lab.policies.policy import STEPS, Kit
from foretell.runtime.bind import Bound


@dataclass(frozen=True, slots=True)
class SpecDec:
    """Chains until doubt has added up. h: the threshold."""

    h: float = 0.3
    drafts = True
    pipeline = None

    @property
    def name(self) -> str:
        """With the threshold."""
        return f"specdec++-{self.h:g}"

    def fresh(self) -> "SpecDec":
        """Itself."""
        return self

    def bound(self, kit: Kit) -> Bound:
        """See the class."""
        source = kit.chain(STEPS)
        source.reach = 1 - self.h
        return kit.bound(source, STEPS)
