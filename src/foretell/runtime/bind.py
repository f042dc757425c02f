"""A pipeline's strings bound to draft sources, rules and code: what one generation runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from foretell.accept import defers, rules
from foretell.accept.grammar import Walk
from foretell.accept.rule import Rule
from foretell.accept.sampling import Sampling
from foretell.codegen.build import build
from foretell.codegen.round import Defers, Round
from foretell.draft.source import Source
from foretell.ir.ops import Accept, Defer, Draft, Pipeline
from foretell.passes.rewrite import of_kind
from foretell.runtime.pace import Pace
from foretell.runtime.settings import check_temperature
from foretell.runtime.tiers.tiers import Tiers

DISTRIBUTIONS = {"reject", "block", "multi", "mix", "cascade"}  # rules that look at p, not only at the target's choice


@dataclass(frozen=True, slots=True)
class Bound:
    """A pipeline ready for one generation.

    distributions: whether its rules look at the target's distributions.
    walk: the text under its grammar, if it has one. pace: what its paced sources go by, if it has any. tiers: what it
    is specialised to while it runs; None when it stays as it is.
    """

    pipeline: Pipeline
    play: Round
    sources: Mapping[str, Source]
    rules: Mapping[str, Rule]
    defers: Mapping[str, Defers]
    distributions: bool
    walk: Walk | None = None
    pace: Pace | None = None
    tiers: Tiers | None = None

    def close(self) -> None:
        """Close the sources."""
        for source in self.sources.values():
            source.close()


def bind(
    pipeline: Pipeline,
    make: Callable[[Draft], Source],
    sampling: Sampling,
    walk: Walk | None = None,
    pace: Pace | None = None,
) -> Bound:
    """Bind a checked pipeline; `make` gives the source of a statement. UsageError for a rule that cannot run so."""
    check_temperature(pipeline, sampling.temperature)
    accepts = of_kind(pipeline, Accept)
    return Bound(
        pipeline,
        build(pipeline),
        {each.name: make(each) for each in of_kind(pipeline, Draft)},
        {each.name: rules.make(each.rule, epsilon=each.epsilon, alpha=each.alpha) for each in accepts},
        {each.name: defers.make(each.rule, each.threshold) for each in of_kind(pipeline, Defer)},
        any(each.rule in DISTRIBUTIONS for each in accepts),
        walk,
        pace,
    )
