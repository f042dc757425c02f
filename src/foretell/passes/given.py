"""What -O1 to -O3 make of a pipeline that a person wrote."""

from dataclasses import replace

from foretell.cost.facts import Facts
from foretell.cost.joules import in_joules
from foretell.cost.price import price
from foretell.ir.check import check
from foretell.ir.ops import Class, Draft, Pipeline, Verify
from foretell.passes.levels import DRAFT, FREE, check_level
from foretell.passes.manager import Trace, run
from foretell.passes.rewrite import of_kind
from foretell.passes.rule import ChooseRule
from foretell.passes.search import search, searched


def improved(pipeline: Pipeline, name: str, *, facts: Facts, allow: Class = "exact") -> Trace:
    """The trace of a level that begins with this pipeline.

    O0: as it is. O1: what concerns free sources. O2: also what concerns draft models. O3: an exact one competes with
    all that a search finds; others were chosen for what they give away, and constrained ones for what they forbid, so
    they are treated as at O2. Oe: as O2, for the least joules.

    Args:
        pipeline: where it begins.
        name: one of the levels.
        facts: what passes decide by; of every model that the pipeline asks.
        allow: the weakest class that a pass may lower it to.
    """
    check_level(name)
    if name == "Oe":
        facts = in_joules(facts)
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
    return searched(trace, search(draft=asked, facts=facts, also=(pipeline, trace.pipeline)), facts)
