"""Choosing a draft model: predictions on a virtual clock are what real runs take, and the right way is taken."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.accept.sampling import GREEDY
from foretell.api import Model
from foretell.backend.model import Backend
from foretell.backend.null import VirtualClock
from foretell.backend.protocol import Rows, Scores, Want
from foretell.backend.toy import ToyBackend, ToyModel, ToySession
from foretell.cost.curve import Curve
from foretell.engine.approximate import PRECISIONS
from foretell.errors import ForetellError, UsageError
from foretell.lab.policies.fixed import plain
from foretell.lab.policies.policy import Fixed, Policy
from foretell.lab.replay.costs import PassTimes
from foretell.lab.replay.run import generate
from foretell.lab.select import rank
from foretell.lab.select.bench import Bench
from foretell.lab.select.candidates import names
from foretell.lab.select.predict import Draws, Estimate, estimate
from foretell.lab.select.prompts import chosen
from foretell.lab.select.rank import Ranked
from foretell.lab.select.usage import Prices
from foretell.lab.select.verify import Inversion, Verified, inversions, to_json, verified
from foretell.lab.select.ways import FREE, NONE, Measured
from foretell.lab.suite import Prompt, run_suite
from foretell.profile.counts import Form
from foretell.runtime import draft_name
from foretell.runtime.events import Result
from foretell.runtime.opening import Opening

TARGET_MS = {1: 20.0, 2: 20.5, 4: 21.0, 8: 22.0, 16: 30.0, 64: 90.0}
DRAFT_MS = {1: 3.0, 2: 3.1, 4: 3.2, 8: 3.5, 16: 5.0, 64: 15.0}
PROMPTS = [
    Prompt("ab"[i % 2], str(i), text)
    for i, text in enumerate(
        (
            "to be or not to be, that is the question",
            "hello world, how are you",
            "the quick brown fox",
            "it was a dark night",
            "one two three four",
            "what is this",
        )
    )
]


class Slow(ToySession):
    """A toy whose passes take their time on a virtual clock."""

    def __init__(self, model: ToyModel, context: int, clock: VirtualClock, ms: Mapping[int, float]) -> None:
        super().__init__(model, context)
        self._clock, self._ms = clock, ms

    def step(self, rows: Rows, want: Want) -> Scores:
        self._clock.spend(Curve.of(self._ms)(len(rows.tokens)))
        return super().step(rows, want)


@dataclass(frozen=True)
class SlowToy(ToyBackend):
    clock: VirtualClock = field(default_factory=VirtualClock)

    def session(self) -> Slow:
        return Slow(self.model, self.context, self.clock, self.pass_costs or {})


TARGET = ToyModel(echo=2.0)
DRAFTS = {  # how they choose, and milliseconds of a pass by that of DRAFT_MS
    "good": (ToyModel(echo=1.9), 1.0),
    "middling": (ToyModel(echo=0.0), 1.3),
    "hopeless": (ToyModel(order=7), 1.0),
    "slow": (ToyModel(echo=1.9), 8.0),
}


@dataclass(frozen=True)
class Toys(Opening):
    """Toys by name."""

    clock: VirtualClock = field(default_factory=VirtualClock)

    def open(
        self,
        name_or_path: str | Path | None,
        beside: Backend | None = None,
        form: Form = (0, ""),
        frequent: Sequence[int] = (),
        called: str = "",
    ) -> SlowToy:
        name = str(name_or_path)
        model, factor = (TARGET, 0.0) if name == "target" else DRAFTS[name]
        costs = {n: ms * factor for n, ms in DRAFT_MS.items()} if factor else TARGET_MS
        return SlowToy(model, pass_costs=costs, name=name, key=f"{name} {form}", clock=self.clock)

    def check_pair(self, target: str | Path | None, draft: str | Path) -> None:
        if draft == "foreign":
            raise ForetellError("foreign cannot draft for target: its tokens are others")


@dataclass
class Found:
    bench: Bench
    clock: VirtualClock
    ways: list[Ranked]
    measured: dict[str, Measured]


@pytest.fixture(scope="module")
def found() -> Found:
    """All drafts measured for the target, on a virtual clock."""
    clock = VirtualClock()
    bench = Bench(Toys(None, None, None, True, None, clock), "target", 40, clock)
    assert len(list(bench.answer(PROMPTS))) == len(PROMPTS)
    measured, ticks = {}, list[int]()
    for name in DRAFTS:
        with bench.opened(name) as candidate:
            measured[name] = bench.measured(candidate, lambda: ticks.append(1))
    assert len(ticks) == len(DRAFTS) * len(bench.answers)
    blocks = [block for each in measured.values() for block in each.blocks]
    return Found(bench, clock, rank.ranked(bench.without(), list(measured.values()), blocks), measured)


@dataclass(frozen=True)
class Timed:
    """A real run by the virtual clock; otherwise `foretell.lab.suite.Ours`."""

    name: str
    model: Model
    policy: Policy
    clock: VirtualClock

    def run(self, prompt: str, max_tokens: int) -> Result:
        if self.model.drafter is not None:
            self.model.drafter.forget()
        ids = self.model.encode(prompt)
        return generate(self.model, ids, self.policy, GREEDY, max_tokens=max_tokens, clock=self.clock).result


def test_real_runs_take_what_was_predicted(found: Found) -> None:
    """On a clock that passes alone move, so that nothing but the prediction can be wrong."""
    with contextlib.ExitStack() as stack:
        who = []
        for way in found.ways:
            opened = stack.enter_context(found.bench.opened(way.name)) if way.name in DRAFTS else None
            model = found.bench.model if opened is None else opened.model
            policy = plain() if way.name == NONE else Fixed(way.name, way.measured.pipeline)
            who.append(Timed(way.name, model, policy, found.clock))
        runs = list(run_suite([each.prompt for each in found.bench.answers], who, found.bench.max_tokens))
    report = to_json(verified(runs, found.ways))
    assert {each["name"] for each in report["ways"]} == {NONE, FREE, *DRAFTS}
    assert report["most_off"] < 0.01
    assert (report["within"], report["inversions_beyond"]) == (True, 0)
    for way in report["ways"]:
        assert way["mismatches"] == 0
        assert way["decode"]["predicted"] == pytest.approx(way["decode"]["measured"], rel=0.01)
        for its in way["classes"].values():
            assert its["predicted"] == pytest.approx(its["measured"], rel=0.01)


def test_ways_are_ranked_and_judged(found: Found) -> None:
    by_name = {each.name: each for each in found.ways}
    order = [each.name for each in found.ways]
    assert order[0] == "good"
    assert order[-1] == NONE
    assert order.index("good") < order.index("middling") < order.index(FREE) < order.index("hopeless")
    assert by_name[NONE].speed_up.value == 1
    verdicts = {name: rank.verdict(each) for name, each in by_name.items()}
    assert verdicts == {
        "good": "pays",
        "middling": "pays",
        "hopeless": "hopeless",
        "slow": "unclear",
        NONE: "",
        FREE: "",
    }
    assert sum(each.best for each in found.ways) == pytest.approx(1, abs=0.01)
    for each in found.ways:
        assert each.speed_up.low <= each.speed_up.value <= each.speed_up.high


def test_the_choice_is_the_simplest_that_is_surely_as_fast(found: Found) -> None:
    def chosen(*left_out: str) -> str:
        return rank.choice([each for each in found.ways if each.name not in left_out]).name

    assert chosen() == "good"
    assert chosen("good") == "middling"
    assert chosen("good", "middling") == FREE
    free = next(each for each in found.ways if each.name == FREE)
    unsure = [replace(each, beats={NONE: 0.9}) if each is free else each for each in found.ways]
    assert rank.choice([each for each in unsure if each.name not in ("good", "middling")]).name == NONE


def test_reasons_say_what_was_chosen_over_what(found: Found) -> None:
    by_name = {each.name: each for each in found.ways}
    good, free, none = by_name["good"], by_name[FREE], by_name[NONE]
    assert rank.reason([good, free, none], good).startswith("it is predicted to be the fastest, in ")
    assert rank.reason([good, free, none], free).startswith("good is predicted to be ")
    assert rank.reason([free, none], free).startswith("with every candidate -O2 is predicted to be no faster")
    assert rank.reason([free, none], none).startswith("-O2 without a draft model is predicted to be ")
    assert rank.reason([none, free], none) == "nothing is predicted to be faster than the target alone"


def test_what_drafts_say_is_counted(found: Found) -> None:
    good, hopeless = (found.measured[name].drafted for name in ("good", "hopeless"))
    assert good is not None
    assert hopeless is not None
    assert good.places == hopeless.places == sum(len(each.played.answer) - 1 for each in found.bench.answers)
    assert good.right > 0.9
    assert hopeless.right < 0.1
    for said in (good, hopeless):
        assert said.by_place[0] == said.right
        assert list(said.by_place) == sorted(said.by_place, reverse=True)
        assert sum(n for n, _, _ in said.reliability) == said.places
        assert sum(n * right for n, _, right in said.reliability) == pytest.approx(said.right * said.places)


def test_an_inversion_counts_where_ranges_are_apart() -> None:
    def way(name: str, predicted: tuple[float, float, float], measured: float) -> Verified:
        return Verified(name, Estimate(*predicted), Estimate(measured, 0, 9), 0, 1, 1, 0, {}, 0)

    a, b, c = way("a", (2.0, 1.8, 2.2), 1.5), way("b", (1.6, 1.5, 1.7), 1.9), way("c", (1.9, 1.6, 2.1), 1.6)
    assert inversions([a, b, c]) == [
        Inversion("a", "b", beyond=True),
        Inversion("a", "c", beyond=False),
        Inversion("c", "b", beyond=False),
    ]
    report = to_json([a, b, replace(c, off=-0.2)])
    assert (report["inversions_beyond"], report["most_off"], report["within"]) == (1, 0.2, False)


def test_ranges_come_from_prompts_and_from_timings() -> None:
    base = np.array([[100.0, 100.0], [100.0, 100.0]])
    same, texts, blocks = base / 2, np.array([[50.0, 25.0]] * 2), np.array([[50.0, 50.0], [25.0, 25.0]])
    draws = Draws.of(2, 2)
    assert estimate(base, same, ["a", "a"], draws) == Estimate(2.0, 2.0, 2.0)
    by_text, by_block = (estimate(base, each, ["a", "a"], draws) for each in (texts, blocks))
    assert (by_text.low, by_text.high) == (2.0, 4.0)
    assert (by_block.low, by_block.high) == (2.0, 4.0)
    assert by_text.value == by_block.value == pytest.approx(200 / 75)
    assert estimate(base, texts, ["a", "b"], draws).value == pytest.approx(8**0.5)  # geometric mean of the classes


def test_a_candidate_with_other_tokens_is_refused(found: Found) -> None:
    with pytest.raises(ForetellError, match="its tokens are others"), found.bench.opened("foreign"):
        pass


@given(rows=st.lists(st.integers(1, 16) | st.integers(21, 200), max_size=9), context=st.integers(0, 3000))
def test_passes_are_priced_by_size_and_context(rows: list[int], context: int) -> None:
    base = PassTimes(((0, Curve.of({1: 10.0, 16: 20.0})), (1000, Curve.of({1: 20.0, 16: 40.0}))), prompt_ms=2.0)
    times = {1: 5.0, 16: 10.0, 64: 100.0}
    (ms,) = Prices(base, 0).ms([(n, context) for n in rows], [times])
    factor = 1 + min(context, 1000) / 1000
    wanted = sum(100 * n / 64 if n > 64 else Curve.of(times)(n) * (factor if n <= 16 else 1) for n in rows)
    assert ms == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a", ("a", None)),
        ("a@q4_0", ("a", (0, "Q4_0"))),
        ("a@Q4_K+100", ("a", (100, "Q4_K"))),
        ("a@+100", ("a", (100, ""))),
        ("hf:org/repo@main/file.gguf", ("hf:org/repo@main/file.gguf", None)),
        ("me@home.gguf", ("me@home.gguf", None)),
        ("/a@b/c.gguf@q4_0", ("/a@b/c.gguf", (0, "Q4_0"))),
    ],
)
def test_names_may_say_a_form(text: str, wanted: tuple[str, Form | None]) -> None:
    assert draft_name.parse(text) == wanted


@pytest.mark.parametrize("text", ["a@", "a@q3_k", "a@q4_0+", "a@16384", "a@q4_0+0", "@q4_0", "a@q4_0 +5"])
def test_wrong_forms_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"write MODEL@PRECISION, MODEL@\+TOKENS or MODEL@PRECISION\+TOKENS"):
        draft_name.parse(text)


def test_forms_are_those_that_the_engine_has() -> None:
    assert draft_name.PRECISIONS == PRECISIONS


def test_a_file_may_have_any_name(tmp_path: Path) -> None:
    path = tmp_path / "a@q9"
    path.touch()
    assert draft_name.parse(str(path)) == (str(path), None)


def test_candidates_are_named_once() -> None:
    assert names("a, b@q4_0,a,") == ["a", "b@q4_0"]
    with pytest.raises(UsageError, match="there is no candidate"):
        names(" , ")
    with pytest.raises(UsageError, match="'none' is always among what is compared"):
        names("a,none")


def test_prompts_take_turns_by_class(tmp_path: Path) -> None:
    suite = tmp_path / "suite.jsonl"
    lines = [{"klass": klass, "id": i, "prompt": f"{klass} {i}"} for klass in "ab" for i in range(3)]
    suite.write_text("".join(json.dumps(each) + "\n" for each in lines))
    assert [each.text for each in chosen(suite, 3)] == ["a 0", "b 0", "a 1"]
    own = tmp_path / "own.txt"
    own.write_text('first\n\n{"prompt": "second", "kind": "k"}\n')
    assert chosen(own) == [Prompt("own", "1", "first"), Prompt("k", "2", "second")]
    assert len({each.klass for each in chosen(None, 8)}) == 8
    with pytest.raises(UsageError, match="cannot read prompts"):
        chosen(tmp_path / "nothing")
