"""The strongest sound acceptance rule."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from foretell.cost.facts import Facts
from foretell.ir.check import check
from foretell.ir.laws import weakest
from foretell.ir.ops import Accept, Class, Law, Pipeline, Route, Verify
from foretell.passes.rewrite import CHANCE, Rewritten, changed, law, of_kind, sound

# By the law of guesses: rules that accept most come first; of equals, the one with the stronger promise. Of a guess
# without chance, `reject` keeps as many as `coupled`: p(x). Of a drawn one, `block` keeps at least as many as `reject`
# (arXiv 2403.10444, theorem 1), and `coupled` by independent noise fewer, sum p q.
STRONGEST: Final[Mapping[Law, tuple[str, ...]]] = {
    "point": ("coupled",),
    "coupled": ("coupled",),
    "sampled": ("block", "reject", "coupled"),
    "without_replacement": ("multi", "coupled"),
}


@dataclass(frozen=True, slots=True)
class ChooseRule:
    """The rule that keeps most guesses among those that are sound and promise enough.

    allow: the weakest promise that is good enough; a pipeline that promises less keeps to its own.
    `greedy` and lossy rules were asked for: they stay.

    a = accept(v, rule=reject)      ->      a = accept(v, rule=block)       (a chain of the law `sampled`)
    """

    allow: Class = "exact"
    name: ClassVar[str] = "rule"

    def run(self, pipeline: Pipeline, facts: Facts) -> Rewritten:  # noqa: ARG002 - every pass is called alike
        """See the class."""
        lowest = weakest([self.allow, check(_unrouted(pipeline))])
        proposals = {each.name: each.proposal for each in of_kind(pipeline, Verify)}
        remarks: list[str] = []
        for accept in of_kind(pipeline, Accept):
            drawn = law(pipeline, proposals[accept.scores])
            rules = STRONGEST[drawn]
            if accept.rule not in ("coupled", *CHANCE):
                continue
            options = ((each, changed(pipeline, accept, replace(accept, rule=each))) for each in rules)
            best = next(((each, other) for each, other in options if sound(_unrouted(other), lowest)), None)
            if best and best[0] != accept.rule:
                rule, pipeline = best
                remarks.append(
                    f"{accept.name}: {rule} keeps as many guesses of the law {drawn} as {accept.rule} or more, "
                    f"and the pipeline's class is {check(pipeline)}"
                )
        return pipeline, tuple(remarks)


def _unrouted(pipeline: Pipeline) -> Pipeline:
    """The target's side: routing is lossy, and says nothing about the queries that come to the target."""
    return replace(pipeline, statements=tuple(each for each in pipeline.statements if not isinstance(each, Route)))
