"""Who guesses, and how many tokens: at the costs that decisions go by, which serve as a clock here."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import pytest

from foretell.accept.chance import KeyedChance
from foretell.accept.proposal import ROOT, Guess, Proposal, chain
from foretell.accept.sampling import GREEDY
from foretell.api import Model
from foretell.backend.protocol import Want
from foretell.backend.script import spoken
from foretell.backend.toy import ToyBackend, ToyModel
from foretell.cost.assumed import assumed
from foretell.cost.choice import NO_STEPS, Steps
from foretell.cost.curve import Curve
from foretell.cost.facts import Facts
from foretell.cost.forest import Offer
from foretell.draft.likely import Likely
from foretell.draft.lookup import PRIOR, LookupSource
from foretell.draft.model import ModelSource
from foretell.draft.reader import Reader
from foretell.ir import presets
from foretell.ir.ops import Pipeline
from foretell.ir.text import parse
from foretell.lab.policies.policy import Fixed
from foretell.lab.replay.costs import Costs
from foretell.lab.replay.run import replay
from foretell.lab.replay.world import World
from foretell.runtime.chances import Doubts, Matches
from foretell.runtime.context import Context
from foretell.runtime.drafter import Drafter
from foretell.runtime.loop import Stream
from foretell.runtime.pace import GRACE_MS, Pace, Terms
from foretell.runtime.paced import PacedCopy
from foretell.runtime.paced_model import PIECE, PacedModel
from foretell.runtime.settings import Settings

DRAFT_COSTS = {1: 9.0, 2: 10.0, 4: 11.0, 8: 13.5, 16: 19.0}
XEON = replace(
    assumed("draft"),
    target=Curve.of({1: 37.5, 2: 41.0, 4: 46.5, 8: 55.0, 16: 79.0}),
    models={"draft": replace(assumed("draft").models["draft"], pass_ms=Curve.of(DRAFT_COSTS), prompt_ms=0.7)},
    answer_tokens=128,
)
DEAR = replace(XEON, target=Curve.of({1: 20.0, 2: 60.0}))


def copier(facts: Facts = XEON, width: int = 15) -> tuple[PacedCopy, Pace]:
    pace = Pace(facts, width + 1)
    source = PacedCopy(LookupSource("lookup", width), pace, pace.matches("g"), width)
    pace.begin([source], [])
    return source, pace


def follow(source: PacedCopy, text: Sequence[int]) -> list[int]:
    """Rounds over a text that is what the target says, whatever is guessed; the widths that they took."""
    at, taken = 2, []
    source.extend(text[:at])
    while at < len(text):
        guesses = source.propose(len(text) - at - 1).tokens
        kept = 0
        while kept < len(guesses) and guesses[kept] == text[at + kept]:
            kept += 1
        taken.append(len(guesses))
        source.extend(text[at : at + kept + 1])
        at += kept + 1
    return taken


def noise(count: int, seed: int = 1) -> list[int]:
    """Tokens of few kinds, so that the newest one always stood before, and what followed it says nothing."""
    rng = random.Random(seed)
    return [rng.randrange(40) for _ in range(count)]


def test_a_text_without_repetition_costs_hardly_more_than_plain() -> None:
    source, pace = copier()
    text = noise(600)
    follow(source, text)
    assert pace.ms < 1.02 * pace.costs[0] * (len(text) - 2)
    assert pace.plain_rounds > 500


def test_copies_fill_their_width_and_dear_rows_are_left_out() -> None:
    text = noise(40) * 5
    source, pace = copier()
    assert max(follow(source, text)) == 15
    assert pace.ms < 0.5 * pace.costs[0] * len(text)
    source, pace = copier(DEAR)
    assert set(follow(source, text)) == {0}


def test_a_text_that_changes_is_followed_within_some_dozens_of_tokens() -> None:
    source, _ = copier()
    seen, new = noise(100), noise(250, 2)
    taken = follow(source, [*seen, *seen, *new, *new])
    first = next(i for i, n in enumerate(taken) if n > 8)  # the copy begins
    rest = taken[first:]
    quiet = next(i for i in range(len(rest)) if sum(rest[i : i + 20]) <= 5)  # and has ended
    assert quiet < 60
    again = next(i for i, n in enumerate(rest[quiet:]) if n > 8)
    assert sum(n for n in rest[quiet:][:again]) < 60, "few guesses while nothing repeats"
    assert max(rest[quiet + again :]) == 15


def test_matches_learn_from_what_was_tried_and_in_shadow() -> None:
    matches = Matches()
    proposal = chain([1, 2, 3, 4], "lookup", chances=[PRIOR[1]] * 4)
    matches.score(proposal, (0, 1), [1, 2, 3])
    assert (matches.tried, matches.accepted, matches.untried, matches.missed) == (2, 2, 1, 1)
    better = matches.chance(PRIOR[1])
    assert better > PRIOR[1]
    assert matches.chance(PRIOR[4]) > PRIOR[4], "a text that copies does so after other matches too"
    matches.score(proposal, (), [9])
    assert (matches.tried, matches.accepted, matches.untried, matches.missed) == (2, 2, 2, 1)
    assert matches.chance(PRIOR[1]) < better


def test_a_tree_is_scored_along_the_text() -> None:
    """Of guesses 5 and 6 behind the text and 7 behind 6: the text went 6, 7, so 5 was wrong and the others right."""
    matches = Matches()
    tree = Proposal((Guess(5, ROOT, "r", chance=0.5), Guess(6, ROOT, "r", chance=0.2), Guess(7, 1, "r", chance=0.2)))
    assert matches.chances(tree) == [matches.chance(0.5), matches.chance(0.2), matches.chance(0.2)]
    matches.score(tree, range(3), [6, 7, 8])
    assert (matches.tried, matches.accepted) == (3, 2)


def test_what_was_measured_is_half_of_the_prior() -> None:
    matches = Matches(((1, 0.9, 0.5), (24, 1.0, 0.4), (3, 0.9, 0.01)))
    odds = (PRIOR[0] / (1 - PRIOR[0]) * 0.9 / 0.1) ** 0.5
    assert matches.chance(PRIOR[0]) == pytest.approx(odds / (1 + odds))
    assert PRIOR[-1] < matches.chance(PRIOR[-1]) < 0.98
    assert matches.chance(PRIOR[2]) == pytest.approx(PRIOR[2]), "hardly ever seen"


def test_doubts_learn_by_class() -> None:
    doubts = Doubts(((0.5, 0.4, 0.5), (1.0, 0.9, 0.5)))
    for _ in range(40):
        doubts.score(0.95, right=False)
    low, high = doubts.right
    assert low == 0.4
    assert high < 0.3
    assert doubts.share[1] > 0.8
    assert doubts.scored == 40
    assert doubts.hits == 0
    bad = doubts.right[1]
    doubts.forget()
    assert bad < doubts.right[1] < 0.9
    assert doubts.right[0] == pytest.approx(0.4)
    assert (doubts.stop(0), doubts.stop(1), doubts.stop(2)) == (0.0, 0.5, 0.0)


@dataclass
class Wishful:
    """A draft model that asks for a value."""

    value: float
    can: bool = True

    name: str = "wishful"

    def wish(self, terms: Terms) -> Steps:
        return NO_STEPS

    def offer(self, terms: Terms, best: float) -> Steps:
        return Steps(self.value, min(3, terms.limit), 1) if self.can and self.value > best else NO_STEPS


@dataclass(eq=False)
class Copying:
    """A free source that offers a chain whose guesses have this reach."""

    chances: tuple[float, ...]
    name: str = "copying"
    rank: int = 1

    def offer(self, limit: int) -> Offer:
        guesses = chain(range(len(self.chances)), self.name).guesses[:limit]
        return Offer(guesses, [b / a for a, b in pairwise((1.0, *self.chances[:limit]))])


def test_a_decision_says_what_is_expected_of_the_round() -> None:
    copying = Copying((0.9, 0.8))
    pace = Pace(replace(XEON, overhead_ms=0.5), 16)
    pace.begin([copying], [])
    assert len(pace.copied(copying, 9)) == 2
    assert pace.decision is not None
    assert pace.decision[:3] == ("copy", "copying", 2)
    assert pace.decision.expected_tokens == pytest.approx(2.7)
    assert pace.decision.expected_ms == pytest.approx(XEON.target(3) + 0.5), "without the margin"
    pace.took(2 * pace.decision.expected_ms)
    pace.settle(3)
    copying.chances = ()
    assert len(pace.copied(copying, 9)) == 0
    assert pace.decision[:3] == ("plain", "", 0)
    assert pace.decision.expected_ms == pytest.approx((XEON.target(1) + 0.5) * pace.drift)
    assert 1.05 < pace.drift < 1.1
    for _ in range(100):
        pace.took(1e9)
    assert pace.drift == pytest.approx(3.0, rel=0.01), "a clock that jumps is not believed"


def test_no_more_is_tried_than_may_be_lost() -> None:
    copying = Copying((0.5,) * 15)
    pace = Pace(XEON, 16)
    pace.begin([copying], [])
    pace.settle(100)
    lost = 0.0
    while count := len(pace.copied(copying, 15)):
        lost += XEON.target(count + 1) - XEON.target(1)
        pace.settle(1)
    assert GRACE_MS - 4 < lost < 60
    assert pace.room_ms < pace.costs[1] - pace.costs[0]
    pace.begin([copying], [])
    assert len(pace.copied(copying, 15)) > 0, "another generation"


def test_free_guesses_join_a_draft_model_s_where_that_pays() -> None:
    copying, late = Copying((0.9, 0.8, 0.75)), Copying((0.9, 0.8, 0.75), name="late")
    drafter = Wishful(5.0)
    pace = Pace(XEON, 16)
    pace.begin([copying, late], [drafter])
    assert len(pace.copied(copying, 9)) == 0, "asked before the model made its guesses"
    assert pace.stepped(drafter, 9).most == 3
    pace.spend(18.0, 2)
    before = pace.decision
    pace.join(Offer(chain(range(2), "wishful").guesses, [0.9, 0.9]), 9)
    assert list(pace.copied(late, 9)) == [0, 1, 2]
    assert len(pace.copied(copying, 9)) == 0
    assert before is not None
    assert pace.decision is not None
    assert pace.decision[:2] == ("model", "wishful+late")
    assert pace.decision.expected_tokens == pytest.approx(before.expected_tokens + 0.81 * 0.75 / 0.8)
    assert pace.decision.expected_ms == pytest.approx(before.expected_ms + XEON.target(4) - XEON.target(3))
    pace.settle(4)
    assert pace.ms == pytest.approx(18 + pace.costs[3]), "one row more"


def test_nothing_joins_that_may_not_be_lost() -> None:
    copying, drafter = Copying((0.9, 0.8, 0.75)), Wishful(5.0)
    pace = Pace(XEON, 16)
    pace.begin([copying], [drafter])
    pace.stepped(drafter, 9)
    pace.spend(GRACE_MS, 2)
    pace.join(Offer(chain(range(2), "wishful").guesses, [0.9, 0.9]), 9)
    assert len(pace.copied(copying, 9)) == 0


def test_costs_follow_the_length_of_the_text() -> None:
    behind = {64: XEON.target, 1064: XEON.target.scaled(2.0)}
    facts = replace(XEON, contexts=behind)
    assert facts.behind(64).points == XEON.target.points
    assert facts.behind(0).points == XEON.target.points
    assert facts.behind(564)(8) == pytest.approx(1.5 * 55)
    assert facts.behind(2064)(1) == pytest.approx(3 * 37.5)
    assert XEON.behind(2064) is XEON.target
    copying = Copying(())
    pace = Pace(facts, 16)
    pace.begin([copying], [])
    pace.settle(564)
    pace.copied(copying, 9)
    assert pace.costs[0] == pytest.approx(1.5 * 37.5 + facts.overhead_ms)


def test_time_is_worth_no_more_than_can_be_had_now() -> None:
    """After a long copy a draft model is used at once, though its chain is slower than the copy was."""
    copying, chain = Copying((0.99,) * 15), Wishful(0.5)
    pace = Pace(XEON, 16)
    pace.begin([copying], [chain])
    for _ in range(10):
        assert len(pace.copied(copying, 15)) >= 14
        pace.settle(16)
    copying.chances = (0.4,)
    assert pace.rate > 3 / pace.costs[0]
    chain.can = False
    assert len(pace.copied(copying, 15)) == 1


def test_the_best_option_takes_the_round() -> None:
    copying, low, high = Copying((0.9, 0.8)), Wishful(0.1), Wishful(5.0)
    pace = Pace(XEON, 16)
    pace.begin([copying], [low, high])
    assert len(pace.copied(copying, 9)) == 0
    assert pace.stepped(low, 9) is NO_STEPS
    assert pace.stepped(high, 9).most == 3
    pace.spend(30.0, 2)
    pace.settle(3)
    pace.settle(3)  # another source's turn to say so
    assert pace.tokens == 3
    assert pace.ms == pytest.approx(30 + pace.costs[2])
    high.can = False
    assert len(pace.copied(copying, 9)) == 2
    assert pace.stepped(high, 9) is NO_STEPS


def play(target: ToyModel, draft: ToyModel, facts: Facts, tokens: int = 128, prompt: str = "abc " * 12) -> Pace:
    """A generation of the preset `paced`; exact, and its pace."""
    costs = dict(facts.target.points)
    model = Model(ToyBackend(target), costs, 0.0, Drafter(lambda _: ToyBackend(draft), lambda _: DRAFT_COSTS), facts)
    settings = Settings(pipeline=WITHOUT_COPIES, max_tokens=tokens)
    pace = model.pace()
    request = replace(model.request(model.encode(prompt), settings, 0.0), end_ids=frozenset())
    stream = Stream(request, Context(model.session), model.backend.detokeniser(), model.bound(settings, GREEDY, pace))
    alone = Stream(request, Context(model.session), model.backend.detokeniser(), model.bound(PLAIN, GREEDY))
    assert stream.result.tokens == alone.result.tokens
    return pace


WITHOUT_COPIES: Pipeline = parse(
    "g = draft(model, of=draft, width=8, law=coupled, paced=true)\nv = verify(g)\na = accept(v)\ncommit(a)", "paced"
)
PLAIN = Settings(pipeline=presets.load("plain"), max_tokens=128)
TARGET = ToyModel(order=3)


def test_lookup_and_copies_of_the_input_share_a_tree_and_change_no_token() -> None:
    """An answer that is the prompt with some tokens changed or left out, in rounds of either source and of both."""
    rng = random.Random(3)
    prompt = [rng.randrange(200) for _ in range(240)]
    answer = [
        token if rng.random() < 0.85 else rng.randrange(200) for token in prompt for _ in range(rng.random() < 0.97)
    ]
    world = World(spoken(prompt, answer), {}, XEON, Costs.of(XEON))
    rounds = {}
    for name, body in FREE.items():
        pipeline = parse(f"{body}\na = accept(v)\ncommit(a)", name)
        played = replay(world, Fixed(name, pipeline))
        assert played.answer == tuple(answer)
        rounds[name] = len(played.turns)
    assert rounds["both"] < 0.8 * rounds["lookup"]
    assert rounds["both"] < 1.1 * rounds["copy"]


FREE = {
    "lookup": "g = draft(lookup, width=15, paced=true)\nv = verify(g)",
    "copy": "g = draft(copy, width=15, paced=true)\nv = verify(g)",
    "both": "g = draft(lookup, width=15, paced=true)\nh = draft(copy, width=15, paced=true)\n"
    "m = merge(g, h, width=30)\nv = verify(m)",
}


def test_a_perfect_draft_is_used() -> None:
    pace = play(TARGET, TARGET, XEON)
    assert pace.ms < 0.6 * pace.costs[0] * pace.tokens


def test_a_hopeless_draft_costs_little() -> None:
    pace = play(TARGET, ToyModel(order=1), XEON)
    assert pace.ms < 1.02 * pace.costs[0] * pace.tokens + 60


def test_a_long_text_is_compared_in_pieces() -> None:
    """A draft model that was off for long reads more than one, and guesses behind them as if it had read on."""
    backend = ToyBackend(TARGET)
    ids = backend.codec.encode("abc " * 3)
    text = list(Model(backend, {1: 1.0}).generate("abc " * 3, raw=True, max_tokens=3 * PIECE, level="O0").tokens)
    picker, reader, pace = Likely("g", "coupled", GREEDY, 256), Reader(backend.session()), Pace(XEON, 16)
    source = ModelSource("g", reader, picker, partial(KeyedChance, 0), width=8)
    doubts = pace.doubts("g", ((1.0, 0.9, 1.0),))
    draft = PacedModel(
        source, reader, pace, doubts, want=Want(top=1), pass_ms=Curve.of(DRAFT_COSTS), prompt_ms=0.1, width=8
    )
    known = len(text) - 8
    draft.extend([*ids, text[0]])
    draft.extend(text[1:known])
    pace.begin([], [draft])
    for _ in range(40):
        granted = pace.stepped(draft, 8)
        if granted is not NO_STEPS:
            break
        pace.settle(1)
    assert doubts.scored == known - 1 > 2 * PIECE
    guesses = draft.propose(8).tokens
    assert guesses == text[known : known + len(guesses)] != []


def test_a_long_prompt_is_not_read_for_a_draft_that_cannot_earn_it() -> None:
    slow = replace(XEON, models={"draft": replace(XEON.models["draft"], prompt_ms=40.0)})
    pace = play(TARGET, TARGET, slow)
    assert pace.ms == pytest.approx(pace.costs[0] * pace.tokens)


def test_what_was_learned_is_kept_for_the_next_turn() -> None:
    pace = Pace(XEON, 16)
    assert pace.matches("g") is pace.matches("g")
    assert pace.doubts("h", ((1.0, 0.5, 1.0),)) is pace.doubts("h", ((1.0, 0.9, 1.0),))
