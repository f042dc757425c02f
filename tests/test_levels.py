"""Optimisation levels and the search."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from foretell.cost.assumed import assumed
from foretell.cost.curve import Curve
from foretell.cost.facts import Facts
from foretell.cost.price import price
from foretell.errors import ForetellError, UsageError
from foretell.ir import presets
from foretell.ir.check import check
from foretell.ir.ops import Draft, Pipeline
from foretell.ir.text import parse
from foretell.passes import report
from foretell.passes.levels import SPEED, level
from foretell.passes.rewrite import of_kind
from foretell.passes.search import search

ALL = assumed("draft")
ASSUMED = replace(ALL, sources={name: ALL.sources[name] for name in ("lookup", "recycled", "grammar")})


def draft_of(ms: float, *, chance: float = 0.75) -> Facts:
    model = replace(ASSUMED.models["draft"], pass_ms=Curve.of({1: ms}), chances=(chance,))
    return replace(ASSUMED, models={"draft": model})


FACTS = {
    "assumed": ASSUMED,
    "fast draft": draft_of(2.0, chance=0.9),
    "no free source": replace(draft_of(4.0), sources={}),
    "steep": replace(ASSUMED, target=Curve.of({1: 10.0, 2: 30.0})),
    "long prompt": replace(draft_of(3.0), prompt_tokens=8000, answer_tokens=100),
}


def sources(pipeline: Pipeline) -> set[str]:
    return {each.source for each in of_kind(pipeline, Draft)}


@pytest.mark.parametrize("facts", FACTS.values(), ids=FACTS)
def test_higher_levels_are_exact_and_expected_to_be_faster(facts: Facts) -> None:
    traces = [level(name, draft="draft", facts=facts) for name in SPEED]
    assert [check(trace.pipeline) for trace in traces] == ["exact"] * 4
    expected = [trace.price.response_ms for trace in traces]
    assert max(expected) == expected[0], "never slower than the target alone"
    assert min(expected) == expected[3], "no level finds what the search misses"
    assert all(trace.price == price(trace.pipeline, facts) for trace in traces)


def test_levels_do_what_they_say() -> None:
    facts = FACTS["fast draft"]
    alone, free, drafted, searched = (level(name, draft="draft", facts=facts).pipeline for name in SPEED)
    assert alone == presets.load("plain")
    assert "model" not in sources(free)
    assert sources(free)
    assert "model" in sources(drafted)
    assert not any(each.siblings for each in of_kind(drafted, Draft)), "trees are O3's"
    assert "model" in sources(searched)


def test_without_a_draft_model() -> None:
    traces = [level(name, draft=None, facts=ASSUMED) for name in SPEED]
    assert all("model" not in sources(trace.pipeline) for trace in traces)
    assert traces[1].pipeline.statements == traces[2].pipeline.statements


def test_where_guesses_cost_too_much_the_target_is_alone() -> None:
    for name in SPEED:
        assert sources(level(name, draft="draft", facts=FACTS["steep"]).pipeline) == set()


def test_what_levels_there_are() -> None:
    with pytest.raises(UsageError, match="no level 'O4'; there are O0, O1, O2, O3"):
        level("O4", draft=None, facts=ASSUMED)
    with pytest.raises(ForetellError, match="draft model 'other'"):
        level("O1", draft="other", facts=ASSUMED)


def test_search_keeps_the_rejected_and_says_why() -> None:
    best, *rejected = search(draft="draft", facts=ASSUMED)
    assert best.reason == ""
    assert best.price is not None
    reasons = {each.pipeline.name: each.reason for each in rejected}
    assert reasons["sampling"] == "its class is distribution"
    assert reasons["defer"] == "its class is lossy"
    assert reasons["constrained"] == "it needs a grammar"
    assert "times as long" in reasons["chain"]
    assert "copy" in reasons["copy"], "a preset's source that was not measured"
    for each in rejected:
        assert each.reason
        assert each.price == (price(each.pipeline, ASSUMED) if "measured" not in each.reason else None)
        if "times as long" in each.reason:
            assert each.price is not None
            assert each.price.response_ms >= best.price.response_ms


def test_search_tries_every_set_of_sources() -> None:
    found = {frozenset(sources(each.pipeline)) for each in search(draft="draft", facts=ASSUMED)}
    free: list[set[str]] = [set(), {"lookup"}, {"recycled"}, {"lookup", "recycled"}]
    assert {frozenset(each | model) for each in free for model in (set(), {"model"})} <= found


def test_search_names_the_draft_model_in_presets() -> None:
    facts = replace(ASSUMED, models={"small": ASSUMED.models["draft"]})
    found = search(draft="small", facts=facts)
    assert {draft.of for each in found for draft in of_kind(each.pipeline, Draft)} == {"", "small"}
    alone = {each.pipeline.name: each for each in search(draft=None, facts=facts)}
    assert alone["chain"].reason == "there is no draft model"
    assert alone["chain"].price is None


def test_search_considers_what_it_is_given() -> None:
    ours = parse("g = draft(lookup, width=11)\nv = verify(g)\na = accept(v)\ncommit(a)", "ours")
    assert ours in [each.pipeline for each in search(draft=None, facts=ASSUMED, also=[ours])]


@pytest.mark.parametrize("name", SPEED)
def test_golden_traces(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"passes/{name}.txt", report.steps(level(name, draft="draft", facts=FACTS["fast draft"])))


def test_golden_costs(golden: Callable[[str, str], None]) -> None:
    facts = FACTS["fast draft"]
    golden("passes/costs.txt", report.costs(level("O3", draft="draft", facts=facts), facts))
    golden("passes/costs_O2.txt", report.costs(level("O2", draft="draft", facts=facts), facts))
