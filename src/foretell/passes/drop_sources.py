"""Sources that cannot pay are dropped."""

from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

from foretell.cost.facts import Facts
from foretell.cost.price import price
from foretell.ir.check import check
from foretell.ir.ops import Draft, Pipeline
from foretell.passes.rewrite import GAIN, Rewritten, drafts_count, gain, of_kind, sound, without


@dataclass(frozen=True, slots=True)
class DropSources:
    """Drop drafts, the least useful first or all at once, as long as an answer takes no longer without.

    Run it behind the passes that set widths: a draft that is too wide may pay when it is narrower.
    """

    name: ClassVar[str] = "drop-sources"

    def run(self, pipeline: Pipeline, facts: Facts) -> Rewritten:
        """See the class."""
        if drafts_count(pipeline):
            return pipeline, ("the text depends on what drafts say: none dropped",)
        remarks: list[str] = []
        lowest = check(pipeline)
        while drafts := of_kind(pipeline, Draft):
            options = [*([each] for each in drafts), drafts]
            left = [(each, reduce(without, each, pipeline)) for each in options]
            legal = [each for each in left if sound(each[1], lowest)]
            if not legal:
                break
            dropped, shorter = min(legal, key=lambda each: price(each[1], facts).response_ms)
            if price(shorter, facts).response_ms * GAIN > price(pipeline, facts).response_ms:
                break
            names = " and ".join(f"{each.name} ({each.of or each.source})" for each in dropped)
            remarks.append(f"{names} cannot pay: {gain(pipeline, shorter, facts)}")
            pipeline = shorter
        return pipeline, tuple(remarks)
