"""What -O1 to -O3 make of a pipeline that a person wrote."""

from dataclasses import replace

from foretell.cost.facts import Facts
from foretell.cost.price import price
from foretell.errors import UsageError
from foretell.ir.check import check
from foretell.ir.ops import Class, Draft, Pipeline, Verify
from foretell.passes.levels import DRAFT, FREE, LEVELS
from foretell.passes.manager import Step, Trace, run
from foretell.passes.rewrite import of_kind
from foretell.passes.rule import ChooseRule
from foretell.passes.search import search


def improved(pipeline: Pipeline, name: str, *, facts: Facts, allow: Class = "exact") -> Trace:
    """The trace of a level that begins with this pipeline.

    O0: as it is. O1: what concerns free sources. O2: also what concerns draft models. O3: an exact one competes with
    all that a search finds; others were chosen for what they give away, and constrained ones for what they forbid, so
    they are treated as at O2.

    Args:
        pipeline: where it begins.
        name: one of the levels.
        facts: what passes decide by; of every model that the pipeline asks.
        allow: the weakest class that a pass may lower it to.
    """
    if name not in LEVELS:
        raise UsageError(f"there is no level {name!r}; there are {', '.join(LEVELS)}")
    if name == "O0":
        check(pipeline)
        return Trace(pipeline, price(pipeline, facts))
    passes = [
        replace(each, allow=allow) if isinstance(each, ChooseRule) else each
        for each in (*(DRAFT if name != "O1" else ()), *FREE)
    ]
    trace = run(pipeline, passes, facts, allow=allow)
    constrained = any(each.constrained for each in of_kind(pipeline, Verify))
    if name != "O3" or constrained or check(pipeline) != "exact":
        return trace
    asked = next((each.of for each in of_kind(pipeline, Draft) if each.of), next(iter(facts.models), None))
    best, *rejected = search(draft=asked, facts=facts, also=(pipeline, trace.pipeline))
    said = f"the best of {len(rejected) + 1} pipelines, by prices from {facts.origin} facts"
    step = Step("search", trace.pipeline, best.pipeline, (said,), price(best.pipeline, facts))
    return replace(trace, steps=(*trace.steps, step), candidates=(best, *rejected))
