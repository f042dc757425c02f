"""What is known of a pipeline's rounds before any runs: the shapes that generated code is specialised for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, assert_never

from foretell.ir.check import check
from foretell.ir.ops import (
    BRANCHING_SOURCES,
    Accept,
    Class,
    Commit,
    Defer,
    Draft,
    Merge,
    Pipeline,
    Route,
    Statement,
    Verify,
)

Shape = Literal["none", "chain", "tree"]

COMPARING: Final = ("greedy", "coupled")  # rules that keep a guess when it is the token that the target chose


@dataclass(frozen=True, slots=True)
class Plan:
    """A pipeline and what follows from it.

    kind: its class. shapes, widths: of each proposal, by name, its form and most guesses; "" is that of `verify()`.
    checked: the proposal that the target's pass is over. compared: its acceptance is a comparison with the target's
    choices, written out in place of a call. optional: the pass is left out when the rule of a `defer` doesn't fire.
    """

    pipeline: Pipeline
    kind: Class
    shapes: Mapping[str, Shape]
    widths: Mapping[str, int]
    checked: str
    compared: bool
    optional: bool

    @property
    def shape(self) -> Shape:
        """The form of the guesses that the target checks."""
        return self.shapes[self.checked]


def plan(pipeline: Pipeline) -> Plan:
    """Look at each statement once. ForetellError where the pipeline is wrong."""
    kind = check(pipeline)
    shapes: dict[str, Shape] = {"": "none"}
    widths = {"": 0}
    checked, compared = "", False
    for statement in pipeline.statements:
        match statement:
            case Draft(name=name, width=width):
                branches = statement.siblings > 0 or statement.source in BRANCHING_SOURCES
                shapes[name], widths[name] = "tree" if branches else "chain", width
            case Merge(name=name, width=width):
                shapes[name] = "tree"
                widths[name] = min(width, sum(widths[each] for each in statement.proposals))
            case Defer(name=name, proposal=proposal):
                shapes[name], widths[name] = shapes[proposal], widths[proposal]
            case Verify(proposal=proposal):
                checked = proposal
            case Accept(rule=rule):
                compared = rule in COMPARING
            case Route() | Commit():
                pass
            case _:
                assert_never(statement)
    optional = any(isinstance(each, Defer) and each.name == checked for each in pipeline.statements)
    return Plan(pipeline, kind, shapes, widths, checked, compared, optional)


def show(plan: Plan) -> str:
    """One line for each statement: what it was specialised to.

    plan plain: exact
      v: one pass over 1 row
      a: coupled, compared in place with no guesses
      commit a
    """
    lines = [f"  {_line(plan, each)}" for each in plan.pipeline.statements]
    return "\n".join([f"plan {plan.pipeline.name}: {plan.kind}", *lines])


def _line(plan: Plan, statement: Statement) -> str:
    match statement:
        case Draft(name=name):
            who = f"{statement.source} {statement.of}".strip()
            paced = ", paced" if statement.paced else ""
            return f"{name}: {who}, {plan.shapes[name]} of at most {plan.widths[name]}, {statement.law}{paced}"
        case Merge(name=name):
            return f"{name}: {', '.join(statement.proposals)} in one tree of at most {plan.widths[name]}"
        case Defer(name=name):
            return f"{name}: {statement.proposal} up to where {statement.rule} fires"
        case Verify(name=name):
            most = plan.widths[plan.checked] + 1
            when = f" if {plan.checked} asks for it" if plan.optional else ""
            return f"{name}: one pass over {f'1 to {most} rows' if most > 1 else '1 row'}{when}"
        case Accept(name=name, rule=rule):
            how = "compared in place with" if plan.compared else "called for"
            return f"{name}: {rule}, {how} {'no guesses' if plan.shape == 'none' else f'a {plan.shape}'}"
        case Route():
            return f"route to {statement.small} or the target, once, before the first round"
        case Commit():
            return f"commit {statement.tokens}"
        case _:
            assert_never(statement)
