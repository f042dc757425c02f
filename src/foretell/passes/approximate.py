"""Draft models are made cheaper at the expense of their guesses; the text stays the target's."""

from dataclasses import dataclass, replace
from itertools import product
from typing import ClassVar

from foretell.cost.facts import Facts
from foretell.ir.ops import Draft, Pipeline
from foretell.passes.rewrite import Rewritten, changed, cheapest, drafts_count, gain, of_kind


@dataclass(frozen=True, slots=True)
class Approximate:
    """Lower a draft's precision and cut its output matrix to frequent tokens (arXiv 2502.14856) where that pays.

    Whole matrices and weights as they are may win too: then an approximation that was there goes.
    """

    name: ClassVar[str] = "approximate"

    def run(self, pipeline: Pipeline, facts: Facts) -> Rewritten:
        """See the class."""
        if drafts_count(pipeline):
            return pipeline, ("the text depends on what drafts say: none approximated",)
        remarks: list[str] = []
        for draft in of_kind(pipeline, Draft):
            if draft.source != "model":
                continue
            known = facts.model(draft.of)
            settings = {*product((0, *known.vocabularies), ("", *known.precisions)), *known.forms}
            changes = (replace(draft, precision=precision, vocabulary=size) for size, precision in sorted(settings))
            best = cheapest(pipeline, (changed(pipeline, draft, each) for each in changes), facts)
            if best is not pipeline:
                now = next(each for each in of_kind(best, Draft) if each.name == draft.name)
                said = f"precision {now.precision or 'as it is'}, vocabulary {now.vocabulary or 'whole'}"
                remarks.append(f"{draft.name}: {said}: {gain(pipeline, best, facts)}")
                pipeline = best
        return pipeline, tuple(remarks)
