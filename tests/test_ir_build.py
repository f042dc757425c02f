"""Pipelines built from Python are those of the text form."""

import inspect
import runpy
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

import foretell
from foretell.build import (
    accept,
    copy,
    defer,
    grammar,
    lookup,
    merge,
    model,
    pipeline,
    preset,
    recycled,
    route,
    show,
    verify,
)
from foretell.errors import ForetellError, UsageError
from foretell.ir import build, presets
from foretell.ir.ops import Accept, Commit, Defer, Draft, Merge, Pipeline, Route, Statement, Verify
from foretell.ir.text import parse
from pipelines import well_formed

EXAMPLE = Path(__file__).parents[1] / "examples" / "pipelines.py"
SOURCES: dict[str, Any] = {"lookup": lookup, "recycled": recycled, "copy": copy, "grammar": grammar}


def renamed(given: Pipeline) -> Pipeline:
    """The same pipeline with names that say only where they were set."""
    names: dict[str, str] = {"": ""}
    out: list[Statement] = []
    for i, each in enumerate(given.statements):
        match each:
            case Merge():
                new: Statement = replace(each, proposals=tuple(names[name] for name in each.proposals))
            case Defer() | Verify():
                new = replace(each, proposal=names[each.proposal])
            case Accept():
                new = replace(each, scores=names[each.scores])
            case Commit():
                new = replace(each, tokens=names[each.tokens])
            case _:
                new = each
        if hasattr(each, "name"):
            names[each.name] = f"x{i}"
            new = replace(new, name=names[each.name])  # type: ignore[call-arg]
        out.append(new)
    return replace(given, statements=tuple(out))


def rebuilt(given: Pipeline) -> Pipeline:
    """A pipeline said again with the builder's functions; what is not used is lost."""
    values: dict[str, Any] = {"": None}
    way: Route | None = None
    for each in given.statements:
        match each:
            case Draft(source="model"):
                knobs = {field.name: getattr(each, field.name) for field in fields(each)}
                values[each.name] = model(**{k: v for k, v in knobs.items() if k not in ("name", "source")})
            case Draft():
                knobs = {"paced": each.paced} if each.paced else {}
                values[each.name] = SOURCES[each.source](width=each.width, **knobs)
            case Merge():
                values[each.name] = merge(*(values[name] for name in each.proposals), width=each.width)
            case Defer():
                values[each.name] = defer(values[each.proposal], rule=each.rule, threshold=each.threshold)
            case Verify():
                values[each.name] = verify(values[each.proposal], constrained=each.constrained)
            case Accept():
                values[each.name] = accept(values[each.scores], rule=each.rule, epsilon=each.epsilon, alpha=each.alpha)
            case Route():
                way = route(each.small, rule=each.rule, threshold=each.threshold)
            case Commit():
                return pipeline(given.name, values[each.tokens], route=way)
    raise AssertionError(given)


def used(given: Pipeline) -> Pipeline:
    """Without statements that nothing reads, in the order in which values are first needed."""
    drafts: Mapping[str, Statement] = {getattr(each, "name", ""): each for each in given.statements}
    order: dict[str, Statement] = {}

    def need(name: str) -> None:
        statement = drafts.get(name)
        if statement is None or name in order or not name:
            return
        for each in getattr(statement, "proposals", ()) or (getattr(statement, "proposal", ""),):
            need(each)
        need(getattr(statement, "scores", ""))
        order[name] = statement

    (commit,) = (each for each in given.statements if isinstance(each, Commit))
    need(commit.tokens)
    ways = [each for each in given.statements if isinstance(each, Route)]
    return replace(given, statements=(*ways, *order.values(), commit))


@given(well_formed())
def test_whatever_text_says_python_says(given: Pipeline) -> None:
    built = rebuilt(given)
    assert renamed(built) == renamed(used(given))
    assert parse(show(built)) == built


@pytest.mark.parametrize("name", presets.names())
def test_presets(name: str) -> None:
    assert renamed(rebuilt(preset(name))) == renamed(used(presets.load(name)))


def test_the_end_may_be_left_out() -> None:
    assert pipeline("lookup", lookup()) == presets.load("lookup")
    assert pipeline("chain", model("draft", width=5)) == presets.load("chain")
    assert pipeline("plain") == presets.load("plain")
    limited = pipeline("x", verify(grammar(width=3), constrained=True))
    assert limited.statements[1:] == (Verify("v", "g", constrained=True), Accept("a", "v"), Commit("a"))


def test_one_value_used_twice_is_one_statement() -> None:
    shared = lookup()
    twice = pipeline("p", merge(merge(shared, recycled()), shared, lookup(), lookup(), lookup()))
    names = [each.name for each in twice.statements if isinstance(each, (Draft, Merge))]
    assert names == ["g", "h", "m", "k", "g2", "h2", "m2"]
    assert twice.statements[6] == Merge("m2", ("m", "g", "k", "g2", "h2"))


def test_model_has_the_arguments_of_draft() -> None:
    defaults = {field.name: field.default for field in fields(Draft) if field.name not in ("name", "source", "of")}
    given = {name: each.default for name, each in inspect.signature(model).parameters.items() if name != "of"}
    assert given == defaults | {"law": "coupled"}
    assert {each for each in build.__dict__ if each in foretell.build.__all__} == set(foretell.build.__all__) - {  # type: ignore[attr-defined]
        "parse",
        "preset",
        "show",
    }


def test_what_makes_no_sense() -> None:
    with pytest.raises(ForetellError, match="block is for a chain of law sampled"):
        pipeline("p", accept(verify(lookup()), rule="block"))
    with pytest.raises(ForetellError, match="width is 0"):
        pipeline("p", lookup(width=0))
    with pytest.raises(ForetellError, match="it needs proposals"):
        pipeline("p", merge())
    with pytest.raises(UsageError, match="'lookup' is no proposal"):
        merge("lookup")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="cannot end with 'lookup'"):
        pipeline("p", "lookup")  # type: ignore[arg-type]


def test_compiling() -> None:
    chain = pipeline("mine", model("draft", width=5))
    same = foretell.compile(chain)
    assert same.pipeline is chain
    assert same.trace.steps == ()
    assert (same.ir, same.kind, same.facts.origin) == (show(chain), "exact", "assumed")
    better = foretell.compile(chain, level="O2")
    assert better.trace.start is chain
    assert better.ir in better.passes.replace("+ ", "  ") or "inner" in better.passes
    assert better.plan.startswith("plan mine: exact")
    assert "def run_round(" in better.py
    assert "tokens/s" in better.cost
    assert foretell.compile(level="O0").pipeline == presets.load("plain")
    drawn = pipeline("d", accept(verify(model("x", law="sampled", width=3)), rule="reject"))
    assert foretell.compile(drawn, level="O1").facts.models.keys() == {"x"}
    with pytest.raises(UsageError, match="no level 'O9'"):
        foretell.compile(chain, level="O9")
    with foretell.load("toy") as toy, pytest.raises(ForetellError, match="draft"):
        foretell.compile(chain, facts=toy.facts)


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    example = runpy.run_path(str(EXAMPLE))
    example["main"]()
    example["main"]("toy", "toy")
    out = capsys.readouterr().out
    assert out.count("passes of the target") == 6
    assert "g = draft(lookup, width=6)\n  h = draft(model, of=draft" in out
