"""Prices against sums done by hand, by other means or by simulation."""

import math
import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.cost.assumed import assumed
from foretell.cost.curve import Curve
from foretell.cost.facts import Facts, ModelFacts, SourceFacts, Trade
from foretell.cost.guesses import Guesses, deferred, free, merged
from foretell.cost.model import drafting_ms, model
from foretell.cost.price import price
from foretell.errors import ForetellError
from foretell.ir.ops import Draft, Pipeline
from foretell.ir.text import parse
from pipelines import MODELS, model_drafts, well_formed

CHANCES = st.lists(st.floats(0, 1), min_size=1, max_size=4).map(tuple)
SLOPE = Curve.of({1: 10.0, 2: 11.0})  # 9 + n
FACTS = Facts(
    target=SLOPE,
    prompt_ms=0.5,
    sources={"lookup": SourceFacts((0.5, 0.8), offers=0.25, ms=0.1), "copy": SourceFacts((0.9,))},
    models={"draft": ModelFacts(Curve.of({1: 2.0}), prompt_ms=0.1, chances=(0.6, 0.7))},
    overhead_ms=0.3,
    prompt_tokens=100,
    answer_tokens=50,
)


def pipeline(drafts: str, proposal: str = "g", rule: str = "coupled") -> Pipeline:
    return parse(f"{drafts}\nv = verify({proposal})\na = accept(v, rule={rule})\ncommit(a)")


def test_curve_between_and_beyond_its_points() -> None:
    curve = Curve.of({1: 20.0, 4: 26.0, 8: 30.0})
    assert [curve(n) for n in (0, 1, 2, 2.5, 4, 6, 8, 10)] == [20, 20, 22, 23, 26, 28, 30, 32]
    assert Curve.of({3: 5.0})(100) == 5


def test_a_larger_pass_shows_that_a_smaller_one_was_disturbed() -> None:
    curve = Curve.of({1: 20.0, 2: 30.0, 3: 24.0})
    assert [curve(n) for n in (1, 2, 3)] == [20, 24, 24]


def test_curve_of_nothing() -> None:
    with pytest.raises(ForetellError, match="no pass was measured"):
        Curve.of({0: 3.0, 2: 0.0})


def test_facts_out_of_range() -> None:
    with pytest.raises(ForetellError, match=r"chance of a free source is 1\.5, must be between 0 and 1"):
        SourceFacts((0.5, 1.5))
    with pytest.raises(ForetellError, match="0 answer tokens"):
        replace(FACTS, answer_tokens=0)


def test_target_alone() -> None:
    cost = price(parse("v = verify()\na = accept(v)\ncommit(a)"), FACTS)
    assert (cost.ms, cost.tokens, cost.prompt_ms) == (pytest.approx(10.3), 1, 50)
    assert cost.tokens_per_s == pytest.approx(1000 / 10.3)
    assert cost.response_ms == pytest.approx(50 + 50 * 10.3)


def test_free_source() -> None:
    cost = price(pipeline("g = draft(lookup, width=3)"), FACTS)
    assert cost.tokens == pytest.approx(1 + 0.25 * (0.5 + 0.5 * 0.8 + 0.5 * 0.8 * 0.8))
    assert cost.ms == pytest.approx(0.3 + 0.1 + 0.25 * (9 + 4) + 0.75 * 10)  # 3 rows more, in one round of four


def test_draft_chain() -> None:
    cost = price(pipeline("g = draft(model, of=draft, width=3)"), FACTS)
    assert cost.tokens == pytest.approx(1 + 0.6 + 0.6 * 0.7 + 0.6 * 0.7 * 0.7)
    assert cost.ms == pytest.approx(0.3 + 3 * 2.0 + 13)
    assert cost.prompt_ms == pytest.approx(50 + 10)


def test_approximations_and_short_prompts() -> None:
    draft = replace(
        FACTS.models["draft"],
        precisions={"Q4_0": Trade(0.5, 0.9)},
        vocabularies={1000: Trade(0.8, 0.95)},
        prompts={20: 0.9},
    )
    facts = replace(FACTS, models={"draft": draft})
    text = "g = draft(model, of=draft, width=1, precision=Q4_0, vocabulary=1000, prompt=20)"
    cost = price(pipeline(text), facts)
    assert cost.tokens == pytest.approx(1 + 0.6 * 0.9 * 0.95 * 0.9)
    assert cost.ms == pytest.approx(0.3 + 2.0 * 0.5 * 0.8 + 11)
    assert cost.prompt_ms == pytest.approx(50 + 2)


@pytest.mark.parametrize(("overlap", "right"), [(0.0, 0.6 + 0.9 - 0.54), (1.0, 0.9), (0.5, (0.96 + 0.9) / 2)])
def test_merged_guesses_that_are_right_share_a_row(overlap: float, right: float) -> None:
    text = "g = draft(model, of=draft, width=1)\nh = draft(copy, width=1)\nm = merge(g, h)"
    cost = price(pipeline(text, "m"), replace(FACTS, overlap=overlap))
    assert cost.tokens == pytest.approx(1 + right)
    assert cost.ms == pytest.approx(0.3 + 2.0 + 9 + 1 + 2 - (0.6 + 0.9 - right))


def test_earlier_proposals_take_the_room_of_a_merge() -> None:
    one = free(SourceFacts((0.5,)), 4)
    other = free(SourceFacts((0.9,)), 4)
    (case,) = merged([one, other], 5, overlap=1.0).cases
    assert case.rows <= 5
    assert case.reach == pytest.approx((0.9, 0.25, 0.125, 0.0625))  # of the second, one guess finds room


def test_tree_of_a_free_source_is_less_deep() -> None:
    chain, tree = SourceFacts((0.5,)), SourceFacts((0.5,), level_rows=3.0)
    assert [len(free(each, 7).cases[0].reach) for each in (chain, tree)] == [7, 2]
    assert free(tree, 7).cases[0].rows == 7


def test_staged_drafting_against_simulation() -> None:
    inner, draft, random_ = SourceFacts((0.5, 0.8), offers=0.6, ms=0.25), Curve.of({1: 2.0, 5: 3.0}), random.Random(3)
    total, count = 0.0, 40_000
    for _ in range(count):
        left = 5
        while left:
            offered = random_.random() < inner.offers
            total += (draft(left) if offered else draft(1)) + inner.ms
            right = 0
            while offered and right < left - 1 and random_.random() < inner.chances[min(right, 1)]:
                right += 1
            left -= 1 + right
    assert drafting_ms(5, draft, inner)[5] == pytest.approx(total / count, rel=0.01)


def test_staged_drafting_with_a_perfect_inner_source_takes_one_pass() -> None:
    assert drafting_ms(6, Curve.of({1: 2.0}), SourceFacts((1.0,)))[6] == 2.0
    assert drafting_ms(3, Curve.of({1: 2.0}), None) == [0, 2, 4, 6]


DOUBTFUL = ModelFacts(Curve.of({1: 2.0}), 0.1, (0.75,), doubts={"chow": (0.0, 0.1, 0.3, 0.6)}, siblings=(0.5, 0.4))


def test_stop_against_simulation() -> None:
    found = model(Draft("g", "model", 3, of="draft", stop=0.5), DOUBTFUL, {})
    random_, count, rows, right = random.Random(5), 60_000, 0, 0
    for _ in range(count):
        alive = True
        for _ in range(3):
            doubt = random_.choice((0.0, 0.1, 0.3, 0.6))
            alive = alive and random_.random() >= doubt  # mean doubt 0.25: a place is wrong as often as it is doubtful
            rows += 1
            right += alive
            if doubt > 0.5:
                break
    assert sum(case.share * case.rows for case in found.cases) == pytest.approx(rows / count, rel=0.01)
    assert sum(case.share * sum(case.reach) for case in found.cases) == pytest.approx(right / count, rel=0.015)
    assert found.ms == pytest.approx(2.0 * rows / count, rel=0.01)


def test_siblings_stand_at_doubtful_places() -> None:
    (case,) = model(Draft("g", "model", 3, of="draft", siblings=2, doubt=0.2), DOUBTFUL, {}).cases
    assert case.rows == 2  # of a width of 3: one guess, and at every other place two siblings
    hidden = (0.3 + 0.6) / 4  # wrong and doubtful
    assert case.reach == pytest.approx((0.75 + hidden * (1 - 0.5 * 0.6),))


@given(model_drafts("g"), CHANCES, st.lists(st.floats(0, 1), max_size=6).map(tuple))
def test_cases_are_all_rounds(draft: Draft, chances: tuple[float, ...], doubts: tuple[float, ...]) -> None:
    facts = ModelFacts(Curve.of({1: 2.0}), 0.1, chances, doubts={"chow": doubts}, siblings=(0.3,))
    source = {draft.inner: SourceFacts((0.5,))}
    found = model(draft, facts, source)
    check_cases(found)
    for other in (merged([found, free(SourceFacts((0.4,), offers=0.7), 5)], 6, 0.5), deferred(found, 0.3)):
        check_cases(other)
        assert other.ms >= found.ms


def check_cases(guesses: Guesses) -> None:
    assert sum(case.share for case in guesses.cases) == pytest.approx(1)
    for case in guesses.cases:
        assert all(0 <= x <= 1 + 1e-9 for x in case.reach)
        assert all(x >= y - 1e-9 for x, y in pairwise(case.reach)), "to be right further down is no likelier"
        assert case.rows >= 0


@given(well_formed(), st.integers(1, 8), CHANCES)
def test_every_well_formed_pipeline_has_a_price(pipeline: Pipeline, slope: int, chances: tuple[float, ...]) -> None:
    facts = assumed(*MODELS)
    sources = {name: replace(each, chances=chances) for name, each in facts.sources.items()}
    cost = price(pipeline, replace(facts, sources=sources, target=Curve.of({1: 10.0, 2: 10.0 + slope})))
    assert math.isfinite(cost.response_ms)
    assert cost.ms > 0
    assert cost.tokens > 0
    assert cost.prompt_ms > 0


@given(CHANCES, st.integers(1, 9))
def test_a_wider_chain_gives_no_fewer_tokens(chances: tuple[float, ...], width: int) -> None:
    facts = replace(FACTS, sources={"lookup": SourceFacts(chances, offers=0.7)})
    narrow, wide = (price(pipeline(f"g = draft(lookup, width={n})"), facts) for n in (width, width + 1))
    assert wide.tokens >= narrow.tokens
    assert wide.ms > narrow.ms


def test_defer_against_simulation() -> None:
    doubts = (0.1, 0.2, 0.3, 0.7, 0.9)  # 2 of 5 fire
    facts = replace(FACTS, models={"draft": replace(FACTS.models["draft"], doubts={"chow": doubts})})
    text = "g = draft(model, of=draft, width=4, law=sampled)\nd = defer(g, rule=chow, threshold=0.5)"
    cost = price(pipeline(text, "d", "keep"), facts)
    random_, count, tokens, ms, unread = random.Random(7), 60_000, 0, 0.0, 0
    for _ in range(count):
        kept = next((i for i in range(4) if random_.choice(doubts) > 0.5), 4)
        tokens += kept
        unread += kept
        ms += 0.3 + 4 * 2.0
        if kept < 4:
            ms += SLOPE(1 + unread)
            tokens, unread = tokens + 1, 0
    assert cost.tokens == pytest.approx(tokens / count, rel=0.01)
    assert cost.ms == pytest.approx(ms / count, rel=0.01)


def test_route_by_hand() -> None:
    draft = replace(FACTS.models["draft"], doubts={"entropy": (0.5, 1.0, 2.0, 3.0)})
    facts = replace(FACTS, models={"draft": draft})
    text = "route(small=draft, rule=entropy, threshold=0.7)\nv = verify()\na = accept(v)\ncommit(a)"
    cost = price(parse(text), facts)
    assert cost.prompt_ms == pytest.approx(100 * 0.1 + 0.75 * 50)
    assert cost.response_ms == pytest.approx(cost.prompt_ms + 50 * (0.25 * 2.3 + 0.75 * 10.3))


def test_lossy_rules_let_some_wrong_guesses_through() -> None:
    text = "g = draft(model, of=draft, width=1, law=sampled)"
    exact = price(pipeline(text, rule="reject"), FACTS)
    lossy = price(pipeline(text, rule="mix, epsilon=0.25"), FACTS)
    assert exact.tokens == pytest.approx(1.6)
    assert lossy.tokens == pytest.approx(1.6 + 0.25 * 0.4)


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("g = draft(recycled)", "source 'recycled'"),
        ("g = draft(model, of=other)", "draft model 'other'"),
        ("g = draft(model, of=draft, inner=grammar)", "source 'grammar'"),
    ],
)
def test_what_was_not_measured(text: str, missing: str) -> None:
    with pytest.raises(ForetellError, match=f"nothing was measured for the {missing}.*foretell profile"):
        price(pipeline(text), FACTS)
