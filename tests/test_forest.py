"""Guesses of several free sources in one tree: against what merging them gives, and what was granted of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.accept.proposal import ROOT, Guess, Proposal, chain, merge
from foretell.cost.choice import best_rate, copies
from foretell.cost.forest import NONE, RIVAL, Forest, Offer, beside, forest

CHANCES = st.floats(0.01, 0.99)


@st.composite
def offers(draw: st.DrawFn) -> Offer:
    """A tree of a few kinds of tokens, no two of them the same beside each other."""
    guesses, chances, seen = list[Guess](), list[float](), set[tuple[int, int]]()
    for _ in range(draw(st.integers(0, 8))):
        place = draw(st.integers(ROOT, len(guesses) - 1)), draw(st.integers(0, 3))
        if place not in seen:
            seen.add(place)
            guesses.append(Guess(place[1], place[0], "any"))
            chances.append(draw(CHANCES))
    return Offer(tuple(guesses), chances)


def part(offer: Offer, indices: list[int]) -> Proposal:
    """Some of its guesses; an error when one is without what it hangs on."""
    places = {ROOT: ROOT} | {index: place for place, index in enumerate(indices)}
    return Proposal(tuple(offer.guesses[i]._replace(parent=places[offer.guesses[i].parent]) for i in indices))


@given(given=st.lists(offers(), max_size=4), share=st.floats(0, 1))
def test_what_is_taken_makes_a_tree_of_so_many_rows(given: list[Offer], share: float) -> None:
    grown = forest(given)
    whole = merge([Proposal(tuple(each.guesses)) for each in given], 1000)
    assert len(grown.reach) == len(grown.order) == len(whole)
    assert list(grown.reach) == sorted(grown.reach, reverse=True)
    count = round(share * len(grown.reach))
    taken = grown.taken(count)
    assert len(taken) == len(given)
    parts = [part(offer, list(indices)) for offer, indices in zip(given, taken, strict=True)]
    assert len(merge(parts, 1000)) == count


@given(given=st.lists(offers(), max_size=4))
def test_no_chance_is_made_larger_than_a_source_says(given: list[Offer]) -> None:
    largest = max((chance for offer in given for chance in offer.chances), default=0.0)
    assert all(0 <= reach <= largest for reach in forest(given).reach)


def test_sources_that_agree_share_rows_and_the_later_one_says_how_likely() -> None:
    a = Offer(chain([1, 2, 3], "a").guesses, [0.9, 0.9, 0.9])
    b = Offer(chain([1, 2, 4, 5], "b").guesses, [0.5, 0.6, 0.7, 0.8])
    grown = forest([a, b])
    assert grown.reach == pytest.approx([0.5, 0.3, 0.3 * 0.9, 0.3 * 0.1 * RIVAL, 0.3 * 0.1 * RIVAL * 0.8])
    assert grown.taken(3) == [[0, 1, 2], NONE]
    assert grown.taken(4) == [[0, 1, 2], [0, 1, 2]]
    assert grown.taken(0) == [NONE, NONE]


def test_siblings_of_one_source_do_not_yield_to_each_other() -> None:
    tree = Offer((Guess(1, ROOT, "a"), Guess(2, ROOT, "a")), [0.6, 0.3])
    other = Offer(chain([3], "b").guesses, [0.5])
    assert forest([tree, other]).reach == pytest.approx([0.6, 0.3, 0.4 * RIVAL])
    assert forest([other, tree]).reach == pytest.approx([0.6, 0.3, 0.4 * RIVAL])


def test_the_surest_source_keeps_its_chance() -> None:
    a, b = Offer(chain([1, 2], "a").guesses, [0.2, 0.9]), Offer(chain([3], "b").guesses, [0.9])
    grown = forest([a, b])
    assert grown.reach == pytest.approx([0.9, 0.1 * RIVAL, 0.1 * RIVAL * 0.9])
    assert grown.taken(1) == [NONE, [0]]


def test_a_tree_alone_is_taken_by_reach() -> None:
    tree = Offer((Guess(1, ROOT, "a"), Guess(2, 0, "a"), Guess(3, ROOT, "a")), [0.5, 0.2, 0.4])
    grown = forest([Offer(), tree])
    assert grown.reach == pytest.approx([0.5, 0.4, 0.1])
    assert grown.taken(2) == [NONE, [0, 2]]
    assert forest([]) == Forest([], range(0), [], [])


@given(reach=st.lists(CHANCES, max_size=12), costs=st.lists(st.floats(1, 100), min_size=1, max_size=16))
def test_the_best_rate_is_that_of_the_round_that_pays_at_it(reach: list[float], costs: list[float]) -> None:
    reach, costs = sorted(reach, reverse=True), sorted(costs)
    rate = best_rate(reach, costs)
    ratios = [(1 + sum(reach[:k])) / ms for k, ms in enumerate(costs[: len(reach) + 1])]
    assert rate == pytest.approx(max(ratios))
    count, value = copies(reach, costs, rate)
    assert 1 + value == pytest.approx(rate * costs[0]), "at this rate its time is worth just what it gives"
    assert count < len(costs)


@given(length=st.integers(1, 5), given=st.lists(offers(), max_size=3), share=st.floats(0, 1))
def test_what_stands_beside_a_chain_makes_a_tree_with_it(length: int, given: list[Offer], share: float) -> None:
    drafted = Offer(chain(range(length), "draft").guesses, [0.7] * length)
    grown = beside(drafted, given)
    whole = merge([Proposal(tuple(each.guesses)) for each in (drafted, *given)], 1000)
    assert len(grown.reach) == len(whole) - length
    count = round(share * len(grown.reach))
    parts = [part(offer, list(indices)) for offer, indices in zip(given, grown.taken(count), strict=True)]
    assert len(merge([Proposal(tuple(drafted.guesses)), *parts], 1000)) == length + count


def test_a_chain_is_gone_on_behind_its_end_and_doubted_only_as_far_as_it_doubts_itself() -> None:
    drafted = Offer(chain([1, 2], "draft").guesses, [0.5, 0.8])
    agreeing = Offer(chain([1, 2, 3], "a").guesses, [0.9, 0.9, 0.9])
    other = Offer(chain([7, 8], "b").guesses, [0.95, 0.9])
    grown = beside(drafted, [agreeing, other])
    assert grown.reach == pytest.approx([0.5 * 0.8 * 0.9, 0.5 * RIVAL, 0.5 * RIVAL * 0.9])
    assert grown.taken(1) == [[0, 1, 2], NONE]
    assert grown.taken(2) == [[0, 1, 2], [0]]
