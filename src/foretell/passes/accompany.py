"""Copying from the input stands beside lookup."""

from dataclasses import dataclass
from typing import ClassVar, Final

from foretell.cost.facts import Facts
from foretell.ir.check import check
from foretell.ir.ops import Draft, Pipeline, Verify
from foretell.passes.pace import most
from foretell.passes.rewrite import Rewritten, of_kind, sound
from foretell.passes.share import sharing, unused

LEADER: Final = "lookup"
COMPANION: Final = "copy"


@dataclass(frozen=True, slots=True)
class Accompany:
    """Beside a paced lookup, copying from the input is paced too, whatever its price.

    It is silent until the output follows the input, so in all other texts it costs nothing but being asked. Prices
    average over texts and cannot see what it is for: corrections and other edits.

    lookup = draft(lookup, paced=true)          lookup = draft(lookup, paced=true)
    v = verify(lookup)                    ->    copy = draft(copy, paced=true)
                                                m = merge(lookup, copy)
                                                v = verify(m)
    """

    name: ClassVar[str] = "accompany"

    def run(self, pipeline: Pipeline, facts: Facts) -> Rewritten:
        """See the class."""
        drafts = of_kind(pipeline, Draft)
        verifies = of_kind(pipeline, Verify)
        led = any(each.source == LEADER and each.paced for each in drafts)
        if not led or COMPANION not in facts.sources or any(each.source == COMPANION for each in drafts):
            return pipeline, ()
        copied = Draft(unused(pipeline, COMPANION), COMPANION, most(COMPANION, facts), paced=True)
        new = sharing(pipeline, verifies[0], copied)
        if not sound(new, check(pipeline)):
            return pipeline, ()
        return new, (f"{COMPANION} stands beside {LEADER}: it is silent but where the output follows the input",)
