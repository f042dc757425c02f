"""The automaton against brute force."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.draft import lookup as module
from foretell.draft.lookup import Lookup

TEXTS = st.integers(1, 5).flatmap(lambda size: st.lists(st.integers(0, size - 1), max_size=60))


def longest_repeat(text: list[int]) -> tuple[int, int]:
    """Length of the longest suffix that stands in the text before, and the position after its last earlier place."""
    for size in range(len(text) - 1, 0, -1):
        for end in range(len(text) - 1, size - 1, -1):
            if text[end - size : end] == text[-size:]:
                return size, end
    return 0, 0


@given(text=TEXTS)
def test_match_is_the_longest_and_at_its_last_place(text: list[int]) -> None:
    lookup = Lookup()
    for i, token in enumerate(text):
        lookup.extend([token])
        assert (lookup.match_length, lookup.match_end) == longest_repeat(text[: i + 1])


@given(text=TEXTS, walk=st.integers(0, 3))
def test_a_short_walk_still_gives_a_real_place(text: list[int], walk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "WALK", walk)
        lookup = Lookup(text)
    size, end = lookup.match_length, lookup.match_end
    assert size == longest_repeat(text)[0]
    if size:
        assert end < len(text)
        assert text[end - size : end] == text[-size:]


@given(text=TEXTS, limit=st.integers(-1, 20))
def test_guesses_continue_the_match(text: list[int], limit: int) -> None:
    lookup = Lookup(text)
    guesses = lookup.propose(limit)
    assert len(guesses) == (limit if lookup.match_length and limit > 0 else 0)
    grown = list(text)
    for i, guess in enumerate(guesses):
        assert guess == grown[lookup.match_end + i]
        grown.append(guess)


@given(text=TEXTS, cut=st.integers(0, 60))
def test_extending_equals_building(text: list[int], cut: int) -> None:
    lookup = Lookup(text[:cut])
    lookup.extend(text[cut:])
    whole = Lookup(text)
    assert (lookup.match_length, lookup.match_end, len(lookup)) == (whole.match_length, whole.match_end, len(text))


@pytest.mark.parametrize("text", [[1] * 4096, list(range(4096)), [i * i % 97 for i in range(4096)]])
def test_building_is_fast_enough_for_any_text(text: list[int]) -> None:
    """30 ms are asked for; the bound here only notices a change of complexity, on a machine that others use too."""
    started = time.process_time()
    Lookup(text)
    assert time.process_time() - started < 0.5
