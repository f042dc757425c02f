"""Rules of others, as their sources say: what each does after what happened."""

from math import exp, inf, log, sqrt
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.backend.script import Said, Script, always, drafted, novel, spoken
from foretell.cost.assumed import assumed
from foretell.cost.curve import Curve
from foretell.lab.policies import bandit, closed_form, fixed
from foretell.lab.policies.bandit import Exp3, Lengths, Sources, Ucb
from foretell.lab.policies.closed_form import ClosedForm
from foretell.lab.policies.hugging_face import Confidence, Heuristic, cheapest
from foretell.lab.policies.llama_cpp import PMin
from foretell.lab.policies.lookup_then_model import LookupThenModel
from foretell.lab.policies.policy import STEPS, Policy
from foretell.lab.policies.specdec import SpecDec
from foretell.lab.replay.costs import Costs
from foretell.lab.replay.run import Played, replay
from foretell.lab.replay.world import AS_IT_IS, World

FACTS = assumed("draft")
TEXT = novel(80)
PROMPT = 20


def played(policy: Policy, said: dict[int, tuple[bool, float]] | None = None, text: list[int] | None = None) -> Played:
    """A policy with a draft that is right or wrong, with these probabilities, at places of a text; else right."""
    text = text or TEXT
    right: dict[int, Said] = {}
    tails: dict[int, tuple[Said, ...]] = {}
    for place in range(PROMPT, len(text) + 1):
        good, sure = (said or {}).get(place, (True, 1.0))
        good = good and place < len(text)
        right[place] = Said(text[place] if good else 999, log(sure))
        if not good:
            tails[place] = tuple(Said(998, log(sure)) for _ in range(STEPS - 1))
    script = Script(tuple(text), PROMPT, right, tails)
    target = spoken(text[:PROMPT], text[PROMPT:])
    return replay(World(target, {AS_IT_IS: script}, FACTS, Costs.of(FACTS)), policy)


def guessed(policy: Policy, said: dict[int, tuple[bool, float]] | None = None) -> list[int]:
    return [turn.guessed for turn in played(policy, said).turns]


def test_hugging_face_goes_up_by_two_and_down_by_one() -> None:
    policy = Heuristic()
    assert guessed(policy)[:4] == [5, 7, 8, 8]  # 9 and 11, but for STEPS
    assert policy.length > STEPS
    never = dict.fromkeys(range(len(TEXT)), (False, 0.5))
    policy = Heuristic()
    assert guessed(policy, never)[:7] == [5, 4, 3, 2, 1, 1, 1]
    assert guessed(policy)[:3] == [1, 3, 5]  # what was reached is kept for the next call
    assert policy.fresh().length == 5


def test_hugging_face_ends_chains_in_doubt_and_learns_the_threshold() -> None:
    assert guessed(Confidence(), {PROMPT + 3: (True, 0.39)})[0] == 3
    assert guessed(Confidence(), {PROMPT + 3: (True, 0.41)})[0] == 8
    # Wrong guesses have 0.6, right ones 0.9: once 6 are seen, chains end behind the first of 0.6.
    doubt = {place: (place % 4 != 0, 0.9 if place % 4 else 0.6) for place in range(len(TEXT))}
    assert guessed(Confidence(), doubt)[:2] == [8, 8]
    assert set(guessed(Confidence(), doubt)[3:-1]) == {4}


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9]), st.booleans()), min_size=2, max_size=20))
def test_the_threshold_is_the_cheapest_of_all(seen: list[tuple[float, bool]]) -> None:
    sure, right = [chance for chance, _ in seen], [hit for _, hit in seen]
    if len(set(right)) < 2:
        return

    def cost(threshold: float) -> float:
        wrong = sum(chance >= threshold and not hit for chance, hit in seen) / right.count(False)
        missed = sum(chance < threshold and hit for chance, hit in seen) / right.count(True)
        return wrong + 3 * missed

    costs = [cost(threshold) for threshold in (inf, *sure)]
    assert cost(cheapest(sure, right)) == pytest.approx(min(costs))


def test_llama_cpp_leaves_out_the_first_doubtful_guess() -> None:
    found = played(PMin(), {PROMPT + 3: (True, 0.74), PROMPT + 4: (True, 0.1)})
    assert [turn.guessed for turn in found.turns][:2] == [2, 0]
    assert found.result.draft_passes >= 3 + 1
    assert guessed(PMin(), {PROMPT + 3: (True, 0.76)})[0] == 8


def test_specdec_stops_when_doubt_has_added_up() -> None:
    sure = dict.fromkeys(range(len(TEXT)), (True, 0.9))
    # 0.9^3 = 0.73, 0.9^4 = 0.66: the fourth guess is the first behind which 1 - product exceeds 0.3.
    assert guessed(SpecDec(0.3), sure)[0] == 4
    assert guessed(SpecDec(0.7), sure)[0] == 8
    assert guessed(SpecDec(0.05), sure)[0] == 1


@pytest.mark.parametrize(
    ("acceptance", "cost", "expected"), [(0.9, 0.0, 8), (0.9, 0.1, 8), (0.5, 0.1, 2), (0.05, 0.1, 0), (0.0, 0.0, 0)]
)
def test_the_closed_form_is_the_formula_s_best(acceptance: float, cost: float, expected: int) -> None:
    found = closed_form.length(acceptance, cost)

    def gain(g: int) -> float:
        return sum(acceptance**i for i in range(g + 1)) / (g * cost + 1)

    assert gain(found) == pytest.approx(max(gain(g) for g in range(STEPS + 1)))
    assert found == expected


def test_the_closed_form_goes_by_what_was_measured() -> None:
    acceptance, cost = closed_form.measured(FACTS)
    assert acceptance == FACTS.model("draft").chances[0]
    assert cost == pytest.approx(0.4)
    assert set(guessed(ClosedForm())[:-1]) == {closed_form.length(acceptance, cost)}


def test_lookup_goes_first_where_two_tokens_match() -> None:
    text = [*TEXT[:PROMPT], *TEXT[40:60], *TEXT[5:15], *TEXT[70:75]]
    found = played(LookupThenModel(4), text=text)
    assert "lookup" in found.sources
    assert "draft" in found.sources
    first = found.sources.index("lookup")
    before = text[PROMPT + first - 2 : PROMPT + first]
    assert before in [TEXT[i : i + 2] for i in range(5, 14)]


def test_ucb_tries_each_arm_and_then_takes_the_largest_bound() -> None:
    ucb = Ucb(2, 4)
    for reward in (1.0, 5.0):
        arm = ucb.choose()
        ucb.learn(arm, reward)
    assert ucb.choose() == 1
    for _ in range(3):
        ucb.learn(1, 5.0)

    def bound(mean: float, n: int) -> float:
        return mean + 4 / 2 * sqrt((1 + n) / n**2 * (1 + 2 * log(2 * 5**2 * sqrt(1 + n) / bandit.CONFIDENCE)))

    assert ucb.choose() == (0 if bound(1.0, 1) > bound(5.0, 4) else 1)


def test_exp3_turns_from_arms_that_lose() -> None:
    exp3, random = Exp3(3, 5, seed=1), Random(2)
    taken = [0, 0, 0]
    for _ in range(4000):
        arm = exp3.choose()
        taken[arm] += 1
        exp3.learn(arm, 6.0 if arm == 2 else 1.0 + random.random())
    assert taken[2] > 3000


def test_exp3_weights_are_those_of_the_paper() -> None:
    exp3 = Exp3(2, 5)
    exp3.learn(0, 2.0)
    loss, rate = (5 + 1 - 2.0) / (5 * 0.5), sqrt(log(2) / (2 * 2))
    assert exp3._shares[0] == pytest.approx(exp(-rate * loss) / (exp(-rate * loss) + 1))


@pytest.mark.parametrize("policy", [Sources(), Sources("exp3"), Lengths()])
def test_bandits_find_a_perfect_draft(policy: Policy) -> None:
    text = novel(900)
    draft = drafted(text, PROMPT, always(1.0), vocabulary=1000)
    facts = assumed("draft")
    world = World(spoken(text[:PROMPT], text[PROMPT:]), {AS_IT_IS: draft}, facts, Costs.of(facts))
    found = replay(world, policy)
    assert found.result.tokens_per_round is not None
    assert found.result.tokens_per_round > 2
    assert found.result.response_s < replay(world, fixed.plain()).result.response_s


def test_a_bandit_over_lengths_turns_a_useless_draft_off() -> None:
    text = novel(900)
    draft = drafted(text, PROMPT, lambda _: (0.9, 0.0))
    dear = assumed("draft")
    world = World(spoken(text[:PROMPT], text[PROMPT:]), {AS_IT_IS: draft}, dear, Costs.of(dear))
    shares = [turn.guessed for turn in replay(world, Lengths()).turns]
    assert shares[:5] == [0, 1, 2, 3, 4]
    assert shares.count(0) > len(shares) / 4
    assert dear.target == Curve.of({1: 22.8, 8: 23.5, 10: 26.0, 16: 48.6})
