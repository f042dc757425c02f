"""Never much slower than the target alone, whatever the draft model says: on a clock that only passes move."""

from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.accept.sampling import GREEDY
from foretell.backend.script import Script, Sureness, always, classes, drafted, hopeless, novel, repeated, spoken
from foretell.cost.assumed import assumed
from foretell.cost.curve import Curve
from foretell.cost.facts import Facts
from foretell.cost.model import USUAL
from foretell.ir import presets
from foretell.ir.ops import Pipeline
from foretell.lab.policies.policy import Fixed, Kit
from foretell.lab.replay.costs import Costs
from foretell.lab.replay.run import Played, generate, replay
from foretell.lab.replay.world import AS_IT_IS, World
from foretell.runtime.backoff import MOST
from foretell.runtime.bind import Bound
from foretell.runtime.pace import Change
from foretell.runtime.paced_tail import LEAST, TOKENS
from foretell.runtime.paced_tail import MOST as MOST_PROMPT

SHARE, GRACE_S = 0.02, 0.060
PLAIN, PACED = (Fixed(name, presets.load(name)) for name in ("plain", "paced"))


def machine(target: dict[int, float], draft: dict[int, float], prompt_ms: float, draft_prompt_ms: float) -> Facts:
    usual = assumed("draft")
    model = replace(usual.models["draft"], pass_ms=Curve.of(draft), prompt_ms=draft_prompt_ms)
    return replace(usual, target=Curve.of(target), prompt_ms=prompt_ms, models={"draft": model})


XEON: Final = machine({1: 37.0, 2: 40.0, 4: 45.0, 8: 54.0, 16: 79.0}, {1: 8.7, 8: 14.0}, 3.5, 1.0)
MACHINES: Final = st.sampled_from((
    XEON,
    machine({1: 37.0, 4: 38.0, 16: 40.0}, {1: 2.0, 8: 2.5}, 3.5, 0.1),
    machine({1: 20.0, 2: 39.0, 4: 70.0}, {1: 12.0}, 1.0, 1.0),
    machine({1: 300.0, 8: 400.0, 16: 700.0}, {1: 90.0, 8: 100.0}, 60.0, 20.0),
))  # fmt: skip


PROMPT = 24  # tokens: what the draft model takes for reading them may be lost
END = 999  # a token that no text has


def world(
    facts: Facts,
    prompt: int,
    answer: list[int],
    sure: Sureness,
    seed: int = 0,
    limit: int = 0,
    end: Sureness | None = None,
) -> World:
    """limit: tokens that the answer might have had, when it ends by itself. end: of guesses behind the prompt's end."""
    first = novel(prompt, seed=seed + 1, vocabulary=END)
    answer = [*answer, END] if limit else answer
    draft = drafted([*first, *answer], prompt, sure, seed=seed, vocabulary=END)
    drafts = {AS_IT_IS: draft}
    if end is not None and prompt > TOKENS:
        drafts[0, "", TOKENS] = drafted([*first, *answer], prompt, end, seed=seed + 2, vocabulary=END)
    return World(spoken(first, answer), drafts, facts, Costs.of(facts), limit=limit, end_ids=frozenset({END}))


def ratio(world: World) -> tuple[Played, Played]:
    """By the target alone, and paced. Wherever the answer might have ended, it was there soon enough."""
    plain, paced = replay(world, PLAIN), replay(world, PACED)
    for alone, ours in zip(plain.ready_s, paced.ready_s, strict=True):
        assert ours <= (1 + SHARE) * alone + GRACE_S
    return plain, paced


KINDS: Final = st.one_of(st.floats(0.01, 1).map(hopeless), st.floats(0.01, 0.999).map(always), st.just(classes(USUAL)))


@settings(max_examples=80, deadline=None)
@given(
    facts=MACHINES,
    prompt=st.integers(1, 300),
    length=st.integers(2, 250),
    period=st.integers(2, 80),
    slips=st.floats(0, 1),
    sure=KINDS,
    end=st.one_of(st.none(), KINDS),
    seed=st.integers(0, 1000),
    limit=st.sampled_from((0, 0, 256, 2000)),
)
def test_a_response_takes_hardly_longer_than_by_the_target_alone(
    facts: Facts,
    prompt: int,
    length: int,
    period: int,
    slips: float,
    sure: Sureness,
    end: Sureness | None,
    seed: int,
    limit: int,
) -> None:
    text = repeated(length, period=period, slips=slips, seed=seed, vocabulary=END)
    ratio(world(facts, prompt, text, sure, seed, limit, end))


@pytest.mark.parametrize("length", [5, 30, 128, 600])
def test_a_draft_that_is_sure_and_never_right_costs_hardly_anything(length: int) -> None:
    ratio(world(XEON, 40, novel(length), hopeless(0.999)))


def test_a_draft_that_is_mostly_right_pays_within_few_rounds() -> None:
    plain, paced = ratio(world(XEON, PROMPT, novel(128, vocabulary=END), always(0.95)))
    assert plain.result.response_s > 1.5 * paced.result.response_s
    assert max(turn.guessed for turn in paced.turns[:8]) > 0


def test_behind_a_long_prompt_its_end_is_read_first_and_the_rest_is_earned() -> None:
    text = novel(128, vocabulary=END)
    plain, whole = ratio(world(XEON, 2 * LEAST, text, always(0.9)))
    _, both = ratio(world(XEON, 2 * LEAST, text, always(0.9), end=always(0.6)))
    assert sum(len(turn.tokens) for turn in whole.turns if not turn.guessed) > 60, "waits until reading is affordable"
    assert sum(len(turn.tokens) for turn in both.turns if not turn.guessed) < 8
    assert plain.result.response_s > 1.5 * both.result.response_s
    assert whole.result.response_s > 1.2 * both.result.response_s
    found = log(world(XEON, 2 * LEAST, text, always(0.9), end=always(0.6)))
    assert any("ms of reading were saved" in each.why for each in found)


def test_a_prompt_s_end_that_misleads_costs_hardly_anything_and_is_left() -> None:
    text = world(XEON, 2 * LEAST, novel(128, vocabulary=END), always(0.9), end=hopeless(0.9))
    _, paced = ratio(text)
    assert sum(turn.guessed for turn in paced.turns[:20]) < 8


@pytest.mark.parametrize("prompt", [LEAST - 1, MOST_PROMPT + 1])
def test_short_and_long_prompts_are_read_whole_or_not_at_all(prompt: int) -> None:
    text = world(XEON, prompt, novel(40, vocabulary=END), hopeless(0.9), end=always(0.99))
    _, paced = ratio(text)
    assert paced.result.acceptance in (None, 0.0)


def test_a_draft_that_cannot_pay_is_not_asked() -> None:
    facts = machine({1: 20.0, 16: 21.0}, {1: 25.0}, 1.0, 1.0)
    plain, paced = ratio(world(facts, 40, novel(60, vocabulary=END), always(0.99)))
    assert paced.result.draft_passes == 0
    assert paced.result.response_s == pytest.approx(plain.result.response_s, rel=0.02)


def turned(facts: Facts, length: int, *phases: Sureness) -> World:
    """The draft model becomes another one every `length` tokens."""
    worlds = [world(facts, PROMPT, novel(len(phases) * length, vocabulary=END), sure) for sure in phases]
    scripts = [each.drafts[AS_IT_IS] for each in worlds]

    def at(place: int) -> Script:
        return scripts[min(max(0, place - PROMPT) // length, len(phases) - 1)]

    said = {place: at(place).said[place] for place in scripts[0].said}
    tails = {place: at(place).tails[place] for place in said if place in at(place).tails}
    return replace(worlds[0], drafts={AS_IT_IS: replace(scripts[0], said=said, tails=tails)})


@settings(max_examples=40, deadline=None)
@given(
    facts=MACHINES,
    length=st.integers(5, 90),
    phases=st.lists(KINDS, min_size=2, max_size=4),
)
def test_a_draft_that_changes_character_costs_no_more(facts: Facts, length: int, phases: list[Sureness]) -> None:
    ratio(turned(facts, length, *phases))


def log(world: World) -> list[Change]:
    """What the pace said of its changes of mind."""
    opened, found = world.opened(), list[Bound]()

    @dataclass(frozen=True)
    class Noted:
        name: str = "noted"
        drafts: bool = True
        pipeline: Pipeline = PACED.pipeline

        def fresh(self) -> "Noted":
            return self

        def bound(self, kit: Kit) -> Bound:
            found.append(PACED.bound(kit))
            return found[0]

    generate(opened.model, world.prompt, Noted(), GREEDY, max_tokens=world.max_tokens, clock=opened.clock)
    (bound,) = found
    assert bound.pace is not None
    return list(bound.pace.log)


def test_a_draft_that_becomes_wrong_is_left_and_found_again_when_it_is_right() -> None:
    text = turned(XEON, 200, always(0.95), always(0.05), always(0.95))
    _, paced = ratio(text)
    ends = list(accumulate(len(turn.tokens) for turn in paced.turns))
    wrong, again = (next(i for i, end in enumerate(ends) if end > tokens) for tokens in (200, 400))
    used = [turn.guessed for turn in paced.turns]
    assert sum(used[wrong + 40 : again]) < 20
    assert len(used) - again < 100, "200 tokens, 60 of them perhaps without a guess"
    assert sum(used[-10:]) > 30
    said = [each.what for each in log(text) if each.what in ("on", "off", "probe")]
    assert said[:2] == ["on", "off"]
    assert "probe" in said
    assert said[-1] == "on"


def test_probes_come_ever_more_rarely() -> None:
    facts = replace(XEON, models={"draft": replace(XEON.models["draft"], prompt_ms=0.05)})  # so that there is room
    rounds = [
        each.round for each in log(world(facts, 40, novel(600, vocabulary=END), always(0.05))) if each.what == "probe"
    ]
    gaps = [b - a for a, b in pairwise(rounds)]
    assert len(gaps) > 3
    assert gaps == sorted(gaps)
    assert gaps[-1] >= MOST
