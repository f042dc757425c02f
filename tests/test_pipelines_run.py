"""Pipelines through the Python interface, on toy models: a target and a smaller, different one that drafts for it."""

import pytest

from foretell.api import Model, load
from foretell.backend.toy import ToyBackend, ToyModel
from foretell.cost.facts import Facts
from foretell.errors import UsageError
from foretell.ir import presets
from foretell.ir.ops import Draft
from foretell.ir.text import parse
from foretell.passes.levels import LEVELS
from foretell.passes.levels import level as level_of
from foretell.passes.rewrite import of_kind
from foretell.runtime.drafter import Drafter
from foretell.runtime.opening import Opening
from foretell.runtime.paced import PacedCopy
from foretell.runtime.settings import Settings

PROMPT = "to be or not to be, that is the question. to be or"
TARGET = ToyBackend(ToyModel(echo=5.0))
DRAFTS = [
    "model, of=draft, law=coupled", "model, of=draft", "model, of=draft, law=coupled, inner=lookup, prompt=9",
    "model, of=draft, law=sampled", "model, of=draft, law=coupled, stop=0.01",
]  # fmt: skip
WARM = {"max_tokens": 50, "temperature": 0.9, "seed": 6}
DRAFT = ToyBackend(ToyModel(order=2, echo=6.0))
EXACT = ("plain", "lookup", "chain", "staged", "tree", "copy", "merged", "paced", "approximated")


@pytest.fixture
def model() -> Model:
    drafter = Drafter(lambda _: DRAFT, lambda _: {1: 0.3, 8: 0.4})
    return Model(TARGET, {1: 1.0, 8: 1.2, 16: 1.9}, drafter=drafter)


@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("name", EXACT)
def test_exact_presets_give_the_targets_own_text(model: Model, name: str, temperature: float) -> None:
    plain = model.generate(PROMPT, max_tokens=60, temperature=temperature, seed=3, speculation=False)
    result = model.generate(PROMPT, max_tokens=60, temperature=temperature, seed=3, pipeline=presets.load(name))
    assert (result.text, result.tokens, result.finish) == (plain.text, plain.tokens, plain.finish)
    assert (result.rounds < plain.rounds) == (name != "plain")


@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("level", ["O0", "O1", "O2", "O3"])
def test_levels_give_the_targets_own_text(model: Model, level: str, temperature: float) -> None:
    plain = model.generate(PROMPT, max_tokens=60, temperature=temperature, seed=5, speculation=False)
    assert model.generate(PROMPT, max_tokens=60, temperature=temperature, seed=5, level=level).tokens == plain.tokens


@pytest.mark.parametrize("source", ["lookup, width=12", "recycled, width=12", "copy, width=12", *DRAFTS])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_paced_sources_give_the_targets_own_text(model: Model, source: str, temperature: float) -> None:
    text = f"g = draft({source}, paced=true)\nv = verify(g)\na = accept(v)\ncommit(a)"
    settings = {"max_tokens": 60, "temperature": temperature, "seed": 4, "repeat_penalty": 1.1}
    plain = model.generate(PROMPT, speculation=False, **settings)  # type: ignore[arg-type]
    result = model.generate(PROMPT, pipeline=parse(text, "p"), **settings)  # type: ignore[arg-type]
    assert result.tokens == plain.tokens
    assert temperature > 0 or result.rounds < plain.rounds


def test_what_a_level_runs_is_what_compile_shows(model: Model) -> None:
    alone = Model(TARGET, model.pass_costs)
    for each, draft in ((model, "draft"), (alone, None)):
        for name in LEVELS:
            shown = level_of(name, draft=draft, facts=each.facts).pipeline
            stream = each.stream(PROMPT, max_tokens=1, level=name)
            assert stream.bound.pipeline == shown
            stream.close()
    assert any(draft.paced for draft in of_kind(alone.pipeline(Settings(level="O2")), Draft))


def test_drawn_guesses_that_are_paced_keep_the_distributions_class_and_repeat(model: Model) -> None:
    text = "g = draft(model, of=draft, law=sampled, paced=true)\nv = verify(g)\na = accept(v, rule=block)\ncommit(a)"
    first, again = (model.generate(PROMPT, pipeline=parse(text, "p"), **WARM).tokens for _ in range(2))  # type: ignore[arg-type]
    assert first == again


def test_a_conversation_learns_through_its_turns(model: Model) -> None:
    chat = model.chat()
    for _ in range(3):
        assert chat.send(PROMPT, max_tokens=30, level="O1").result.rounds
    lone = model.stream(PROMPT, max_tokens=30, level="O1")
    source = chat.send(PROMPT, max_tokens=2, level="O1").bound.sources["lookup"]
    fresh = lone.bound.sources["lookup"]
    lone.close()
    assert isinstance(source, PacedCopy)
    assert isinstance(fresh, PacedCopy)
    assert source.matches.tried > 30 > fresh.matches.tried == 0


def test_sources_are_named(model: Model) -> None:
    events = list(model.stream(PROMPT, max_tokens=60, pipeline=presets.load("merged")))
    assert {"target", "lookup"} < {event.source for event in events} <= {"target", "lookup", "draft", "recycled"}


@pytest.mark.parametrize("name", ["sampling", "cascade"])
def test_drawn_presets_run_and_repeat(model: Model, name: str) -> None:
    settings = {"max_tokens": 40, "temperature": 0.8, "pipeline": presets.load(name), "seed": 7}
    first = model.generate(PROMPT, **settings)  # type: ignore[arg-type]
    assert model.generate(PROMPT, **settings).tokens == first.tokens  # type: ignore[arg-type]
    other = model.generate(PROMPT, **(settings | {"seed": 8}))  # type: ignore[arg-type]
    assert other.tokens != first.tokens


def test_log_probabilities_of_kept_guesses_are_the_targets(model: Model) -> None:
    plain = list(model.stream(PROMPT, max_tokens=40, logprobs=2, speculation=False))
    for name in ("chain", "tree"):
        events = list(model.stream(PROMPT, max_tokens=40, logprobs=2, pipeline=presets.load(name)))
        assert [(e.token, e.logprob, e.top) for e in events] == [(e.token, e.logprob, e.top) for e in plain]


DEFER = "g = draft(model, of=draft, width=6, law=sampled)\nd = defer(g, rule=chow, threshold={})\nv = verify(d)\n"


@pytest.mark.parametrize(("threshold", "alone"), [(1, DRAFT), (0, None)])
def test_defer_lets_the_small_model_speak(model: Model, threshold: int, alone: ToyBackend | None) -> None:
    """Never asked, the target gives the first token and, where no guess fits any more, the last; else all."""
    pipeline = parse(DEFER.format(threshold) + "a = accept(v, rule=keep)\ncommit(a)", "defer")
    result = model.generate(PROMPT, max_tokens=30, pipeline=pipeline, raw=True)
    plain = model.generate(PROMPT, max_tokens=30, raw=True, speculation=False)
    if alone is None:
        assert result.tokens == plain.tokens
        return
    first = plain.text[:1]
    small = Model(alone, {1: 1.0}).generate(PROMPT + first, max_tokens=29, raw=True, speculation=False)
    assert result.text[:-1] == (first + small.text)[:-1]
    assert result.rounds == 1


@pytest.mark.parametrize(("threshold", "chosen"), [(1, DRAFT), (0, TARGET)])
def test_route_sends_the_whole_query_to_one_model(model: Model, threshold: int, chosen: ToyBackend) -> None:
    text = f"route(small=draft, rule=chow, threshold={threshold})\nv = verify()\na = accept(v)\ncommit(a)"
    result = model.generate(PROMPT, max_tokens=30, pipeline=parse(text, "route"))
    assert result.tokens == Model(chosen, {1: 1.0}).generate(PROMPT, max_tokens=30).tokens


def test_a_draft_model_is_closed_when_loading_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[Drafter] = []

    def failing(*_: object) -> Facts:
        raise KeyboardInterrupt

    monkeypatch.setattr(Opening, "facts", failing)
    monkeypatch.setattr(Drafter, "close", lambda drafter: closed.append(drafter))  # noqa: PLW0108 — a method
    with pytest.raises(KeyboardInterrupt):
        load("toy", draft="toy")
    assert len(closed) == 1


def test_what_a_pipeline_lacks_is_said(model: Model) -> None:
    alone = Model(TARGET, {1: 1.0})
    for name in ("chain", "route"):
        with pytest.raises(UsageError, match="--draft"):
            alone.generate(PROMPT, pipeline=presets.load(name))
    greedy = parse("g = draft(lookup)\nv = verify(g)\na = accept(v, rule=greedy)\ncommit(a)")
    with pytest.raises(UsageError, match=r"temperature is 0\.5"):
        model.generate(PROMPT, pipeline=greedy, temperature=0.5)
    with pytest.raises(UsageError, match="cannot be routed"):
        model.chat().send("hello", pipeline=presets.load("route"))
    with pytest.raises(UsageError, match="no level 'O9'"):
        model.generate(PROMPT, level="O9")
