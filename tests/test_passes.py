"""Each pass before and after; what all of them keep; the manager."""

import copy
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.cost.assumed import assumed
from foretell.cost.curve import Curve
from foretell.cost.facts import Facts, SourceFacts, Trade
from foretell.cost.price import price
from foretell.errors import ForetellError
from foretell.ir.check import check
from foretell.ir.laws import CLASSES
from foretell.ir.ops import Draft, Merge, Pipeline
from foretell.ir.text import parse, show
from foretell.passes.accompany import Accompany
from foretell.passes.approximate import Approximate
from foretell.passes.canonicalise import Canonicalise
from foretell.passes.drop_sources import DropSources
from foretell.passes.manager import Pass, run
from foretell.passes.order import Order
from foretell.passes.pace import Pace
from foretell.passes.place import Place
from foretell.passes.prompt import Prompt
from foretell.passes.rewrite import Rewritten, of_kind
from foretell.passes.rule import ChooseRule
from foretell.passes.share import Share
from foretell.passes.stage import Stage
from foretell.passes.widths import WIDTHS, Widths
from pipelines import MODELS, well_formed

FACTS = assumed(*MODELS)
PRICED: tuple[Pass, ...] = (Stage(), Approximate(), Prompt(), Widths(), Share(), Order(), Pace(), DropSources())
ALL: tuple[Pass, ...] = (Canonicalise(), *PRICED, ChooseRule())
END = "a = accept(v)\ncommit(a)"


def passed(each: Pass, text: str, facts: Facts = FACTS) -> tuple[str, tuple[str, ...]]:
    after, remarks = each.run(parse(text), facts)
    check(after)
    return show(after), remarks


def becomes(each: Pass, before: str, after: str, *remarks: str, facts: Facts = FACTS) -> None:
    text, said = passed(each, before, facts)
    assert text == show(parse(after))
    assert len(said) == len(remarks)
    for remark, part in zip(said, remarks, strict=True):
        assert part in remark


def stays(each: Pass, text: str, facts: Facts = FACTS) -> tuple[str, ...]:
    before = parse(text)
    after, remarks = each.run(before, facts)
    assert after is before
    return remarks


def with_draft(**changes: Any) -> Facts:
    return replace(FACTS, models={"draft": replace(FACTS.models["draft"], **changes)})


CHEAP = with_draft(pass_ms=Curve.of({1: 1.0}), prompt_ms=0.01)


def only(*names: str, facts: Facts = FACTS) -> Facts:
    return replace(facts, sources={name: facts.sources[name] for name in names})


def test_canonicalise() -> None:
    becomes(
        Canonicalise(),
        "a = draft(lookup)\nb = draft(recycled)\nc = draft(copy)\nm = merge(a, a)\nn = merge(m, b)\n"
        "v = verify(n)\nt = accept(v)\ncommit(t)",
        "a = draft(lookup)\nb = draft(recycled)\nn = merge(a, b)\nv = verify(n)\nt = accept(v)\ncommit(t)",
        "nobody uses c",
        "m merges the same twice",
        "m merges a alone",
    )


def test_canonicalise_flattens_merges_that_are_no_narrower() -> None:
    drafts = "a = draft(lookup)\nb = draft(recycled)\nc = draft(copy)\n"
    becomes(
        Canonicalise(),
        f"{drafts}m = merge(b, c, width=9)\nn = merge(a, m, width=9)\nv = verify(n)\nt = accept(v)\ncommit(t)",
        f"{drafts}n = merge(a, b, c, width=9)\nv = verify(n)\nt = accept(v)\ncommit(t)",
        "m is merged again by n",
        "nobody uses m",
    )
    stays(
        Canonicalise(),
        f"{drafts}m = merge(b, c, width=4)\nn = merge(a, m, width=9)\nv = verify(n)\nt = accept(v)\ncommit(t)",
    )


def test_canonicalise_takes_equal_drafts_for_one() -> None:
    becomes(
        Canonicalise(),
        f"g = draft(model, of=draft, doubt=0.5)\nh = draft(model, of=draft)\nm = merge(g, h)\nv = verify(m)\n{END}",
        f"g = draft(model, of=draft)\nv = verify(g)\n{END}",
        "g has no siblings",
        "h guesses what g does",
        "nobody uses h",
        "m merges the same twice",
        "m merges g alone",
    )


def test_canonicalise_keeps_two_draws_apart() -> None:
    drawn = "draft(model, of=draft, law=sampled)"
    stays(Canonicalise(), f"g = {drawn}\nh = {drawn}\nm = merge(g, h)\nv = verify(m)\n{END}")


def test_sources_that_cannot_pay_are_dropped() -> None:
    facts = replace(FACTS, sources={**FACTS.sources, "recycled": SourceFacts((0.01,), ms=3.0)})
    becomes(
        DropSources(),
        f"g = draft(lookup)\nh = draft(recycled)\nm = merge(g, h)\nv = verify(m)\n{END}",
        f"g = draft(lookup)\nv = verify(g)\n{END}",
        "h (recycled) cannot pay: an answer takes",
        facts=facts,
    )


@pytest.mark.parametrize("rule", ["reject", "block", "coupled"])
def test_without_any_source_the_target_is_alone(rule: str) -> None:
    dear = with_draft(prompt_ms=1000.0)
    becomes(
        DropSources(),
        f"g = draft(model, of=draft, law=sampled)\nv = verify(g)\na = accept(v, rule={rule})\ncommit(a)",
        f"v = verify()\n{END}",
        "g (draft) cannot pay",
        facts=dear,
    )


def test_two_sources_may_only_cost_together() -> None:
    """Dropping one leaves the other's waste, and neither alone is seen to pay."""
    drafts = "g = draft(lookup, width=8)\nh = draft(copy, width=8)\nm = merge(g, h)"
    steep = replace(FACTS, target=Curve.of({1: 10.0, 2: 30.0}))
    becomes(
        DropSources(),
        f"{drafts}\nv = verify(m)\n{END}",
        f"v = verify()\n{END}",
        "g (lookup) and h (copy) cannot pay",
        facts=steep,
    )


def test_the_better_source_comes_first() -> None:
    becomes(
        Order(),
        f"g = draft(recycled)\nh = draft(copy)\nm = merge(g, h, width=8)\nv = verify(m)\n{END}",
        f"g = draft(recycled)\nh = draft(copy)\nm = merge(h, g, width=8)\nv = verify(m)\n{END}",
        "m: h, g in this order: an answer takes",
    )


def test_many_proposals_keep_their_order() -> None:
    names = [f"x{i}" for i in range(5)]
    drafts = "\n".join(f"{each} = draft(lookup, width={i + 1})" for i, each in enumerate(names))
    assert "more than 4" in stays(Order(), f"{drafts}\nm = merge({', '.join(names)})\nv = verify(m)\n{END}")[0]


def test_widths_follow_the_cost_of_rows() -> None:
    text = f"g = draft(lookup, width=5)\nv = verify(g)\n{END}"
    chosen = []
    for slope in (0.0, 1.0, 3.0, 8.0):
        facts = replace(FACTS, target=Curve.of({1: 20.0, 2: 20.0 + slope}))
        after, _ = Widths().run(parse(text), facts)
        (draft,) = of_kind(after, Draft)
        chosen.append(draft.width)
        best = min(WIDTHS, key=lambda n: price(parse(text.replace("=5", f"={n}")), facts).response_ms)
        assert draft.width == best
    assert chosen[0] == max(WIDTHS)
    assert chosen == sorted(chosen, reverse=True)
    assert len(set(chosen)) > 2


def test_widths_of_two_sources_are_near_the_best_of_all() -> None:
    text = f"g = draft(lookup)\nh = draft(model, of=draft, inner=lookup)\nm = merge(g, h)\nv = verify(m)\n{END}"
    start = parse(text)
    for ms in (2.0, 4.0, 8.0):
        facts = with_draft(pass_ms=Curve.of({1: ms}))
        after, (remark,) = Widths().run(start, facts)
        assert "->" in remark
        g, h, m = start.statements[:3]
        assert isinstance(g, Draft)
        assert isinstance(h, Draft)
        assert isinstance(m, Merge)
        best = min(
            price(
                replace(start, statements=(replace(g, width=x), replace(h, width=y), m, *start.statements[3:])), facts
            ).response_ms
            for x in WIDTHS
            for y in WIDTHS
        )
        assert price(after, facts).response_ms <= 1.03 * best


def test_block_takes_the_place_of_reject() -> None:
    becomes(
        ChooseRule(),
        "g = draft(model, of=draft, law=sampled)\nv = verify(g)\na = accept(v, rule=reject)\ncommit(a)",
        "g = draft(model, of=draft, law=sampled)\nv = verify(g)\na = accept(v, rule=block)\ncommit(a)",
        "block keeps as many",
    )


def test_reject_of_guesses_without_chance_becomes_exact() -> None:
    becomes(
        ChooseRule(),
        "g = draft(recycled)\nv = verify(g)\na = accept(v, rule=reject)\ncommit(a)",
        f"g = draft(recycled)\nv = verify(g)\n{END}",
        "class is exact",
    )


@pytest.mark.parametrize(
    "text",
    [
        "g = draft(model, of=draft, law=sampled)\nv = verify(g)\na = accept(v, rule=coupled)",  # block is less exact
        "g = draft(lookup)\nv = verify(g)\na = accept(v, rule=greedy)",
        "g = draft(model, of=draft, law=sampled)\nv = verify(g)\na = accept(v, rule=mix, epsilon=0.1)",
        "route(small=x, rule=chow, threshold=0)\ng = draft(model, of=x, law=sampled)\nv = verify(g)\na = accept(v)",
        "g = draft(model, of=draft, law=without_replacement, siblings=2)\nv = verify(g)\na = accept(v, rule=multi)",
    ],
)
def test_rules_that_stay(text: str) -> None:
    assert stays(ChooseRule(), f"{text}\ncommit(a)") == ()


def test_free_rows_are_shared() -> None:
    becomes(
        Share(),
        f"g = draft(model, of=draft, width=3)\nv = verify(g)\n{END}",
        "g = draft(model, of=draft, width=3)\nlookup = draft(lookup, width=15, paced=true)\nm = merge(g, lookup)\n"
        f"v = verify(m)\n{END}",
        "lookup shares the target's pass: an answer takes",
        facts=only("lookup"),
    )


PACED = (
    "g = draft(model, of=draft, width=8, law=coupled, paced=true)\nh = draft(lookup, width=15, paced=true)\n"
    f"m = merge(g, h, width=23)\nv = verify(m)\n{END}"
)
UNPACED = (
    "g = draft(model, of=draft, width=3, law=coupled, stop=0.5)\nh = draft(lookup, width=4)\n"
    f"m = merge(g, h, width=5)\nv = verify(m)\n{END}"
)


def test_what_can_be_paced_is() -> None:
    becomes(Pace(), UNPACED, PACED, "g, h decide each round: an answer takes")
    assert stays(Pace(), PACED) == ()
    text, _ = passed(Pace(models=False), UNPACED)
    assert "h = draft(lookup, width=15, paced=true)" in text
    assert "stop=0.5" in text, "draft models stay as they are"


def test_what_cannot_be_paced_stays() -> None:
    tree = f"g = draft(model, of=draft, siblings=2)\nv = verify(g)\n{END}"
    assert stays(Pace(), tree) == ()
    forced = f"g = draft(grammar)\nv = verify(g, constrained=true)\n{END}"
    assert stays(Pace(), forced) == ()
    lossy = "g = draft(model, of=draft, law=sampled)\nv = verify(g)\na = accept(v, rule=mix, epsilon=0.1)\ncommit(a)"
    assert stays(Pace(), lossy) == ()


def test_a_paced_source_is_dropped_only_where_it_never_pays() -> None:
    slow = replace(only("lookup"), models={"draft": replace(FACTS.models["draft"], pass_ms=Curve.of({1: 40.0}))})
    fair = replace(only("lookup"), models={"draft": replace(FACTS.models["draft"], chances=(0.5,))})
    assert "draft(model" not in passed(DropSources(), PACED, slow)[0]
    assert "draft(model" in passed(DropSources(), PACED, fair)[0]
    steep = replace(slow, target=Curve.of({1: 10.0, 2: 30.0}))
    assert passed(DropSources(), PACED, steep)[0] == show(parse(f"v = verify()\n{END}"))


def test_names_of_shared_sources_are_new() -> None:
    text, _ = passed(
        Share(), "lookup = draft(copy)\nm = verify(lookup)\na = accept(m)\ncommit(a)", only("lookup", "copy")
    )
    assert "lookup2 = draft(lookup" in text
    assert "m2 = merge(lookup, lookup2" in text


def test_copying_accompanies_a_paced_lookup_and_nothing_else() -> None:
    paced = f"g = draft(lookup, width=15, paced=true)\nv = verify(g)\n{END}"
    text, remarks = passed(Accompany(), paced, only("lookup", "copy"))
    assert "copy = draft(copy" in text
    assert "m = merge(g, copy" in text
    assert remarks == ("copy stands beside lookup: it is silent but where the output follows the input",)
    assert stays(Accompany(), paced, only("lookup")) == ()  # not measured
    assert stays(Accompany(), text, only("lookup", "copy")) == ()
    assert stays(Accompany(), paced.replace(", paced=true", ""), only("lookup", "copy")) == ()
    assert stays(Accompany(), f"v = verify()\n{END}", only("lookup", "copy")) == ()


def test_rows_that_cost_are_not_shared() -> None:
    steep = replace(FACTS, target=Curve.of({1: 10.0, 2: 30.0}))
    assert stays(Share(), f"v = verify()\n{END}", steep) == ()


def test_a_grammar_shares_only_what_it_limits() -> None:
    facts = only("grammar")
    assert stays(Share(), f"v = verify()\n{END}", facts) == ()
    assert "draft(grammar" in passed(Share(), f"v = verify(constrained=true)\n{END}", facts)[0]


def test_share_leaves_what_a_merge_would_make_unsound() -> None:
    stays(
        Share(), "g = draft(model, of=draft, law=sampled, width=2)\nv = verify(g)\na = accept(v, rule=block)\ncommit(a)"
    )


def test_stage() -> None:
    chain = "g = draft(model, of=draft, width=6)\nv = verify(g)\n"
    staged = "g = draft(model, of=draft, width=6, inner=lookup)\nv = verify(g)\n"
    facts = only("lookup", "grammar")
    becomes(Stage(), chain + END, staged + END, "g: inner lookup", facts=facts)
    useless = replace(facts, sources={**facts.sources, "lookup": SourceFacts((0.0,), ms=1.0)})
    becomes(Stage(), staged + END, chain + END, "g: inner none", facts=useless)


def test_approximate() -> None:
    facts = with_draft(
        precisions={"Q4_0": Trade(0.5, 0.99), "Q2_K": Trade(0.45, 0.5)}, vocabularies={1000: Trade(0.9, 0.6)}
    )
    plain = "g = draft(model, of=draft, width=4)\nv = verify(g)\n"
    cut = "g = draft(model, of=draft, width=4, vocabulary=1000)\nv = verify(g)\n"
    lowered = "g = draft(model, of=draft, width=4, precision=Q4_0)\nv = verify(g)\n"
    becomes(Approximate(), plain + END, lowered + END, "g: precision Q4_0, vocabulary whole", facts=facts)
    becomes(Approximate(), cut + END, lowered + END, "g: precision Q4_0, vocabulary whole", facts=facts)
    stays(Approximate(), lowered + END, facts)


def test_prompt_is_shortened_when_it_is_long() -> None:
    text = f"g = draft(model, of=draft, width=4)\nv = verify(g)\n{END}"
    stays(Prompt(), text, replace(FACTS, prompt_tokens=64))
    short = text.replace("width=4", "width=4, prompt=256")
    long = replace(FACTS, prompt_tokens=8000, answer_tokens=100)
    becomes(Prompt(), text, short, "g reads the last 256 tokens of the prompt", facts=long)


DRAWN = "g = draft(model, of=draft, law=sampled)\n"
LOSSY = [
    DRAWN + "d = defer(g, rule=chow, threshold=0)\nv = verify(d)\na = accept(v, rule=keep)",
    DRAWN + "v = verify(g)\na = accept(v, rule=mix, epsilon=0.1)",
    DRAWN + "v = verify(g)\na = accept(v, rule=cascade, alpha=0.1)",
]


@pytest.mark.parametrize("text", LOSSY)
@pytest.mark.parametrize("each", [Approximate(), Prompt(), Share(), Order(), DropSources(), Place("chow", 0.2)])
def test_drafts_whose_words_count_are_left_alone(text: str, each: Pass) -> None:
    dear = with_draft(prompt_ms=1000.0)
    stays(each, f"{text}\ncommit(a)", dear)


CHAIN = (
    "g = draft(model, of=draft, law=coupled, siblings=1, doubt=0.5)\nh = draft(lookup)\nm = merge(g, h)\n"
    f"v = verify(m)\n{END}"
)


def test_defer_is_placed_where_it_pays() -> None:
    """A route would send two queries in ten to guesses that are never right."""
    useless = replace(CHEAP.models["draft"], chances=(0.0,))
    facts = replace(CHEAP, models={"draft": useless}, sources={"lookup": SourceFacts((0.0,))})
    becomes(
        Place("chow", 0.5),
        CHAIN,
        "g = draft(model, of=draft, law=sampled)\nd = defer(g, rule=chow, threshold=0.5)\nv = verify(d)\n"
        "a = accept(v, rule=keep)\ncommit(a)",
        "defer by chow at 0.5: an answer takes",
        facts=facts,
    )


def test_route_is_placed_where_it_pays() -> None:
    doubts = {"chow": FACTS.models["draft"].doubts["chow"], "entropy": (0.1,) * 9 + (5.0,)}
    facts = with_draft(doubts=doubts)
    text = f"g = draft(model, of=draft, width=16)\nv = verify(g)\n{END}"
    becomes(
        Place("entropy", 1.0), text, f"route(small=draft, rule=entropy, threshold=1.0)\n{text}", "route", facts=facts
    )


def test_nothing_is_placed_in_vain() -> None:
    (remark,) = stays(Place("chow", 0.0), CHAIN)
    assert "neither defer nor route pays" in remark
    (remark,) = stays(Place("chow", 0.5), f"v = verify()\n{END}")
    assert "no draft model" in remark


@st.composite
def facts(draw: st.DrawFn) -> Facts:
    """Facts in which different things pay."""
    chances = st.lists(st.floats(0, 1), min_size=1, max_size=3).map(tuple)
    sources = {
        name: SourceFacts(draw(chances), offers=draw(st.floats(0, 1)), ms=draw(st.sampled_from((0.0, 0.1, 5.0))))
        for name in FACTS.sources
    }
    model = replace(
        FACTS.models["draft"], chances=draw(chances), pass_ms=Curve.of({1: draw(st.sampled_from((0.5, 9.0)))})
    )
    target = Curve.of({1: 20.0, 8: 20.0 + draw(st.sampled_from((0.0, 5.0, 100.0)))})
    return replace(FACTS, sources=sources, models=dict.fromkeys(MODELS, model), target=target)


@given(st.sampled_from(ALL), well_formed(), facts())
def test_no_pass_lowers_the_class(each: Pass, pipeline: Pipeline, facts: Facts) -> None:
    after, _ = each.run(pipeline, facts)
    assert CLASSES.index(check(after)) <= CLASSES.index(check(pipeline))


@given(st.sampled_from(ALL), well_formed(), facts())
def test_the_same_object_comes_back_when_nothing_changed(each: Pass, pipeline: Pipeline, facts: Facts) -> None:
    after, remarks = each.run(pipeline, facts)
    assert (after is pipeline) == (after == pipeline)
    assert after is pipeline or remarks, "a change has a reason"


@given(st.sampled_from(ALL), well_formed(), facts())
def test_passes_are_pure(each: Pass, pipeline: Pipeline, facts: Facts) -> None:
    before = copy.deepcopy((pipeline, facts))
    first = each.run(pipeline, facts)
    assert (pipeline, facts) == before
    assert each.run(pipeline, facts) == first


@given(
    st.sampled_from((Canonicalise(), Stage(), Approximate(), Share(), DropSources(), ChooseRule())),
    well_formed(),
    facts(),
)
def test_a_second_time_changes_nothing(each: Pass, pipeline: Pipeline, facts: Facts) -> None:
    after, _ = each.run(pipeline, facts)
    assert each.run(after, facts)[0] is after


@given(st.sampled_from(PRICED), well_formed(), facts())
def test_priced_passes_never_raise_the_price(each: Pass, pipeline: Pipeline, facts: Facts) -> None:
    after, _ = each.run(pipeline, facts)
    assert price(after, facts).response_ms <= price(pipeline, facts).response_ms


@settings(max_examples=50, deadline=None)
@given(well_formed(), facts())
def test_all_passes_together(pipeline: Pipeline, facts: Facts) -> None:
    trace = run(pipeline, ALL, facts)
    assert [step.name for step in trace.steps] == [each.name for each in ALL]
    before = pipeline
    for step in trace.steps:
        assert step.before is before
        assert step.price == price(step.after, facts)
        assert not any("refused" in remark for remark in step.remarks)
        before = step.after
    assert trace.pipeline is before
    assert check(pipeline) != "exact" or check(trace.pipeline) == "exact"


SAMPLED = parse(f"g = draft(model, of=draft, law=sampled)\nv = verify(g)\n{END}")


@pytest.mark.parametrize("each", [ChooseRule(allow="distribution"), Place("chow", 0.5)])
def test_manager_refuses_what_lowers_the_class(each: Pass) -> None:
    trace = run(SAMPLED, [each], CHEAP)
    assert trace.pipeline is SAMPLED
    assert trace.price == trace.start_price
    assert "refused: the class would fall from exact to" in trace.steps[0].remarks[-1]


def test_manager_lets_pass_what_is_allowed() -> None:
    trace = run(SAMPLED, [ChooseRule(allow="distribution"), Place("chow", 0.5)], CHEAP, allow="distribution")
    first, second = trace.steps
    assert check(first.after) == "distribution"
    assert second.after is first.after
    assert "from distribution to lossy, and distribution is the weakest" in second.remarks[-1]
    assert check(run(SAMPLED, [Place("chow", 0.5)], CHEAP, allow="lossy").pipeline) == "lossy"


def test_manager_checks_what_it_is_given() -> None:
    with pytest.raises(ForetellError, match="no commit"):
        run(Pipeline("p", ()), ALL, FACTS)


@dataclass(frozen=True, slots=True)
class Wrecker:
    name: ClassVar[str] = "wrecker"

    def run(self, pipeline: Pipeline, facts: Facts) -> Rewritten:
        return replace(pipeline, statements=pipeline.statements[:-1]), ()


def test_manager_names_the_pass_that_breaks_a_pipeline() -> None:
    with pytest.raises(ForetellError, match="the pass wrecker made a wrong pipeline"):
        run(SAMPLED, [Wrecker()], FACTS)
