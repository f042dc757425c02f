"""Pipelines from Python: a function for each statement, and names that come by themselves.

>>> from foretell.ir.text import show
>>> guesses = merge(lookup(width=6), model("draft", width=4), width=8)
>>> print(show(pipeline("mine", guesses)), end="")
pipeline mine
  g = draft(lookup, width=6)
  h = draft(model, of=draft, width=4, law=coupled)
  m = merge(g, h, width=8)
  v = verify(m)
  a = accept(v, rule=coupled)
  commit(a)

What is left out at the end is what an exact pipeline has. Lossy ones say all:

>>> small = defer(model("draft", width=16, law="sampled"), rule="chow", threshold=0.5)
>>> print(show(pipeline("ask", accept(verify(small), rule="keep"))), end="")
pipeline ask
  g = draft(model, of=draft, width=16, law=sampled)
  d = defer(g, rule=chow, threshold=0.5)
  v = verify(d)
  a = accept(v, rule=keep)
  commit(a)

Arguments are those of the statements in `foretell.ir.ops`, and `pipeline` checks what it gives.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Final

from foretell.errors import UsageError
from foretell.ir.check import check
from foretell.ir.ops import Accept, Commit, Defer, Draft, Law, Merge, Pipeline, Route, Statement, Verify

_LETTERS: Final[dict[type[Statement], str]] = {Draft: "ghk", Merge: "m", Defer: "d"}


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """Guesses: a statement whose name, and those of its inputs, come later. The same object twice is one statement."""

    statement: Draft | Merge | Defer
    inputs: tuple["Proposal", ...] = ()

    def __post_init__(self) -> None:
        for each in self.inputs:
            if not isinstance(each, Proposal):
                raise UsageError(f"{each!r} is no proposal: give what lookup(), model(...), merge(...) and so on give")


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What the target says of guesses."""

    proposal: Proposal | None
    constrained: bool


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """What a rule keeps."""

    scores: Scores
    rule: str
    epsilon: float
    alpha: float


def lookup(*, width: int = 8, paced: bool = False) -> Proposal:
    """What followed when the newest tokens stood in the text before."""
    return _source("lookup", width, paced)


def recycled(*, width: int = 8, paced: bool = False) -> Proposal:
    """What followed these tokens elsewhere: a tree."""
    return _source("recycled", width, paced)


def copy(*, width: int = 8, paced: bool = False) -> Proposal:
    """The input, from where the output has got to."""
    return _source("copy", width, paced)


def grammar(*, width: int = 8) -> Proposal:
    """Tokens that the grammar leaves no choice about; for `verify(..., constrained=True)`."""
    return _source("grammar", width)


def model(
    of: str,
    *,
    width: int = 8,
    law: Law = "coupled",
    inner: str = "",
    siblings: int = 0,
    doubt: float = 0.0,
    stop: float = 0.0,
    prompt: int = 0,
    vocabulary: int = 0,
    precision: str = "",
    paced: bool = False,
) -> Proposal:
    """Guesses of a model; of: its name, "draft" for that of `foretell.load(draft=...)`."""
    return Proposal(
        Draft(
            "",
            "model",
            width=width,
            law=law,
            of=of,
            inner=inner,
            siblings=siblings,
            doubt=doubt,
            stop=stop,
            prompt=prompt,
            vocabulary=vocabulary,
            precision=precision,
            paced=paced,
        )
    )


def merge(*proposals: Proposal, width: int = 16) -> Proposal:
    """One tree; earlier proposals come first."""
    return Proposal(Merge("", (), width), proposals)


def defer(proposal: Proposal, *, rule: str, threshold: float) -> Proposal:
    """The guesses that the target need not see."""
    return Proposal(Defer("", "", rule, threshold), (proposal,))


def route(small: str, *, rule: str, threshold: float) -> Route:
    """For `pipeline(..., route=...)`: which of two models answers."""
    return Route(small, rule, threshold)


def verify(proposal: Proposal | None = None, *, constrained: bool = False) -> Scores:
    """One pass of the target over the guesses, or over none; constrained: under a grammar."""
    return Scores(proposal, constrained)


def accept(scores: Scores, *, rule: str = "coupled", epsilon: float = 0.0, alpha: float = 0.0) -> Tokens:
    """Which guesses are kept."""
    return Tokens(scores, rule, epsilon, alpha)


def pipeline(name: str, last: Tokens | Scores | Proposal | None = None, *, route: Route | None = None) -> Pipeline:
    """The pipeline that ends with what `accept` gave, or what comes before it, or with nothing: the target alone.

    Raises:
        UsageError: there is no such value. ForetellError: the pipeline is wrong; see `foretell.ir.check`.
    """
    if last is None or isinstance(last, Proposal):
        last = verify(last)
    tokens = accept(last) if isinstance(last, Scores) else last
    if not isinstance(tokens, Tokens):
        raise UsageError(f"a pipeline cannot end with {tokens!r}: give what accept(...) gave, or guesses")
    scores, names = tokens.scores, dict[Proposal, str]()
    statements = [] if scores.proposal is None else list(_statements(scores.proposal, names))
    checked = "" if scores.proposal is None else names[scores.proposal]
    out = Pipeline(
        name,
        (
            *(() if route is None else (route,)),
            *statements,
            Verify("v", checked, scores.constrained),
            Accept("a", "v", tokens.rule, tokens.epsilon, tokens.alpha),
            Commit("a"),
        ),
    )
    check(out)
    return out


def _source(source: str, width: int, paced: bool = False) -> Proposal:
    return Proposal(Draft("", source, width, paced=paced))


def _statements(proposal: Proposal, names: dict[Proposal, str]) -> Iterator[Statement]:
    """Of a proposal and its inputs, inputs first; names: those that were given so far."""
    if proposal in names:
        return
    for each in proposal.inputs:
        yield from _statements(each, names)
    inputs, statement = tuple(names[each] for each in proposal.inputs), proposal.statement
    taken = set(names.values())
    name = names[proposal] = next(each for each in _names(type(statement)) if each not in taken)
    match statement:
        case Draft():
            yield replace(statement, name=name)
        case Merge():
            yield replace(statement, name=name, proposals=inputs)
        case Defer():
            yield replace(statement, name=name, proposal=inputs[0])


def _names(kind: type[Statement]) -> Iterator[str]:
    """Of drafts g, h, k, g2, h2 and so on."""
    yield from _LETTERS[kind]
    for number in count(2):
        yield from (f"{letter}{number}" for letter in _LETTERS[kind])
