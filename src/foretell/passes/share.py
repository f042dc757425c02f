"""Several sources share one pass of the target."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from foretell.cost.facts import Facts
from foretell.cost.price import price
from foretell.ir.check import check
from foretell.ir.ops import PACED_SOURCES, Commit, Draft, Merge, Pipeline, Route, Verify
from foretell.passes.pace import most, roomy
from foretell.passes.rewrite import Rewritten, changed, cheapest, drafts_count, gain, of_kind, sound

WIDTHS: Final = (1, 2, 4, 8)  # to see whether a source pays at all; the pass `widths` looks closer
# A further source must leave no more than this of an answer's time: it is asked in every round, and how much sources
# that look at the same text gain together is modelled roughly. (By it recycled tokens beside lookup gained 2 %; in
# replays of 84 texts they lost 1 %.)
WORTH: Final = 0.97


@dataclass(frozen=True, slots=True)
class Share:
    """Fill rows that the target's pass has to spare with a free source's guesses, as long as that pays.

    g = draft(model, of=draft)            g = draft(model, of=draft)
    v = verify(g)                 ->      lookup = draft(lookup, width=15, paced=true)
                                          m = merge(g, lookup)
                                          v = verify(m)
    """

    name: ClassVar[str] = "share"

    def run(self, pipeline: Pipeline, facts: Facts) -> Rewritten:
        """See the class."""
        if drafts_count(pipeline):
            return pipeline, ()
        remarks: list[str] = []
        lowest = check(pipeline)
        while True:
            options = [each for each in _options(pipeline, facts) if sound(each, lowest)]
            now = price(pipeline, facts).response_ms
            worth = [each for each in options if price(each, facts).response_ms <= WORTH * now]
            best = cheapest(pipeline, worth, facts)
            if best is pipeline:
                return pipeline, tuple(remarks)
            known = {each.name for each in of_kind(pipeline, Draft)}
            new = next(each for each in of_kind(best, Draft) if each.name not in known)
            remarks.append(f"{new.source} shares the target's pass: {gain(pipeline, best, facts)}")
            pipeline = best


def _options(pipeline: Pipeline, facts: Facts) -> Iterator[Pipeline]:
    """The pipeline with one more source each."""
    used = {each.source for each in of_kind(pipeline, Draft)}
    for verify in of_kind(pipeline, Verify):
        for source in facts.sources:
            if source not in used:
                name = unused(pipeline, source)
                yield from (sharing(pipeline, verify, each) for each in _drafts(name, source, facts))


def _drafts(name: str, source: str, facts: Facts) -> Iterator[Draft]:
    """A source, paced or at several widths."""
    if source in PACED_SOURCES:
        yield Draft(name, source, most(source, facts), paced=True)
    else:
        yield from (Draft(name, source, width) for width in WIDTHS)


def sharing(pipeline: Pipeline, verify: Verify, draft: Draft) -> Pipeline:
    """The pipeline with one more draft in the target's pass."""
    if not verify.proposal:
        return changed(pipeline, verify, draft, replace(verify, proposal=draft.name))
    for merge in of_kind(pipeline, Merge):
        if merge.name == verify.proposal:
            joined = replace(merge, proposals=(*merge.proposals, draft.name))
            return roomy(changed(pipeline, merge, draft, joined))
    merge = Merge(unused(pipeline, "m"), (verify.proposal, draft.name))
    return roomy(changed(pipeline, verify, draft, merge, replace(verify, proposal=merge.name)))


def unused(pipeline: Pipeline, wish: str) -> str:
    """A name that nothing has: the one that is wished for, or with a number behind it."""
    taken = {each.name for each in pipeline.statements if not isinstance(each, Route | Commit)}
    return next(name for name in (wish, *(f"{wish}{i}" for i in range(2, len(taken) + 3))) if name not in taken)
