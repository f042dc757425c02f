"""Sequences of a draft model that hold texts of before: a text that goes on as one of them did is not read again."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from foretell.backend.protocol import Session


@dataclass(slots=True, eq=False)
class Held:
    """A sequence. tokens: that it holds. text: so many of them were text, not guesses, when it was put back."""

    sequence: int
    tokens: list[int] = field(default_factory=list)
    text: int = 0


class Shelf:
    """Sequences that nobody uses at present, the least recently used first.

    Args:
        session: whose sequences. most: of them, the one in use included. tokens: most that they hold together; the one
            in use may hold as many as it likes.
    """

    def __init__(self, session: Session, most: int = 1, tokens: int = 1 << 15) -> None:
        self._session, self._most, self._tokens = session, most, tokens
        self._held: list[Held] = []

    def __len__(self) -> int:
        return len(self._held)

    def swap(self, back: Held, text: Sequence[int]) -> Held:
        """Put a sequence back, and take the one for a text: of those that begin alike, the one for longest.

        A text that goes on takes the sequence; where it only begins alike the other one stays, and the two share that.
        """
        self._held.append(back)
        best, length = back, 0
        for each in self._held:  # of equal ones the most recently used
            alike = _alike(each.tokens, text)
            if alike > 0 and alike >= length:
                best, length = each, alike
        if length and length < best.text and self._most > 1:
            self._held.remove(best)
            self._held.append(best)
            self._drop()
            fork = self._session.fork(best.sequence)
            length = min(length, self._session.length(fork))  # less when an interrupt came amid a commit
            self._session.rewind(fork, length)
            return Held(fork, best.tokens[:length])
        if not length:
            room = len(self._held) < self._most
            empty = next((each for each in self._held if not each.tokens), None if room else self._held[0])
            best = empty or Held(self._session.open())
        if best in self._held:
            self._held.remove(best)
        self._drop()
        return best

    def close(self) -> None:
        """Give all sequences back."""
        while self._held:
            self._session.close(self._held.pop().sequence)

    def _drop(self) -> None:
        """Let go of the least recently used so that one more can be used, but not of the last used one."""
        while len(self._held) > 1 and (len(self._held) >= self._most or self._size() > self._tokens):
            self._session.close(self._held.pop(0).sequence)

    def _size(self) -> int:
        return sum(len(each.tokens) for each in self._held)


def _alike(ours: Sequence[int], theirs: Sequence[int]) -> int:
    """How many tokens two texts begin alike with: by halves, as slices are compared quickly."""
    low, high = 0, min(len(ours), len(theirs))
    while low < high:
        middle = (low + high + 1) // 2
        if ours[low:middle] == theirs[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
