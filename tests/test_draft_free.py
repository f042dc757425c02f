"""Sources that guess without a model, against brute force."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.accept.proposal import ROOT, Proposal
from foretell.accept.sampling import GREEDY
from foretell.draft import copy, recycled
from foretell.draft.copy import CopySource
from foretell.draft.lookup import LENGTHS, PRIOR, Lookup, LookupSource, chance
from foretell.draft.recycled import RecycledSource
from foretell.draft.sources import free, make
from foretell.errors import ForetellError, UsageError
from foretell.ir.ops import Draft
from foretell.runtime.measure_rounds import offer

TEXTS = st.integers(1, 5).flatmap(lambda size: st.lists(st.integers(0, size - 1), min_size=1, max_size=50))
AFTER = st.lists(st.integers(0, 5), max_size=8)
FREE = ("lookup", "recycled", "copy")


def assert_well_formed(proposal: Proposal, limit: int) -> None:
    assert len(proposal) <= max(0, limit)
    siblings = [(guess.parent, guess.token) for guess in proposal.guesses]
    assert len(set(siblings)) == len(siblings)
    for i, guess in enumerate(proposal.guesses):
        assert ROOT <= guess.parent < i
        assert (guess.law, guess.q) == ("point", None)
        assert 0 < guess.chance <= 1


@pytest.mark.parametrize("name", FREE)
@given(text=TEXTS, cut=st.integers(1, 50), after=AFTER, limit=st.integers(-1, 12), width=st.integers(1, 12))
def test_proposals_are_well_formed_and_do_not_depend_on_who_was_asked_before(
    name: str, text: list[int], cut: int, after: list[int], limit: int, width: int
) -> None:
    once, often = free(name, width), free(name, width)
    once.extend(text[: cut + 1])
    often.extend(text[: cut + 1])
    for token in text[cut + 1 :]:
        often.propose(5, [token])
        often.extend([token])
    once.extend(text[cut + 1 :])
    proposal = once.propose(limit, after)
    assert_well_formed(proposal, min(limit, width))
    assert proposal == often.propose(limit, after)
    assert {guess.source for guess in proposal.guesses} <= {name}
    once.close()


@given(text=TEXTS, after=AFTER)
def test_lookup_amid_a_chain_finds_the_longest_match_in_the_text(text: list[int], after: list[int]) -> None:
    length, end = Lookup(text).match(after)
    whole = text + after
    last = len(text) if after else len(text) - 1
    ends = range(last + 1)
    assert length == max(
        size for size in range(len(whole) + 1) if any(matches(whole, size, place) for place in ends if size <= place)
    )
    assert length == 0 or (end <= last and matches(whole, length, end))


def matches(whole: list[int], size: int, end: int) -> bool:
    return whole[end - size : end] == whole[len(whole) - size :]


@given(text=TEXTS, after=AFTER, limit=st.integers(-1, 20))
def test_lookup_amid_a_chain_copies_on_and_on(text: list[int], after: list[int], limit: int) -> None:
    lookup = Lookup(text)
    guesses = lookup.propose(limit, after)
    length, end = lookup.match(after)
    assert len(guesses) == (limit if length and limit > 0 else 0)
    grown = text + after
    for i, guess in enumerate(guesses):
        assert guess == grown[end + i]
        grown.append(guess)


def test_lookup_is_surer_the_longer_the_match() -> None:
    source = LookupSource("lookup", 8)
    source.extend([1, 2, 3, 4, 5, 1, 2])
    assert [guess.chance for guess in source.propose(3).guesses] == [chance(2), chance(3), chance(4)]
    assert (chance(1), chance(LENGTHS[-1] + 9)) == (PRIOR[0], PRIOR[-1])


@given(text=TEXTS, after=AFTER, limit=st.integers(0, 12))
def test_recycled_guesses_followed_their_parents_before(text: list[int], after: list[int], limit: int) -> None:
    source = RecycledSource("recycled", 99)
    source.extend(text)
    proposal = source.propose(limit, after)
    newest = (after or text)[-1]
    for node in range(ROOT, len(proposal)):
        token = newest if node == ROOT else proposal.guesses[node].token
        found = [proposal.guesses[i].token for i in proposal.children(node)]
        known = [b for a, b in pairwise(text) if a == token]
        newest_first = list(dict.fromkeys(reversed(known)))[: len(recycled.PRIOR)]
        assert set(found) <= set(newest_first)
    assert (
        len(proposal) == limit
        or newest not in text[:-1]
        or limit == 0
        or any(token not in text[:-1] for token in proposal.tokens)
    )


@given(text=TEXTS)
def test_recycled_takes_the_likeliest_paths(text: list[int]) -> None:
    source = RecycledSource("recycled", 99)
    source.extend(text)
    few, many = source.propose(4), source.propose(40)
    assert few.guesses == many.guesses[:4]
    reach = []
    for guess in many.guesses:
        reach.append(guess.chance * (1.0 if guess.parent == ROOT else reach[guess.parent]))
    assert reach == sorted(reach, reverse=True)


def test_recycled_learns_which_rank_is_right() -> None:
    source = RecycledSource("recycled", 1)
    source.extend([1, 1, 2])
    assert source.propose(2, [1]).tokens[0] == 2
    source.extend([2, *[1, 1, 2, 2] * 40])  # the older of two successors is always right
    assert source.propose(1).tokens == [1]
    assert source.propose(1, [1]).tokens == [1]


@given(text=TEXTS, reference=st.lists(st.integers(0, 5), max_size=40), limit=st.integers(0, 12))
def test_copied_guesses_are_a_piece_of_the_input(text: list[int], reference: list[int], limit: int) -> None:
    source = CopySource("copy", 99, reference)
    source.extend([9, text[0]])
    source.extend(text[1:])
    proposal = source.propose(limit)
    inside = reference or [9]
    assert len(proposal) <= limit
    for node in range(len(proposal)):
        tokens = [proposal.tokens[i] for i in proposal.path(node)]
        assert any(inside[i : i + len(tokens)] == tokens for i in range(len(inside) + 1))


def rounds(source: CopySource, output: list[int], width: int) -> int:
    """Rounds that it takes to write the output."""
    source.extend([*range(1000, 1010), output[0]])
    done, count = 1, 0
    while done < len(output):
        right = len(offer(source.propose(width), output[done:]).right)
        new = output[done : done + right + 1]
        source.extend(new)
        done, count = done + len(new), count + 1
    return count


@given(at=st.integers(3, 90), cut=st.integers(0, 3), added=st.integers(0, 3), width=st.integers(4, 16))
def test_copy_finds_its_place_again_after_a_difference(at: int, cut: int, added: int, width: int) -> None:
    """An input of 100 different tokens, with a few replaced, removed or put in."""
    output = [*range(at), *range(500, 500 + added), *range(at + cut, 100)]
    allowed = -(-len(output) // (width + 1)) + added + 3
    assert rounds(CopySource("copy", width, range(100)), output, width) <= allowed


def test_copy_goes_to_the_longest_match_and_of_several_to_the_first_one() -> None:
    source = CopySource("copy", 1)
    source.extend([1, 2, 7, 50, 3, 2, 7, 60, 4, 7, 70, 9, 3])
    source.extend([2, 7])
    assert source.propose(1).tokens == [60]
    source.extend([8, 8, 8, 7])
    assert source.propose(1).tokens == [50]
    waiting = CopySource("copy", 1, sure=True)
    waiting.extend([7, 50, 7, 60, 61, 62, 63, 7])
    waiting.extend([60, 61, 62])
    assert waiting.propose(1).tokens == [63], "it followed from the last 7 on"


@pytest.mark.parametrize(
    ("newest", "guesses"),
    [
        ([99], {(6, 7), (5, 6)}),  # replaced 5, or put in before it
        ([8], {(9, 10), (6, 7), (5, 6)}),  # 5 to 7 were left out, or the same
        ([98, 99], {(7, 8), (6, 7), (5, 6)}),
    ],
)
def test_behind_a_difference_there_are_several_places(newest: list[int], guesses: set[tuple[int, ...]]) -> None:
    source = CopySource("copy", 40, range(40))
    source.extend([1000, 0])
    source.extend([1, 2, 3, 4, *newest])
    proposal = source.propose(40)
    firsts = proposal.children(ROOT)
    assert {(proposal.tokens[i], proposal.tokens[proposal.children(i)[0]]) for i in firsts} == guesses
    chances = [proposal.guesses[i].chance for i in firsts]
    assert chances == sorted(chances, reverse=True)
    reach = list[float]()
    for guess in proposal.guesses:
        reach.append(guess.chance * (1.0 if guess.parent == ROOT else reach[guess.parent]))
    assert reach == sorted(reach, reverse=True), "a narrower proposal is the beginning of this one"
    source.extend([6])
    assert source.propose(2).is_chain, "one place is left"
    assert source.propose(2).tokens == [7, 8]


def test_a_place_that_is_lost_is_found_again_by_what_matches() -> None:
    source = CopySource("copy", 2, range(40))
    source.extend([1000, 0])
    source.extend([1, 2, 3, *range(90, 97)])
    assert not source.propose(2).guesses
    source.extend([30])
    assert source.propose(2).tokens == [31, 32]
    source.extend([5, 6, 7])
    assert source.propose(2).tokens == [8, 9]


def test_a_copy_beside_lookup_waits_until_the_text_is_an_edit() -> None:
    source, waiting = CopySource("copy", 2), CopySource("copy", 2, sure=True)
    for each in (source, waiting):
        each.extend([*range(20), 3])
    assert source.propose(2).tokens == [4, 5]
    assert not waiting.propose(2).guesses
    waiting.extend([4, 5, 6, 7])
    assert waiting.propose(2).tokens == [8, 9]
    waiting.extend([90, 91, 92, 93, 94, 95, 12])
    assert not waiting.propose(2).guesses


def test_asking_behind_guesses_changes_nothing() -> None:
    source = CopySource("copy", 4, range(40))
    source.extend([1000, 0])
    assert source.propose(2, [1, 99]).tokens == [3, 4]
    assert source.propose(2).tokens == [1, 2]


def test_every_class_of_a_copy_has_a_chance_of_its_own() -> None:
    assert len(set(copy.KINDS)) == len(copy.KINDS) == 33
    assert len(copy.STEADILY) == 22


def test_without_a_reference_the_prompt_is_the_input() -> None:
    source = CopySource("copy", 3)
    source.extend([5, 6, 7, 8, 9, 7])
    assert source.propose(8).tokens == [8, 9]


def test_an_unknown_source_and_a_missing_model_are_refused() -> None:
    with pytest.raises(UsageError, match="'divination'"):
        make(Draft("g", "divination"), GREEDY, 10)
    with pytest.raises(ForetellError, match="g = draft"):
        make(Draft("g", "model", of="draft"), GREEDY, 10)
