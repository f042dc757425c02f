"""How many guesses each source gives."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from foretell.cost.facts import Facts
from foretell.ir.ops import Draft, Merge, Pipeline
from foretell.passes.rewrite import Rewritten, changed, cheapest, gain, of_kind

WIDTHS: Final = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16)  # further apart where T(n) and chances are flat
SWEEPS: Final = 3  # widths of sources depend on each other; more rounds than this were never needed


@dataclass(frozen=True, slots=True)
class Widths:
    """Set the widths for which an answer takes the least time, one statement after the other until none changes."""

    name: ClassVar[str] = "widths"

    def run(self, pipeline: Pipeline, facts: Facts) -> Rewritten:
        """See the class."""
        start = pipeline
        for _ in range(SWEEPS):
            before = pipeline
            for statement in _sized(pipeline):
                pipeline = cheapest(pipeline, _widths(pipeline, statement), facts)
            if pipeline is before:
                break
        if pipeline is start:
            return start, ()
        pairs = zip(_sized(start), _sized(pipeline), strict=True)
        new = [f"{b.name} {a.width} -> {b.width}" for a, b in pairs if a != b]
        return pipeline, (f"{', '.join(new)}: {gain(start, pipeline, facts)}",)


def _widths(pipeline: Pipeline, statement: Draft | Merge) -> Iterator[Pipeline]:
    return (changed(pipeline, statement, replace(statement, width=n)) for n in WIDTHS if n != statement.width)


def _sized(pipeline: Pipeline) -> list[Draft | Merge]:
    """What has a width to choose: neither what is paced, nor a merge of it, which must have room for all."""
    drafts, merges = of_kind(pipeline, Draft), of_kind(pipeline, Merge)
    paced = {each.name for each in drafts if each.paced}
    for merge in merges:
        if paced & set(merge.proposals):
            paced.add(merge.name)
    sized: list[Draft | Merge] = [*drafts, *merges]
    return [each for each in sized if each.name not in paced]
