"""Runs passes one after the other, checks what each gives, and keeps a record of it all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from foretell.cost.facts import Facts
from foretell.cost.price import Price, price
from foretell.errors import ForetellError
from foretell.ir.check import check
from foretell.ir.laws import weakest
from foretell.ir.ops import Class, Pipeline
from foretell.passes.rewrite import Rewritten, lowers


class Pass(Protocol):
    """A rewrite: pure, and total on pipelines that the checker passes. Its fields are its options."""

    @property
    def name(self) -> str:
        """What it is called in traces."""
        ...

    def run(self, pipeline: Pipeline, facts: Facts) -> Rewritten:
        """The rewritten pipeline, the same object when nothing changed, and remarks that say why."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """What a pass did. price: of `after`."""

    name: str
    before: Pipeline
    after: Pipeline
    remarks: tuple[str, ...]
    price: Price


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pipeline that a search considered. reason: why it was rejected; empty for the one that was chosen.

    price: None when it has none, because something of it was not measured.
    """

    pipeline: Pipeline
    price: Price | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Trace:
    """The way from a pipeline to the one that is compiled. candidates: of a search, the chosen one first."""

    start: Pipeline
    start_price: Price
    steps: tuple[Step, ...] = ()
    candidates: tuple[Candidate, ...] = ()

    @property
    def pipeline(self) -> Pipeline:
        """What came out."""
        return self.steps[-1].after if self.steps else self.start

    @property
    def price(self) -> Price:
        """Its price."""
        return self.steps[-1].price if self.steps else self.start_price


def run(pipeline: Pipeline, passes: Sequence[Pass], facts: Facts, *, allow: Class = "exact") -> Trace:
    """Run the passes.

    Args:
        pipeline: where they start.
        passes: in this order.
        facts: what they decide by.
        allow: the weakest class that a pass may lower the pipeline to. A rewrite that lowers it further is refused: the
            step says so and the pipeline stays.

    Raises:
        ForetellError: the pipeline is wrong, or something of it was not measured.
    """
    check(pipeline)
    trace = Trace(pipeline, price(pipeline, facts))
    for each in passes:
        trace = Trace(trace.start, trace.start_price, (*trace.steps, _step(each, trace.pipeline, facts, allow)))
    return trace


def _step(each: Pass, before: Pipeline, facts: Facts, allow: Class) -> Step:
    after, remarks = each.run(before, facts)
    had = check(before)
    try:
        has = check(after)
    except ForetellError as error:
        raise ForetellError(f"the pass {each.name} made a wrong pipeline, please report this: {error}") from error
    if lowers(weakest([had, allow]), has):
        refused = f"refused: the class would fall from {had} to {has}, and {allow} is the weakest that is allowed"
        after, remarks = before, (*remarks, refused)
    return Step(each.name, before, after, remarks, price(after, facts))
