"""Constrained output of a real model: its tokens are words, and not bytes as the toy's."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import foretell
from foretell.accept.grammar import Grammar, Guide
from schemas import SCHEMAS, Checked

PROMPTS = ("Invent an example.", "Describe a cat as data.", "Reply with your favourite values, please: über 12!")
pytestmark = [pytest.mark.model, pytest.mark.slow]


@pytest.fixture(scope="module")
def model() -> Iterator[foretell.Model]:
    with foretell.load("smollm2-135m") as loaded:
        yield loaded


@given(
    schema=SCHEMAS,
    prompt=st.sampled_from(PROMPTS),
    temperature=st.sampled_from([0.0, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=20)
def test_output_fits_its_schema_and_choices_alone_cost_passes(
    model: foretell.Model, schema: Checked, prompt: str, temperature: float, seed: int
) -> None:
    grammar = Grammar.schema(schema[0])
    asked: dict[str, Any] = {"grammar": grammar, "temperature": temperature, "seed": seed, "max_tokens": 40}
    plain = model.generate(prompt, level="O0", **asked)
    guessed = model.generate(prompt, **asked)
    assert (guessed.tokens, guessed.finish) == (plain.tokens, plain.finish)

    walk, choices = Guide(model.backend.codec, model.session.vocabulary).walk(grammar), 0
    ends = sorted(model.backend.codec.end_ids)[:1] if plain.finish == "stop" else []
    for place, token in enumerate([*plain.tokens, *ends]):
        allowed = walk.allowed(())
        assert allowed is not None
        assert token in allowed or token in ends
        choices += place > 0 and allowed.size > 1  # the first token comes from the prompt's own pass
        walk.extend([token])
    assert plain.rounds == choices
    assert guessed.rounds <= choices
    if plain.finish == "stop":
        assert schema[1](json.loads(plain.text))
    else:
        assert (plain.finish, len(plain.tokens)) == ("length", 40)
