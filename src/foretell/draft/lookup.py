"""Guesses copied from the text itself: what followed the last place where the newest tokens stood before.

A suffix automaton (Blumer et al., "The smallest automaton recognizing the subwords of a text", 1985) holds every
substring of the prompt and the output. Each state stands for a set of substrings that end at the same places; its
suffix link leads to the longest of their suffixes that also ends elsewhere. So after each token, the link of the newest
state is the longest repeated suffix of the text, found in amortised constant time.

To know the *last* earlier place, the newest end position is noted along the chain of suffix links. A chain can be as
long as the text (one token over and over), so at most WALK links are followed: all suffixes longer than what remains
are up to date, shorter ones may remember an older place. Every place is a real one.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

from foretell.accept.proposal import Proposal, chain

WALK: Final = 24  # suffix links followed per token; chains in prose and code have 3 to 8

LENGTHS: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24)  # where a new class of match lengths begins
# How often a guess is right that continues a match of such a length, before anything was seen: about what 160 texts in
# Qwen's tokens showed (answers to GSM8K, HumanEvalPack, MBPP; halves of Spec-Bench prompts). The speed simulated with
# widths chosen by them changes by less than 2 % when they are halved or doubled.
PRIOR: Final = (0.18, 0.33, 0.45, 0.52, 0.65, 0.80, 0.90, 0.92, 0.94)


_CHANCES: Final = tuple(PRIOR[max(0, bisect_right(LENGTHS, n) - 1)] for n in range(LENGTHS[-1] + 1))  # by length


def chance(match_length: int) -> float:
    """Chance that a guess continuing a match of this many tokens is right."""
    return _CHANCES[min(match_length, LENGTHS[-1])]


def chances(match_length: int, guesses: int) -> Sequence[float]:
    """Of so many guesses behind such a match, one behind the other."""
    known = _CHANCES[match_length : match_length + guesses]
    return known if len(known) == guesses else (*known, *(PRIOR[-1:] * (guesses - len(known))))


_NONE: Final = Proposal()


class Lookup:
    """The automaton over committed tokens, and guesses from it. Tokens are only ever added.

    >>> lookup = Lookup([1, 2, 3, 4, 9, 1, 2, 3])
    >>> lookup.match_length, lookup.propose(4)
    (3, [4, 9, 1, 2])
    """

    __slots__ = ("_ends", "_lengths", "_links", "_newest", "_next", "_tokens", "match_end", "match_length")

    def __init__(self, tokens: Iterable[int] = ()) -> None:
        self.match_length = 0  # tokens of the longest suffix that stood in the text before
        self.match_end = 0  # position after the last earlier place where it stood
        self._tokens: list[int] = []
        self._next: list[dict[int, int]] = [{}]  # per state: token -> state
        self._links: list[int] = [-1]
        self._lengths: list[int] = [0]  # per state: its longest substring
        self._ends: list[int] = [0]  # per state: position after its newest known place
        self._newest = 0  # the state of the whole text
        self.extend(tokens)

    def __len__(self) -> int:
        return len(self._tokens)

    def extend(self, tokens: Iterable[int]) -> None:
        """Add committed tokens."""
        for token in tokens:
            self._add(token)

    def propose(self, limit: int, after: Sequence[int] = ()) -> list[int]:
        """Up to `limit` guesses behind the text and the tokens of `after`.

        Exactly that many when the newest token stood in the text before, else none. A copy that reaches the end goes on
        with its own guesses, as a repetition does.
        """
        length, start = self.match(after) if after else (self.match_length, self.match_end)
        if length == 0 or limit <= 0:
            return []
        guesses = self._tokens[start : start + limit]
        guesses += after[: limit - len(guesses)]
        while len(guesses) < limit:
            guesses += guesses[: limit - len(guesses)]
        return guesses

    def match(self, after: Sequence[int] = ()) -> tuple[int, int]:
        """The longest suffix of the text and `after` that stood in the text: its length, and a position behind it."""
        if not after:
            return self.match_length, self.match_end
        transitions, links, lengths = self._next, self._links, self._lengths
        length, state = self.match_length, max(0, links[self._newest])
        for token in after:
            while state and token not in transitions[state]:
                state = links[state]
                length = lengths[state]
            if token in transitions[state]:
                state, length = transitions[state][token], length + 1
        return length, self._ends[state] if length else 0

    def _add(self, token: int) -> None:
        transitions, links, lengths, ends = self._next, self._links, self._lengths, self._ends
        self._tokens.append(token)
        position = len(self._tokens)
        state = len(lengths)
        transitions.append({})
        lengths.append(position)
        ends.append(position)
        links.append(0)
        walker = self._newest
        while walker >= 0 and token not in transitions[walker]:
            transitions[walker][token] = state
            walker = links[walker]
        link = 0 if walker < 0 else self._link_target(walker, token)
        links[state] = link
        self._newest = state
        self.match_length, self.match_end = lengths[link], ends[link]
        for _ in range(WALK):
            if link <= 0:
                return
            ends[link] = position
            link = links[link]

    def _link_target(self, walker: int, token: int) -> int:
        """The state of the longest repeated suffix; split off its state when that also holds longer substrings."""
        transitions, links, lengths, ends = self._next, self._links, self._lengths, self._ends
        target = transitions[walker][token]
        if lengths[target] == lengths[walker] + 1:
            return target
        clone = len(lengths)
        transitions.append(transitions[target].copy())
        lengths.append(lengths[walker] + 1)
        ends.append(ends[target])
        links.append(links[target])
        links[target] = clone
        while walker >= 0 and transitions[walker].get(token) == target:
            transitions[walker][token] = clone
            walker = links[walker]
        return clone


class LookupSource:
    """The draft source `lookup`."""

    def __init__(self, name: str, width: int) -> None:
        self.name = name
        self._width, self._lookup = width, Lookup()

    def extend(self, tokens: Sequence[int]) -> None:
        """Committed tokens."""
        self._lookup.extend(tokens)

    def propose(self, limit: int, after: Sequence[int] = ()) -> Proposal:
        """A chain, or nothing when the newest token is new."""
        lookup = self._lookup
        guesses = lookup.propose(min(limit, self._width), after)
        if not guesses:
            return _NONE
        length = lookup.match(after)[0] if after else lookup.match_length
        return chain(guesses, self.name, chances=chances(length, len(guesses)))

    def close(self) -> None:
        """Nothing to give back."""
