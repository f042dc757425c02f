"""Pipelines through the Python interface, on toy models: a target and a smaller, different one that drafts for it."""

import pytest

from foretell.api import Model
from foretell.backend.toy import ToyBackend, ToyModel
from foretell.errors import UsageError
from foretell.ir import presets
from foretell.ir.text import parse
from foretell.runtime.drafter import Drafter

PROMPT = "to be or not to be, that is the question. to be or"
TARGET = ToyBackend(ToyModel(echo=5.0))
DRAFT = ToyBackend(ToyModel(order=2, echo=6.0))
EXACT = ("plain", "lookup", "chain", "staged", "tree", "copy", "merged")


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


@pytest.mark.parametrize("level", ["O0", "O1", "O2", "O3"])
def test_levels_give_the_targets_own_text(model: Model, level: str) -> None:
    plain = model.generate(PROMPT, max_tokens=60, temperature=0.8, seed=5, speculation=False)
    assert model.generate(PROMPT, max_tokens=60, temperature=0.8, seed=5, level=level).tokens == plain.tokens


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
