"""Where the small model may speak without the target: `defer` and `route`, the lossy decisions."""

from dataclasses import dataclass, replace
from typing import ClassVar

from foretell.cost.facts import Facts
from foretell.ir.ops import Accept, Commit, Defer, Draft, Pipeline, Route, Verify
from foretell.passes.rewrite import Rewritten, cheapest, drafts_count, gain, of_kind


@dataclass(frozen=True, slots=True)
class Place:
    """Ask the target only where a rule on q fires, or let one of the two models answer a whole query: what costs less.

    rule, threshold: how much may be lost; see docs/pipelines.md. Both rewrites lower the class to lossy, so the manager
    refuses them unless that is allowed.

    g = draft(model, of=draft, law=coupled)            g = draft(model, of=draft, law=sampled)
    v = verify(g)                              ->      d = defer(g, rule=chow, threshold=0.2)
    a = accept(v)                                      v = verify(d)
                                                       a = accept(v, rule=keep)
    """

    rule: str
    threshold: float
    name: ClassVar[str] = "place"

    def run(self, pipeline: Pipeline, facts: Facts) -> Rewritten:
        """See the class."""
        if drafts_count(pipeline) or of_kind(pipeline, Route):
            return pipeline, ("something may be lost already: nothing placed",)
        small = next((each for each in of_kind(pipeline, Draft) if each.source == "model"), None)
        if small is None:
            return pipeline, ("there is no draft model that could speak",)
        best = cheapest(pipeline, (self._deferred(pipeline, small), self._routed(pipeline, small)), facts)
        if best is pipeline:
            return pipeline, (f"neither defer nor route pays with {self.rule} at {self.threshold}",)
        word = "defer" if of_kind(best, Defer) else "route"
        return best, (f"{word} by {self.rule} at {self.threshold}: {gain(pipeline, best, facts)}",)

    def _deferred(self, pipeline: Pipeline, small: Draft) -> Pipeline:
        """The small model alone drafts, in a chain, for the rule looks at each q in turn."""
        draft = replace(small, law="sampled", siblings=0, doubt=0.0, stop=0.0)
        (verify,) = of_kind(pipeline, Verify)
        (accept,) = of_kind(pipeline, Accept)
        names = {small.name, verify.name, accept.name}
        defer = Defer(
            next(each for each in ("d", "d2", "d3", "d4") if each not in names), small.name, self.rule, self.threshold
        )
        rest = (replace(verify, proposal=defer.name), replace(accept, rule="keep"), Commit(accept.name))
        return replace(pipeline, statements=(draft, defer, *rest))

    def _routed(self, pipeline: Pipeline, small: Draft) -> Pipeline:
        return replace(pipeline, statements=(Route(small.of, self.rule, self.threshold), *pipeline.statements))
