"""How much of the prompt a draft model reads."""

from dataclasses import dataclass, replace
from typing import ClassVar

from foretell.cost.facts import Facts
from foretell.ir.ops import Draft, Pipeline
from foretell.passes.rewrite import Rewritten, changed, cheapest, drafts_count, gain, of_kind


@dataclass(frozen=True, slots=True)
class Prompt:
    """Shorten a draft model's prompt pass to the last tokens where the time saved is worth the chances lost.

    A source reads its prompt when it is first asked for guesses, so a pass that nobody asks for is put off for good.
    """

    name: ClassVar[str] = "prompt"

    def run(self, pipeline: Pipeline, facts: Facts) -> Rewritten:
        """See the class."""
        remarks: list[str] = []
        if drafts_count(pipeline):
            return pipeline, ()
        for draft in of_kind(pipeline, Draft):
            if draft.source != "model":
                continue
            lengths = sorted({0, *facts.model(draft.of).prompts})
            options = (changed(pipeline, draft, replace(draft, prompt=each)) for each in lengths)
            best = cheapest(pipeline, options, facts)
            if best is not pipeline:
                now = next(each for each in of_kind(best, Draft) if each.name == draft.name)
                said = f"the last {now.prompt} tokens of the prompt" if now.prompt else "the whole prompt"
                remarks.append(f"{draft.name} reads {said}: {gain(pipeline, best, facts)}")
                pipeline = best
        return pipeline, tuple(remarks)
