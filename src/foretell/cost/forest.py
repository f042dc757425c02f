"""Guesses of several free sources as one tree: what agrees shares a row, and rows are taken by reach.

A guess is right with its chance when all that it hangs on is right; its reach is the product along its path. Where
sources agree, the chance is what the one with the most to go by says. Where they don't, at most one of them is right:
the surest keeps its chance, and guesses of the others get no more than RIVAL of what that leaves. A draft model's guess
keeps its chance beside free ones in any case: of 39 that would else have been given 0.3 or more, 6 were right.

Reach falls along each path, so the guesses of largest reach always make a tree, and what a pass costs depends only on
how many they are. They are taken in this order, until the next ones do not pay (`choice.copies`).
"""

from collections.abc import Sequence
from itertools import accumulate
from operator import mul
from typing import Final, NamedTuple

from foretell.accept.proposal import ROOT, Guess

NONE: Final[Sequence[int]] = ()
# How often a guess is right beside a surer one of another source that was wrong: of lookup and copy 0.14, counted at
# 300 such places of the texts that `foretell.draft.copy` speaks of.
RIVAL: Final = 0.14


class Offer(NamedTuple):
    """What a source has to offer, and of each guess the chance that it is right when its ancestors are."""

    guesses: Sequence[Guess] = ()
    chances: Sequence[float] = ()


class Forest(NamedTuple):
    """Offers in one tree.

    reach: of its guesses, the largest first. order: their numbers. numbers: of each offer, the number of each guess.
    starts: of each offer, from which number on guesses are not an earlier offer's too. settled: guesses of lower
    numbers are in the pass whatever is taken, and not in the order.
    """

    reach: Sequence[float]
    order: Sequence[int]
    numbers: Sequence[Sequence[int]]
    starts: Sequence[int]
    settled: int = 0

    def taken(self, count: int) -> list[Sequence[int]]:
        """Of each offer, the indices of its guesses among the `count` of largest reach, parents first.

        None of an offer whose guesses among them are all an earlier offer's too.
        """
        if not count:
            return [NONE] * len(self.numbers)
        chosen = {*range(self.settled), *self.order[:count]}
        out: list[Sequence[int]] = []
        for numbers, start in zip(self.numbers, self.starts, strict=True):
            mine = [i for i, number in enumerate(numbers) if number in chosen]
            out.append(mine if any(numbers[i] >= start for i in mine) else NONE)
        return out


def forest(offers: Sequence[Offer], *, led: bool = False) -> Forest:
    """The tree of these offers. Of those that agree, the later one has more to go by.

    led: the first is a draft model's, which has more to go by than all others, whether they agree or not.
    """
    if sum(len(guesses) > 0 for guesses, _ in offers) < 2:
        return _alone(offers)
    places: dict[tuple[int, int], int] = {}  # (parent, token) -> number
    parents, chances, whose = list[int](), list[float](), list[int]()
    numbers, starts = list[Sequence[int]](), list[int]()
    torn = set[int]()  # parents of guesses of several offers
    for who, (guesses, known) in enumerate(offers):
        start, mine = len(parents), list[int]()
        for guess, chance in zip(guesses, known, strict=True):
            parent = guess.parent if guess.parent == ROOT else mine[guess.parent]
            number = places.setdefault((parent, guess.token), len(parents))
            mine.append(number)
            if number < len(parents):
                if not (led and whose[number] == 0):
                    chances[number], whose[number] = chance, who
                continue
            parents.append(parent)
            chances.append(chance)
            whose.append(who)
            if 0 <= parent < start or (parent == ROOT and start):
                torn.add(parent)
        numbers.append(mine)
        starts.append(start)
    for parent in torn:
        siblings = [i for i, each in enumerate(parents) if each == parent]
        lead = siblings[0] if led and whose[siblings[0]] == 0 else max(siblings, key=chances.__getitem__)
        _yield(lead, siblings, chances, whose)
    reach: list[float] = []
    for parent, chance in zip(parents, chances, strict=True):
        reach.append(chance if parent == ROOT else chance * reach[parent])
    order = sorted(range(len(reach)), key=reach.__getitem__, reverse=True)
    return Forest([reach[i] for i in order], order, numbers, starts)


def beside(chain: Offer, offers: Sequence[Offer]) -> Forest:
    """What these offers add to a chain that is in the pass anyway: guesses behind its end, and rivals of its guesses.

    The chain's chances stay, whatever the offers say at its places.
    """
    whole = forest([chain, *offers], led=True)
    settled = len(chain.guesses)
    added = [(reach, number) for reach, number in zip(whole.reach, whole.order, strict=True) if number >= settled]
    return Forest([r for r, _ in added], [n for _, n in added], whole.numbers[1:], whole.starts[1:], settled)


def _alone(offers: Sequence[Offer]) -> Forest:
    """The same of no more than one that has guesses."""
    numbers = [range(len(guesses)) for guesses, _ in offers]
    guesses, chances = max(offers, key=lambda each: len(each.guesses), default=Offer())
    if all(guess.parent == i for i, guess in enumerate(guesses, ROOT)):
        reach = list(accumulate(chances, mul))
        return Forest(reach, range(len(reach)), numbers, [0] * len(offers))
    reach = []
    for guess, chance in zip(guesses, chances, strict=True):
        reach.append(chance if guess.parent == ROOT else chance * reach[guess.parent])
    order = sorted(range(len(reach)), key=reach.__getitem__, reverse=True)
    return Forest([reach[i] for i in order], order, numbers, [0] * len(offers))


def _yield(lead: int, siblings: Sequence[int], chances: list[float], whose: Sequence[int]) -> None:
    """Guesses of other offers beside `lead` get what that leaves."""
    most = RIVAL * (1 - chances[lead])
    for each in siblings:
        if whose[each] != whose[lead]:
            chances[each] = min(chances[each], most)
