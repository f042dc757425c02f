"""Ways to run a target: alone, guessing for nothing, with a draft model; what is known of each."""

from dataclasses import dataclass
from typing import Final

from foretell.api import Model
from foretell.ir.ops import Draft, Pipeline
from foretell.lab.replay.record import STEPS
from foretell.lab.replay.run import Played
from foretell.lab.replay.world import AS_IT_IS, Variant
from foretell.lab.select.drafted import Drafted
from foretell.lab.select.timing import Block
from foretell.lab.select.usage import Prices, Usage, work
from foretell.lab.suite import Prompt
from foretell.passes.rewrite import of_kind
from foretell.profile.counts import Form
from foretell.profile.energy.counter import PassCounter
from foretell.profile.energy.work import Work
from foretell.profile.file import Profile
from foretell.runtime.drafter import Drafter

LEVEL: Final = "O2"
WHOLE_FORM: Final[Form] = (0, "")  # a draft model as it was opened
NONE: Final = "none"  # the target alone, at O0
FREE: Final = "lookup"  # no draft model: what O2 does by itself


@dataclass(frozen=True, slots=True)
class Answer:
    """What the target says to a prompt."""

    prompt: Prompt
    ids: tuple[int, ...]
    played: Played


@dataclass(frozen=True, slots=True)
class Measured:
    """A way to run the target, and what it takes along the answers.

    name: NONE, FREE or the candidate's. pipeline: what O2 comes to. form: of the draft model that this asks, if any.
    usages: of each answer, in their order. target, draft: prices of passes. round_ms: of a round besides passes.
    blocks: of timings. drafted: what the draft model said. counters: of the target's passes and of the draft's, where
    these read weights. flaw: what makes the profile doubtful that -O2 decides by; "" when nothing does.
    """

    name: str
    pipeline: Pipeline
    form: Form | None
    usages: tuple[Usage, ...]
    target: Prices
    draft: Prices | None
    round_ms: float
    blocks: tuple[Block, ...] = ()
    drafted: Drafted | None = None
    counters: tuple[PassCounter | None, PassCounter | None] = (None, None)
    flaw: str = ""

    @property
    def work(self) -> Work | None:
        """Bytes and multiply-adds of all answers; None where they cannot be counted."""
        target, draft = self.counters
        if target is None or (draft is None and any(each.draft for each in self.usages)):
            return None
        out = Work()
        for each in self.usages:
            out += work((*each.prompt, *each.target), target)
            if draft is not None:
                out += work(each.draft, draft)
        return out


@dataclass(frozen=True, slots=True)
class Candidate:
    """A loaded draft model beside its target. model: both, as one that answers. pipeline: what O2 makes of them."""

    name: str
    model: Model
    drafter: Drafter
    profile: Profile
    pipeline: Pipeline

    def load(self) -> None:
        """Load the draft model in the form that runs, which no answer shall pay for."""
        self.drafter.backend(self.form or WHOLE_FORM)

    @property
    def variants(self) -> list[Variant]:
        """Of the draft model, those that the pipeline asks; as it was opened when this asks none."""
        asked = [each for each in of_kind(self.pipeline, Draft) if each.of]
        return list(dict.fromkeys((each.vocabulary, each.precision, each.prompt) for each in asked)) or [AS_IT_IS]

    @property
    def steps(self) -> int:
        """Guesses of a chain that have to be known."""
        return max(STEPS, *(each.width for each in of_kind(self.pipeline, Draft) if each.of), 0)

    @property
    def form(self) -> Form | None:
        """The form of the draft model that runs; None when the pipeline asks no draft model."""
        return self.variants[0][:2] if any(each.of for each in of_kind(self.pipeline, Draft)) else None
