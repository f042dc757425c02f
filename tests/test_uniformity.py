"""The statistical test of audits: numbers that it calls uniform when they should be, and not otherwise."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.lab.uniformity import surprise, transform, uniformity

ALARM = 1e-6


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6).filter(any), st.data())
def test_tokens_share_the_line_by_their_probability(weights: list[int], data: st.DataObject) -> None:
    total = sum(weights)
    p = np.array(weights) / total
    order = np.array(data.draw(st.lists(st.integers(0, 2), min_size=p.size, max_size=p.size)), float)
    cuts = sorted({transform(p, order, token, 0.0) for token in np.flatnonzero(p)} | {0.0, 1.0})
    for low, high in pairwise(cuts):  # within a tie group every token is spread over the group's whole interval
        inside = [
            Fraction(weights[token], total)
            for token in np.flatnonzero(p)
            if abs(transform(p, order, token, 0.0) - low) < 1e-12
        ]
        assert float(sum(inside)) == pytest.approx(high - low)
        assert all(
            low <= transform(p, order, t, 0.999) <= high + 1e-12
            for t in np.flatnonzero(p)
            if abs(transform(p, order, t, 0.0) - low) < 1e-12
        )


def test_an_impossible_token_is_at_the_end() -> None:
    assert transform(np.array([1.0, 0.0]), np.array([0.0, 1.0]), 1, 0.5) == 1.0


def test_the_order_of_surprise() -> None:
    p = np.array([0.4, 0.1, 0.3, 0.2, 0.0])
    q = np.array([0.2, 0.6, 0.0, 0.0, 0.2])
    assert np.argsort(-surprise(p, q)).tolist() == [1, 0, 2, 3, 4]


def places(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.dirichlet(np.ones(8), count), rng.dirichlet(np.ones(8), count)


def numbers(drawn_from: str, order: str, count: int = 4000) -> list[float]:
    rng = np.random.default_rng(2)
    out = []
    for p, q in zip(*places(count), strict=True):
        kept = np.minimum(p, q)
        laws = {"p": p, "q": q, "no residual": kept + (1 - kept.sum()) * p, "mixed": 0.9 * p + 0.1 * q}
        token = int(rng.choice(8, p=laws[drawn_from]))
        out.append(transform(p, p if order == "p" else surprise(p, q), token, rng.random()))
    return out


@pytest.mark.parametrize("order", ["p", "q / p"])
def test_the_right_law_passes(order: str) -> None:
    found = uniformity(order, numbers("p", order), ALARM)
    assert found.passed
    assert found.tokens == 4000
    assert found.threshold == pytest.approx((np.log(2 / ALARM) / 8000) ** 0.5)


@pytest.mark.parametrize("law", ["q", "no residual"])
def test_wrong_laws_fail_by_the_order_of_surprise(law: str) -> None:
    assert not uniformity("q / p", numbers(law, "q / p"), ALARM).passed


def test_a_bounded_loss_is_allowed_and_no_more() -> None:
    mixed = numbers("mixed", "q / p", 20_000)
    assert uniformity("q / p", mixed, ALARM, epsilon=0.1).passed
    assert not uniformity("q / p", mixed, ALARM, epsilon=0.001).passed


def test_false_alarms_are_no_more_frequent_than_stated() -> None:
    """With a rate of 5 % and 2000 tests, more than 170 alarms have a probability below 1e-11."""
    rng = np.random.default_rng(3)
    alarms = sum(not uniformity("p", rng.random(50), 0.05).passed for _ in range(2000))
    assert 0 < alarms <= 170
