"""Search: every combination of sources, tuned, and every preset, by price. The rejected are kept with theirs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, combinations
from typing import Any, Final

from foretell.cost.facts import Facts
from foretell.cost.price import price
from foretell.errors import ForetellError
from foretell.ir import presets
from foretell.ir.check import check
from foretell.ir.ops import Accept, Commit, Draft, Merge, Pipeline, Route, Statement, Verify
from foretell.passes.approximate import Approximate
from foretell.passes.manager import Candidate, Pass, Step, Trace, run
from foretell.passes.order import Order
from foretell.passes.pace import Pace
from foretell.passes.prompt import Prompt
from foretell.passes.rewrite import of_kind
from foretell.passes.stage import Stage
from foretell.passes.widths import Widths

SHAPES: Final[Mapping[str, Mapping[str, Any]]] = {  # what a draft model's guesses look like
    "chain": {},
    "short": {"stop": 0.6},
    "long": {"stop": 0.3},
    "tree": {"siblings": 1, "doubt": 0.5},
    "bush": {"siblings": 2, "doubt": 0.3},
}
CHAIN: Final[Mapping[str, Mapping[str, Any]]] = {"chain": {}}
NEAR: Final = 1.01  # prices that differ less do not justify a further source: of these pipelines the shortest is chosen
MOST: Final = 2  # free sources in a pipeline
TUNING: Final[tuple[Pass, ...]] = (Stage(), Approximate(), Prompt(), Widths(), Order(), Widths())


def search(*, draft: str | None, facts: Facts, also: Sequence[Pipeline] = ()) -> tuple[Candidate, ...]:
    """Exact pipelines, the chosen one first, then the rejected ones: cheapest first, those without a price last.

    Chosen is the cheapest, or a shorter one that costs hardly more.

    Args:
        draft: the draft model, or None when there is none.
        facts: what prices come from. Only sources that were measured are combined.
        also: further pipelines to consider.
    """
    tuned = [run(each, TUNING, facts).pipeline for each in combined(draft, facts)]
    steady = (each for each in tuned if not any(draft.stop or draft.siblings for draft in of_kind(each, Draft)))
    paced = [Pace().run(each, facts)[0] for each in steady]
    shipped = (_of(presets.load(name), draft) for name in presets.names())
    known = [*shipped, *also, *tuned, *paced]
    first = {each.statements: each for each in reversed(known)}  # of equal ones, the preset's name
    ranked = sorted((_priced(each, draft, facts) for each in reversed(first.values())), key=_order)
    if ranked[0].price is None:
        raise ForetellError(f"no pipeline could be priced: {ranked[0].reason}")
    least = ranked[0].price.response_ms
    best = min((each for each in ranked if _near(each, least)), key=lambda each: len(each.pipeline.statements))
    return (best, *(_rejected(each, least) for each in ranked if each is not best))


def searched(trace: Trace, candidates: Sequence[Candidate], facts: Facts) -> Trace:
    """A trace that ends with a search: the first of these candidates was chosen."""
    best = candidates[0].pipeline
    said = f"the best of {len(candidates)} pipelines, by prices from {facts.origin} facts"
    step = Step("search", trace.pipeline, best, (said,), price(best, facts))
    return replace(trace, steps=(*trace.steps, step), candidates=tuple(candidates))


def combined(draft: str | None, facts: Facts) -> Iterator[Pipeline]:
    """The target with each set of free sources, without and with the draft model's guesses in each shape.

    Sets have up to MOST sources, which copy the same text; beside as many of them a draft model's guesses are a chain.
    """
    free = [name for name in facts.sources if name != "grammar"]  # needs a grammar, which comes with the request
    sets = chain.from_iterable(combinations(free, n) for n in range(min(MOST, len(free)) + 1))
    for names in sets:
        drafts = [Draft(name, name) for name in names]
        yield _pipeline(drafts)
        for shape, settings in (SHAPES if len(names) < MOST else CHAIN).items() if draft else ():
            yield _pipeline([*drafts, Draft(shape, "model", law="coupled", of=draft or "", **settings)])


def _pipeline(drafts: list[Draft]) -> Pipeline:
    names = tuple(each.name for each in drafts)
    merge, proposal = [Merge("m", names)], "m"
    if len(drafts) < 2:
        merge, proposal = [], "g" if drafts else ""
        drafts = [replace(each, name=proposal) for each in drafts]  # as in presets, so that equal ones are equal
    rest: list[Statement] = [Verify("v", proposal), Accept("a", "v"), Commit("a")]
    return Pipeline("_".join(names) or "plain", (*drafts, *merge, *rest))


def _of(pipeline: Pipeline, draft: str | None) -> Pipeline:
    """A preset with this draft model in the place of its own."""
    if draft is None:
        return pipeline

    def bound(statement: Statement) -> Statement:
        match statement:
            case Draft(source="model"):
                return replace(statement, of=draft)
            case Route():
                return replace(statement, small=draft)
            case _:
                return statement

    return replace(pipeline, statements=tuple(map(bound, pipeline.statements)))


def _priced(pipeline: Pipeline, draft: str | None, facts: Facts) -> Candidate:
    """With its price, and the reason when it is out of the question."""
    models = [*(each.of for each in of_kind(pipeline, Draft) if each.of), *(r.small for r in of_kind(pipeline, Route))]
    if models and draft is None:
        return Candidate(pipeline, None, "there is no draft model")
    try:
        cost = price(pipeline, facts)
    except ForetellError as error:
        return Candidate(pipeline, None, str(error))
    found = check(pipeline)
    if found != "exact":
        return Candidate(pipeline, cost, f"its class is {found}")
    if any(each.constrained for each in of_kind(pipeline, Verify)):
        return Candidate(pipeline, cost, "it needs a grammar")
    return Candidate(pipeline, cost)


def _order(candidate: Candidate) -> tuple[bool, bool, float]:
    cost = candidate.price
    return cost is None, bool(candidate.reason), cost.response_ms if cost else 0.0


def _near(candidate: Candidate, least: float) -> bool:
    """Whether it can be chosen for being simpler than the cheapest one."""
    return not candidate.reason and candidate.price is not None and candidate.price.response_ms <= NEAR * least


def _rejected(candidate: Candidate, least: float) -> Candidate:
    if candidate.reason or candidate.price is None:
        return candidate
    return replace(candidate, reason=f"an answer takes {candidate.price.response_ms / least:.2f} times as long")
