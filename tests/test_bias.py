"""Logit bias: added before all other warpers, to p and q alike, and gone again from log-probabilities."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import foretell
from foretell.accept.distribution import distribution
from foretell.accept.grammar import Grammar
from foretell.accept.limited import choose_among
from foretell.accept.sampling import GREEDY, Sampling
from foretell.accept.warpers import adjusted, biased, choose
from foretell.api import Model
from foretell.backend.toy import END, VOCABULARY, ToyBackend, ToyModel
from foretell.cli import run
from foretell.errors import UsageError
from foretell.ir import presets
from foretell.ir.text import parse
from foretell.runtime.drafter import Drafter
from foretell.runtime.settings import Settings

PROMPT = "to be or not to be, that is the question. to be or"
SIZE = 30
VALUES = st.sampled_from([-math.inf, -100.0, -3.7, 0.0, 0.3, 5.0, 100.0])
BIASES = st.dictionaries(st.integers(0, SIZE + 3), VALUES, max_size=12).map(lambda found: tuple(sorted(found.items())))
SAMPLINGS = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.8, 3.0]),
    top_k=st.sampled_from([0, 4]),
    top_p=st.sampled_from([0.7, 1.0]),
    min_p=st.sampled_from([0.0, 0.1]),
    repeat_penalty=st.sampled_from([1.0, 1.3]),
    seed=st.integers(0, 2**64 - 1),
    logit_bias=BIASES,
)


@pytest.fixture
def model() -> Model:
    small = ToyBackend(ToyModel(order=2, echo=6.0))
    return Model(ToyBackend(), {1: 1.0, 8: 1.2, 16: 1.9}, drafter=Drafter(lambda _: small, lambda _: {1: 0.3, 8: 0.4}))


# ---- warpers


@given(sampling=SAMPLINGS, seed=st.integers(0, 2**32), position=st.integers(0, 999))
@settings(deadline=None)
def test_it_is_the_same_as_other_logits(sampling: Sampling, seed: int, position: int) -> None:
    rng = np.random.default_rng(seed)
    logits, history = (3 * rng.standard_normal(SIZE)).astype(np.float32), rng.integers(0, SIZE, 20).tolist()
    moved = logits.copy()
    for token, value in sampling.logit_bias:
        if token < SIZE:
            moved[token] = np.float32(moved[token] + np.float32(value))
    unbiased = Sampling(
        *(sampling.temperature, sampling.top_k, sampling.top_p, sampling.min_p, sampling.repeat_penalty, sampling.seed)
    )
    before = logits.tobytes()
    assert choose(logits, history, position, sampling) == choose(moved, history, position, unbiased)
    assert np.array_equal(distribution(logits, history, sampling), distribution(moved, history, unbiased))
    assert logits.tobytes() == before


def test_it_comes_before_the_penalty() -> None:
    logits = np.array([1.0, -1.0, 0.5], np.float32)
    sampling = Sampling(repeat_penalty=2.0, logit_bias=((0, -3.0), (1, 3.0)))
    assert adjusted(logits, [0, 1], sampling).tolist() == [-4.0, 1.0, 0.5]


def test_none_counts_as_banned_where_all_are() -> None:
    logits, bans = np.array([1.0, 2.0, 0.0], np.float32), ((1, -math.inf), (2, -math.inf))
    assert biased(logits, bans).tolist() == [1.0, -math.inf, -math.inf]
    assert biased(logits, ((0, -math.inf), *bans)) is logits
    for temperature in (0.0, 0.5):
        sampling = Sampling(temperature, logit_bias=bans)
        assert choose_among(np.array([1, 2]), logits, [], 3, sampling) in (1, 2)
        assert choose_among(np.array([0, 1]), logits, [], 3, sampling) == 0


@pytest.mark.parametrize(
    ("bias", "words"),
    [
        (((3, 101.0),), "logit-bias is 101"),
        (((3, math.inf),), "logit-bias is inf"),
        (((3, math.nan),), "logit-bias is nan"),
        (((3, 1.0), (3, 2.0)), "token 3"),
        (((3, 1.0), (2, 2.0)), "token 2"),
        (((-1, 1.0),), "token -1"),
        (((2**31, 1.0),), "ids from 0"),
        (tuple((token, 1.0) for token in range(1025)), "for 1025 tokens"),
    ],
)
def test_out_of_range(bias: tuple[tuple[int, float], ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Sampling(logit_bias=bias)


def test_settings_sort_it_and_know_when_nothing_is_biased() -> None:
    assert Settings(logit_bias={7: 1, 3: -math.inf}).sampling(0) == Sampling(logit_bias=((3, -math.inf), (7, 1.0)))
    assert Settings(logit_bias={7: 0}).sampling(4) is GREEDY
    assert Settings(logit_bias=None).sampling(4) is GREEDY


# ---- generating


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_bans_and_wishes(model: Model, temperature: float) -> None:
    free = model.generate(PROMPT, max_tokens=40, temperature=temperature, seed=1)
    banned = dict.fromkeys(free.tokens, -math.inf)
    other = model.generate(PROMPT, max_tokens=40, temperature=temperature, seed=1, logit_bias=banned)
    assert other.tokens
    assert set(free.tokens).isdisjoint(other.tokens)
    only = model.generate(PROMPT, max_tokens=9, temperature=temperature, seed=1, logit_bias={ord("x"): 100, END: -50})
    assert only.text == "x" * 9


@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("penalty", [1.0, 1.2])
@pytest.mark.parametrize("name", ["lookup", "chain", "staged", "tree", "copy", "merged"])
def test_guesses_change_nothing(model: Model, name: str, penalty: float, temperature: float) -> None:
    bias = {ord("e"): -math.inf, ord(" "): 2.5, ord("q"): 3.5, ord("a"): -1.0}
    asked: foretell.Options = {
        "max_tokens": 60,
        "temperature": temperature,
        "seed": 3,
        "repeat_penalty": penalty,
        "logit_bias": bias,
    }
    plain = model.generate(PROMPT, level="O0", **asked)
    result = model.generate(PROMPT, pipeline=presets.load(name), **asked)
    assert (result.text, result.finish) == (plain.text, plain.finish)
    assert "e" not in plain.text
    assert plain.text != model.generate(PROMPT, level="O0", **(asked | {"logit_bias": {}})).text  # type: ignore[typeddict-item]


def test_a_drawing_draft_draws_with_it(model: Model) -> None:
    """A bias that leaves four letters: q has no other token, so draft and target agree often."""
    bias = {token: -math.inf for token in range(VOCABULARY) if token not in set(b"abcd")}
    drawn = parse(
        "g = draft(model, of=draft, law=sampled, width=4)\nv = verify(g)\na = accept(v, rule=block)\ncommit(a)"
    )
    result = model.generate("abcd", max_tokens=200, temperature=1.0, seed=2, logit_bias=bias, pipeline=drawn)
    assert set(result.text) == set("abcd")
    assert result.acceptance is not None
    assert result.acceptance > 0.3


@pytest.mark.parametrize("level", ["O0", "O1"])
def test_log_probabilities_are_those_of_the_unmodified_distribution(model: Model, level: str) -> None:
    history = model.encode(PROMPT)
    bias = {ord("e"): -math.inf, ord("z"): 8.0}
    for event in model.stream(PROMPT, max_tokens=20, logprobs=2, logit_bias=bias, level=level):
        logits = ToyModel(echo=5.0).logits(history).astype(np.float64)
        logs = logits - np.log(np.exp(logits).sum())
        assert event.logprob == pytest.approx(logs[event.token], abs=1e-4)
        assert [token for token, _ in event.top] == np.argsort(-logs, kind="stable")[:2].tolist()
        history.append(event.token)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_grammar_goes_before(model: Model, temperature: float) -> None:
    bias = {ord("a"): -math.inf, ord("b"): -math.inf, ord("d"): 50.0}
    for seed in range(5):
        text = model.generate(
            "x", grammar=Grammar("regex", "[ab][cde][ac]"), temperature=temperature, seed=seed, logit_bias=bias
        ).text
        assert text[0] in "ab"
        assert text[1:] == "dc"


def test_tokens_that_the_model_does_not_have(model: Model) -> None:
    with pytest.raises(UsageError, match="token 260: the model has tokens 0 to 259"):
        model.generate(PROMPT, logit_bias={260: 1.0})
    with pytest.raises(UsageError, match="bans all 260 tokens"):
        model.generate(PROMPT, logit_bias=dict.fromkeys(range(260), -math.inf))
    chat = model.chat()
    with pytest.raises(UsageError, match="token 999"):
        chat.send("hello", logit_bias={999: 1.0})
    assert "e" not in chat.send("hello", logit_bias={ord("e"): -math.inf}, max_tokens=30).result.text


# ---- the command


@pytest.mark.parametrize(
    ("given", "text"),
    [("120=100", "xxxx"), ("x=100", "xxxx"), ("==100", "===="), ('"7"=100', "7777"), ("x=1e2", "xxxx")],
)
def test_tokens_are_ids_or_texts(given: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "hi", "-m", "toy", "-n", "4", "--logit-bias", given]) == 0
    assert capsys.readouterr().out == f"{text}\n"


def test_several(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [part for letter in "aeiou" for part in ("--logit-bias", f"{letter}=-inf")]
    assert run(["generate", "hi", "-m", "toy", "-n", "60", *arguments]) == 0
    assert set("aeiou").isdisjoint(capsys.readouterr().out)


@pytest.mark.parametrize("command", [["generate", "hi"], ["chat"]])
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("a", "write TOKEN=VALUE"),
        ("=3", "write TOKEN=VALUE"),
        ("a=b", "write TOKEN=VALUE"),
        ('"a=3', "2 tokens"),
        ("ab=3", "'ab', which is 2 tokens [97, 98]"),
        ("a=101", "logit-bias is 101"),
        ("a=nan", "logit-bias is nan"),
        ("a=inf", "logit-bias is inf"),
    ],
)
def test_bad_values_are_one_line(
    command: list[str], given: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command, "-m", "toy", "--logit-bias", given]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: logit-bias")
    assert err.count("\n") == 1
    assert words in err
