"""Replays of recorded guesses agree with real runs, never beat the oracle, and refuse what a trace cannot say."""

from dataclasses import replace
from time import perf_counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foretell.accept.sampling import GREEDY, Sampling
from foretell.backend.script import Script, always, drafted, hopeless, novel, repeated, spoken
from foretell.backend.toy import ToyModel
from foretell.build import model as ask
from foretell.build import pipeline
from foretell.cost import known
from foretell.cost.assumed import assumed
from foretell.cost.curve import Curve
from foretell.errors import ForetellError, UsageError
from foretell.ir import presets
from foretell.ir.text import parse
from foretell.lab.policies import fixed
from foretell.lab.policies.catalogue import baselines, everything, fixed_set, levels, named
from foretell.lab.policies.policy import Fixed, Kit, Policy
from foretell.lab.replay.change import joined, pairs, settled
from foretell.lab.replay.check import Checked, agreement, check
from foretell.lab.replay.costs import Costs, PassTimes
from foretell.lab.replay.oracle import oracle
from foretell.lab.replay.record import FREE, offered
from foretell.lab.replay.report import SLACK, SLACK_S, changes, latest, report
from foretell.lab.replay.run import Played, Turn, generate, replay
from foretell.lab.replay.score import Scorer
from foretell.lab.replay.trace import Along, Sayings, Text
from foretell.lab.replay.world import AS_IT_IS, World
from foretell.lab.suite import Prompt, Run
from foretell.profile.file import Times
from foretell.profile.spread import Spread
from foretell.runtime.bind import Bound
from replays import PROMPTS, TARGET_MS, pair, profile, scorer, traced

slow = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TIMED = {"ucbspec-lengths"}  # decides by the clock, so it differs from run to run


@pytest.fixture(scope="module")
def toys() -> Scorer:
    return scorer(pair())


def reals(model_of: Scorer, policy: Policy) -> list[Played]:
    """The texts of a trace by real toy models like those of `pair`."""
    out, policy = [], policy.fresh()
    with pair() as model:
        for text in model_of.trace.texts:
            assert model.drafter is not None
            model.drafter.forget()
            limit = model_of.trace.about.max_tokens
            out.append(generate(model, text.prompt, policy, GREEDY, max_tokens=limit, clock=perf_counter))
    return out


@pytest.mark.parametrize("name", [each.name for each in everything(assumed("draft")) if each.name not in TIMED])
def test_a_replay_accepts_the_tokens_that_a_real_run_does(toys: Scorer, name: str) -> None:
    policy = named(name, toys.facts)
    assert toys.refusal(policy) == ""
    for scored, real in zip(toys.score(policy), reals(toys, policy), strict=True):
        assert scored.played.turns == real.turns
        assert scored.played.sources == real.sources
        assert scored.played.result.tokens == real.result.tokens
        assert scored.played.result.draft_passes == real.result.draft_passes
        assert scored.played.result.guessed == real.result.guessed


@given(
    order=st.integers(2, 4),
    echo=st.floats(0, 8),
    target_echo=st.floats(0, 8),
    prompt=st.text("abc ,", min_size=1, max_size=40),
    max_tokens=st.integers(2, 40),
    temperature=st.sampled_from([0.0, 0.7]),
    name=st.sampled_from(["lookup-8", "model-1", "model-5", "staged", "merged", "O2", "hf-heuristic", "hf-confidence"]),
)
@slow
def test_replays_agree_for_any_toys(
    order: int, echo: float, target_echo: float, prompt: str, max_tokens: int, temperature: float, name: str
) -> None:
    sampling = Sampling(temperature=temperature, seed=3) if temperature else GREEDY
    with pair(order, echo, target=ToyModel(echo=target_echo)) as model:
        found = traced(model, (prompt + "x",), max_tokens, sampling)
        if not found.texts:
            return  # too short for any guess
        toys = Scorer.of(found)
        policy = named(name, toys.facts)
        (scored,) = toys.score(policy)
        assert model.drafter is not None
        model.drafter.forget()
        prompt_ids = found.texts[0].prompt
        real = generate(model, prompt_ids, policy.fresh(), sampling, max_tokens=max_tokens, clock=perf_counter)
    assert scored.played.turns == real.turns
    assert scored.played.sources == real.sources
    assert oracle(toys.world(found.texts[0]), found.texts[0]).response_s <= scored.played.result.response_s + 1e-9


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_a_draft_model_that_reads_the_prompt_s_end_alone_is_replayed_too(temperature: float) -> None:
    sampling = Sampling(temperature=temperature, seed=9) if temperature else GREEDY
    short = Fixed("short", pipeline("short", ask("draft", width=5, prompt=7)))
    with pair(order=9, echo=5.0, target=ToyModel(order=9, echo=5.0)) as model:
        found = traced(model, (PROMPTS[0],), 40, sampling, [*everything(model.facts), short])
        toys = Scorer.of(found)
        assert {"whole", "whole/7"} <= set(found.texts[0].drafts)
        played = []
        for policy in (short, fixed.model(5)):
            (scored,) = toys.score(policy)
            assert model.drafter is not None
            model.drafter.forget()
            real = generate(model, found.texts[0].prompt, policy, sampling, max_tokens=40, clock=perf_counter)
            assert scored.played.turns == real.turns
            played.append(scored.played)
    assert played[0].turns != played[1].turns
    assert played[0].result.first_token_s == played[1].result.first_token_s


def test_no_policy_beats_the_oracle(toys: Scorer) -> None:
    best = [oracle(toys.world(text), text) for text in toys.trace.texts]
    for policy in everything(toys.facts):
        for scored, limit in zip(toys.score(policy), best, strict=True):
            assert limit.response_s <= scored.played.result.response_s + 1e-9, policy.name
            assert limit.tokens == scored.played.result.tokens
            assert limit.first_token_s == pytest.approx(scored.played.result.first_token_s)


@given(
    seed=st.integers(0, 10**6),
    right=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
    copied=st.booleans(),
    name=st.sampled_from(["lookup-4", "model-3", "O2", "O1", "staged", "merged", "ucbspec-sources", "specdec++-0.3"]),
    steep=st.booleans(),
)
@slow
def test_the_oracle_is_a_bound_whatever_passes_cost(
    seed: int, right: float, copied: bool, name: str, steep: bool
) -> None:
    text = repeated(90, slips=0.1, seed=seed) if copied else novel(90, seed=seed)
    script = drafted(text, 50, always(right) if right else hopeless(), seed=seed, steps=10)
    facts = replace(assumed("draft"), target=Curve.of({1: 20.0, 2: 39.0, 16: 200.0})) if steep else assumed("draft")
    base = Costs.of(facts)
    later = [replace(each, curves=((0, each.curves[0][1]), (90, each.curves[0][1].scaled(2)))) for each in both(base)]
    world = World(spoken(text[:50], text[50:]), {AS_IT_IS: script}, facts, Costs(later[0], later[1], base.round_ms))
    policy = Fixed(name, presets.load("paced")) if name == "O2" else named(name, facts)
    offers = {free: tuple(offered(free, text[:50], text[50:], 15)) for free in FREE}
    written = Text("x", "1", tuple(text[:50]), tuple(text[50:]), offers, {"whole": along(script)})
    assert oracle(world, written).response_s <= replay(world, policy).result.response_s + 1e-9


def both(costs: Costs) -> list[PassTimes]:
    assert costs.draft is not None
    return [costs.target, costs.draft]


def along(script: Script) -> Along:
    first = script.prompt + 1
    places = range(first, len(script.text) + 1)
    tails = {place - first: Sayings.of(tail) for place, tail in script.tails.items() if place >= first}
    return Along(Sayings.of([script.said[place] for place in places]), tails)


def test_virtual_time_is_the_sum_of_the_passes(toys: Scorer) -> None:
    text = toys.trace.texts[0]
    world = toys.world(text)
    played = replay(world, fixed.model(3))
    costs, draft = world.costs, world.costs.draft
    assert draft is not None
    expected = costs.target(len(text.prompt), 0)
    done, unread = 1, len(text.prompt) + 1
    for turn in played.turns:
        expected += costs.target(1 + turn.guessed, len(text.prompt) + done - 1) + costs.round_ms
        if turn.guessed:
            expected += draft(unread, 0) + draft(1, 0) * (turn.guessed - 1)
            unread = 2 if turn.kept == turn.guessed else 1  # it has not read its own last guess
        else:
            unread += 1
        done += len(turn.tokens)
    assert 1000 * played.result.response_s == pytest.approx(expected, rel=1e-12)


def test_plain_takes_a_pass_per_token_exactly() -> None:
    facts = replace(assumed("draft"), target=Curve.of({1: 16.0, 8: 32.0}), overhead_ms=0.25, prompt_ms=2.0)
    text = novel(140)
    world = World(spoken(text[:100], text[100:]), {}, facts, Costs.of(facts))
    played = replay(world, fixed.plain())
    assert played.result.response_s == (100 * 2.0 + 39 * 16.25) / 1000
    assert played.times_s[0] == 0.2
    assert played.result.tokens_per_s == pytest.approx(1000 / 16.25)


def test_prompts_are_read_in_pieces() -> None:
    facts = replace(assumed(), prompt_ms=2.0)
    world = World(spoken(novel(100), novel(10, seed=1)), {}, facts, Costs.of(facts), piece_rows=30)
    opened = world.opened()
    generate(opened.model, world.prompt, fixed.plain(), GREEDY, max_tokens=1, clock=opened.clock)
    # Pieces of 30 go by token, as they are beyond the measured rows; the last one has 10.
    assert opened.clock.ms == 90 * 2.0 + facts.target(10)


def test_a_hopeless_draft_is_hardly_asked_by_ours_and_always_by_a_fixed_length() -> None:
    facts = assumed("draft")
    text = novel(260)
    world = World(spoken(text[:60], text[60:]), {AS_IT_IS: drafted(text, 60, hopeless())}, facts, Costs.of(facts))
    plain = replay(world, fixed.plain()).result.response_s
    ours = replay(world, Fixed("paced", presets.load("paced"))).result
    model = replay(world, fixed.model(5)).result
    assert model.draft_passes > 900
    assert ours.draft_passes < model.draft_passes / 10
    assert ours.response_s < plain + (model.response_s - plain) / 10


def draft(arguments: str) -> str:
    """A pipeline of one draft model."""
    return f"pipeline it\n  g = draft({arguments})\n  v = verify(g)\n  a = accept(v, rule=coupled)\n  commit(a)\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("sampling", "of class distribution"),
        ("cascade", "of class lossy"),
        ("defer", "of class lossy"),
        ("route", "of class lossy"),
        ("constrained", "a grammar needs distributions"),
        (draft("model, of=draft, width=12, law=coupled"), "chains of 12 guesses: the trace has 10"),
        (draft("model, of=draft, width=10, law=coupled, siblings=4, doubt=0.4"), "4 siblings: the trace has 3"),
        (
            draft("model, of=draft, width=4, law=coupled, prompt=5"),
            "not recorded in the form whole with the last 5 tokens",
        ),
        (draft("model, of=draft, width=4, law=coupled, vocabulary=4096"), "not recorded in the form 4096"),
    ],
)
def test_what_a_trace_cannot_score_is_refused_with_a_reason(toys: Scorer, text: str, why: str) -> None:
    given = presets.load(text) if text in presets.names() else parse(text, "test")
    policy = Fixed("it", given)
    assert why in toys.refusal(policy)
    with pytest.raises(ForetellError, match="the trace cannot score it: "):
        list(toys.score(policy))


def test_without_a_draft_model_those_that_ask_one_are_refused() -> None:
    with pair(drafting=False) as model:
        toys = scorer(model)
    assert toys.refusal(named("model-3", toys.facts)) == "it asks a draft model, and none was recorded"
    assert toys.refusal(named("lookup-3", toys.facts)) == ""
    assert {toys.refusal(each) for each in everything(toys.facts)} == {""}
    assert len(list(toys.score(named("O2", toys.facts)))) == len(toys.trace.texts)


def test_drawn_texts_are_refused_to_trees_and_point_guesses() -> None:
    with pair() as model:
        toys = scorer(model, sampling=Sampling(temperature=0.8, seed=1), prompts=PROMPTS[:1])
    assert "siblings of drawn guesses" in toys.refusal(named("tree", toys.facts))
    point = pipeline("point", ask("draft", width=3, law="point"))
    assert "thinks likeliest was not recorded" in toys.refusal(Fixed("point", point))


class Greedy:
    """Asks for a chain longer than any that was written down, unseen by the check of pipelines."""

    name = "greedy"
    drafts = True
    pipeline = None

    def fresh(self) -> "Greedy":
        return self

    def bound(self, kit: Kit) -> Bound:
        return kit.bound(kit.chain(40), 40)


def test_a_source_that_needs_what_is_not_there_is_refused_while_it_runs(toys: Scorer) -> None:
    with pytest.raises(ForetellError, match="chains of at most 10 guesses"):
        list(toys.score(Greedy()))


def test_unknown_policies_are_named(toys: Scorer) -> None:
    with pytest.raises(UsageError, match="there is no policy 'best': choose O2"):
        named("best", toys.facts)
    names = [each.name for each in (*fixed_set(drafting=True), *baselines(), *levels(toys.facts))]
    assert len(set(names)) == len(names)
    assert all(named(name, toys.facts).name == name for name in names)


def test_times_lie_between_measured_contexts_and_prompts_go_by_token() -> None:
    spreads = {64: Spread.given({1: 10.0, 4: 16.0}), 1064: Spread.given({1: 20.0, 4: 26.0})}
    times = PassTimes.of(Times(spreads), prompt_ms=3.0)
    assert [times(1, context) for context in (0, 64, 564, 1064, 5000)] == [10.0, 10.0, 15.0, 20.0, 20.0]
    assert times(2, 564) == 17.0
    assert times(100, 0) == 300.0
    assert times(5, 0) == 16.0  # a larger pass never costs less
    assert times.scaled(0.5)(1, 0) == 5.0


def test_passes_take_as_long_as_they_usually_do() -> None:
    slow = {n: Spread(5, ms, 1.5 * ms, 0) for n, ms in TARGET_MS.items()}
    busy = replace(profile(drafting=False), target=Times({64: slow}))
    facts = known.facts(busy)
    assert facts.target(1) == 20.0
    costs = Costs.measured(busy, facts)
    assert costs.target(1, 0) == 30.0
    assert costs.target(100, 0) == pytest.approx(1.5 * 100 * facts.prompt_ms)
    assert costs.draft is None


def test_a_real_run_is_compared_round_by_round(toys: Scorer) -> None:
    policies = [named(name, toys.facts) for name in ("plain", "model-3", "O2")]
    with pair() as model:
        found = list(check(model, toys, policies, toys.trace.texts))
        assert {each.differs for each in found} == {None}
        figures = agreement(found, "plain")
        assert [its["differing"] for its in figures.values()] == [0, 0, 0]
        assert figures["plain"]["off_relative"] == 0
        assert agreement(found[1:2], "plain")["model-3"]["off_relative"] is None
    with pair(order=2, echo=1.0) as another:
        found = list(check(another, toys, [named("model-3", toys.facts)], toys.trace.texts))
    assert any(each.differs is not None for each in found)


def test_rounds_that_differ_are_counted_from_the_first_one() -> None:
    text = scorer(pair(), prompts=PROMPTS[:1]).trace.texts[0]
    some = Played(None, (), (), (Turn(1, 1, (5, 6)), Turn(0, 0, (7,))))  # type: ignore[arg-type]
    other = replace(some, turns=(some.turns[0], Turn(1, 0, (7,))))
    longer = replace(some, turns=(*some.turns, Turn(0, 0, (8,))))
    assert Checked(text, "x", some, some).differs is None
    assert Checked(text, "x", some, other).differs == 1
    assert Checked(text, "x", some, longer).differs == 2


def test_figures_say_who_is_slower_and_who_is_best(toys: Scorer) -> None:
    policies = [*fixed_set(drafting=True), named("O2", toys.facts)]
    runs = [each.run for policy in policies for each in toys.score(policy)]
    runs += [
        Run(Prompt(text.klass, text.id, ""), "oracle", oracle(toys.world(text), text)) for text in toys.trace.texts
    ]
    found = report(runs, [each.name for each in policies[:-1]])
    assert found["texts"] == 3
    plain, ours = found["policies"]["plain"], found["policies"]["O2"]
    assert (plain["slower"], plain["classes"]["overall"]["ratio"]) == (0, 1.0)
    assert plain["worst_s"] < 0
    assert 0 < ours["of_oracle"] <= 1
    assert found["policies"]["oracle"]["of_oracle"] == 1.0
    speeds = {name: its["classes"]["overall"]["ratio"] for name, its in found["policies"].items()}
    assert found["best_single"] == max((each.name for each in policies[:-1]), key=lambda name: speeds[name])
    assert set(found["against_best"]) == {"O2"}
    slower = [replace(run, result=replace(run.result, response_s=9.0)) for run in runs if run.configuration == "O2"]
    again = report([run for run in runs if run.configuration != "O2"] + slower, ["plain"])
    assert again["policies"]["O2"]["slower"] == 3


def test_late_is_the_worst_token_wherever_an_answer_could_have_ended(toys: Scorer) -> None:
    alone, ours = (list(toys.score(named(name, toys.facts))) for name in ("plain", "lookup-4"))
    assert latest(alone, alone) < -SLACK_S
    assert latest(ours, alone) >= max(
        one.played.result.response_s - SLACK * other.played.result.response_s - SLACK_S
        for one, other in zip(ours, alone, strict=True)
    )
    times = list(ours[0].played.times_s)
    times[3] += 5.0
    ours[0] = replace(ours[0], played=replace(ours[0].played, times_s=tuple(times)))
    assert 4.5 < latest(ours, alone) < 5.0


def test_two_texts_are_put_together_at_the_change(toys: Scorer) -> None:
    for before, after in pairs(toys.trace.texts):
        world, change = joined(toys, before, after)
        assert world.answer[change:] == after.answer
        assert world.prompt == (*before.prompt, *after.prompt)
        draft = world.drafts[AS_IT_IS]
        for place in range(len(world.prompt) + 1, len(world.target.text) + 1):
            agrees = place < len(world.target.text) and draft.said[place].token == world.target.text[place]
            assert (place in draft.tails) != agrees
        assert draft.steps == 10
        for policy in everything(toys.facts):
            assert replay(world, policy.fresh()).answer == world.answer
    assert len(pairs(toys.trace.texts)) == 2


def test_how_soon_policies_settle_behind_a_change(toys: Scorer) -> None:
    policies = [named(name, toys.facts) for name in ("plain", "lookup-8", "O1")]
    found = settled(toys, pairs(toys.trace.texts), policies, fixed_set(drafting=True))
    assert {(each.before, each.after) for each in found} == {("x", "y"), ("y", "x")}
    best = settled(toys, pairs(toys.trace.texts), fixed_set(drafting=True), fixed_set(drafting=True))
    assert all(each.rounds == 0 and each.share == 1.0 for each in best if each.policy == each.best)
    assert all(each.share <= 1 for each in best)
    figures = changes(found)
    assert [replace(found[0], rounds=n, drafts=True).in_time for n in (60, 61, None)] == [True, False, False]
    assert [replace(found[0], rounds=n, drafts=False).in_time for n in (5, 6, None)] == [True, False, False]
    assert figures["plain"]["changes"] == 2
    assert figures["plain"]["never"] <= 2
    for its in figures.values():
        assert its["within_5"] <= its["in_time"] <= its["within_60"] <= its["changes"] - its["never"]


def test_a_change_needs_what_both_texts_know(toys: Scorer) -> None:
    first, second = toys.trace.texts[:2]
    world, _ = joined(toys, first, replace(second, drafts={}))
    assert dict(world.drafts) == {}
