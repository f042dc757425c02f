"""What a generation is specialised to while it runs: entering, guards, falling back, and entering again."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from foretell.accept.proposal import Proposal, chain
from foretell.accept.rule import Verdict
from foretell.accept.sampling import GREEDY, Sampling
from foretell.api import Model
from foretell.backend.protocol import Cutter, Scores, Want
from foretell.backend.toy import ToyBackend, ToyModel, ToySession
from foretell.codegen.round import Outcome
from foretell.cost.assumed import assumed
from foretell.cost.curve import Curve
from foretell.cost.facts import Facts, Trade
from foretell.errors import ForetellError, UsageError
from foretell.ir import presets
from foretell.ir.ops import Pipeline
from foretell.ir.text import parse
from foretell.passes.levels import level
from foretell.runtime.backoff import MOST
from foretell.runtime.context import Context
from foretell.runtime.drafter import Drafter
from foretell.runtime.loop import Stream
from foretell.runtime.pace import Change, Decision
from foretell.runtime.settings import Settings
from foretell.runtime.tiers.build import Build, Going
from foretell.runtime.tiers.content import Content, Words
from foretell.runtime.tiers.narrow import SURE, WARM, Narrow
from foretell.runtime.tiers.profit import LATER, NOVEL, Times, gain, kept, times
from foretell.runtime.tiers.rounds import STABLE, Rounds, show, specialised
from foretell.runtime.tiers.tiers import Tiers

SIZE = 40
WHOLE = 260  # tokens of the toy
MODEL = replace(
    assumed("draft").models["draft"],
    pass_ms=Curve.of({1: 9.0, 8: 13.0}),
    prompt_ms=0.1,
    forms={(130, ""): Trade(0.75, 1.0)},
)
FACTS = replace(
    assumed("draft"),
    target=Curve.of({1: 37.5, 2: 41.0, 4: 46.5, 8: 55.0, 16: 79.0}),
    models={"draft": MODEL},
    answer_tokens=256,
)


# --- profit


def test_the_gain_is_that_of_rounds_counted_out() -> None:
    def speed(right: float, draft_ms: float) -> float:
        tokens = 1 + right + right**2 + right**3
        return tokens / (50 + 3 * draft_ms)

    assert gain(0.8, 3, 50.0, 9.0, 0.75, 0.98) == pytest.approx(speed(0.8 * 0.98, 6.75) / speed(0.8, 9.0) - 1)
    assert gain(0.8, 3, 50.0, 9.0, 1.0, 1.0) == pytest.approx(0.0)
    assert gain(0.8, 2.5, 50.0, 9.0, 0.75, 1.0) > gain(0.8, 2, 50.0, 9.0, 0.75, 1.0)
    assert gain(0.8, 3, 50.0, 9.0, 0.9, 0.5) < 0
    assert gain(0.8, 3, 50.0, 9.0, 0.9, 1.3) == gain(0.8, 3, 50.0, 9.0, 0.9, 1.0), "never better than all it can say"
    assert kept(0.1, 0.8) == pytest.approx(1 - NOVEL * 0.1 / 0.8)
    assert (kept(0.0, 0.8), kept(0.5, 0.0), kept(1.0, 0.1)) == (1.0, 1.0, 0.0)


def test_times_come_from_forms_of_the_same_precision() -> None:
    known = times(FACTS, "draft", 0, "", (WHOLE, SIZE), WHOLE)
    assert known is not None
    assert known.usual_ms == 9.0
    assert known.saved_ms == pytest.approx(9.0 * 0.25 / 130 * 220)
    assert known.factor(100) == pytest.approx(1 - known.saved_ms / 9.0)
    assert times(FACTS, "draft", 0, "Q4_0", (WHOLE, SIZE), WHOLE) is None, "nothing was measured"
    assert times(FACTS, "other", 0, "", (WHOLE, SIZE), WHOLE) is None
    dear = replace(FACTS, models={"draft": replace(MODEL, forms={(130, ""): Trade(1.0, 1.0)})})
    assert times(dear, "draft", 0, "", (WHOLE, SIZE), WHOLE) is None, "it saves nothing"


def test_behind_a_long_text_the_same_saving_is_a_smaller_part() -> None:
    contexts = {64: Curve.of({1: 9.0}), 4096: Curve.of({1: 18.0})}
    facts = replace(FACTS, models={"draft": replace(MODEL, contexts=contexts)})
    known = times(facts, "draft", 0, "", (WHOLE, SIZE), WHOLE)
    assert known is not None
    assert known.factor(64) < known.factor(2000) < known.factor(4096) == pytest.approx(1 - known.saved_ms / 18)


# --- content


def words(size: int = 6, says: Sequence[int] = range(20), frequent: Sequence[int] = (15, 3)) -> Words:
    return Words.of(size, np.array(says, np.int32), frequent)


def test_a_matrix_has_the_content_then_what_is_frequent_then_low_ids() -> None:
    content = Content(words())
    assert content.chosen() == [15, 3, 0, 1, 2, 4]
    content.add([19, 7, 19])
    assert sorted(content.chosen()) == [0, 1, 3, 7, 15, 19]
    content.add(range(30, 38))
    assert content.chosen() == list(range(32, 38)), "the newest of more than it holds; also those that were left out"


def test_shares_are_of_tokens_before_they_were_seen() -> None:
    content = Content(words(says=range(10)))
    content.add([9])
    content.answer([9, 3])
    assert content.lost == 0
    content.answer([25, 25])  # which the model does not say either
    assert content.lost == 0
    content.answer([8])  # the model says it, a matrix would not have had it
    assert content.lost == pytest.approx(1 / 20, rel=0.2)
    before = content.lost
    content.answer([8])
    assert content.lost < before, "a new matrix has it"
    content.made([1, 2])
    assert content.lost == 0
    content.answer([9])
    assert content.lost > 0


# --- builds


def test_a_build_runs_beside_and_says_what_became_of_it() -> None:
    build = Build(lambda going: going())
    while not build.done:
        time.sleep(0.001)
    assert build.made
    assert build.error is None

    def fails(going: Going) -> bool:
        raise ValueError("no memory")

    build = Build(fails)
    build.cancel()
    assert (build.done, build.made, str(build.error)) == (True, False, "no memory")


def test_a_build_is_given_up() -> None:
    def endless(going: Going) -> bool:
        while going():
            time.sleep(0.001)
        return False

    first, second = Build(endless), Build(lambda _: pytest.fail("one at a time, and it was given up before"))
    second._stop.set()
    first.cancel()
    second.cancel()
    assert first.done
    assert second.done
    assert not first.made
    assert not second.made
    assert second.error is None


# --- rounds

PACED = parse(
    "g = draft(lookup, width=8, paced=true)\nh = draft(model, of=draft, width=8, law=coupled, paced=true)\n"
    "m = merge(g, h)\nv = verify(m)\na = accept(v)\ncommit(a)",
    "paced",
)
LABELS = {"g": "lookup", "h": "draft"}


@dataclass
class Scripted:
    """A pace that decides what it is told."""

    decided: str = ""
    log: list[Change] = field(default_factory=list)
    turn: int = 0

    def plan(self, limit: int) -> Decision:
        self.turn += 1
        return Decision("copy" if self.decided else "plain", self.decided, 1, 1.0, 1.0, "")

    def note(self, source: str, what: str, why: str) -> None:
        self.log.append(Change(self.turn, source, what, why))


def general(*_: Any) -> Outcome:
    raise AssertionError("not run here")


def rounds() -> tuple[Rounds, Scripted]:
    pace = Scripted()
    return Rounds(PACED, general, LABELS, pace), pace  # type: ignore[arg-type]


def run(made: Rounds, pace: Scripted, decided: str, count: int) -> list[bool]:
    """Whether each round was a specialised one."""
    pace.decided = decided
    return [made.choose(8) is not general for _ in range(count)]


def test_a_round_is_specialised_when_the_same_sources_guess_for_long() -> None:
    made, pace = rounds()
    assert not any(run(made, pace, "lookup", STABLE))
    assert all(run(made, pace, "lookup", 5))
    assert made.on == {"lookup"}
    assert all(run(made, pace, "", 100)), "no guess at all is fine"
    (entered,) = pace.log
    assert entered[1:] == ("lookup", "tier 1", "a round of its own, without draft")


def test_a_source_that_is_off_fails_the_guard_in_its_own_round() -> None:
    made, pace = rounds()
    run(made, pace, "", STABLE + 1)
    assert made.on == frozenset()
    assert run(made, pace, "lookup+draft", 1) == [False]
    assert (made.on, made.entered, made.fell) == (None, 1, 1)
    assert pace.log[-1][1:] == ("draft and lookup", "guard sources", "to guess again; tier 0 for 20 rounds at least")


def test_waits_double_up_to_forty_rounds_and_end_when_it_serves_long() -> None:
    made, pace = rounds()
    for _ in range(8):
        while made.on is None:
            run(made, pace, "", 1)
        run(made, pace, "draft", 1)
    failed = [each.round for each in pace.log if each.what == "guard sources"]
    entered = [each.round for each in pace.log if each.what == "tier 1"]
    waits = [a - b for a, b in zip(entered[1:], failed, strict=False)]
    assert waits == sorted(waits)
    assert max(waits) == MOST
    run(made, pace, "", 2 * MOST)
    assert made.on == frozenset()
    assert run(made, pace, "draft", 1) == [False]
    run(made, pace, "", 2 * STABLE)
    assert made.on is not None, "after long service the wait is short again"


def test_all_sources_are_nothing_to_specialise_on() -> None:
    made, pace = rounds()
    for _ in range(3 * STABLE):
        run(made, pace, "lookup", 1)
        run(made, pace, "draft", 1)
    assert made.entered == 0


def test_free_sources_stay_on_while_a_model_is() -> None:
    made, pace = rounds()
    assert not any(run(made, pace, "draft", 3 * STABLE)), "their guesses may join its own"


def test_a_specialised_pipeline_has_no_trace_of_what_is_off() -> None:
    assert specialised(PACED, frozenset({"g", "h"})).statements == presets.load("plain").statements
    text = show(PACED)
    assert text.count("def run_round") == 3
    assert "# tier 1. Guard: in this round, g (lookup) and h (draft) are not to guess; else tier 0." in text
    assert "no tier 1" in show(presets.load("plain"))
    assert "no tier 1" in show(presets.load("sampling"))


# --- the output matrix


@dataclass
class Matrix:
    """A cut that may fail."""

    error: Exception | None = None
    ids: list[int] = field(default_factory=list)

    def fill(self, ids: Sequence[int], going: Callable[[], bool]) -> bool:
        if self.error is not None:
            raise self.error
        self.ids = list(ids)
        return going()


@dataclass
class Cutting:
    """A session that notes what it is told."""

    vocabulary: int = WHOLE
    matrix: Matrix = field(default_factory=Matrix)
    used: list[bool] = field(default_factory=list)

    @property
    def says(self) -> Any:
        return np.arange(WHOLE, dtype=np.int32)

    def cut(self, size: int) -> Matrix:
        return self.matrix

    def narrow(self, cut: Matrix | None) -> None:
        self.used.append(cut is not None)


class Once:
    """Work done at once when it is looked at; or never."""

    def __init__(self, work: Callable[[Going], bool], *, ends: bool = True) -> None:
        self.done, self.made, self.cancelled = ends, False, False
        self.error: Exception | None = None
        try:
            self.made = ends and work(lambda: True)
        except (MemoryError, RuntimeError) as error:
            self.error = error

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class Bench:
    """A Narrow and everything around it."""

    cutter: Cutting = field(default_factory=Cutting)
    log: list[Change] = field(default_factory=list)
    factors: list[float] = field(default_factory=list)
    builds: list[Once] = field(default_factory=list)
    ends: bool = True
    length: int = 100
    turn: int = 0

    def __post_init__(self) -> None:
        self.narrow = Narrow(
            "draft",
            self.cutter,
            FACTS,
            [(Content(words(SIZE, range(WHOLE))), Times(9.0, 2.0, {}))],
            lambda source, what, why: self.log.append(Change(self.turn, source, what, why)),
            self.factors.append,
            self._start,  # type: ignore[arg-type]
        )
        self.narrow.begin(range(30))

    def _start(self, work: Callable[[Going], bool]) -> Once:
        self.builds.append(Once(work, ends=self.ends))
        return self.builds[-1]

    def rounds(self, count: int, tokens: Sequence[int] = (1, 2, 3), right: int = 2, left: int = 200) -> None:
        """Rounds in which so many of three guesses are right, and that give these tokens."""
        for _ in range(count):
            self.turn += 1
            self.narrow.tick(self.length, left)
            proposal = chain([*tokens[:right], 5, 6, 7], "draft")
            proposal = Proposal(proposal.guesses[:3])
            self.narrow.learn(Outcome(proposal, Verdict(tuple(range(right)), tokens[-1])), tokens)
            self.length += len(tokens)

    @property
    def said(self) -> list[str]:
        return [each.what for each in self.log]


def test_a_matrix_comes_into_use_when_it_is_built() -> None:
    bench = Bench()
    bench.rounds(WARM)
    assert not bench.builds, "nothing is known yet"
    bench.rounds(2)
    assert bench.said == ["tier 1"]
    assert bench.cutter.used == [True]
    assert set(range(30)) <= set(bench.cutter.matrix.ids)
    assert len(set(bench.cutter.matrix.ids)) == SIZE
    assert bench.factors == [pytest.approx(1 - 2 / 9)]
    bench.narrow.close()
    assert bench.cutter.used == [True, False]
    assert bench.factors[-1] == 1.0


@pytest.mark.parametrize(
    ("guard", "break_it"),
    [
        ("vocabulary", lambda bench: [bench.rounds(1, tokens=(90 + n, 130 + n, 170 + n)) for n in range(20)]),
        ("acceptance", lambda bench: bench.rounds(20, right=0)),
        ("context", lambda bench: (setattr(bench, "length", bench.length * 3 + LATER), bench.rounds(1))),
    ],
)
def test_each_guard_falls_back_and_says_why(guard: str, break_it: Callable[[Bench], object]) -> None:
    bench = Bench()
    bench.rounds(WARM + 2 + SURE)
    assert bench.narrow.on
    break_it(bench)
    assert bench.said[:2] == ["tier 1", f"guard {guard}"]
    assert bench.cutter.used[:2] == [True, False]
    assert bench.factors[1] == 1.0
    assert bench.log[1].why.endswith("tier 0 for 20 rounds at least")


def test_guards_that_fail_again_and_again_wait_forty_rounds_at_most() -> None:
    bench = Bench()
    for _ in range(6):
        before = bench.narrow.entered
        while bench.narrow.entered == before:
            bench.rounds(1)
            assert bench.turn < 1000
        bench.length = 3 * bench.length + LATER
    failed = [each.round for each in bench.log if each.what.startswith("guard")]
    entered = [each.round for each in bench.log if each.what == "tier 1"]
    waits = [a - b for a, b in zip(entered[1:], failed, strict=False)]
    assert waits == [21, 41, 41, 41, 41], "one round more, in which it is built"
    assert all(a < b for a, b in pairwise(entered))


def test_a_matrix_that_cannot_be_built_is_left() -> None:
    bench = Bench(Cutting(matrix=Matrix(MemoryError("no memory\nleft"))))
    bench.rounds(WARM + 2)
    assert bench.said == ["not built"]
    assert "no memory left" in bench.log[0].why
    assert bench.cutter.used == []
    assert not bench.narrow.on
    bench.rounds(15)
    assert len(bench.builds) == 1, "not at once again"


def test_a_build_ends_with_the_generation() -> None:
    bench = Bench(ends=False)
    bench.rounds(WARM + 10)
    (build,) = bench.builds
    bench.narrow.close()
    assert build.cancelled
    assert bench.cutter.used == bench.log == []


def test_nothing_is_built_for_an_answer_that_is_nearly_over_or_says_other_tokens() -> None:
    bench = Bench()
    bench.rounds(WARM + 10, left=3)
    assert not bench.builds
    bench = Bench()
    for turn in range(WARM + 10):
        bench.rounds(1, tokens=(60 + 3 * turn, 61 + 3 * turn, 62 + 3 * turn))
    assert not bench.builds


# --- generations


class CuttingToy(ToySession):
    """A toy of which some tokens can be cut."""

    def __init__(self, model: ToyModel, context: int, fails: bool) -> None:
        super().__init__(model, context)
        self.matrix, self.ids = Matrix(RuntimeError("broken") if fails else None), list[int]()
        self.narrowed = 0

    @property
    def says(self) -> Any:
        return np.arange(self.vocabulary, dtype=np.int32)

    def cut(self, size: int) -> Matrix:
        return self.matrix

    def narrow(self, cut: Matrix | None) -> None:
        self.ids = [] if cut is None else cut.ids
        self.narrowed += cut is not None

    def _scores(self, histories: Sequence[list[int]], want: Want) -> Scores:
        if not self.ids:
            return super()._scores(histories, want)
        whole = self._model
        self._model = Masked(whole, tuple(self.ids))  # type: ignore[assignment]
        try:
            return super()._scores(histories, want)
        finally:
            self._model = whole


@dataclass(frozen=True)
class Masked:
    model: ToyModel
    ids: tuple[int, ...]
    vocabulary: int = WHOLE

    def logits(self, history: Sequence[int]) -> Any:
        out = np.full(WHOLE, -1e9, np.float32)
        out[list(self.ids)] = self.model.logits(history)[list(self.ids)]
        return out


@dataclass(frozen=True)
class CuttingBackend(ToyBackend):
    fails: bool = False
    sessions: list[CuttingToy] = field(default_factory=list, hash=False)

    def session(self) -> CuttingToy:
        self.sessions.append(CuttingToy(self.model, self.context, self.fails))
        return self.sessions[-1]


TARGET = ToyModel(order=3)
ALONE: Pipeline = parse(
    "g = draft(model, of=draft, width=4, law=coupled, paced=true)\nv = verify(g)\na = accept(v)\ncommit(a)", "alone"
)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foretell.runtime.binding.SIZES", (SIZE, 3 * SIZE, WHOLE))


@dataclass
class Said:
    tokens: tuple[int, ...]
    notes: tuple[str, ...]
    log: list[Change]
    tiers: Tiers | None
    draft: CuttingToy


def say(
    pipeline: Pipeline,
    facts: Facts = FACTS,
    draft: ToyModel = TARGET,
    sampling: Sampling = GREEDY,
    tokens: int = 200,
    fails: bool = False,
) -> Said:
    backend = CuttingBackend(draft, fails=fails)
    drafter = Drafter(lambda _: backend, lambda _: {1: 9.0})
    model = Model(ToyBackend(TARGET), dict(facts.target.points), 0.0, drafter, facts)
    settings = Settings(pipeline=pipeline, max_tokens=tokens, temperature=sampling.temperature, seed=sampling.seed)
    pace = model.pace()
    request = replace(model.request(model.encode("abc " * 12), settings, 0.0), end_ids=frozenset())
    bound = model.bound(settings, request.sampling, pace)
    stream = Stream(request, Context(model.session), model.backend.detokeniser(), bound)
    for _ in stream:
        for each in () if bound.tiers is None else bound.tiers.narrows:
            while each._build is not None and not each._build.done:
                time.sleep(0.001)  # so that the text does not end before
    return Said(
        stream.result.tokens,
        stream.result.notes,
        list(pace.log),
        bound.tiers,
        [*backend.sessions, backend.session()][0],
    )


def test_a_generation_uses_a_matrix_of_its_content() -> None:
    said = say(ALONE)
    assert isinstance(said.draft, Cutter)
    assert said.draft.narrowed >= 1
    assert said.draft.ids == [], "it is over"
    assert ("draft", "tier 1") in [(each.source, each.what) for each in said.log]


@pytest.mark.parametrize("temperature", [0.0, 0.9])
@pytest.mark.parametrize("name", ["O1", "O2", "O3", "alone", "paced"])
def test_the_text_is_the_target_s_whatever_the_tier(
    name: str, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = {"alone": ALONE, "paced": PACED}.get(name) or level(name, draft="draft", facts=FACTS).pipeline
    sampling = Sampling(temperature=temperature, seed=3)
    found = say(pipeline, sampling=sampling).tokens
    plain = say(presets.load("plain"), sampling=sampling)
    assert plain.tiers is None
    assert found == plain.tokens
    monkeypatch.setenv("FORETELL_TIERS", "0")
    general = say(pipeline, sampling=sampling)
    assert general.tiers is None
    assert general.tokens == plain.tokens


def test_a_matrix_that_cannot_be_made_costs_nothing_but_a_line() -> None:
    said = say(ALONE, fails=True)
    assert said.tokens == say(presets.load("plain")).tokens
    assert said.notes == ()
    (failed, *_) = [each for each in said.log if each.what == "not built"]
    assert "broken" in failed.why
    assert said.draft.narrowed == 0


def test_a_draft_that_never_pays_is_specialised_away() -> None:
    said = say(PACED, draft=ToyModel(order=1))
    assert said.tiers is not None
    assert said.tiers.rounds.entered > 0
    assert "tier 1" in [each.what for each in said.log]


def test_texts_that_depend_on_guesses_stay_in_tier_0() -> None:
    drawn = parse(
        "g = draft(model, of=draft, width=4, law=sampled, paced=true)\nv = verify(g)\na = accept(v, rule=reject)\n"
        "commit(a)",
        "drawn",
    )
    assert say(drawn, sampling=Sampling(temperature=0.8, seed=1)).tiers is None
    assert say(presets.load("chain")).tiers is None, "what is not paced does what it says"


@pytest.mark.usefixtures("dropping")
def test_a_tier_that_fails_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("a mistake")

    monkeypatch.setattr(Narrow, "tick", broken)
    said = say(ALONE, tokens=40)
    assert said.tokens == say(presets.load("plain"), tokens=40).tokens
    assert said.notes[0] == "the source tiers failed and was dropped in round 1 (ValueError: a mistake)"
    assert len(said.notes) == 1


def test_the_switch_is_zero_or_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORETELL_TIERS", "yes")
    with pytest.raises(UsageError, match="FORETELL_TIERS is 'yes', must be 0 or 1"):
        say(PACED)


def test_what_a_person_must_know_is_no_failure_of_a_tier(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ForetellError("the model is closed; load it again")

    monkeypatch.setattr(Narrow, "tick", refuse)
    with pytest.raises(ForetellError, match="closed"):
        say(ALONE)


def test_the_size_is_the_one_that_gains_most() -> None:
    """A text of few tokens takes the small matrix; one whose new tokens the larger one has, the larger."""

    def sizes() -> list[tuple[Content, Times]]:
        return [
            (Content(words(size, range(WHOLE))), Times(9.0, saved, {})) for size, saved in ((SIZE, 2.0), (120, 1.5))
        ]

    bench = Bench()
    bench.narrow.sizes = sizes()
    bench.rounds(WARM + 2)
    assert len(bench.cutter.matrix.ids) == SIZE
    bench = Bench()
    bench.narrow.sizes = sizes()
    for turn in range(WARM + 2):
        bench.rounds(1, tokens=(60 + 3 * turn, 61 + 3 * turn, 62 + 3 * turn))
    assert len(bench.cutter.matrix.ids) == 120
