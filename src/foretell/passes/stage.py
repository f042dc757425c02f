"""A draft model is itself sped up by a free source."""

from dataclasses import dataclass, replace
from typing import ClassVar

from foretell.cost.facts import Facts
from foretell.ir.ops import Draft, Pipeline
from foretell.passes.rewrite import Rewritten, changed, cheapest, gain, of_kind


@dataclass(frozen=True, slots=True)
class Stage:
    """Choose the free source whose guesses the draft model checks (arXiv 2308.04623), or none. Guesses stay the same.

    g = draft(model, of=draft)      ->      g = draft(model, of=draft, inner=lookup)
    """

    name: ClassVar[str] = "stage"

    def run(self, pipeline: Pipeline, facts: Facts) -> Rewritten:
        """See the class."""
        remarks: list[str] = []
        sources = ("", *(each for each in facts.sources if each != "grammar"))
        for draft in of_kind(pipeline, Draft):
            if draft.source != "model" or draft.siblings or draft.inner == "grammar":
                continue  # staged drafting is for chains
            best = cheapest(pipeline, (changed(pipeline, draft, replace(draft, inner=each)) for each in sources), facts)
            if best is not pipeline:
                now = next(each for each in of_kind(best, Draft) if each.name == draft.name)
                remarks.append(f"{draft.name}: inner {now.inner or 'none'}: {gain(pipeline, best, facts)}")
                pipeline = best
        return pipeline, tuple(remarks)
