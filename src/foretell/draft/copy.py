"""Aggressive decoding: the input is the draft (Ge et al., arXiv 2106.04970), for outputs that are an edited input.

A cursor stands in the input where the output is expected to go on; guesses are the input from there. As long as the
output follows, the cursor moves along. After a difference nobody knows yet what became of the input, so there are
several cursors, with guesses behind each of them:

    where the newest token comes next in the input, within REACH tokens: what was between was left out
    behind the token that was expected: it was replaced
    before that token: the newest one was put in

and after further differences at the same place, wherever as many replacements and insertions lead to. The first cursor
that the output follows is the only one again. A text that seldom followed the input before is not taken for an edit of
it, and after GIVEN_UP differences the place is lost: then the cursor goes where the newest tokens of the output stand
in the input, to the longest match, and of several to the first one from the cursor on.
"""

from bisect import bisect_right
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Final, NamedTuple

from foretell.accept.proposal import ROOT, Guess, Proposal, chain

LONGEST: Final = 16  # tokens of the output that are matched
MOVED: Final = 3  # tokens that match elsewhere tell more than what happened at the cursor
REACH: Final = 12  # tokens of the input that may have been left out
GIVEN_UP: Final = 5  # differences without a token that follows
MOST: Final = 4  # cursors
MEMORY: Final = 10.0  # tokens of which it is known what share followed the input
UNSEEN: Final = 3.0  # tokens that count as not following before any came
STEADY: Final = (0.4, 0.7)  # such shares: from which on a text counts as copying in part, and as an edit

LENGTHS: Final = (1, 2, 3, 5, 9, 17)  # where a new class of match lengths begins
# How often a guess is right before anything was seen. By how steadily the text followed the input (rows: seldom, in
# part, as an edit does), and by the length of the match that it continues. About what 40 texts in Qwen's tokens showed:
# learner English corrected, bugs fixed, summaries, answers to Spec-Bench, MBPP and GSM8K. No two values are the same,
# so that each stands for its class.
FOLLOWING: Final = (
    (0.21, 0.55, 0.58, 0.79, 0.83, 0.91),
    (0.46, 0.66, 0.72, 0.80, 0.82, 0.92),
    (0.75, 0.77, 0.88, 0.84, 0.90, 0.97),
)
# Behind a difference: where tokens were left out; at the likeliest cursor otherwise; at one beside a likelier one; and
# the last two behind several differences.
LEFT_OUT, REPLACED, BESIDE, LATER, LATEST = range(5)
CHANGED: Final = (
    (0.24, 0.08, 0.03, 0.05, 0.02),
    (0.52, 0.41, 0.07, 0.06, 0.025),
    (0.74, 0.67, 0.13, 0.23, 0.035),
)
KINDS: Final = tuple(sorted(chance for row in (*FOLLOWING, *CHANGED) for chance in row))
# The classes, as numbers of KINDS, of guesses in texts that follow the input at least in part.
STEADILY: Final = frozenset(KINDS.index(chance) for row in (*FOLLOWING[1:], *CHANGED[1:]) for chance in row)
_CLASSES: Final = tuple(max(0, bisect_right(LENGTHS, n) - 1) for n in range(LENGTHS[-1] + 1))  # by length
_BY_LENGTH: Final = tuple(tuple(row[each] for each in _CLASSES) for row in FOLLOWING)
_NONE: Final = Proposal()


class Cursor(NamedTuple):
    """A place in the input where the output may go on.

    matched: tokens before it that match. changed: of a cursor behind a difference that no output followed yet, a column
    of CHANGED; else -1.
    """

    place: int
    matched: int
    changed: int = -1


class CopySource:
    """The draft source `copy`.

    Args:
        name: what its guesses are labelled with.
        width: most guesses.
        reference: the input's tokens; when there are none, the prompt is the input.
        sure: it guesses only where the output follows the input steadily. Elsewhere it would guess as lookup does.
    """

    def __init__(self, name: str, width: int, reference: Sequence[int] = (), *, sure: bool = False) -> None:
        self.name = name
        self._width, self._input = width, tuple(reference)
        self._places: dict[int, list[int]] | None = None  # of each token in the input
        self._newest: list[int] = []  # tokens of the output
        self._cursors: tuple[Cursor, ...] = (Cursor(0, LONGEST),) if reference else ()
        self._sure = sure
        self._steady, self._seen = (1.0, MEMORY) if reference else (0.0, UNSEEN)
        self._last, self._gap = -1, 0  # the cursor before the newest difference (-1: lost), and differences since

    def extend(self, tokens: Sequence[int]) -> None:
        """Committed tokens; the first time the prompt with one token of output behind it."""
        if self._places is None:
            self._input = self._input or tuple(tokens[:-1])
            self._places = {}
            for place, token in enumerate(self._input):
                self._places.setdefault(token, []).append(place)
            tokens = tokens[-1:]
        for token in tokens:
            self._follow(token)

    def propose(self, limit: int, after: Sequence[int] = ()) -> Proposal:
        """The input from each cursor on: a tree, the likeliest guesses first; nothing at the input's end."""
        limit = min(limit, self._width)
        if limit < 1 or (self._sure and self._steady < STEADY[0]):
            return _NONE
        if not after:
            return self._guessed(limit)
        before = self._newest, self._cursors, self._steady, self._seen, self._last, self._gap
        self._newest = self._newest[:]
        self.extend(after)
        proposal = self._guessed(limit)
        self._newest, self._cursors, self._steady, self._seen, self._last, self._gap = before
        return proposal

    def _guessed(self, limit: int) -> Proposal:
        if len(self._cursors) != 1:
            return self._tree(limit) if self._cursors else _NONE
        (cursor,) = self._cursors
        place, matched, _ = cursor
        row = _BY_LENGTH[self._row]
        tokens = self._input[place : place + limit]
        later = row[matched + 1 : matched + len(tokens)]
        chances = (self._chance(cursor), *later, *(row[-1:] * (len(tokens) - 1 - len(later))))
        return chain(tokens, self.name, chances=chances)

    def _tree(self, limit: int) -> Proposal:
        text, name, chances, last = self._input, self.name, _BY_LENGTH[self._row], LENGTHS[-1]
        guesses, firsts = list[Guess](), set[int]()
        waiting: list[tuple[float, int, int, int, int, float]] = []  # reach (negative), rank, place, matched, ...
        for rank, cursor in enumerate(self._cursors):
            if text[cursor.place] not in firsts:
                firsts.add(text[cursor.place])
                chance = self._chance(cursor)
                heappush(waiting, (-chance, rank, cursor.place, cursor.matched, ROOT, chance))
        while waiting and len(guesses) < limit:
            reach, rank, place, matched, parent, chance = heappop(waiting)
            guesses.append(Guess(text[place], parent, name, "point", chance))
            if place + 1 < len(text):
                chance = chances[min(matched + 1, last)]
                heappush(waiting, (reach * chance, rank, place + 1, matched + 1, len(guesses) - 1, chance))
        return Proposal(tuple(guesses))

    @property
    def _row(self) -> int:
        return bisect_right(STEADY, self._steady)

    def _chance(self, cursor: Cursor) -> float:
        """Of the first guess there."""
        if cursor.changed >= 0:
            return CHANGED[self._row][cursor.changed]
        return _BY_LENGTH[self._row][min(cursor.matched, LENGTHS[-1])]

    def _follow(self, token: int) -> None:
        """Move the cursors over a token of the output."""
        self._newest.append(token)
        del self._newest[:-LONGEST]
        text = self._input
        follow = [each for each in self._cursors if text[each.place] == token]
        self._seen = min(MEMORY, self._seen + 1)
        self._steady += ((len(follow) > 0) - self._steady) / self._seen
        if follow:
            self._gap, self._last = 0, follow[0].place + 1
            self._cursors = self._kept([Cursor(each.place + 1, each.matched + 1) for each in follow])
        else:
            self._gap += 1
            self._cursors = self._kept(self._found(token))

    def _kept(self, cursors: Sequence[Cursor]) -> tuple[Cursor, ...]:
        """The first of those at the same place, and none at the input's end."""
        places = {each.place: each for each in reversed(cursors) if each.place < len(self._input)}
        return tuple(dict.fromkeys(places[each.place] for each in cursors if each.place in places))[:MOST]

    def _found(self, token: int) -> list[Cursor]:
        """Where the input may go on behind a difference, the likeliest place first."""
        places, last, gap = (self._places or {}).get(token, ()), self._last, self._gap
        match = self._longest(places, last)
        if match is not None and match.matched >= MOVED:
            return [match]
        if last < 0 or gap > GIVEN_UP or self._steady < STEADY[0]:
            self._last = -1
            return [] if match is None else [match]
        out: list[Cursor] = []
        nearest = bisect_right(places, last)
        if nearest < len(places) and places[nearest] < last + REACH:
            out.append(Cursor(places[nearest] + 1, 1, LEFT_OUT))
        for replaced in range(gap, -1, -1):
            first, beside = (REPLACED, BESIDE) if gap == 1 else (LATER, LATEST)
            out.append(Cursor(last + replaced, 0, beside if out else first))
        return out if match is None else [*out, match]

    def _longest(self, places: Sequence[int], cursor: int) -> Cursor | None:
        """Behind the longest match of the newest tokens; of equals the first from the cursor on, or else the last.

        Without a cursor (-1) that is the first one of all; the last for a source that guesses only where it is sure,
        which then waits where lookup does.
        """
        text, newest, best, longest = self._input, self._newest, -1, 0
        for place in places:
            size = 1
            while size < min(len(newest), place + 1) and text[place - size] == newest[-1 - size]:
                size += 1
            if size > longest or (size == longest and (best < cursor or (self._sure and cursor < 0))):
                best, longest = place, size
        return None if best < 0 else Cursor(best + 1, longest)

    def close(self) -> None:
        """Nothing to give back."""
