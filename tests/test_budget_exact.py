"""The exact test of a paired loss: valid whatever the nuisance, by enumeration of all outcomes."""

import math

import pytest

from foretell.errors import UsageError
from foretell.lab.budget.exact import items_needed, p_value, upper

ALPHA = 0.05


def probability(losses: int, gains: int, items: int, loss: float, gain: float) -> float:
    rest = items - losses - gains
    ways = math.comb(items, losses) * math.comb(items - losses, gains)
    return float(ways * loss**losses * gain**gains * (1 - loss - gain) ** rest)


def outcomes(items: int, budget: float) -> list[tuple[int, int]]:
    """That certify the budget: for each number of gains, losses up to where the first does not."""
    out = []
    for y in range(items + 1):
        for x in range(items + 1 - y):
            if p_value(x, y, items, budget) > ALPHA:
                break
            out.append((x, y))
    return out


@pytest.mark.parametrize(("items", "budget"), [(12, 0.3), (59, 0.05)])
def test_a_budget_that_is_overrun_is_seldom_certified(items: int, budget: float) -> None:
    certified = outcomes(items, budget)
    assert len(certified) > items
    for above in (0.0, 0.02, 0.2):
        for gain in (0.0, 0.004, 0.013, 0.037, 0.11, 0.23, 0.3):
            loss = budget + above + gain
            if loss + gain <= 1:
                wrong = sum(probability(x, y, items, loss, gain) for x, y in certified)
                assert wrong <= ALPHA, (above, gain, wrong)


def test_the_bound_is_seldom_below_the_loss() -> None:
    items = 14
    bounds = {(x, y): upper(x, y, items, 0.95) for x in range(items + 1) for y in range(items + 1 - x) if x < y + 5}
    for loss, gain in ((0.1, 0.0), (0.2, 0.1), (0.25, 0.02)):
        wrong = sum(probability(x, y, items, loss, gain) for (x, y), its in bounds.items() if its < loss - gain)
        assert wrong <= ALPHA, (loss, gain, wrong)


def test_more_losses_count_against_and_more_gains_for() -> None:
    for n, budget in ((60, 0.05), (200, 0.02)):
        for x in range(5):
            for y in range(5):
                assert p_value(x + 1, y, n, budget) >= p_value(x, y, n, budget)
                assert p_value(x, y + 1, n, budget) <= p_value(x, y, n, budget)
    assert upper(0, 0, 60, 0.95) <= upper(1, 0, 60, 0.95) <= upper(2, 0, 60, 0.95)


def test_without_losses_and_gains_it_is_the_binomial_test() -> None:
    for n, budget in ((59, 0.05), (149, 0.02), (28, 0.1)):
        assert p_value(0, 0, n, budget) == pytest.approx((1 - budget) ** n, abs=0.002)


def test_how_many_items_are_needed() -> None:
    assert items_needed(0.05, 0.95) == 59
    assert p_value(0, 0, 58, 0.05) > ALPHA >= p_value(0, 0, 59, 0.05)
    some = items_needed(0.05, 0.95, 0.02)
    assert some is not None
    assert p_value(math.ceil(0.02 * some), 0, some, 0.05) <= ALPHA
    more = items_needed(0.05, 0.95, 0.02, 0.01)
    assert more is not None
    assert more < some
    many = items_needed(0.01, 0.99, 0.005)
    assert many is not None
    assert many > 400
    assert items_needed(0.05, 0.95, 0.08, 0.02) is None
    assert p_value(0, 0, 0, 0.05) == 1


@pytest.mark.parametrize("wrong", [(-1, 0, 5, 0.1), (3, 3, 5, 0.1), (0, 0, 5, 0.0), (0, 0, 5, 1.0)])
def test_impossible_counts_are_refused(wrong: tuple[int, int, int, float]) -> None:
    with pytest.raises(UsageError, match="make no sense"):
        p_value(*wrong)
