"""How many guesses pay: by brute force, and at prices that say it plainly."""

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.cost.choice import charged, copies, steps
from foretell.cost.curve import Curve

FLAT = charged(Curve.of({1: 20.0, 8: 20.0}), 8)
STEEP = charged(Curve.of({1: 20.0, 2: 40.0, 4: 80.0, 8: 160.0}), 8)
CURVES = st.dictionaries(st.integers(1, 16), st.floats(1, 100), min_size=1, max_size=6).map(Curve.of)
CHANCES = st.lists(st.floats(0, 1), max_size=12)


@given(curve=CURVES, reach=CHANCES, rows=st.integers(1, 12), rate=st.floats(0.001, 1))
def test_copies_are_the_best_number_of_all(curve: Curve, reach: list[float], rows: int, rate: float) -> None:
    costs = charged(curve, rows)
    values = [sum(reach[:k]) - rate * (costs[k] - costs[0]) for k in range(min(len(reach), rows - 1) + 1)]
    count, value = copies(reach, costs, rate)
    assert value == pytest.approx(values[count])
    assert value >= max(values) - 1e-9


def worth(kinds: list[tuple[float, float]], on: int, most: int, costs: list[float], rate: float) -> float:
    """Of a chain that goes on behind the `on` surest kinds, by listing every sequence of kinds."""
    total, first = 0.0, len(kinds) - on
    for length in range(1, most + 1):
        for path in product(range(len(kinds)), repeat=length):
            if any(kind < first for kind in path[:-1]):
                continue  # it has ended before
            share = reach = 1.0
            for kind in path:
                share *= kinds[kind][1]
                reach *= kinds[kind][0]
            step = (3.0 if length == 1 else 2.0) + costs[length] - costs[length - 1]
            total += share * (reach - rate * step)
    return total


@given(
    chances=st.lists(st.floats(0, 1), min_size=1, max_size=3),
    weights=st.lists(st.integers(1, 5), min_size=3, max_size=3),
    rate=st.floats(0.001, 0.3),
    most=st.integers(1, 3),
)
def test_steps_are_worth_what_listing_all_chains_says(
    chances: list[float], weights: list[int], rate: float, most: int
) -> None:
    shares = [weight / sum(weights[: len(chances)]) for weight in weights[: len(chances)]]
    kinds = list(zip(sorted(chances), shares, strict=True))
    right, share = [chance for chance, _ in kinds], [each for _, each in kinds]
    best = steps(right, share, FLAT, rate, (3.0, 2.0), most)
    assert 1 <= best.most <= most
    assert best.value == pytest.approx(worth(kinds, best.kinds, best.most, FLAT, rate), abs=1e-9)
    everything = [worth(kinds, on, length, FLAT, rate) for on in range(len(kinds) + 1) for length in range(1, most + 1)]
    assert best.value >= max(everything) - 1e-9
    assert best.tokens <= best.guesses <= best.most + 1e-9


def test_free_rows_are_filled_and_dear_ones_are_not() -> None:
    reach = [0.6, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05]
    assert copies(reach, FLAT, 1 / 20) == (7, pytest.approx(1.8 - 0.07))
    assert copies(reach, STEEP, 1 / 20) == (0, 0.0)
    assert copies(reach[:3], FLAT, 1 / 20)[0] == 3
    assert copies(reach, FLAT[:1], 1 / 20)[0] == 0


def test_a_sure_draft_model_goes_on_and_a_doubtful_one_stops() -> None:
    right, share = [0.3, 0.95], [0.4, 0.6]
    cheap = steps(right, share, FLAT, 1 / 20, (5.0, 5.0), 7)
    assert (cheap.most, cheap.kinds) == (7, 1), "behind the surer kind only"
    assert steps(right, share, FLAT, 1 / 20, (30.0, 30.0), 7).value < 0
    assert steps([1.0, 1.0], share, FLAT, 1 / 20, (2.0, 2.0), 7).most == 7
    assert steps(right, share, FLAT[:1], 1 / 20, (2.0, 2.0), 7).most == 0


@given(CURVES, st.integers(1, 70))
def test_charged_costs_never_fall(curve: Curve, rows: int) -> None:
    table = charged(curve, rows)
    assert len(table) == rows
    assert all(a < b for a, b in pairwise(table))


def test_known_costs_are_kept_and_the_others_lie_between() -> None:
    table = charged(Curve.of({1: 10.0, 2: 11.0, 4: 13.0}), 4, overhead_ms=1.0)
    assert table == pytest.approx([11.0, 12.1, 13.2, 14.3])
