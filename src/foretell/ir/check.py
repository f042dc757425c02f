"""Whether a pipeline makes sense, before anything is loaded: order, names, types, knobs, and the laws of its guesses.

A type checker in one walk: every name has the type of the value that its statement gives.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from sys import float_info
from typing import Final, TypeVar

from foretell.errors import ForetellError
from foretell.ir.laws import LAWS, Refusal, judge, weakest
from foretell.ir.lexemes import is_name
from foretell.ir.ops import (
    BRANCHING_SOURCES,
    DEFER_RULES,
    FREE_SOURCES,
    PACED_SOURCES,
    SOURCES,
    Accept,
    Class,
    Commit,
    Defer,
    Draft,
    Law,
    Merge,
    Pipeline,
    Route,
    Statement,
    Verify,
)
from foretell.ir.text import line, operation, title, word


@dataclass(frozen=True, slots=True)
class Guesses:
    """The type of a proposal; see `laws.judge`. paced: by what the target keeps."""

    law: Law = "point"
    chain: bool = True
    pruned: bool = False
    deferred: bool = False
    paced: bool = False


@dataclass(frozen=True, slots=True)
class Scores:
    """The type of what a pass over a proposal gives. constrained: under a grammar."""

    guesses: Guesses
    constrained: bool = False


@dataclass(frozen=True, slots=True)
class Tokens:
    """The type of what a rule kept. kind: its promise."""

    kind: Class


Type = Guesses | Scores | Tokens
T = TypeVar("T", Guesses, Scores, Tokens)

_WORDS: Final = {Guesses: "a proposal", Scores: "scores", Tokens: "tokens"}
_STAGES: Final = {Route: 0, Draft: 1, Merge: 1, Defer: 1, Verify: 2, Accept: 3, Commit: 4}
_MANY: Final = 1  # the one stage that may have several statements
_MOST: Final = float_info.max
_RANGES: Final[Mapping[str, tuple[int, float]]] = {  # of each knob, wherever it occurs: least and most
    "width": (1, _MOST),
    "siblings": (0, _MOST),
    "doubt": (0, 1),
    "stop": (0, 1),
    "prompt": (0, _MOST),
    "vocabulary": (0, _MOST),
    "threshold": (0, _MOST),
    "epsilon": (0, 1),
    "alpha": (0, 1),
}
_KNOBS: Final = {"epsilon": "mix", "alpha": "cascade"}  # whose they are


def check(pipeline: Pipeline) -> Class:
    """The class of the pipeline's text.

    Raises:
        ForetellError: names the first statement that is wrong, says why, and what would be right.
    """
    types: dict[str, Type] = {}
    stage = -1
    for statement in pipeline.statements:
        try:
            stage = _stage(statement, stage)
            _check_knobs(statement)
            value = _type(statement, types, pipeline)
            if value is not None:
                types[_new_name(statement, types)] = value
        except ForetellError as error:
            raise ForetellError(f"{title(pipeline)}, {line(statement)}: {error}") from None
    if stage != _STAGES[Commit]:
        raise ForetellError(f"{title(pipeline)} has no commit: the last statement says what becomes the text")
    promises = [each.kind for each in types.values() if isinstance(each, Tokens)]
    routed = any(isinstance(each, Route) for each in pipeline.statements)
    return "lossy" if routed else weakest(promises)


def _stage(statement: Statement, reached: int) -> int:
    stage = _STAGES[type(statement)]
    if stage < reached:
        raise ForetellError("it comes too late: the order is route; draft, merge, defer; verify; accept; commit")
    if stage == reached and stage != _MANY:
        raise ForetellError(f"it is the second {operation(statement)}: there is one at most")
    return stage


def _check_knobs(statement: Statement) -> None:
    for field in fields(statement):
        least, most = _RANGES.get(field.name, (0, 0))
        value = getattr(statement, field.name)
        if field.name in _RANGES and not least <= value <= most:
            bounds = f"at least {least}, and a number" if most == _MOST else f"from {least} to {most}"
            raise ForetellError(f"{field.name} is {value}; it must be {bounds}")


def _type(statement: Statement, types: Mapping[str, Type], pipeline: Pipeline) -> Type | None:
    """The type of the statement's value; None when it has none."""
    match statement:
        case Draft():
            return _free(statement) if statement.source != "model" else _modelled(statement)
        case Merge():
            return _merged([_undeferred(each, types) for each in statement.proposals])
        case Defer():
            _check_asking(statement)
            return _deferred(_undeferred(statement.proposal, types))
        case Verify():
            if not statement.constrained and any("grammar" in _sources(each) for each in pipeline.statements):
                raise ForetellError("there are guesses from the grammar, so it must say constrained=true")
            return _verified(statement, _get(statement.proposal, types, Guesses) if statement.proposal else Guesses())
        case Accept():
            return _accepted(statement, _get(statement.scores, types, Scores))
        case Route():
            _check_asking(statement)
            if not statement.small:
                raise ForetellError("small= must name a model, as in small=draft")
        case Commit():
            _get(statement.tokens, types, Tokens)
    return None


def _sources(statement: Statement) -> tuple[str, ...]:
    return (statement.source, statement.inner) if isinstance(statement, Draft) else ()


def _free(draft: Draft) -> Guesses:
    if draft.source not in SOURCES:
        raise ForetellError(f"there is no source {draft.source!r}; there are {', '.join(SOURCES)}")
    for field in fields(draft):
        if field.name not in ("name", "source", "width", "paced") and getattr(draft, field.name) != field.default:
            raise ForetellError(
                f"{field.name} is for draft(model, ...): {draft.source} guesses without a model and without chance"
            )
    if draft.paced and draft.source not in PACED_SOURCES:
        raise ForetellError(f"guesses of {draft.source} are never wrong, so there is nothing to pace: leave out paced")
    return Guesses(chain=draft.source not in BRANCHING_SOURCES)


def _modelled(draft: Draft) -> Guesses:
    if not draft.of:
        raise ForetellError("of= must name a model, as in of=draft")
    if draft.law not in LAWS:
        raise ForetellError(f"there is no law {draft.law!r}; there are {', '.join(LAWS)}")
    if draft.inner and draft.inner not in FREE_SOURCES:
        raise ForetellError(f"inner is {draft.inner!r}; it must be one of {', '.join(FREE_SOURCES)}")
    if draft.paced and draft.siblings:
        raise ForetellError("no chain with siblings is paced: leave out siblings, or paced")
    return Guesses(draft.law, draft.siblings == 0, paced=draft.paced)


def _merged(parts: list[Guesses]) -> Guesses:
    if not parts:
        raise ForetellError("it needs proposals, as in merge(g, h)")
    return Guesses(chain=False, pruned=any(each.law != "point" or each.pruned for each in parts))


def _deferred(guesses: Guesses) -> Guesses:
    if guesses.law != "sampled" or not guesses.chain:
        raise ForetellError(
            "its rule looks at q, so it needs a chain that a model drew: draft(model, ..., law=sampled)"
        )
    if guesses.paced:
        raise ForetellError("its guesses are paced by what the target keeps of them: leave out paced, or defer")
    return replace(guesses, deferred=True)


def _verified(verify: Verify, guesses: Guesses) -> Scores:
    if verify.constrained and guesses.deferred:
        raise ForetellError("no grammar can limit what defer keeps, which the target does not see: leave one out")
    return Scores(guesses, verify.constrained)


def _accepted(accept: Accept, scores: Scores) -> Tokens:
    guesses = scores.guesses
    verdict = judge(accept.rule, guesses.law, chain=guesses.chain, pruned=guesses.pruned, deferred=guesses.deferred)
    if isinstance(verdict, Refusal):
        raise ForetellError(verdict.reason)
    if scores.constrained and verdict == "lossy":
        raise ForetellError(f"{accept.rule} can keep what a grammar forbids: take another rule or no grammar")
    for knob, rule in _KNOBS.items():
        value = getattr(accept, knob)
        if accept.rule == rule and value == 0:
            raise ForetellError(f"{rule} is lossy: say by {knob}= how much may be lost, more than 0 and at most 1")
        if accept.rule != rule and value != 0:
            raise ForetellError(f"{knob} is for the rule {rule}, and this is {accept.rule}")
    return Tokens(verdict)


def _check_asking(statement: Defer | Route) -> None:
    rule, threshold = statement.rule, statement.threshold
    if rule not in DEFER_RULES:
        raise ForetellError(f"there is no rule {rule!r} for asking the target; there are {', '.join(DEFER_RULES)}")
    if rule == "chow" and threshold > 1:
        raise ForetellError(f"threshold is {threshold}; of the rule chow it is a chance of error, from 0 to 1")


def _new_name(statement: Statement, types: Mapping[str, Type]) -> str:
    name = str(getattr(statement, "name", ""))
    if not is_name(name):
        raise ForetellError(f"{name!r} is no name: use letters, digits and _")
    if name in types:
        raise ForetellError(f"{name} is set twice")
    return name


def _get(name: str, types: Mapping[str, Type], wanted: type[T]) -> T:
    value = types.get(name)
    if value is None:
        known = f"there are {', '.join(types)}" if types else "nothing is"
        raise ForetellError(f"{word(name)} is not set before this; {known}")
    if not isinstance(value, wanted):
        raise ForetellError(f"{name} is {_WORDS[type(value)]}; {_WORDS[wanted]} must stand here")
    return value


def _undeferred(name: str, types: Mapping[str, Type]) -> Guesses:
    guesses = _get(name, types, Guesses)
    if guesses.deferred:
        raise ForetellError(f"{name} comes from defer and is final: only verify can take it")
    return guesses
