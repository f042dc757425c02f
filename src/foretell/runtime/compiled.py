"""What becomes of a pipeline on its way to a round: `foretell.compile`, and what the command `compile` shows."""

from dataclasses import dataclass

from foretell.codegen import emit
from foretell.codegen import plan as plans
from foretell.cost.assumed import assumed
from foretell.cost.facts import Facts
from foretell.cost.joules import in_joules
from foretell.ir.check import check
from foretell.ir.ops import Class, Draft, Pipeline, Route
from foretell.ir.text import show
from foretell.passes import report
from foretell.passes.given import improved
from foretell.passes.levels import check_level
from foretell.passes.levels import level as of_level
from foretell.passes.manager import Trace
from foretell.runtime.choose import DRAFT
from foretell.runtime.tiers import rounds


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled pipeline and every stage on the way as text.

    trace: what each pass did. facts: what they decided by.
    """

    trace: Trace
    facts: Facts

    @property
    def pipeline(self) -> Pipeline:
        """What came out: give it to `generate`, `stream` or `Chat.send` as `pipeline`."""
        return self.trace.pipeline

    @property
    def kind(self) -> Class:
        """Its class."""
        return check(self.pipeline)

    @property
    def ir(self) -> str:
        """Its text."""
        return show(self.pipeline)

    @property
    def passes(self) -> str:
        """What each pass did, with remarks and prices."""
        return report.steps(self.trace)

    @property
    def cost(self) -> str:
        """What was considered, with predicted prices, and why it was rejected."""
        return report.costs(self.trace, self.facts)

    @property
    def plan(self) -> str:
        """What rounds are specialised to."""
        return plans.show(plans.plan(self.pipeline))

    @property
    def tier(self) -> str:
        """The rounds that it may be specialised to while it runs."""
        return rounds.show(self.pipeline)

    @property
    def py(self) -> str:
        """The generated round."""
        return emit.source(plans.plan(self.pipeline))


def compile(  # noqa: A001 — what it does
    pipeline: Pipeline | None = None,
    *,
    level: str | None = None,
    facts: Facts | None = None,
    allow: Class = "exact",
) -> Compiled:
    """Run a level's passes over a pipeline; without one, the level makes its own.

    Args:
        pipeline: where passes start.
        level: O0 to O3, or Oe. None: O0, which changes nothing, for a pipeline that is given, else O2.
        facts: what passes decide by: `facts` of a loaded model. None: assumed times and chances of every model that the
            pipeline asks; without a pipeline, of one called "draft".
        allow: the weakest class that passes may lower a given pipeline to.

    Raises:
        UsageError: no such level. ForetellError: the pipeline is wrong, or asks a model that the facts do not know.

    >>> import foretell
    >>> from foretell.build import model, pipeline
    >>> compiled = foretell.compile(pipeline("mine", model("draft", width=3)), level="O2")
    >>> compiled.kind, compiled.trace.start.name, compiled.facts.origin
    ('exact', 'mine', 'assumed')
    """
    name = level or ("O2" if pipeline is None else "O0")
    check_level(name)
    if pipeline is not None:
        check(pipeline)
    known = facts or assumed(*sorted(asked(pipeline) or {DRAFT}))
    known = in_joules(known) if name == "Oe" else known
    if pipeline is None:
        return Compiled(of_level(name, draft=next(iter(known.models), None), facts=known), known)
    return Compiled(improved(pipeline, name, facts=known, allow=allow), known)


def asked(pipeline: Pipeline | None) -> set[str]:
    """The models that a pipeline asks besides the target, by the names that it calls them."""
    statements = () if pipeline is None else pipeline.statements
    return {each.of for each in statements if isinstance(each, Draft) and each.of} | {
        each.small for each in statements if isinstance(each, Route)
    }
