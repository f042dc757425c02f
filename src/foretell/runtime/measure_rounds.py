"""Rounds played over a text that is known: what a source would have had accepted, without a pass of the target.

What a source guesses at a place depends on the text before it alone, and in an exact pipeline the text is the target's
whatever is guessed. So the guesses at every place decide what every round of every width would have accepted, and with
that where the next round begins.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from foretell.accept.proposal import ROOT, Proposal
from foretell.profile.counts import Rounds


@dataclass(frozen=True, slots=True)
class Offer:
    """What a source guesses at one place.

    depths: of each guess, counted from 1; a narrower proposal is the beginning of this one. right: the guesses that are
    right, a path from the first level on.
    """

    depths: Sequence[int] = ()
    right: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Round:
    """A round. guesses: how many. levels: how deep they went. accepted: how many were right. most: could have been."""

    guesses: int
    levels: int
    accepted: int
    most: int


def offer(proposal: Proposal, coming: Sequence[int]) -> Offer:
    """A proposal, judged by the tokens that came."""
    depths: list[int] = []
    for guess in proposal.guesses:
        depths.append(1 if guess.parent == ROOT else depths[guess.parent] + 1)
    node, right = ROOT, list[int]()
    for token in coming:
        node = next((i for i in proposal.children(node) if proposal.guesses[i].token == token), ROOT)
        if node == ROOT:
            break
        right.append(node)
    return Offer(depths, right)


def chains(agreed: Sequence[bool], width: int) -> list[Offer]:
    """The offers of a model that was right at these places and no others, in chains of `width`."""
    out: list[Offer] = []
    run = 0
    for right in reversed(agreed):
        run = run + 1 if right else 0
        out.append(Offer(range(1, width + 1), range(min(run, width))))
    return out[::-1]


def play(offers: Sequence[Offer], width: int, limit: int) -> Iterator[Round]:
    """The rounds of a generation.

    Args:
        offers: at each place of the answer behind its first token, which is the prompt pass's.
        width: most guesses of a round.
        limit: most tokens of the answer; no round guesses beyond the last but one.
    """
    place, end = 1, len(offers) + 1
    while place < end:
        here = offers[place - 1]
        room = max(0, min(width, limit - place - 1))
        guesses = min(len(here.depths), room)
        accepted = sum(each < guesses for each in here.right)
        yield Round(guesses, max(here.depths[:guesses], default=0), accepted, min(room, end - place))
        place += accepted + 1


def labels(offers: Sequence[Offer], width: int, limit: int) -> list[bool]:
    """Of each token of the answer, whether it was a guess."""
    out = [False]
    for each in play(offers, width, limit):
        out += [True] * each.accepted + [False]
    return out[: len(offers) + 1]


def counted(offers: Sequence[Offer], width: int, limit: int) -> Rounds:
    """The rounds of a generation, counted."""
    rounds = offered = guesses = levels = 0
    trials, hits = [0] * width, [0] * width
    for each in play(offers, width, limit):
        rounds += 1
        offered += each.guesses > 0
        guesses += each.guesses
        levels += each.levels
        tried = min(each.accepted + 1, each.most) if each.guesses else 0
        for level in range(tried):
            trials[level] += 1
            hits[level] += level < each.accepted
    return Rounds(rounds, offered, guesses, levels, tuple(trials), tuple(hits))
