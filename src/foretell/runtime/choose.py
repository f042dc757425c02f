"""Which pipeline a generation runs: the one that was given, or what its level makes of what is known."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from foretell.cost.assumed import UNMEASURED, assumed
from foretell.cost.curve import Curve
from foretell.cost.facts import Facts
from foretell.ir.ops import Draft, Merge, Pipeline, Verify
from foretell.passes.levels import level
from foretell.passes.pace import roomy
from foretell.passes.rewrite import changed, of_kind

DRAFT: Final = "draft"  # what pipelines call the draft model


def facts(target: Mapping[int, float], drafts: Mapping[str, Mapping[int, float]]) -> Facts:
    """What passes decide by: this machine's measured times, and assumed chances.

    Args:
        target: milliseconds of a pass by row count.
        drafts: the same of each draft model, by what pipelines call it.
    """
    out = assumed(*drafts)
    models = {
        name: replace(out.models[name], pass_ms=Curve.of(costs), prompt_ms=_prompt_ms(costs))
        for name, costs in drafts.items()
    }
    return replace(
        out,
        target=Curve.of(target),
        prompt_ms=_prompt_ms(target),
        models=models,
        sources={name: out.sources[name] for name in UNMEASURED},
        origin="partly measured",
        energy=None,
    )


def choose(level_name: str, known: Facts) -> Pipeline:
    """The pipeline of a level: what `compile` shows."""
    return level(level_name, draft=next(iter(known.models), None), facts=known).pipeline


def constrained(pipeline: Pipeline) -> Pipeline:
    """The pipeline under a grammar; where it guesses at all, tokens without an alternative are guessed first.

    v = verify(g)   ->   grammar = draft(grammar)
                         limited = merge(grammar, g)
                         v = verify(limited, constrained=true)
    """
    (verify,) = of_kind(pipeline, Verify)
    new: tuple[Draft | Merge | Verify, ...] = (replace(verify, constrained=True),)
    if verify.proposal:
        draft = Draft("grammar", "grammar")
        joined = Merge("limited", (draft.name, verify.proposal), 2 * draft.width)
        new = (draft, joined, replace(verify, proposal=joined.name, constrained=True))
    return roomy(changed(pipeline, verify, *new))


def _prompt_ms(costs: Mapping[int, float]) -> float:
    """Of one token among many: the largest measured pass."""
    rows = max(costs)
    return costs[rows] / rows
