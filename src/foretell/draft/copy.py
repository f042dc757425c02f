"""Aggressive decoding: the input is the draft (Ge et al., arXiv 2106.04970), for outputs that are an edited input.

A cursor stands in the input where the output is expected to go on; guesses are the input from there. As long as the
output follows, the cursor moves along. After a difference it goes where the newest tokens of the output stand in the
input: to the longest match, and of several to the first one from the cursor on. Where the newest token does not occur
in the input at all, it is taken to replace one token of it.
"""

from collections.abc import Sequence
from typing import Final

from foretell.accept.proposal import Proposal, chain
from foretell.draft.lookup import chance

LONGEST: Final = 16  # tokens of the output that are matched


class CopySource:
    """The draft source `copy`. `reference`: the input's tokens; when there are none, the prompt is the input."""

    def __init__(self, name: str, width: int, reference: Sequence[int] = ()) -> None:
        self.name = name
        self._width, self._input = width, tuple(reference)
        self._places: dict[int, list[int]] | None = None  # of each token in the input
        self._output: list[int] = []
        self._place = (0, LONGEST if reference else 0)  # the cursor, and how many tokens before it match the output

    def extend(self, tokens: Sequence[int]) -> None:
        """Committed tokens; the first time the prompt with one token of output behind it."""
        if self._places is None:
            self._input = self._input or tuple(tokens[:-1])
            self._places = {}
            for place, token in enumerate(self._input):
                self._places.setdefault(token, []).append(place)
            tokens = tokens[-1:]
        self._place = self._follow(tokens)
        self._output += tokens

    def propose(self, limit: int, after: Sequence[int] = ()) -> Proposal:
        """A chain: the input from the cursor on; nothing at its end."""
        cursor, matched = self._follow(after)
        guesses = self._input[cursor : cursor + max(0, min(limit, self._width))]
        return chain(guesses, self.name, chances=[chance(matched + i) for i in range(len(guesses))])

    def _follow(self, tokens: Sequence[int]) -> tuple[int, int]:
        """The cursor after these tokens behind the output, and how many tokens before it match."""
        cursor, matched = self._place
        for i, token in enumerate(tokens):
            if self._input[cursor : cursor + 1] == (token,):
                cursor, matched = cursor + 1, matched + 1
            else:
                newest = [*self._output, *tokens[: i + 1]][-LONGEST:]
                cursor, matched = self._nearest(newest, cursor)
        return cursor, matched

    def _nearest(self, newest: list[int], cursor: int) -> tuple[int, int]:
        """Behind the longest match of the newest tokens; of equals the first from the cursor on, or else the last."""
        best, key = (cursor + 1, 0), (0, False, 0)
        for place in (self._places or {}).get(newest[-1], ()):
            size = 1
            while size < min(len(newest), place + 1) and self._input[place - size] == newest[-1 - size]:
                size += 1
            ahead = place >= cursor
            if (size, ahead, -place if ahead else place) > key or best[1] == 0:
                best, key = (place + 1, size), (size, ahead, -place if ahead else place)
        return best

    def close(self) -> None:
        """Nothing to give back."""
