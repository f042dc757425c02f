"""The price of what is paced: never above that of the same sources at any width, nor of fewer sources."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.cost.assumed import assumed
from foretell.cost.curve import Curve
from foretell.cost.facts import Facts, SourceFacts
from foretell.cost.model import USUAL, calibration, shifted
from foretell.cost.price import price
from foretell.ir.ops import Draft
from foretell.ir.text import parse

FACTS = assumed("draft")
TARGETS = (Curve.of({1: 20.0, 16: 21.0}), Curve.of({1: 37.5, 2: 41, 4: 46.5, 8: 55, 16: 79}), Curve.of({1: 10, 2: 30}))


@st.composite
def facts(draw: st.DrawFn) -> Facts:
    chance, offers = draw(st.floats(0.05, 0.95)), draw(st.floats(0.1, 1))
    model = replace(
        FACTS.models["draft"], pass_ms=Curve.of({1: draw(st.floats(1, 30))}), chances=(draw(st.floats(0.1, 0.95)),)
    )
    return replace(
        FACTS,
        target=draw(st.sampled_from(TARGETS)),
        sources={"lookup": SourceFacts((chance,), offers)},
        models={"draft": replace(model, doubts={}, prompt_ms=draw(st.floats(0, 2)))},
    )


def answer_ms(text: str, known: Facts) -> float:
    return price(parse(f"{text}\na = accept(v)\ncommit(a)"), known).response_ms


def lookup(arguments: str) -> str:
    return f"g = draft(lookup, {arguments})\nv = verify(g)"


BOTH = (
    "g = draft(lookup, width=15, paced=true)\nh = draft(model, of=draft, width=8, law=coupled, paced=true)\n"
    "m = merge(g, h, width=23)\nv = verify(m)"
)
MODEL = "h = draft(model, of=draft, width=8, law=coupled, paced=true)\nv = verify(h)"


@settings(max_examples=60)
@given(facts())
def test_more_choice_costs_no_more(known: Facts) -> None:
    plain, paced = answer_ms("v = verify()", known), answer_ms(lookup("width=15, paced=true"), known)
    narrow, both, model = (
        answer_ms(lookup("width=4, paced=true"), known),
        answer_ms(BOTH, known),
        answer_ms(MODEL, known),
    )
    assert both <= min(paced, model) + 1e-6
    assert paced <= narrow + 1e-6
    assert max(narrow, model) <= plain + 1e-6


@pytest.mark.parametrize("width", [1, 2, 4, 8, 15])
@pytest.mark.parametrize("target", TARGETS)
def test_no_fixed_width_is_better_than_pacing(width: int, target: Curve) -> None:
    known = replace(FACTS, target=target, sources={"lookup": SourceFacts((0.5, 0.7, 0.8), 0.6)})
    assert answer_ms(lookup("width=15, paced=true"), known) <= answer_ms(lookup(f"width={width}"), known)


def test_one_case_by_hand() -> None:
    """Certain guesses at no cost: as many as there are, in every round; rows cost the margin only in the decision."""
    known = replace(FACTS, target=TARGETS[0], sources={"lookup": SourceFacts((1.0,), 1.0)}, overhead_ms=0.0)
    paced = price(parse(f"{lookup('width=15, paced=true')}\na = accept(v)\ncommit(a)"), known)
    assert (paced.tokens, paced.ms) == (pytest.approx(16.0), pytest.approx(21.0))


def test_a_prompt_is_read_only_where_that_pays() -> None:
    dear = replace(FACTS, models={"draft": replace(FACTS.models["draft"], prompt_ms=1000.0)})
    assert answer_ms(MODEL, dear) == pytest.approx(answer_ms("v = verify()", dear))


def test_a_calibration_has_the_models_average() -> None:
    draft = Draft("g", "model", of="draft", law="coupled")
    for classes in (calibration(draft, FACTS.models["draft"]), shifted(USUAL, 0.72)):
        assert sum(right * share for _, right, share in classes) == pytest.approx(0.72, abs=1e-6)
        assert [upper for upper, _, _ in classes] == [upper for upper, _, _ in USUAL]
    measured = replace(FACTS.models["draft"], calibration=((0.5, 0.3, 0.02), (0.6, 0.4, 0.3), (1.0, 0.9, 0.68)))
    assert [upper for upper, _, _ in calibration(draft, measured)] == [0.6, 1.0], "small classes are put together"
