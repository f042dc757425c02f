"""The chain of warpers, each step on small cases, and as a whole against an independent definition in float64."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from foretell.accept.noise import gumbel
from foretell.accept.sampling import GREEDY, PENALTIES, PENALTY_WINDOW, Sampling
from foretell.accept.warpers import choose, exp, penalise, survivors, weights
from foretell.errors import UsageError

LOGITS = st.lists(st.integers(-40, 40).map(lambda n: n / 4), min_size=1, max_size=30).map(
    lambda values: np.array(values, np.float32)
)
SAMPLINGS = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.1, 0.8, 1.0, 3.0]),
    top_k=st.integers(0, 10),
    top_p=st.sampled_from([0.05, 0.5, 0.9, 1.0]),
    min_p=st.sampled_from([0.0, 0.01, 0.3]),
    repeat_penalty=st.sampled_from([0.8, 1.0, 1.3]),
    seed=st.integers(0, 2**64 - 1),
)


def kept(values: list[float], **settings: float) -> list[int]:
    return survivors(np.array(values, np.float32), Sampling(temperature=1.0, **settings)).tolist()  # type: ignore[arg-type]


def by_definition(logits: NDArray[np.float32], history: list[int], position: int, sampling: Sampling) -> set[int]:
    """The choice, step by step with Python lists; several ids where float64 cannot tell."""
    values = [float(x) for x in logits]
    for token in set(history[-PENALTY_WINDOW:]):
        factor = float(np.float32(sampling.repeat_penalty))
        values[token] = values[token] / factor if values[token] > 0 else values[token] * factor
    rank = sorted(range(len(values)), key=lambda i: (-np.float32(values[i]), i))
    if sampling.temperature == 0:
        return {rank[0]}
    rank = rank[: sampling.top_k or None]
    most = values[rank[0]]
    share = [math.exp(values[i] - most) for i in rank]
    cumulative = [sum(share[:i]) for i in range(len(rank))]
    rank = [i for i, before in zip(rank, cumulative, strict=True) if before < sampling.top_p * sum(share) * (1 - 1e-7)]
    rank = [i for i in rank if values[i] - most >= math.log(sampling.min_p or 1e-300) - 1e-6]
    noise = gumbel(sampling.seed, position, np.array(rank, np.uint32))
    score = {i: (values[i] - most) / sampling.temperature + float(g) for i, g in zip(rank, noise, strict=True)}
    return {i for i in rank if score[i] >= max(score.values()) - 1e-4}


@given(logits=LOGITS, sampling=SAMPLINGS, position=st.integers(0, 5000), data=st.data())
def test_chain_follows_the_definition(
    logits: NDArray[np.float32], sampling: Sampling, position: int, data: st.DataObject
) -> None:
    history = data.draw(st.lists(st.integers(0, len(logits) - 1), max_size=100))
    before = logits.copy()
    token = choose(logits, history, position, sampling)
    assert token in by_definition(logits, history, position, sampling)
    assert logits.tobytes() == before.tobytes()


def test_greedy_takes_the_lowest_of_equals() -> None:
    assert choose(np.array([1, 3, 3, 2], np.float32), [], 0, GREEDY) == 1


def test_top_k_keeps_the_lowest_ids_of_equals() -> None:
    assert kept([1, 2, 1, 1, 0], top_k=3) == [0, 1, 2]
    assert kept([-0.0, 0.0, 0.0, -0.0], top_k=2) == [0, 1]
    assert kept([1, 2], top_k=5) == [0, 1]


def test_top_p_keeps_the_smallest_set_that_reaches_p() -> None:
    quarters = [0.0, 0.0, 0.0, 0.0]
    assert kept(quarters, top_p=0.25) == [0]
    assert kept(quarters, top_p=0.2500001) == [0, 1]
    assert kept(quarters, top_p=0.75) == [0, 1, 2]
    assert kept([math.log(2), 0.0, 5.0], top_p=1e-9) == [2]


def test_top_p_counts_what_top_k_left() -> None:
    assert kept([0.0, 0.0, 0.0, 0.0], top_k=2, top_p=0.5) == [0]


def test_min_p_compares_with_the_likeliest() -> None:
    assert kept([0.0, math.log(0.5), math.log(0.09), math.log(0.11)], min_p=0.1) == [0, 1, 3]


def test_penalty_counts_a_token_once_and_forgets_after_64() -> None:
    logits = np.array([2.0, -2.0, 1.0, 0.0], np.float32)
    assert penalise(logits, [0, 0, 1, 3], 2.0).tolist() == [1.0, -4.0, 1.0, 0.0]
    assert penalise(logits, [0] + [2] * PENALTY_WINDOW, 2.0).tolist() == [2.0, -2.0, 0.5, 0.0]
    assert penalise(logits, [0], 1.0) is logits


@pytest.mark.parametrize("penalty", PENALTIES)
def test_the_largest_and_the_least_penalty_overflow_nothing(penalty: float) -> None:
    logits = np.array([0.0, 1e30, -1e30, -0.0], np.float32)
    assert np.isfinite(penalise(logits, [0, 1, 2, 3], penalty)).all()
    sampling = Sampling(temperature=1.0, repeat_penalty=penalty)
    assert {choose(logits, [0, 1, 2, 3], position, sampling) for position in range(20)} == {1}


@pytest.mark.parametrize("temperature", [1e-300, 1e-40, 1e-6])
def test_a_tiny_temperature_is_argmax(temperature: float) -> None:
    logits = np.array([0.0, 5.0, 4.999, -50.0], np.float32)
    assert {choose(logits, [], p, Sampling(temperature=temperature)) for p in range(50)} == {1}


@pytest.mark.parametrize("temperature", [1e6, 1e300])
def test_a_huge_temperature_ignores_the_logits(temperature: float) -> None:
    logits = np.array([0.0, 50.0, -50.0], np.float32)
    assert {choose(logits, [], p, Sampling(temperature=temperature)) for p in range(50)} == {0, 1, 2}


def test_exponential_is_accurate_and_monotonic_enough() -> None:
    x = -np.linspace(0, 39.9, 1_000_001).astype(np.float32)
    assert np.abs(exp(x) / np.exp(x.astype(np.float64)) - 1).max() < 3e-7
    assert weights(np.array([0, -21.5, -1e30], np.float32)).tolist() == [2**30, 0, 0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("min_p", 1.0),
        ("repeat_penalty", 0.0),
        ("repeat_penalty", 1e-4),
        ("repeat_penalty", 1e39),  # infinite as float32: a logit of 0 times that would be NaN
        ("seed", -1),
        ("seed", 2**64),
    ],
)
def test_out_of_range(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=name.replace("_", "-")):
        Sampling(**{name: value})  # type: ignore[arg-type]
