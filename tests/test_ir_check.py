"""What the checker passes, and what it says of the rest."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.errors import ForetellError
from foretell.ir.check import check
from foretell.ir.laws import CLASSES
from foretell.ir.ops import Accept, Class, Commit, Defer, Draft, Merge, Pipeline, Route, Statement, Verify
from foretell.ir.text import line, parse, title
from pipelines import anything, well_formed

MODEL = "draft(model, of=draft"
CHAIN = f"g = {MODEL}, law=sampled)"
DEFER = "d = defer(g, rule=chow, threshold=0.5)"
END = "v = verify(g); a = accept(v); commit(a)"


def of(*texts: str) -> Pipeline:
    """A pipeline from pieces of text with several statements in a line."""
    return parse("\n".join(texts).replace("; ", "\n"), "p")


def end(rule: str, verified: str = "g") -> str:
    return f"v = verify({verified}); a = accept(v, rule={rule}); commit(a)"


@pytest.mark.parametrize(
    ("guesses", "rest", "kind"),
    [
        ("", end("coupled", ""), "exact"),
        ("", end("reject", ""), "distribution"),
        ("g = draft(lookup)", END, "exact"),
        (f"g = {MODEL}, law=sampled, stop=0.3, inner=lookup)", END, "exact"),
        (f"g = {MODEL}, law=sampled, siblings=1)", end("greedy"), "exact"),
        ("g = draft(recycled)", end("reject"), "distribution"),
        (f"g = {MODEL}, stop=0.3, siblings=2, doubt=0.5)", end("reject"), "distribution"),
        ("g = draft(lookup); h = draft(copy); m = merge(g, h)", end("reject", "m"), "distribution"),
        (f"g = draft(lookup); {CHAIN.replace('g =', 'h =')}; m = merge(g, h)", end("coupled", "m"), "exact"),
        (CHAIN, end("reject"), "distribution"),
        (CHAIN, end("block"), "distribution"),
        (f"g = {MODEL}, law=sampled, stop=0.5)", end("block"), "distribution"),
        (f"g = {MODEL}, law=without_replacement, siblings=1, doubt=0.5, stop=0.1)", end("multi"), "distribution"),
        (f"g = {MODEL}, law=without_replacement, siblings=2)", end("multi"), "distribution"),
        (CHAIN, end("mix, epsilon=0.1"), "lossy"),
        (CHAIN, end("cascade, alpha=1"), "lossy"),
        (f"{CHAIN}; {DEFER}", end("keep", "d"), "lossy"),
        (f"g = {MODEL}, law=sampled, stop=0.1); {DEFER}", end("keep", "d"), "lossy"),
        ("route(small=x, rule=chow, threshold=1); g = draft(lookup)", END, "lossy"),
        ("g = draft(grammar)", "v = verify(g, constrained=true); a = accept(v); commit(a)", "exact"),
        (f"g = draft(lookup); {CHAIN.replace('g =', 'h =')}; m = merge(h)", END, "exact"),  # of no use, but no error
    ],
)
def test_classes(guesses: str, rest: str, kind: Class) -> None:
    assert check(of(guesses, rest)) == kind


@pytest.mark.parametrize(
    ("text", "statement", "reason"),
    [
        # order
        ("", "", "has no commit"),
        ("v = verify(); a = accept(v)", "", "has no commit"),
        ("v = verify(); g = draft(lookup)", "g = ", "it comes too late: the order is route; draft"),
        (f"g = draft(lookup); {END}; commit(a)", "commit(a)", "it is the second commit: there is one at most"),
        ("v = verify(); w = verify()", "w = ", "it is the second verify"),
        ("v = verify(); a = accept(v); b = accept(v)", "b = ", "it is the second accept"),
        ("g = draft(lookup); route(small=x, rule=chow, threshold=0.5)", "route(", "it comes too late"),
        # names and types
        ("v = verify(g)", "v = ", "g is not set before this; nothing is"),
        ("g = draft(lookup); h = draft(copy); v = verify(m)", "v = ", "m is not set before this; there are g, h"),
        ("m = merge(m)", "m = ", "m is not set before this"),
        ("g = draft(lookup); g = draft(copy)", "g = draft(copy", "g is set twice"),
        ("g = draft(lookup); a = accept(g)", "a = ", "g is a proposal; scores must stand here"),
        ("v = verify(); commit(v)", "commit(v)", "v is scores; tokens must stand here"),
        # knobs
        ("g = draft(lookup, width=0)", "g = ", "width is 0; it must be at least 1"),
        ("g = draft(lookup); m = merge(g, width=-1)", "m = ", "width is -1; it must be at least 1"),
        (f"g = {MODEL}, siblings=-1)", "g = ", "siblings is -1; it must be at least 0"),
        (f"g = {MODEL}, doubt=1.5)", "g = ", "doubt is 1.5; it must be from 0 to 1"),
        (f"g = {MODEL}, stop=-0.1)", "g = ", "stop is -0.1; it must be from 0 to 1"),
        (f"g = {MODEL}, prompt=-1)", "g = ", "prompt is -1"),
        (f"g = {MODEL}, vocabulary=-1)", "g = ", "vocabulary is -1"),
        ("route(small=x, rule=chow, threshold=-1)", "route(", "threshold is -1.0; it must be at least 0"),
        ("route(small=x, rule=chow, threshold=1.5)", "route(", "threshold is 1.5; of the rule chow"),
        ("v = verify(); a = accept(v, epsilon=2)", "a = ", "epsilon is 2.0; it must be from 0 to 1"),
        ("v = verify(); a = accept(v, epsilon=0.1)", "a = ", "epsilon is for the rule mix, and this is coupled"),
        (f"{CHAIN}; {end('mix')}", "a = ", "mix is lossy: say by epsilon="),
        (f"{CHAIN}; {end('cascade, epsilon=0.5')}", "a = ", "epsilon is for the rule mix"),
        (f"{CHAIN}; {end('cascade')}", "a = ", "cascade is lossy: say by alpha="),
        # sources and models
        ("g = draft(lokup)", "g = ", "there is no source 'lokup'; there are lookup, recycled, copy, grammar, model"),
        ("g = draft(lookup, law=coupled)", "g = ", "law is for draft(model, ...): lookup guesses"),
        ("g = draft(copy, of=draft)", "g = ", "of is for draft(model, ...)"),
        ("g = draft(model)", "g = ", "of= must name a model"),
        (f"g = {MODEL}, inner=model)", "g = ", "inner is 'model'; it must be one of lookup, recycled, copy, grammar"),
        ('route(small="", rule=chow, threshold=0.5)', "route(", "small= must name a model"),
        ("route(small=x, rule=doubt, threshold=0.5)", "route(", "there is no rule 'doubt' for asking"),
        (f"g = draft(grammar); {END}", "v = ", "it must say constrained=true"),
        (f"g = {MODEL}, inner=grammar); {END}", "v = ", "it must say constrained=true"),
        # grammars
        (f"{CHAIN}; {DEFER}; v = verify(d, constrained=true)", "v = ", "no grammar can limit what defer keeps"),
        (f"{CHAIN}; v = verify(g, constrained=true); a = accept(v, rule=mix, epsilon=1)", "a = ", "mix can keep"),
        # laws
        ("v = verify(); a = accept(v, rule=best)", "a = ", "there is no rule 'best'; there are greedy, coupled"),
        ("v = verify(); a = accept(v, rule=keep)", "a = ", "keep is for nothing else"),
        ("v = verify(); a = accept(v, rule=block)", "a = ", "block is for a chain of law sampled"),
        (f"g = draft(lookup); {end('mix, epsilon=0.5')}", "a = ", "mix is for a chain of law sampled"),
        (f"g = {MODEL}, law=coupled); {end('reject')}", "a = ", "a chain of law coupled"),
        (f"g = {MODEL}, law=sampled, siblings=1); {end('reject')}", "a = ", "a tree of law sampled"),
        (f"{CHAIN}; m = merge(g); {end('block', 'm')}", "a = ", "block needs all guesses as they were drawn"),
        (f"{CHAIN}; m = merge(g); {end('reject', 'm')}", "a = ", "reject needs all guesses"),
        (f"g = {MODEL}, law=coupled); m = merge(g); n = merge(m); {end('reject', 'n')}", "a = ", "reject needs all"),
        # defer
        (f"g = draft(lookup); {DEFER}", "d = ", "a chain that a model drew"),
        (f"g = {MODEL}, law=sampled, siblings=1); {DEFER}", "d = ", "a chain that a model drew"),
        (f"{CHAIN}; d = defer(g, rule=sum, threshold=0.5)", "d = ", "there is no rule 'sum' for asking"),
        (f"{CHAIN}; {DEFER}; m = merge(d)", "m = ", "d comes from defer and is final"),
        (f"{CHAIN}; {DEFER}; {end('coupled', 'd')}", "a = ", "guesses from defer are final"),
    ],
)  # fmt: skip
def test_errors_name_the_statement_and_the_reason(text: str, statement: str, reason: str) -> None:
    with pytest.raises(ForetellError) as caught:
        check(of(text))
    said = str(caught.value)
    assert said.startswith(f"pipeline p, {statement}" if statement else "pipeline p has")
    assert reason in said
    assert "\n" not in said


@pytest.mark.parametrize("name", ["", "a b", "3", "é", "g\n"])
def test_names_that_text_could_not_say(name: str) -> None:
    with pytest.raises(ForetellError, match="is no name: use letters"):
        check(Pipeline("p", (Verify(name), Accept("a", name), Commit("a"))))


def test_what_text_could_not_say() -> None:
    rest = (Verify("v", "g"), Accept("a", "v"), Commit("a"))
    with pytest.raises(ForetellError, match="it needs proposals"):
        check(Pipeline("p", (Merge("g", ()), *rest)))
    with pytest.raises(ForetellError, match="no law 'drawn'"):
        check(Pipeline("p", (Draft("g", "model", law="drawn", of="x"), *rest)))  # type: ignore[arg-type]
    with pytest.raises(ForetellError, match="threshold is nan"):
        check(Pipeline("p", (Route("x", "entropy", float("nan")), *rest)))


@given(anything())
def test_nonsense_is_refused_in_one_line(pipeline: Pipeline) -> None:
    try:
        check(pipeline)
    except ForetellError as error:
        said = str(error)
    else:
        return
    assert said.startswith(f"{title(pipeline)}")
    assert len(said.splitlines()) == 1


@given(st.sampled_from(CLASSES), st.data())
def test_random_pipelines_keep_their_promise(worst: Class, data: st.DataObject) -> None:
    pipeline = data.draw(well_formed(worst))
    assert CLASSES.index(check(pipeline)) <= CLASSES.index(worst)


@given(well_formed())
def test_nothing_that_is_used_can_be_left_out(pipeline: Pipeline) -> None:
    used = {name for each in pipeline.statements for name in reads(each)}
    for i, statement in enumerate(pipeline.statements):
        name = getattr(statement, "name", None)
        shorter = replace(pipeline, statements=pipeline.statements[:i] + pipeline.statements[i + 1 :])
        if isinstance(statement, Route) or (name is not None and name not in used):
            check(shorter)
            continue
        with pytest.raises(ForetellError):
            check(shorter)


@given(well_formed(), st.data())
def test_no_statement_can_come_twice(pipeline: Pipeline, data: st.DataObject) -> None:
    i = data.draw(st.integers(0, len(pipeline.statements) - 1))
    twice = replace(
        pipeline, statements=(*pipeline.statements[:i], *pipeline.statements[i:][:1], *pipeline.statements[i:])
    )
    with pytest.raises(ForetellError) as caught:
        check(twice)
    assert line(pipeline.statements[i]) in str(caught.value)


def reads(statement: Statement) -> tuple[str, ...]:
    match statement:
        case Merge(proposals=names):
            return names
        case Defer(proposal=name) | Verify(proposal=name) | Accept(scores=name) | Commit(tokens=name):
            return (name,)
        case _:
            return ()
