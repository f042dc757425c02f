"""The number of guesses: by brute force, and that it learns, gives up and comes back."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.runtime.width import LENGTHS, PRIOR, Width, charged

FLAT = {1: 20.0, 8: 20.0}
STEEP = {1: 20.0, 2: 40.0, 4: 80.0, 8: 160.0}


@given(
    costs=st.dictionaries(st.integers(1, 16), st.floats(1, 100), max_size=6),
    match=st.integers(1, 40),
    available=st.integers(0, 20),
    limit=st.integers(0, 15),
)
def test_choice_is_the_best_of_all(costs: dict[int, float], match: int, available: int, limit: int) -> None:
    width = Width(costs, limit)
    table = charged(costs, limit + 1)

    def value(k: int) -> float:
        reach, expected = 1.0, 1.0
        for i in range(k):
            reach *= width.chance(match + i)
            expected += reach
        return expected - table[k] / table[0]

    chosen = width.choose(match, available)
    assert chosen <= min(available, limit)
    assert value(chosen) >= max(value(k) for k in range(min(available, limit) + 1)) - 1e-9


@given(st.dictionaries(st.integers(1, 64), st.floats(0.01, 1000), max_size=8), st.integers(1, 70))
def test_charged_costs_never_fall(costs: dict[int, float], rows: int) -> None:
    table = charged(costs, rows)
    assert len(table) == rows
    assert all(a < b for a, b in pairwise(table))


def test_known_costs_are_kept_and_the_others_lie_between() -> None:
    assert charged({1: 10.0, 2: 11.0, 4: 13.0}, 4) == pytest.approx([10.0, 11.1, 12.2, 13.3])


def test_free_rows_are_filled_and_dear_ones_are_not() -> None:
    assert Width(FLAT, 7).choose(4, 7) == 7
    assert Width(STEEP, 7).choose(4, 7) == 0
    assert Width(FLAT, 7).choose(4, 3) == 3
    assert Width(FLAT, 0).choose(4, 7) == 0


def run(width: Width, chance: float, rounds: int, match: int = 2) -> list[int]:
    """Rounds in which each guess is right with this chance; the widths that were chosen."""
    rng, chosen = random.Random(1), []
    for _ in range(rounds):
        guesses = [1] * width.limit
        k = width.choose(match, len(guesses))
        kept = 0
        while kept < k and rng.random() < chance:
            kept += 1
        own = 1 if kept == k and rng.random() < chance else 0  # the target's token may equal the next guess, or not
        width.score(match, guesses, k, [1] * kept + [own])
        chosen.append(k)
    return chosen


def test_it_gives_up_on_bad_guesses_and_comes_back_in_shadow() -> None:
    width = Width({1: 20.0, 2: 23.0, 4: 25.0, 8: 30.0}, 7)
    assert run(width, 0.0, 60)[-1] == 0
    assert width.plain_rounds > 20
    before = width.tried
    assert run(width, 1.0, 60)[-1] >= 3
    assert width.missed > 0
    assert width.tried > before


def test_it_never_loses_much_on_text_without_repetition() -> None:
    """Wrong guesses all the way: what they cost beyond plain decoding, at the measured prices, stays below 1 %."""
    costs = {1: 20.0, 2: 20.4, 4: 21.0, 8: 22.0}
    width = Width(costs, 7)
    table = charged(costs, 8)
    chosen = run(width, 0.0, 500)
    assert sum(table[k] for k in chosen) <= 1.01 * 500 * table[0]


def test_classes_of_matches_are_kept_apart() -> None:
    width = Width(FLAT, 1)
    for _ in range(50):
        width.score(1, [1], 1, [0])
    assert width.chance(1) < 0.05
    assert width.chance(LENGTHS[-1] + 100) == pytest.approx(PRIOR[-1])


def test_counters() -> None:
    width = Width(FLAT, 4)
    width.score(3, [1, 2, 3, 4], 2, [1, 2, 3])
    assert (width.tried, width.accepted, width.untried, width.missed, width.plain_rounds) == (2, 2, 1, 1, 0)
    width.score(3, [1, 2], 0, [9])
    assert (width.tried, width.accepted, width.untried, width.missed, width.plain_rounds) == (2, 2, 2, 1, 1)
