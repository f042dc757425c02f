"""What is said of a run: the parts add up, and known rounds give the break-even and the earnings worked out by hand."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.lab.explain import words
from foretell.lab.explain.acceptance import acceptance
from foretell.lab.explain.advice import Advice
from foretell.lab.explain.basis import basis
from foretell.lab.explain.bounds import best_chain, needed, tokens
from foretell.lab.explain.earned import earned
from foretell.lab.explain.explanation import Explanation, explain
from foretell.lab.explain.page import page
from foretell.lab.page import svg
from foretell.runtime.pace import Decision
from foretell.runtime.run import Change, Run
from foretell.runtime.trace import Round
from recorded import DRAFT_MS, TARGET_MS, finished, generation, round_, run_of

LOOKUP = [(1, "lookup")]
DRAFTS = [(1, "draft")] * 3
FLAT = round_(LOOKUP, 1, rest_ms=2.0)  # a pass in the time of one row


def mixed() -> Run:
    """Plain rounds, copies in free rows, and a draft of three guesses that is right two times in three."""
    rounds: list[Round] = []
    at = 16
    for i in range(12):
        decision = Decision("model", "draft", 3, 3.0, 16.0, "it pays")
        for each in (
            round_([], 0, at=at, rest_ms=2.0),
            round_(LOOKUP, i % 2, at=at, rest_ms=2.0),
            round_(DRAFTS, i % 4, at=at, draft_ms=3 * DRAFT_MS, rest_ms=2.0, decision=decision),
        ):
            rounds.append(each._replace(start_s=at / 1000))
            at += round(1000 * each.round_s)
    run = run_of(rounds, prompt_ms=16.0, bits=5.0)
    changes = (Change(7, "lookup", "off", "wrong too often"),)
    return replace(run, changes=changes, notes=("the source copy failed and was dropped in round 3 (ValueError: no)",))


def test_the_ledger_adds_up_to_the_virtual_clock() -> None:
    stream, recorder, clock = generation(width=5, wrong=3, own_ms=1.0)
    for _ in stream:
        clock.spend(0.25)
    said = explain(finished(stream, recorder))
    assert sum(part.ms for part in said.ledger) == pytest.approx(clock.ms, abs=1e-6)
    assert sum(part.share for part in said.ledger) == pytest.approx(1.0)
    parts = {part.name: part.ms for part in said.ledger}
    rounds = len(said.run.rounds)
    guesses = sum(len(each.tried) for each in said.run.rounds)
    kept = sum(len(each.kept) for each in said.run.rounds)
    assert parts["prompt"] == pytest.approx(16.0)
    assert parts["draft"] + parts["draft, rejected"] == pytest.approx(guesses * DRAFT_MS)
    assert parts["draft, rejected"] == pytest.approx((guesses - kept) * DRAFT_MS)
    assert parts["sources"] == pytest.approx(1.0 * rounds)
    assert parts["reader"] == pytest.approx(0.25 * said.run.totals.tokens)
    assert parts["Python"] == pytest.approx(0.0, abs=1e-6)


def test_rejected_rows_are_charged_what_they_added() -> None:
    """T(4) = 8 ms, T(5) = 10 ms by the curve: of five guesses none kept, the pass of 12 ms was worth T(1) = 8."""
    run = run_of([round_([(1, "lookup")] * 4, 0, verify_ms=10.0), *[round_(LOOKUP, 0)] * 2])
    parts = {part.name: part for part in explain(run).ledger}
    assert parts["verify, rejected"].ms == pytest.approx(2.0)
    assert parts["verify"].ms == pytest.approx(24.0)
    assert parts["verify, rejected"].wasted


def test_the_machine_s_present_speed_is_allowed_for() -> None:
    """Everything twice as slow as measured before: the same acceptance, break-even and shares."""
    slow = [
        each._replace(**{name: 2 * value for name, value in each._asdict().items() if name.endswith("_s")})
        for each in mixed().rounds
    ]
    once, twice = explain(run_of(mixed().rounds)), explain(run_of(slow))
    assert twice.basis.drift == pytest.approx(2 * once.basis.drift)
    assert twice.basis.step_ms == pytest.approx(2 * once.basis.step_ms)
    assert [need.needed for need in twice.break_even] == pytest.approx([need.needed for need in once.break_even])
    assert [part.share for part in twice.ledger] == pytest.approx([part.share for part in once.ledger])
    assert twice.balance.ms == pytest.approx(2 * once.balance.ms)


def test_break_even_of_known_costs() -> None:
    """Guesses of 2 ms in free rows against plain rounds of 8 + 2 ms."""
    said = explain(mixed())
    assert said.basis.plain_ms == pytest.approx(10.0)
    needs = {need.source: need for need in said.break_even}
    assert needs["lookup"].needed == 0.0
    draft = needs["draft"]
    assert draft.guesses == 3
    assert draft.needed is not None
    assert draft.needed + draft.needed**2 + draft.needed**3 == pytest.approx(0.6)
    assert (draft.best, draft.least) == (1, pytest.approx(0.2))
    assert draft.right == pytest.approx(18 / 27)


@given(st.integers(1, 8), st.floats(0.01, 0.99), st.floats(1.0, 50.0))
def test_at_the_break_even_a_round_gives_tokens_as_fast_as_plain_ones(k: int, chance: float, plain_ms: float) -> None:
    extra = (tokens([chance], k) - 1) * plain_ms
    found = needed(k, extra, plain_ms)
    assert found == pytest.approx(chance, abs=1e-6)
    assert needed(k, k * plain_ms * 1.001, plain_ms) is None


def test_earnings_worked_out_by_hand() -> None:
    """6 kept copies stand for 60 ms and cost nothing; 18 kept drafts for 180 ms and cost 12 times 6 ms."""
    run = mixed()
    balance = earned(run, basis(run))
    sources = {each.source: each for each in balance.sources}
    lookup, draft = sources["lookup"], sources["draft"]
    assert (lookup.kept, lookup.saved_ms, lookup.rows_ms, lookup.ms) == (6, 60.0, 0.0, 60.0)
    assert (draft.kept, draft.saved_ms) == (18, pytest.approx(180.0))
    assert (draft.rows_ms, draft.draft_ms) == (pytest.approx(0.0), pytest.approx(72.0))
    assert draft.ms == pytest.approx(108.0)
    assert balance.tokens == 36 + 24
    assert balance.plain_ms == pytest.approx(600.0)
    assert balance.ms == pytest.approx(lookup.ms + draft.ms)
    assert balance.rest_ms == pytest.approx(0.0, abs=1e-9)


def test_a_source_that_loses_is_told_to_go() -> None:
    rounds = [round_([(1, "lookup")] * 7, 0, rest_ms=2.0) if i % 2 else round_([], 0, rest_ms=2.0) for i in range(20)]
    said = explain(run_of(rounds))
    (lookup,) = said.balance.sources
    assert lookup.ms == pytest.approx(-10 * 8.0)
    by = {each.what: each for each in said.advice}
    assert by["more free rows"].saves_ms == pytest.approx(80.0)
    assert by["no guesses of lookup"].saves_ms == pytest.approx(80.0)
    assert by["no guesses of lookup"].share == pytest.approx(80 / 280)


def test_acceptance_by_place_thought_and_mood() -> None:
    (lookup, draft) = sorted(acceptance(mixed()), key=lambda each: each.source, reverse=True)
    assert (lookup.source, lookup.rounds, lookup.whole.tried, lookup.whole.kept) == ("lookup", 12, 12, 6)
    assert [(each.reached, each.kept) for each in draft.places] == [(12, 9), (9, 6), (6, 3)]
    assert draft.chain == pytest.approx((9 / 12, 6 / 9, 3 / 6))
    (thought,) = draft.thoughts
    assert (thought.name, thought.thought, thought.tried) == ("40% to 60%", 0.5, 36)
    assert {each.name: each.tried for each in draft.moods} == {"none kept": 18, "all kept": 18}
    assert {each.name for each in lookup.moods} == {"no guesses"}


def test_ceilings() -> None:
    said = explain(mixed())
    assert (said.perfect.guesses, said.perfect.tokens) == (7, 8.0)
    assert said.perfect.ms == pytest.approx(18.0)
    assert said.perfect_draft is not None
    assert said.perfect_draft.tokens_per_s <= said.perfect.tokens_per_s
    chain = best_chain([0.0], said.basis, 0.0)
    assert (chain.guesses, chain.tokens) == (0, 1.0)
    assert said.basis.free_rows == 4
    assert said.mean_rows == pytest.approx((1 + 2 + 4) / 3)


def test_expected_and_measured_times() -> None:
    """Decisions said 16 ms of draft rounds: exact. T(n) says 8.5 + 6 of them, and 8.5 of rounds that took 10."""
    by = {each.by: each for each in explain(mixed()).predictions}
    assert (by["decisions"].rounds, by["decisions"].error) == (12, pytest.approx(0.0))
    assert by["curves"].error == pytest.approx(0.15)
    assert by["curves"].ratio == pytest.approx(10 / 8.5)


def test_deciding_is_what_sources_take_themselves() -> None:
    stream, recorder, _ = generation(width=3, own_ms=1.0)
    deciding = explain(finished(stream, recorder)).deciding
    assert deciding is not None
    assert (deciding.median_ms, deciding.p99_ms) == (pytest.approx(1.0), pytest.approx(1.0))
    assert deciding.share == pytest.approx(1 / (1 + 3 * DRAFT_MS + 8))


def test_decisions_are_counted_and_changes_listed() -> None:
    said = explain(mixed())
    kinds = {kind.name: kind for kind in said.kinds}
    assert set(kinds) == {"plain", "lookup", "draft"}
    assert kinds["draft"].reasons == (("it pays", 12),)
    assert kinds["plain"].tokens == 12
    assert [(each.round, each.source, each.what) for each in said.changes] == [
        (2, "lookup", "first guesses"),
        (3, "draft", "first guesses"),
        (7, "lookup", "off"),
    ]


def test_reading_of_the_draft_is_told_apart() -> None:
    reading = round_(DRAFTS, 3, draft_ms=30.0)._replace(draft_rows=200)
    said = explain(run_of([reading, *[round_(DRAFTS, 3, draft_ms=6.0)] * 4]))
    parts = {part.name: part.ms for part in said.ledger}
    assert parts["draft reading"] == pytest.approx(26.0)  # all but two steps behind it
    assert parts["draft"] == pytest.approx(28.0)
    assert [each.why for each in said.changes if each.what == "reads"] == ["197 tokens of text in 30 ms"]


@pytest.mark.parametrize(
    ("rounds", "draft"),
    [([], True), ([], False), ([FLAT], True), ([round_([], 0)], False), ([round_([], 0, verify_ms=0.0)], False)],
)
def test_short_runs_are_explained_too(rounds: Sequence[Round], *, draft: bool) -> None:
    said = explain(run_of(rounds, draft=draft))
    assert sum(part.ms for part in said.ledger) == pytest.approx(1000 * said.run.totals.whole_s)
    parsed(page(said))
    json.dumps(said.to_json(), allow_nan=False)


def test_rounds_in_which_the_target_was_not_asked() -> None:
    silent = round_([(1, "draft")], 1, verify_ms=0.0, draft_ms=2.0)._replace(rows=0, bonus=None)
    said = explain(run_of([silent, round_([], 0)]))
    assert said.balance.tokens == 2
    assert said.mean_rows == 1.0


def test_advice_is_computed() -> None:
    by = {each.what: each for each in explain(mixed()).advice}
    assert by["a target of fewer bits"].saves_ms == pytest.approx(36 * 8.0 * 0.1)
    assert "5.00 bits" in by["a target of fewer bits"].why
    assert by["a draft in Q4_0"].saves_ms == by["a draft of half the cost"].saves_ms > 0
    assert by["a prompt that is known already"].saves_ms == pytest.approx(16.0)
    assert by["more free rows"].saves_ms == 0
    bare = {each.what: each for each in explain(run_of([round_([], 0, rest_ms=2.0)] * 5, draft=False)).advice}
    hoped = bare["guesses of a draft model"]
    assert hoped.saves_ms > 0
    assert "none was loaded" in hoped.why
    assert "40% of the target's beats this run when it is right" in hoped.why
    loaded = {each.what: each for each in explain(run_of([round_([], 0, rest_ms=2.0)] * 5)).advice}
    assert "was loaded made no guesses" in loaded["guesses of a draft model"].why


def test_the_largest_saving_comes_first() -> None:
    found: Sequence[Advice] = explain(mixed()).advice
    assert [each.saves_ms for each in found] == sorted((each.saves_ms for each in found), reverse=True)


def test_json(golden: Callable[[str, str], None]) -> None:
    golden("explain.json", json.dumps(explain(mixed()).to_json(), indent=1) + "\n")


def test_the_page_is_well_formed_and_needs_nothing_else() -> None:
    said = explain(mixed())
    html = page(said)
    tree = parsed(html)
    assert not re.search(r"https?:|//|@import|url\(|\bsrc=|\bhref=", html.replace("prefers-color-scheme", ""))
    rects = [each for each in tree.iter("rect") if "round" in each.get("class", "").split()]
    assert len(rects) == len(said.run.rounds)
    tips = [each.get("data-tip", "") for each in rects]
    assert tips[2].startswith("round 3: 1 token in 16.0 ms, expected 16.0 ms")
    assert "why: it pays" in tips[2]
    shares = sum(float(each.get("width", 0)) for each in tree.iter("rect") if "part" in each.get("class", "").split())
    assert shares == pytest.approx(1000, abs=1)
    everything = "".join(tree.itertext())
    for word in ("Where the time went", "the source copy failed", "wrong too often", "What would have helped"):
        assert word in everything


def test_names_cannot_break_the_page() -> None:
    run = mixed()
    evil = "</title><script>alert('&')</script>"
    about = replace(run.about, target=replace(run.about.target, name=evil), pipeline=evil, machine=evil)
    rounds = [round_([(1, evil)], 1), *run.rounds]
    html = page(explain(replace(run, about=about, rounds=tuple(rounds), notes=(evil,))))
    tree = parsed(html)
    assert len(list(tree.iter("script"))) == 1
    assert evil in "".join(tree.itertext())


def parsed(html: str) -> ElementTree.Element:
    """As XML, which is stricter than HTML."""
    return ElementTree.fromstring(html)  # noqa: S314 — our own page


@given(st.floats(1e-6, 1e9))
def test_ticks_are_few_and_within(high: float) -> None:
    found = svg.ticks(high)
    assert found[0] == 0
    assert 2 <= len(found) <= 7
    assert found[-1] <= high * 1.001


def test_words() -> None:
    assert [words.ms_text(ms) for ms in (0.5, 99.96, 1000.0)] == ["0.50 ms", "100.0 ms", "1.00 s"]


def test_free_passes_of_the_target_change_nothing() -> None:
    assert TARGET_MS[1] == TARGET_MS[4]
    said: Explanation = explain(run_of([FLAT] * 3))
    assert {part.name: part.ms for part in said.ledger}["verify, rejected"] == 0.0
