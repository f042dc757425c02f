"""Random pipelines for Hypothesis: `well_formed` ones that pass the checker, and `anything` that can be written."""

from typing import Any, Final, get_args, get_type_hints

from hypothesis import strategies as st

from foretell.errors import ForetellError
from foretell.ir.check import check
from foretell.ir.laws import CLASSES, LAWS
from foretell.ir.ops import (
    ACCEPT_RULES,
    DEFER_RULES,
    FREE_SOURCES,
    PACED_SOURCES,
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

# Also names that mean something in the text form, in Python or in generated code.
NAMES: Final = ("g", "h", "k", "m", "d", "v", "a", "x1", "_", "pipeline", "draft", "true", "class", "limit", "merge")
MODELS: Final = ("draft", "qwen2.5-coder-0.5b", 'an "odd" name\n')
SHARES: Final = st.floats(0, 1)
LOSSES: Final = st.floats(0.01, 1)


@st.composite
def well_formed(draw: st.DrawFn, worst: Class = "lossy") -> Pipeline:
    """A pipeline of a class no weaker than `worst`, of up to 3 drafts, 3 merges and a defer, used or not."""
    fresh = iter(draw(st.permutations(NAMES)))
    statements: list[Statement] = []
    if worst == "lossy" and _seldom(draw):
        statements.append(Route(draw(st.sampled_from(MODELS)), draw(st.sampled_from(DEFER_RULES)), draw(SHARES)))
    proposals: list[str] = []
    for _ in range(draw(st.sampled_from((1, 1, 2, 3, 0)))):
        proposals.append(next(fresh))
        statements.append(draw(st.one_of(free_drafts(proposals[-1]), model_drafts(proposals[-1]))))
        if _seldom(draw):
            joined = tuple(draw(st.lists(st.sampled_from(proposals), min_size=1, max_size=3)))
            proposals.append(next(fresh))
            statements.append(Merge(proposals[-1], joined, draw(st.integers(1, 12))))
    drawn = [each.name for each in statements if _is_drawn_chain(each)]
    grammar = any(isinstance(each, Draft) and "grammar" in (each.source, each.inner) for each in statements)
    deferring = worst == "lossy" and bool(drawn) and not grammar and draw(st.booleans())
    if deferring:
        proposals.append(next(fresh))
        rule = draw(st.sampled_from(DEFER_RULES))
        statements.append(Defer(proposals[-1], draw(st.sampled_from(drawn)), rule, draw(SHARES)))
    guesses = draw(st.sampled_from([*proposals, ""][-3:])) if _seldom(draw) else proposals[-1] if proposals else ""
    verify = Verify(next(fresh), guesses, grammar or (not deferring and draw(st.booleans())))
    name, loss = next(fresh), draw(LOSSES)
    ends = []
    for rule in ACCEPT_RULES:
        knobs = {"mix": {"epsilon": loss}, "cascade": {"alpha": loss}}.get(rule, {})
        ends.append((verify, Accept(name, verify.name, rule, **knobs), Commit(name)))
    pipelines = [Pipeline(draw(st.sampled_from(("p", "two words"))), (*statements, *end)) for end in ends]
    sound = [each for each in pipelines if _passes(each, worst)]
    others = sound[2:] or sound  # greedy and coupled come first, and are nearly always sound
    return draw(st.sampled_from(others if draw(st.booleans()) else sound))


@st.composite
def free_drafts(draw: st.DrawFn, name: str) -> Draft:
    """`name = draft(SOURCE, width=...)` of a source without a model, paced or not."""
    source = draw(st.sampled_from(FREE_SOURCES))
    return Draft(name, source, draw(st.integers(1, 8)), paced=source in PACED_SOURCES and _seldom(draw))


@st.composite
def model_drafts(draw: st.DrawFn, name: str) -> Draft:
    """`name = draft(model, ...)`: a chain or a tree, staged or not."""
    tree = draw(st.booleans())
    return Draft(
        name,
        "model",
        width=draw(st.integers(1, 8)),
        law=draw(st.sampled_from((*LAWS, "without_replacement" if tree else "sampled"))),
        of=draw(st.sampled_from(MODELS)),
        inner=draw(st.sampled_from(("", "", *FREE_SOURCES))),
        siblings=draw(st.integers(1, 3)) if tree else 0,
        doubt=draw(SHARES) if tree and _seldom(draw) else 0.0,
        stop=draw(SHARES) if _seldom(draw) else 0.0,
        prompt=draw(st.sampled_from((0, 0, 64))),
        vocabulary=draw(st.sampled_from((0, 0, 32768))),
        precision=draw(st.sampled_from(("", "", "Q4_0"))),
        paced=not tree and _seldom(draw),
    )


WORDS: Final = st.sampled_from((*NAMES, *FREE_SOURCES, "model", *ACCEPT_RULES, *DEFER_RULES)) | st.text(max_size=6)
VALUES: Final[dict[Any, st.SearchStrategy[Any]]] = {
    str: WORDS,
    int: st.integers(-2, 9) | st.integers(-(10**18) + 1, 10**18 - 1),
    float: SHARES | st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    Law: st.sampled_from(LAWS),
    tuple[str, ...]: st.lists(WORDS, min_size=1, max_size=3).map(tuple),
}


def _anything(kind: type[Statement]) -> st.SearchStrategy[Statement]:
    hints = get_type_hints(kind).items()
    return st.builds(kind, **{name: st.sampled_from(NAMES) if name == "name" else VALUES[hint] for name, hint in hints})


def anything() -> st.SearchStrategy[Pipeline]:
    """Pipelines that the text form can say, most of them nonsense."""
    statements = st.lists(st.one_of([_anything(each) for each in get_args(Statement)]), max_size=6)
    return st.builds(Pipeline, WORDS, statements.map(tuple))


def _seldom(draw: st.DrawFn) -> bool:
    return draw(st.integers(0, 4)) == 4


def _is_drawn_chain(statement: Statement) -> bool:
    return isinstance(statement, Draft) and statement.law == "sampled" and not (statement.siblings or statement.paced)


def _passes(pipeline: Pipeline, worst: Class) -> bool:
    try:
        return CLASSES.index(check(pipeline)) <= CLASSES.index(worst)
    except ForetellError:
        return False
