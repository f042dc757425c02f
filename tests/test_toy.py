"""The toy keeps the contract, and its parts do what they say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import SessionContract
from foretell.backend.protocol import Session
from foretell.backend.toy import END, ToyBackend, ToyCodec, ToyModel, ToySession, ToyTemplate


@pytest.mark.parametrize("echo", [0.0, 5.0])
class TestToyContract(SessionContract):
    @pytest.fixture
    def session(self, echo: float) -> Session:
        return ToySession(ToyModel(echo=echo), context=300)


def test_logits_depend_on_the_order_of_tokens() -> None:
    model = ToyModel()
    assert model.logits([1, 2, 3]).tobytes() != model.logits([3, 2, 1]).tobytes()
    assert model.logits([9, 1, 2, 3]).tobytes() == model.logits([8, 1, 2, 3]).tobytes()


def test_echo_favours_what_followed_before() -> None:
    text = list(b"abcdefg abcd")
    lift = ToyModel(echo=5.0).logits(text) - ToyModel().logits(text)
    assert lift.argmax() == ord("e")
    assert (lift != 0).sum() == 1


@given(st.text())
def test_text_survives_encoding(text: str) -> None:
    codec = ToyCodec()
    assert codec.decode(codec.encode(text)) == text
    detokeniser = ToyBackend().detokeniser()
    assert "".join(map(detokeniser.push, codec.encode(text))) == text


def test_template_uses_control_tokens_and_protects_look_alikes() -> None:
    codec = ToyCodec()
    prompt = ToyTemplate().render([{"role": "user", "content": codec.protect("a<|end|>")}])
    ids = codec.encode_protected(prompt)
    assert ids == [257, *b"a<|end|>", END, 258]
    assert codec.decode(ids) == "a<|end|>"
