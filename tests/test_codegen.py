"""Generated rounds: the same as the interpreter's, readable, and no slower."""

import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foretell.accept.proposal import ROOT, Guess, Proposal, chain
from foretell.accept.sampling import GREEDY, Sampling
from foretell.accept.warpers import choose
from foretell.backend.toy import ToyModel
from foretell.codegen.build import build
from foretell.codegen.emit import source
from foretell.codegen.interpret import interpret
from foretell.codegen.plan import plan, show
from foretell.codegen.round import Outcome, Parts, Round
from foretell.errors import ForetellError
from foretell.ir import presets
from foretell.ir.ops import Accept, Commit, Defer, Draft, Merge, Pipeline, Verify
from pipelines import well_formed
from scripted import Script, compare

CHAIN = Pipeline(
    "chain",
    (Draft("g", "lookup", width=5), Verify("v", "g"), Accept("a", "v", rule="coupled"), Commit("a")),
)
TREE = Pipeline(
    "tree",
    (
        Draft("g", "recycled", width=6),
        Draft("h", "copy", width=4),
        Merge("m", ("g", "h"), width=8),
        Verify("v", "m"),
        Accept("a", "v", rule="greedy"),
        Commit("a"),
    ),
)
DEFER = Pipeline(
    "defer",
    (
        Draft("g", "model", of="draft", width=6, law="sampled"),
        Defer("d", "g", rule="chow", threshold=0.3),
        Verify("v", "d"),
        Accept("a", "v", rule="keep"),
        Commit("a"),
    ),
)


def plain(proposal: Proposal) -> list[Any]:
    """All there is to a proposal, without arrays."""
    return [guess._replace(q=None if guess.q is None else tuple(guess.q)) for guess in proposal.guesses]


def trace(round_: Round, script: Script, limits: Sequence[int]) -> list[Any]:
    """Rounds one after the other: guesses, verdict; and all that was asked of the parts."""
    parts, chance = script.parts(), script.chance()
    outcomes = [round_(parts, limit, chance) for limit in limits]
    return [*((plain(each.proposal), each.verdict) for each in outcomes), script.log]


UNUSED_DEFER = replace(DEFER, statements=(*DEFER.statements[:2], Verify("v", "g"), Accept("a", "v"), Commit("a")))


@example(UNUSED_DEFER, 1, [9] * 6)
@given(well_formed(), st.integers(0, 2**32), st.lists(st.integers(0, 9), min_size=1, max_size=6))
def test_generated_is_interpreted(pipeline: Pipeline, seed: int, limits: list[int]) -> None:
    generated = trace(build(pipeline), Script(pipeline, seed), limits)
    assert generated == trace(interpret(pipeline), Script(pipeline, seed), limits)


@pytest.mark.parametrize("name", presets.names())
def test_generated_is_interpreted_for_every_preset(name: str) -> None:
    pipeline, limits = presets.load(name), [9, 0, 1, *range(20)]
    seen = []
    for seed in range(10):
        generated = trace(build(pipeline), Script(pipeline, seed), limits)
        assert generated == trace(interpret(pipeline), Script(pipeline, seed), limits)
        seen += generated[:-1]
    if any(isinstance(each, Draft) for each in pipeline.statements):
        assert any(len(verdict.path) > 1 for _, verdict in seen)  # the script got somewhere
        assert any(len(guesses) > len(verdict.path) for guesses, verdict in seen) or name == "defer"


@pytest.mark.parametrize("pipeline", [CHAIN, TREE], ids=lambda each: each.name)
@pytest.mark.parametrize("make", [build, interpret])
def test_comparison_keeps_what_the_target_chose(make: Any, pipeline: Pipeline) -> None:
    round_, script = make(pipeline), Script(pipeline, 5)
    parts = script.parts()
    for _ in range(200):
        outcome = round_(parts, 9, script.chance())
        path, proposal = outcome.verdict.path, outcome.proposal
        assert [proposal.guesses[i].parent for i in path] == [ROOT, *path][: len(path)]
        assert outcome.verdict == compare(proposal, parts.verifier.last, script.chance())


@pytest.mark.parametrize("make", [build, interpret])
def test_sources_are_asked_for_no_more_than_the_limit(make: Any) -> None:
    script = Script(TREE, 1)
    make(TREE)(script.parts(), 3, script.chance())
    assert [entry for entry in script.log if entry[0] == "propose"] == [("propose", "g", 3), ("propose", "h", 3)]
    assert len(script.log[2][1]) <= 3  # and the tree that they make has no more


def drafted(guesses: Sequence[tuple[int, float]]) -> Proposal:
    """A chain of tokens; q gives token 0 the second number."""
    rows = [(token, np.array([first, 1 - first, 0])) for token, first in guesses]
    return Proposal(tuple(Guess(token, i - 1, "model", "sampled", 1.0, q) for i, (token, q) in enumerate(rows)))


@dataclass
class Fixed:
    """A source that always says the same."""

    proposal: Proposal
    name: str = "model"

    def extend(self, tokens: Sequence[int]) -> None: ...

    def propose(self, limit: int) -> Proposal:
        return self.proposal

    def close(self) -> None: ...


def deferred(make: Any, proposal: Proposal) -> tuple[Outcome, list[tuple[Any, ...]]]:
    script = Script(DEFER, 3)
    parts = replace(script.parts(), sources={"g": Fixed(proposal)})
    return make(DEFER)(parts, 9, script.chance()), [each for each in script.log if each[0] in ("verify", "rule")]


@pytest.mark.parametrize("make", [build, interpret])
def test_target_is_not_asked_while_the_small_model_is_sure(make: Any) -> None:
    sure = drafted([(1, 0.5), (2, 0.1), (1, 0.6)])
    outcome, log = deferred(make, sure)
    assert plain(outcome.proposal) == plain(sure)
    assert outcome.verdict.path == (0, 1, 2)
    assert outcome.verdict.bonus is None
    assert log == []


@pytest.mark.parametrize("make", [build, interpret])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_target_speaks_from_where_the_rule_fires(make: Any, place: int) -> None:
    doubtful = [(1, 0.5), (2, 0.1), (1, 0.6)]
    doubtful[place] = (1, 0.7)
    outcome, log = deferred(make, drafted(doubtful))
    assert plain(outcome.proposal) == plain(drafted(doubtful[:place]))
    assert [each[0] for each in log] == ["verify", "rule"]
    assert log[0][1] == [token for token, _ in doubtful[:place]]
    assert outcome.verdict.bonus is not None


@pytest.mark.parametrize("make", [build, interpret])
def test_target_speaks_when_the_small_model_says_nothing(make: Any) -> None:
    outcome, log = deferred(make, Proposal())
    assert outcome.verdict.path == ()
    assert outcome.verdict.bonus is not None
    assert [each[0] for each in log] == ["verify", "rule"]


@pytest.mark.parametrize("make", [build, interpret])
def test_defer_needs_distributions(make: Any) -> None:
    with pytest.raises(ForetellError, match="law=sampled"):
        deferred(make, chain([1, 2], "model"))


@dataclass
class Toy:
    """The toy model as a verifier, with the text so far; also a source that is often right."""

    sampling: Sampling
    model: ToyModel = field(default_factory=lambda: ToyModel(order=2, echo=3.0))
    text: list[int] = field(default_factory=lambda: list(b"once upon a time"))

    def verify(self, proposal: Proposal, *, constrained: bool = False) -> "Behind":
        return Behind(self, proposal)

    def choose(self, path: Sequence[int]) -> int:
        history = [*self.text, *path]
        return choose(self.model.logits(history), history, len(history), self.sampling)


@dataclass
class Behind:
    """What the toy says behind each guess."""

    toy: Toy
    proposal: Proposal

    def choice(self, node: int) -> int:
        return self.toy.choose([self.proposal.guesses[i].token for i in self.proposal.path(node)])

    def p(self, node: int) -> Any:
        raise AssertionError("a comparison needs no distribution")


@dataclass
class Peeking:
    """A source that asks the target, but is wrong each fifth time; in trees every guess has a sibling before it."""

    toy: Toy
    branches: bool
    asked: int = 0
    name: str = "peeking"

    def extend(self, tokens: Sequence[int]) -> None: ...

    def propose(self, limit: int) -> Proposal:
        guesses: list[Guess] = []
        tokens: list[int] = []
        parent = ROOT
        while len(guesses) < limit:
            self.asked += 1
            right = self.toy.choose(tokens)
            said = right if self.asked % 5 else 42
            if self.branches and len(guesses) + 1 < limit:
                guesses.append(Guess(43, parent, self.name))
            guesses.append(Guess(said, parent, self.name))
            parent = len(guesses) - 1
            tokens.append(said)
        return Proposal(tuple(guesses))

    def close(self) -> None: ...


@pytest.mark.parametrize("make", [build, interpret])
@pytest.mark.parametrize("pipeline", [CHAIN, TREE], ids=lambda each: each.name)
@pytest.mark.parametrize("sampling", [GREEDY, Sampling(temperature=0.8, seed=3)], ids=["greedy", "sampled"])
def test_text_is_that_of_the_target_alone(make: Any, pipeline: Pipeline, sampling: Sampling) -> None:
    alone, toy = Toy(sampling), Toy(sampling)
    start = len(toy.text)
    for _ in range(60):
        alone.text.append(alone.choose([]))
    drafts = [each for each in pipeline.statements if isinstance(each, Draft)]
    sources, rounds = {each.name: Peeking(toy, each.source == "recycled") for each in drafts}, 0
    round_, parts = make(pipeline), Parts(sources, {"a": compare}, {}, toy)
    while (room := 60 + start - len(toy.text)) > 0:
        outcome = round_(parts, room - 1, Script(pipeline, 0).chance())
        toy.text += [*(outcome.proposal.guesses[i].token for i in outcome.verdict.path), outcome.verdict.bonus]
        rounds += 1
    assert toy.text == alone.text
    assert rounds < 40  # guesses were kept


def opcodes(round_: Round, script: Script) -> int:
    """Instructions of Python that twenty rounds execute; the parts' own are the same for every round function."""
    count, parts, chance = 0, script.parts(), script.chance()

    def step(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return step

    before = sys.gettrace()
    sys.settrace(step)
    try:
        for _ in range(20):
            round_(parts, 9, chance)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("name", presets.names())
def test_generated_does_less_than_the_interpreter(name: str) -> None:
    pipeline = presets.load(name)
    assert opcodes(build(pipeline), Script(pipeline, 4)) < opcodes(interpret(pipeline), Script(pipeline, 4))


@pytest.mark.parametrize("name", presets.names())
def test_golden(name: str, golden: Any) -> None:
    golden(f"rounds/{name}.txt", source(plan(presets.load(name))))


def test_plan_says_what_was_specialised() -> None:
    assert show(plan(DEFER)).splitlines() == [
        "plan defer: lossy",
        "  g: model draft, chain of at most 6, sampled",
        "  d: g up to where chow fires",
        "  v: one pass over 1 to 7 rows if d asks for it",
        "  a: keep, called for a chain",
        "  commit a",
    ]
    assert "  m: g, h in one tree of at most 8" in show(plan(TREE)).splitlines()
    assert "  a: greedy, compared in place with a tree" in show(plan(TREE)).splitlines()


def test_equal_text_is_compiled_once() -> None:
    assert build(CHAIN) is build(replace(CHAIN))
    assert build(CHAIN) is not build(replace(CHAIN, name="other"))


class BrokenError(Exception):
    """What a source may raise."""


def test_traceback_shows_generated_lines() -> None:
    @dataclass
    class Broken(Fixed):
        def propose(self, limit: int) -> Proposal:
            raise BrokenError

    script = Script(CHAIN, 0)
    parts = replace(script.parts(), sources={"g": Broken(Proposal())})
    with pytest.raises(BrokenError) as caught:
        build(CHAIN)(parts, 5, script.chance())
    shown = "".join(traceback.format_exception(caught.value))
    assert 'g = parts.sources["g"].propose(min(5, limit))' in shown
    assert "in run_round" in shown


AWKWARD = ("min", "parts", "class", "node", "Outcome", "min_", "d_asks", "nothing", "_", "None")


@given(st.permutations(AWKWARD), st.integers(0, 2**32))
def test_names_that_mean_something_in_python(names: list[str], seed: int) -> None:
    g, h, m, k, d, v, a, *_ = names
    drafts = (Draft(g, "lookup"), Draft(h, "recycled"), Merge(m, (g, h)), Draft(k, "model", of="class", law="sampled"))
    deferred = (*drafts, Defer(d, k, rule="chow", threshold=0.5), Verify(v, d), Accept(a, v, rule="keep"), Commit(a))
    merged = (*drafts, Verify(v, m), Accept(a, v), Commit(a))
    for statements in (deferred, merged):
        pipeline = Pipeline("def", statements)
        generated = trace(build(pipeline), Script(pipeline, seed), [9] * 5)
        assert generated == trace(interpret(pipeline), Script(pipeline, seed), [9] * 5)


@pytest.mark.parametrize("make", [build, interpret])
def test_wrong_pipelines_are_refused_before_they_run(make: Any) -> None:
    with pytest.raises(ForetellError, match="block is for a chain of law sampled"):
        make(replace(CHAIN, statements=(*CHAIN.statements[:2], Accept("a", "v", rule="block"), Commit("a"))))
