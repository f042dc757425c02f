"""Facts from profiles: measured where something was measured, assumed where not, and said which."""

from dataclasses import replace

import pytest
from hypothesis import given, settings

from foretell.backend.toy import ToyBackend, ToyModel
from foretell.cost.assumed import DRAFT, assumed
from foretell.cost.facts import ModelFacts, SourceFacts, Trade
from foretell.cost.known import facts
from foretell.cost.price import price
from foretell.ir import presets
from foretell.passes.levels import SPEED, level
from foretell.profile.counts import Counts, FormCounts, Overlap, Rounds, Shortened, SourceCounts, Tally
from foretell.profile.file import Keys, Profile, Times
from foretell.profile.spread import Spread
from foretell.runtime.drafter import Drafter
from foretell.runtime.measure import measure
from foretell.runtime.measure_plan import QUICK
from test_profile import profiles


def times(**ms: float) -> Times:
    return Times({64: {int(rows[1:]): Spread(3, each, each) for rows, each in ms.items()}}, Spread(2, 2.0, 3.0))


def rounds(n: int, offered: int, *places: tuple[int, int], rows: int = 1) -> Rounds:
    trials, hits = zip(*places, strict=True)
    return Rounds(n, offered, rows * sum(trials), sum(trials), trials, hits)


WHOLE = FormCounts(
    places=200,
    right=150,
    rounds={1: rounds(100, 100, (98, 84)), 8: rounds(60, 60, (58, 44), (43, 33))},
    doubts={0: Tally(100, 99, 0.05), 6: Tally(60, 45, 7.2), 12: Tally(40, 6, 26.0)},
    entropies={0: Tally(150, 140, 0.75), 9: Tally(50, 10, 125.0)},
    ranks=(150, 20, 10),
)
COUNTS = Counts(
    answers=4,
    tokens=204,
    sources={
        "lookup": SourceCounts(
            {1: rounds(90, 45, (43, 28)), 8: rounds(80, 40, (38, 20), (18, 17))},
            {1: Tally(60, 12, 60.0), 4: Tally(20, 18, 95.0)},
            Spread(9, 0.02, 0.03),
        ),
        "recycled": SourceCounts({8: rounds(80, 60, (58, 40), (40, 8), rows=3)}),
        "copy": SourceCounts({8: rounds(60, 6, (6, 3))}),
        "grammar": SourceCounts({8: rounds(40, 4, (4, 1))}),
    },
    forms={
        "whole": WHOLE,
        "whole Q4_0": replace(WHOLE, right=147, ranks=()),
        "16384 Q4_0": replace(WHOLE, right=141, ranks=()),
        "32768": replace(WHOLE, right=151, ranks=()),
    },
    prompts={64: Shortened(60, 45, 50), 128: Shortened(20, 9, 10)},
    overlap=Overlap(both=30, lookup=10, draft=30, neither=30),
)
PAIR = Profile(
    Keys("m", "t", "d"),
    "quick",
    times(n1=40.0, n4=50.0),
    {
        "whole": times(n1=20.0, n8=28.0),
        "whole Q4_0": replace(times(n1=18.0), beside=Spread(3, 24.0, 24.0)),  # in a slower moment
        "16384 Q4_0": times(n1=10.0),
        "32768": times(n1=17.0),
    },
    Spread(8, 0.1, 0.15),
    {"edit": COUNTS},
)


def test_a_form_reads_prompts_as_its_weights_do() -> None:
    read = {name: Spread(3, ms, ms) for name, ms in (("whole", 2.0), ("whole Q4_0", 1.5))}
    drafts = {name: replace(each, prompt=read.get(name)) for name, each in PAIR.drafts.items()}
    model = facts(replace(PAIR, drafts=drafts), "small").models["small"]
    assert [model.trade(*form).prompt for form in ((0, "Q4_0"), (16384, "Q4_0"), (32768, ""), (0, ""))] == [
        0.75, 0.75, 1.0, 1.0
    ]  # fmt: skip


def test_what_was_measured_is_taken() -> None:
    known = facts(PAIR, "small")
    assert known.origin == "measured"
    assert (known.target(1), known.target(4), known.prompt_ms, known.overhead_ms) == (40, 50, 2.0, 0.15)
    lookup = known.sources["lookup"]
    assert lookup.chances == pytest.approx((21 / 40, (17 + 2 * 21 / 40) / 20))
    assert (lookup.offers, lookup.level_rows, lookup.ms) == (0.5, 1.0, 0.03)
    assert lookup.at(2).chances == lookup.at(1).chances == pytest.approx((29 / 45,))
    assert lookup.at(3).chances == lookup.at(100).chances == lookup.chances
    assert lookup.calibration == ((1, 0.2, 0.75), (4, 0.9, 0.25))
    assert known.sources["recycled"].level_rows == 3
    assert set(known.sources) == {"lookup", "recycled", "copy"}, "grammar was seen in too few rounds"
    model = known.models["small"]
    assert (model.pass_ms(1), model.prompt_ms) == (20, 2.0)
    assert model.chances == model.at(8) == pytest.approx((45 / 60, (33 + 2 * 0.75) / 45))
    assert model.at(1) == pytest.approx((85 / 100,))
    assert model.precisions == {"Q4_0": Trade(0.75, 0.98)}
    assert model.vocabularies == {16384: Trade(10 / 15, 141 / 147), 32768: Trade(0.85, 1.0)}
    assert model.trade(16384, "Q4_0") == Trade(0.5, 0.94)
    assert model.trade(32768, "Q4_0") == Trade(pytest.approx(0.6375), 0.98), "not measured together"
    assert model.trade(0, "") == model.trade(7, "Q8_0") == Trade(1.0, 1.0)
    assert model.prompts == {64: 0.9}, "too few places behind 128 tokens"
    assert model.siblings == pytest.approx((20 / 50, 10 / 30))
    assert model.calibration == ((0.4, 0.15, 0.2), (0.9, 0.75, 0.3), (1.0, 0.99, 0.5))
    assert len(model.doubts["chow"]) == len(model.doubts["entropy"]) == 40
    assert model.doubts["chow"][0] == pytest.approx(0.0005)
    assert [model.doubts["chow"].count(each) for each in sorted(set(model.doubts["chow"]))] == [20, 12, 8]
    assert model.doubts["entropy"][-1] == 2.5
    assert known.overlap == pytest.approx((0.3 - 0.24) / (0.4 - 0.24))


def test_times_alone_leave_chances_assumed() -> None:
    known = facts(replace(PAIR, kinds={}))
    assert known.origin == "partly measured (assumed: chances of lookup, chances of copy, chances of draft)"
    assert known.sources == {name: assumed().sources[name] for name in ("lookup", "copy")}
    assert known.models["draft"] == replace(
        DRAFT, pass_ms=known.models["draft"].pass_ms, prompt_ms=2.0, contexts={64: known.models["draft"].pass_ms}
    )
    assert known.overhead_ms == 0.15
    alone = replace(PAIR, keys=Keys("m", "t"), drafts={}, kinds={}, overhead=None)
    assert facts(alone).models == {}
    assert facts(alone).overhead_ms == assumed().overhead_ms
    assert facts(alone).origin == "partly measured (assumed: chances of lookup, chances of copy)"


def test_a_prompt_pass_that_was_not_timed_costs_as_the_largest_pass() -> None:
    target = replace(PAIR.target, prompt=None)
    assert facts(replace(PAIR, target=target)).prompt_ms == 50 / 4


def test_kinds_can_be_looked_at_alone() -> None:
    both = replace(PAIR, kinds={"edit": COUNTS, "chat": replace(COUNTS, overlap=Overlap(neither=300))})
    assert facts(both, kind="edit") == facts(PAIR)
    assert facts(both).overlap != facts(PAIR).overlap
    assert facts(both).sources["lookup"].offers == facts(PAIR).sources["lookup"].offers
    assert "chances of draft" in facts(both, kind="unknown").origin


@given(profile=profiles())
@settings(max_examples=20, deadline=None)
def test_any_profile_gives_facts_that_levels_can_decide_by(profile: Profile) -> None:
    known = facts(profile)
    assert price(presets.load("chain"), known).ms > 0
    assert level("O2", draft="draft", facts=known).price.response_ms > 0


def test_levels_decide_by_a_measured_pair() -> None:
    target = replace(ToyBackend(ToyModel(echo=5.0)), pass_costs={1: 10.0, 8: 11.0, 16: 14.0})
    draft = replace(ToyBackend(ToyModel(order=2, echo=6.0)), pass_costs={1: 1.0, 8: 1.2})
    known = facts(measure(target, Drafter(lambda _: draft, lambda _: {}), QUICK))
    assert set(known.sources) == {"lookup", "recycled", "copy"}
    expected = [level(name, draft="draft", facts=known).price.response_ms for name in SPEED]
    assert min(expected) == expected[3] < expected[0] == max(expected)


def test_assumed_facts_are_the_same_at_every_width() -> None:
    source, model = SourceFacts((0.5,)), ModelFacts(DRAFT.pass_ms, 1.0, (0.6, 0.7))
    assert source.at(3) == source
    assert model.at(3) == (0.6, 0.7)
