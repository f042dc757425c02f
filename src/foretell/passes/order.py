"""Sources of a round are merged into one tree, in the order that suits it best."""

from dataclasses import dataclass, replace
from itertools import permutations
from typing import ClassVar, Final

from foretell.cost.facts import Facts
from foretell.ir.ops import Merge, Pipeline
from foretell.passes.rewrite import Rewritten, changed, cheapest, drafts_count, gain, of_kind

MOST: Final = 4  # proposals of which every order is tried: 24


@dataclass(frozen=True, slots=True)
class Order:
    """Earlier proposals of a merge get their rows first and are tried first; find the best order.

    m = merge(recycled, lookup, width=8)      ->      m = merge(lookup, recycled, width=8)
    """

    name: ClassVar[str] = "order"

    def run(self, pipeline: Pipeline, facts: Facts) -> Rewritten:
        """See the class."""
        remarks: list[str] = []
        if drafts_count(pipeline):
            return pipeline, ()
        for merge in of_kind(pipeline, Merge):
            if len(merge.proposals) > MOST:
                remarks.append(f"{merge.name} merges more than {MOST} proposals: order left as it is")
                continue
            orders = (replace(merge, proposals=each) for each in permutations(merge.proposals))
            best = cheapest(pipeline, (changed(pipeline, merge, each) for each in orders), facts)
            if best is not pipeline:
                now = next(each for each in of_kind(best, Merge) if each.name == merge.name)
                remarks.append(f"{merge.name}: {', '.join(now.proposals)} in this order: {gain(pipeline, best, facts)}")
                pipeline = best
        return pipeline, tuple(remarks)
