"""Keyed noise, probabilities after warpers, deferral rules, and rules by name.

Seeds are fixed; thresholds are such that a right implementation with other noise would fail with a probability below
1e-6 in all.
"""

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from foretell.accept import defers, rules
from foretell.accept.chance import KeyedChance
from foretell.accept.distribution import distribution
from foretell.accept.noise import row_key
from foretell.accept.sampling import Sampling
from foretell.accept.warpers import choose, penalise, survivors
from foretell.errors import UsageError
from test_warpers import LOGITS, SAMPLINGS

ALARM = 1e-8


def uniform(seed: int, number: int, purpose: str, node: int) -> float:
    return KeyedChance(seed, number)._uniform(purpose, node)


def test_coins_are_certain_at_the_ends() -> None:
    for number in range(2000):
        chance = KeyedChance(1, number)
        assert chance.coin("accept", 0, 1)
        assert chance.coin("accept", 0, Fraction(1))
        assert not chance.coin("accept", 0, 0.0)


@pytest.mark.parametrize("axis", ["round", "node", "seed", "purpose"])
def test_uniform_along_every_part_of_the_key(axis: str) -> None:
    keys = {
        "round": lambda i: (3, i, "draft", 0),
        "node": lambda i: (3, 0, "draft", i - 1),
        "seed": lambda i: (i, 0, "draft", 0),
        "purpose": lambda i: (3, 0, f"draft {i}", 0),
    }
    u = np.array([uniform(*keys[axis](i)) for i in range(20_000)])
    assert u.min() >= 0
    assert u.max() < 1
    assert stats.kstest(u, "uniform").pvalue > ALARM
    pairs = (u[:-1] * 16).astype(int) * 16 + (u[1:] * 16).astype(int)
    assert stats.chisquare(np.bincount(pairs, minlength=256)).pvalue > ALARM


def test_no_two_decisions_share_noise() -> None:
    keys = product((0, 1, 2**64 - 1), range(20), ("draft", "accept", "bonus"), range(-1, 20))
    drawn = [uniform(*key) for key in keys]
    assert len(set(drawn)) == len(drawn)
    assert uniform(7, 3, "draft", 2) == uniform(7, 3, "draft", 2)


def test_noise_of_drafts_and_of_the_target_are_independent() -> None:
    """With the same seed and the same counters, as in a generation."""
    mine = np.array([uniform(9, position, "draft", 0) for position in range(20_000)])
    targets = np.array([row_key(9, position)[0] for position in range(20_000)]) / 2**32
    joint = (mine * 16).astype(int) * 16 + (targets * 16).astype(int)
    assert stats.chisquare(np.bincount(joint, minlength=256)).pvalue > ALARM


def test_draws_are_in_proportion_to_weights() -> None:
    weights = np.array([0.0, 5.0, 0.0, 1.0, 0.25, 2.0, 0.0])
    draws = [KeyedChance(2, number).draw("bonus", -1, weights) for number in range(40_000)]
    counts = np.bincount(draws, minlength=7)
    some = weights > 0
    assert counts[~some].sum() == 0
    assert stats.chisquare(counts[some], weights[some] / weights.sum() * len(draws)).pvalue > ALARM


@given(
    weights=st.lists(st.sampled_from([0.0, 1e-300, 1e-17, 0.1, 1 / 3, 1.0, 7.0]), min_size=1, max_size=40).filter(any),
    number=st.integers(0, 10**6),
)
def test_what_is_impossible_is_never_drawn(weights: list[float], number: int) -> None:
    assert weights[KeyedChance(4, number).draw("draft", 0, np.array(weights))] > 0


def test_fractions_are_drawn_as_floats_are() -> None:
    weights = [Fraction(1, 3), Fraction(0), Fraction(2, 3)]
    for number in range(200):
        chance = KeyedChance(1, number)
        assert chance.draw("a", 0, np.array(weights, object)) == chance.draw("a", 0, np.array(weights, float))


@given(logits=LOGITS, sampling=SAMPLINGS, data=st.data())
def test_distribution_is_the_softmax_of_the_survivors(
    logits: np.ndarray, sampling: Sampling, data: st.DataObject
) -> None:
    history = data.draw(st.lists(st.integers(0, len(logits) - 1), max_size=100))
    before = logits.copy()
    p = distribution(logits, history, sampling)
    assert logits.tobytes() == before.tobytes()
    assert p.shape == logits.shape
    assert p.dtype == np.float64
    assert p.sum() == pytest.approx(1, abs=1e-14)
    assert p[choose(logits, history, 0, sampling)] > 0
    penalised = penalise(logits, history, sampling.repeat_penalty)
    if sampling.temperature == 0:
        assert p[int(np.argmax(penalised))] == 1
        return
    kept = survivors(penalised, sampling)
    assert not np.delete(p, kept).any()
    best = kept[np.argmax(penalised[kept])]
    for token in kept:
        gap = float(np.float64(penalised[token]) - np.float64(penalised[best])) / sampling.temperature
        assert p[token] == pytest.approx(p[best] * math.exp(gap), rel=1e-4, abs=1e-300)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(0.7, seed=1),
        Sampling(1.3, top_k=5, seed=2),
        Sampling(1.0, top_p=0.8, seed=3),
        Sampling(1.0, min_p=0.1, repeat_penalty=1.4, seed=4),
    ],
)
def test_the_target_draws_from_the_distribution(sampling: Sampling) -> None:
    logits = np.array([2.0, 1.5, 1.4, 0.3, 0.0, -0.5, -1.0, -3.0], np.float32)
    history = [0, 2, 2]
    p = distribution(logits, history, sampling)
    draws = [choose(logits, history, position, sampling) for position in range(8000)]
    counts = np.bincount(draws, minlength=len(p))
    assert counts[p == 0].sum() == 0
    assert stats.chisquare(counts[p > 0], p[p > 0] * len(draws)).pvalue > ALARM


def test_extreme_temperatures() -> None:
    logits = np.array([0.0, 5.0, 4.999, -50.0], np.float32)
    assert distribution(logits, [], Sampling(1e-300)).tolist() == [0, 1, 0, 0]
    assert distribution(logits, [], Sampling(1e300)).tolist() == [0.25] * 4


def test_chow_asks_where_the_small_model_is_uncertain() -> None:
    asks = defers.make("chow", 0.3)
    assert asks(np.array([0.6, 0.4]))
    assert not asks(np.array([0.75, 0.25]))
    assert not defers.make("chow", 0.25)(np.array([Fraction(3, 4), Fraction(1, 4)], object))
    assert defers.make("chow", 0.0)(np.array([0.99, 0.01]))
    assert not defers.make("chow", 1.0)(np.array([0.01] * 100))


def test_entropy_asks_above_its_threshold_in_nats() -> None:
    even = np.array([0.25] * 4 + [0.0])
    assert defers.entropy(even) == pytest.approx(math.log(4))
    assert defers.make("entropy", 1.38)(even)
    assert not defers.make("entropy", 1.39)(even)
    assert not defers.make("entropy", 0.0)(np.array([0.0, 1.0]))
    assert defers.make("entropy", 0.5)(np.array([Fraction(1, 2), Fraction(1, 2)], object))


@pytest.mark.parametrize(
    ("rule", "threshold", "complaint"),
    [
        ("chow", -0.1, "chow has threshold=-0.1: .* between 0 and 1"),
        ("chow", math.nan, "threshold=nan"),
        ("chow", 1.5, "threshold=1.5"),
        ("entropy", -1.0, "entropy has threshold=-1: .* 0 nats or more"),
        ("entropy", math.inf, "threshold=inf"),
        ("margin", 0.5, "unknown deferral rule 'margin': choose one of chow, entropy"),
    ],
)
def test_deferral_rules_that_make_no_sense(rule: str, threshold: float, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        defers.make(rule, threshold)


@pytest.mark.parametrize(
    ("rule", "knobs", "complaint"),
    [
        ("mix", {}, "mix has epsilon=0: it must be above 0 and at most 1"),
        ("mix", {"epsilon": 1.01}, "epsilon=1.01"),
        ("mix", {"epsilon": math.nan}, "epsilon=nan"),
        ("mix", {"alpha": 0.5}, "epsilon=0"),
        ("cascade", {}, "cascade has alpha=0"),
        ("cascade", {"alpha": -0.2}, "alpha=-0.2"),
        (
            "typical",
            {},
            "unknown acceptance rule 'typical': choose one of greedy, coupled, reject, block, multi, keep, mix",
        ),
    ],
)
def test_acceptance_rules_that_make_no_sense(rule: str, knobs: dict[str, float], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        rules.make(rule, **knobs)
