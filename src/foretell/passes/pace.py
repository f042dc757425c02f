"""Sources that decide each round how many guesses pay."""

from dataclasses import dataclass, replace
from typing import ClassVar, Final

from foretell.cost.facts import Facts
from foretell.ir.check import check
from foretell.ir.ops import PACED_SOURCES, Draft, Merge, Pipeline
from foretell.passes.rewrite import Rewritten, changed, cheapest, drafts_count, gain, of_kind, sound

STEPS: Final = 8  # most guesses of a draft model in a round: longer chains are hardly ever right


@dataclass(frozen=True, slots=True)
class Pace:
    """Pace the sources that can be, all of them, where that pays: a width then is only the most.

    models: whether draft models are among them.

    g = draft(lookup, width=4)      ->      g = draft(lookup, width=15, paced=true)
    """

    models: bool = True
    name: ClassVar[str] = "pace"

    def run(self, pipeline: Pipeline, facts: Facts) -> Rewritten:
        """See the class."""
        if drafts_count(pipeline):
            return pipeline, ()
        paced = pipeline
        for draft in of_kind(pipeline, Draft):
            if can(draft) and not draft.paced and (self.models or draft.source != "model"):
                paced = changed(paced, draft, replace(draft, width=most(draft.source, facts), stop=0.0, paced=True))
        best = cheapest(pipeline, [roomy(paced)] if sound(roomy(paced), check(pipeline)) else [], facts)
        if best is pipeline:
            return pipeline, ()
        names = [each.name for each in of_kind(best, Draft) if each not in of_kind(pipeline, Draft)]
        return best, (f"{', '.join(names)} decide each round: {gain(pipeline, best, facts)}",)


def can(draft: Draft) -> bool:
    """Whether a source can be paced: its guesses may be wrong, and the steps of a model make a chain."""
    return draft.source in PACED_SOURCES and not draft.siblings


def most(source: str, facts: Facts) -> int:
    """The width of a paced source: as far as passes were measured."""
    rows = max(1, facts.target.points[-1][0] - 1)
    return min(STEPS, rows) if source == "model" else rows


def roomy(pipeline: Pipeline) -> Pipeline:
    """With merges that hold all guesses of their paced proposals: pacing says how many rows are worth it."""
    widths: dict[str, int] = {}
    for statement in pipeline.statements:
        if isinstance(statement, Draft):
            widths[statement.name] = statement.width if statement.paced else 0
        if isinstance(statement, Merge):
            room = sum(widths.get(each, 0) for each in statement.proposals)
            if room > statement.width:
                pipeline = changed(pipeline, statement, replace(statement, width=room))
            widths[statement.name] = max(room, statement.width if room else 0)
    return pipeline
