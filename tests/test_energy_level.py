"""Level Oe: costs in joules in the place of times, decided by the same passes and the same pace."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import foretell
from foretell.api import Model
from foretell.backend.toy import ToyBackend
from foretell.cli import run
from foretell.cost.assumed import assumed
from foretell.cost.choice import charged
from foretell.cost.curve import Curve
from foretell.cost.facts import Facts, ModelFacts
from foretell.cost.joules import in_joules
from foretell.cost.price import price
from foretell.cost.pricing import Pricing
from foretell.ir.ops import Draft, Pipeline
from foretell.lab.explain.oe import COPIES, compared
from foretell.lab.explain.thrift import Length
from foretell.passes.levels import level
from foretell.passes.rewrite import of_kind
from foretell.profile.energy.counter import PassCounter
from foretell.profile.energy.joules import Range
from foretell.profile.energy.model import Exact, Modelled
from foretell.profile.energy.model import Model as Prices
from foretell.profile.energy.work import Work
from foretell.runtime import bill
from foretell.runtime.bill import Billing

COUNTER = PassCounter(10**9, 10**8, 10**4, 1000, 10**9, 10**8, 10**5)
PROMPT = "to be or not to be, that is the question. to be or"
FLAT, STEEP = Curve.of({1: 20.0, 16: 20.5}), Curve.of({1: 20.0, 2: 60.0, 16: 500.0})


def prices(idle_w: float = 0.0, core_w: float = 0.0, byte_j: float = 0.0, mac_j: float = 0.0) -> Prices:
    """Without ranges."""
    idle, core, byte, mac = (Range(each, each, each) for each in (idle_w, core_w, byte_j, mac_j))
    return Prices(idle, core, byte, mac, "made up")


def facts(target: Curve, its: Prices, *, drafts: dict[str, ModelFacts] | None = None) -> Facts:
    """Assumed ones, but for the target's passes, and what they take."""
    base = assumed()
    pricing = Pricing(its, 2, COUNTER, dict.fromkeys(drafts or {}, lambda *_: COUNTER.cut(0.5)))
    return replace(base, target=target, models=drafts or {}, overhead_ms=0.0, energy=pricing)


def made(name: str, known: Facts, draft: str | None = None) -> Pipeline:
    return level(name, draft=draft, facts=known).pipeline


def guesses(pipeline: Pipeline) -> bool:
    return bool(of_kind(pipeline, Draft))


def test_the_targets_pass_over_one_row_costs_what_it_did() -> None:
    for its in (prices(1.0, 2.0, 1e-9, 1e-11), prices(byte_j=1e-9), prices(mac_j=1e-9)):
        priced = in_joules(facts(FLAT, its))
        assert priced.target(1) == pytest.approx(20.0)


def test_a_cost_is_the_sum_of_what_its_parts_are_priced_at() -> None:
    at = Exact(1.0, 2.0, 1e-9, 1e-11)
    priced = in_joules(facts(FLAT, prices(*at)))
    one, eight = (COUNTER.of_pass(n, 256).work + Work(0, 0, FLAT(n) / 1000, FLAT(n) / 500) for n in (1, 16))
    assert priced.target(16) == pytest.approx(20.0 * at.joules(eight) / at.joules(one))


def test_where_rows_are_free_in_time_and_dear_in_joules_nothing_is_guessed() -> None:
    known = facts(FLAT, prices(mac_j=1e-9))
    fast, thrifty = made("O2", known), made("Oe", known)
    assert guesses(fast)
    assert not guesses(thrifty)
    priced = in_joules(known)
    assert price(thrifty, priced).response_ms <= price(fast, priced).response_ms, "in joules"
    assert price(fast, known).response_ms < price(thrifty, known).response_ms, "in time"


def test_where_rows_are_dear_in_time_and_free_in_joules_guesses_are_tried() -> None:
    known = facts(STEEP, prices(byte_j=1e-9))
    fast, thrifty = made("O2", known), made("Oe", known)
    assert not guesses(fast)
    assert guesses(thrifty)
    priced = in_joules(known)
    assert price(thrifty, priced).response_ms < price(fast, priced).response_ms


def guessed(known: Facts, name: str) -> int:
    """By the toy at a level, which copies what it has said before."""
    energy = known.energy
    assert energy is not None
    billing = Billing(Modelled(energy.prices), energy.prices, energy.target, energy.threads)
    with Model(ToyBackend(), dict(known.target.points), known=known, billing=billing) as model:
        return model.generate(PROMPT, max_tokens=40, level=name).guessed


def test_rounds_take_guesses_where_they_pay_in_joules() -> None:
    dear, free = facts(FLAT, prices(mac_j=1e-9)), facts(STEEP, prices(byte_j=1e-9))
    assert guessed(dear, "O2") > 0
    assert guessed(dear, "Oe") == 0
    assert guessed(free, "O2") == 0
    assert guessed(free, "Oe") > 0
    for known, pays in ((dear, False), (free, True)):
        joules = in_joules(known).target
        assert (joules(4) / 4 < joules(1)) == pays, "of a token, if three copies are right"


def test_a_draft_model_that_is_quick_and_thirsty_is_not_asked() -> None:
    """Its passes take a tenth of the target's time and half of its bytes, and bytes are all that costs."""
    quick = replace(assumed("draft").models["draft"], pass_ms=Curve.of({1: 2.0}), precisions={}, vocabularies={})
    known = replace(facts(FLAT, prices(byte_j=1e-9), drafts={"draft": quick}), sources={}, prompt_tokens=8)
    drafted = {name: {each.source for each in of_kind(made(name, known, "draft"), Draft)} for name in ("O2", "Oe")}
    assert "model" in drafted["O2"]
    half = in_joules(known).models["draft"].pass_ms(1) / in_joules(known).target(1)
    assert half == pytest.approx(COUNTER.cut(0.5).of_pass(1, 256).work.bytes / COUNTER.of_pass(1, 256).work.bytes)
    thirsty = replace(known, models={"draft": replace(quick, chances=(0.3,))})
    assert not {each.source for each in of_kind(made("Oe", thirsty, "draft"), Draft)}


def test_an_approximation_is_worth_what_its_bytes_are() -> None:
    """Halved weights that take as long: nothing gained in time, much in joules."""
    known = assumed("draft")
    trade = replace(known.models["draft"].precisions["Q4_0"], cost=1.0)
    model = replace(known.models["draft"], precisions={"Q4_0": trade}, vocabularies={})
    energy = known.energy
    assert energy is not None
    forms = {"draft": lambda _, precision: COUNTER.cut(0.0) if precision else COUNTER}
    known = replace(known, models={"draft": model}, energy=replace(energy, prices=prices(byte_j=1e-9), drafts=forms))
    found = in_joules(known).models["draft"].precisions["Q4_0"]
    assert found.cost == pytest.approx(COUNTER.cut(0.0).of_pass(1, 256).work.bytes / COUNTER.of_pass(1, 256).work.bytes)
    assert found.kept == trade.kept


def test_without_counts_joules_go_as_time_does() -> None:
    known = replace(assumed("draft"), energy=None)
    assert in_joules(known) is known
    assert made("Oe", known, "draft").statements == made("O2", known, "draft").statements


@settings(max_examples=10, deadline=None)
@given(
    ms=st.lists(st.floats(5.0, 300.0), min_size=4, max_size=4),
    draft_ms=st.floats(0.5, 40.0),
    chance=st.floats(0.1, 0.95),
    watts=st.floats(0.1, 100.0),
)
def test_prices_of_time_alone_choose_as_time_does(
    ms: list[float], draft_ms: float, chance: float, watts: float
) -> None:
    target = Curve.of(dict(zip((1, 2, 8, 16), sorted(ms), strict=True)))
    model = replace(assumed("draft").models["draft"], pass_ms=Curve.of({1: draft_ms}), chances=(chance,))
    known = replace(facts(target, prices(idle_w=watts), drafts={"draft": model}), overhead_ms=0.2)
    assert made("Oe", known, "draft").statements == made("O2", known, "draft").statements
    assert charged(in_joules(known).target, 16) == pytest.approx(charged(known.target, 16))


def test_what_is_in_joules_stays_so() -> None:
    priced = in_joules(assumed("draft"))
    assert in_joules(priced) is priced
    assert "in joules, modelled: what is called a ms here is 17.6 mJ" in priced.origin


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_the_text_is_the_targets(temperature: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bill, "counter", lambda _: COUNTER)
    with foretell.load("toy", draft="toy") as model:
        assert model.costs("Oe") is not model.facts
        plain, thrifty = (
            model.generate(PROMPT, max_tokens=40, level=name, temperature=temperature, seed=4) for name in ("O0", "Oe")
        )
        chat = model.chat()
        said = [chat.send(PROMPT, max_tokens=20, level=name).result for name in ("O2", "Oe", "Oe")]
    assert thrifty.tokens == plain.tokens
    assert thrifty.rounds < plain.rounds
    assert all(each.tokens for each in said)


def ranged(low: float, high: float) -> Facts:
    """Rows are free in time; in joules that depends on what a multiply-add costs."""
    return facts(FLAT, replace(prices(idle_w=1.0), mac_j=Range(low, low, high)))


def test_a_choice_that_hangs_on_a_price_is_told_from_one_that_does_not() -> None:
    sure = compared(ranged(0.0, 0.0), lambda each: made("O2", each))
    unsure = compared(ranged(0.0, 1e-9), lambda each: made("O2", each))
    other = compared(ranged(1e-9, 2e-9), lambda each: made("O2", each))
    assert sure is not None
    assert unsure is not None
    assert other is not None
    assert (sure.same, sure.alike, sure.ends) == (True, 16, 16)
    assert (unsure.same, unsure.alike) == (True, 8)
    assert (other.same, other.alike) == (False, 16)
    assert (sure.energy.low, sure.energy.high) == (1.0, 1.0)
    assert 0 < other.energy.low <= other.energy.value <= other.energy.high <= 1 < other.time
    by = {name: found.lengths[0.99][0] for name, found in (("sure", sure), ("unsure", unsure), ("other", other))}
    assert by["sure"] == Length(COPIES, 15, 15, 15, 15)
    assert by["sure"].survives
    assert (by["unsure"].differs, by["unsure"].survives, by["unsure"].least) == (False, False, 1)
    assert by["other"] == Length(COPIES, 15, 1, 0, 1)
    assert by["other"].survives
    assert "choose the same pipeline; -Oe's is this one at 8 of 16 ends" in unsure.text()
    assert "choose different pipelines; -Oe's is this one at every end" in other.text()
    assert "15, 1 (0 to 1) *" in other.text()
    found = json.loads(json.dumps(other.to_json()))
    assert (found["same"], found["ends_alike"], found["ends"]) == (False, 16, 16)
    assert found["energy_ratio"]["low"] <= found["energy_ratio"]["value"] <= found["energy_ratio"]["high"]
    assert {each["source"] for each in found["lengths"]} == {COPIES}


def test_lengths_say_whether_they_hold() -> None:
    assert Length("a", 3, 4, 4, 6).words == "differs whatever the prices"
    assert Length("a", 3, 4, 2, 6).words == "differs; 2 to 6 within the ranges of the prices"
    assert Length("a", 3, 3, 2, 3).words == "the same; 2 to 3 within the ranges of the prices"
    assert Length("a", 3, 3, 3, 3).words == "the same whatever the prices"


def test_without_counts_levels_are_not_compared() -> None:
    assert compared(replace(assumed(), energy=None), lambda each: made("O2", each)) is None


def test_compile_says_where_the_levels_differ(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a given pipeline; passes make of it what they make of the level's own."""
    assert run(["compile", "lookup", "-Oe", "--emit", "cost"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("predicted from assumed (in joules, modelled: ")
    assert "-Oe and -O2 choose " in shown
    assert "guesses of a round, for time, for energy (over the ranges)" in shown
    assert run(["compile", "lookup", "-O2", "--emit", "cost"]) == 0
    assert "-Oe" not in capsys.readouterr().out
