"""What several passes do to a pipeline, and what they ask about it."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final, TypeVar

from foretell.cost.facts import Facts
from foretell.cost.price import price
from foretell.errors import ForetellError
from foretell.ir.check import check
from foretell.ir.laws import CLASSES
from foretell.ir.ops import Accept, Class, Commit, Defer, Draft, Law, Merge, Pipeline, Route, Statement, Verify

Rewritten = tuple[Pipeline, tuple[str, ...]]  # what a pass gives: the same object when nothing changed, and remarks
WORDS_COUNT: Final = ("mix", "cascade", "keep")  # rules under which the text depends on what the draft says
CHANCE: Final = ("reject", "block", "multi")  # rules that keep the distribution by chance of their own
GAIN: Final = 1 - 1e-9  # rounding is no gain

S = TypeVar("S", bound=Statement)


def of_kind(pipeline: Pipeline, kind: type[S]) -> list[S]:
    """The statements of one kind, in order."""
    return [each for each in pipeline.statements if isinstance(each, kind)]


def drafts_count(pipeline: Pipeline) -> bool:
    """Whether the text depends on what drafts say, so that passes leave these alone."""
    return bool(of_kind(pipeline, Defer)) or any(each.rule in WORDS_COUNT for each in of_kind(pipeline, Accept))


def reads(statement: Statement) -> tuple[str, ...]:
    """The names that a statement uses."""
    match statement:
        case Merge(proposals=proposals):
            return proposals
        case Defer(proposal=proposal) | Verify(proposal=proposal):
            return (proposal,) if proposal else ()
        case Accept(scores=scores):
            return (scores,)
        case Commit(tokens=tokens):
            return (tokens,)
        case Draft() | Route():
            return ()


def changed(pipeline: Pipeline, old: Statement, *new: Statement) -> Pipeline:
    """With one statement replaced by others, or by none."""
    at = pipeline.statements.index(old)
    return replace(pipeline, statements=(*pipeline.statements[:at], *new, *pipeline.statements[at + 1 :]))


def renamed(pipeline: Pipeline, name: str, by: str) -> Pipeline:
    """With every use of a proposal replaced by another one; "" for none."""

    def reading(statement: Statement) -> Statement:
        match statement:
            case Merge(proposals=parts):
                return replace(statement, proposals=tuple(n for n in (by if p == name else p for p in parts) if n))
            case Defer(proposal=proposal) | Verify(proposal=proposal) if proposal == name:
                return replace(statement, proposal=by)
            case _:
                return statement

    return replace(pipeline, statements=tuple(map(reading, pipeline.statements)))


def without(pipeline: Pipeline, draft: Draft) -> Pipeline:
    """Without a draft. A merge of which one proposal is left goes too; when none is, the target is alone.

    The token that the target adds by itself has the same law under every sound rule, so its own draw will do then.
    """
    out = renamed(changed(pipeline, draft), draft.name, "")
    while lone := next((each for each in of_kind(out, Merge) if len(each.proposals) < 2), None):
        out = renamed(changed(out, lone), lone.name, "".join(lone.proposals))
    if any(each.proposal for each in of_kind(out, Verify)):
        return out
    for accept in of_kind(out, Accept):
        if accept.rule in CHANCE:
            out = changed(out, accept, replace(accept, rule="coupled"))
    return out


def law(pipeline: Pipeline, name: str) -> Law:
    """The law of a proposal's guesses; merged ones, and none at all, are `point`."""
    for statement in pipeline.statements:
        match statement:
            case Draft(name=found) if found == name:
                return statement.law
            case Defer(name=found, proposal=proposal) if found == name:
                return law(pipeline, proposal)
            case _:
                pass
    return "point"


def lowers(before: Class, after: Class) -> bool:
    """Whether a class promises less than the one before."""
    return CLASSES.index(after) > CLASSES.index(before)


def sound(pipeline: Pipeline, lowest: Class) -> bool:
    """Whether the checker passes a pipeline and it promises at least this."""
    try:
        return not lowers(lowest, check(pipeline))
    except ForetellError:
        return False


def cheapest(pipeline: Pipeline, others: Iterable[Pipeline], facts: Facts) -> Pipeline:
    """The one whose answer takes the least time; of equal ones the earliest, the given one first."""
    best, least = pipeline, price(pipeline, facts).response_ms
    for other in others:
        cost = price(other, facts).response_ms
        if cost < least * GAIN:
            best, least = other, cost
    return best


def gain(before: Pipeline, after: Pipeline, facts: Facts) -> str:
    """How the time of an answer changes, for remarks."""
    old, new = price(before, facts).response_ms, price(after, facts).response_ms
    return f"an answer takes {new:.0f} ms instead of {old:.0f}"
