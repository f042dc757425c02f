"""Contexts of earlier requests: a prompt that begins as one of them did is not read again."""

from dataclasses import dataclass

from foretell.api import Model
from foretell.runtime.context import Context
from foretell.runtime.history import common
from foretell.runtime.pace import Pace


@dataclass(slots=True)
class Seat:
    """A context, and what was learned of its text's guesses."""

    context: Context
    pace: Pace


class Pool:
    """Contexts between requests, the least recently used first. For one thread.

    Args:
        model: whose contexts. tokens: that are kept in all; contexts beyond are forgotten. level: of all requests.
        most: contexts that are kept.
    """

    def __init__(self, model: Model, tokens: int, most: int = 16, level: str = "O2") -> None:
        self._model, self._tokens, self._most, self._level = model, tokens, most, level
        self._seats: list[Seat] = []

    def __len__(self) -> int:
        return len(self._seats)

    @property
    def tokens(self) -> int:
        """Tokens that are kept, those that contexts share counted for each."""
        return sum(len(seat.context) for seat in self._seats)

    def take(self, prompt: list[int]) -> Seat:
        """A context for a prompt: of those that begin alike, the one that goes along for longest.

        A conversation that goes on takes its context; where it only begins alike, the other stays, and the two share
        what is alike.
        """
        best, length = None, 0
        for seat in self._seats:
            alike = common(seat.context.tokens, prompt[:-1])
            if alike > 0 and alike >= length:
                best, length = seat, alike
        if best is None:
            return Seat(Context(self._model.session), self._model.pace(self._level))
        if length == len(best.context):
            self._seats.remove(best)
            return best
        self._seats.remove(best)
        self._seats.append(best)
        return Seat(best.context.fork(length), self._model.pace(self._level))

    def give(self, seat: Seat) -> None:
        """A context back, as it is now."""
        if not len(seat.context):
            seat.context.close()
            return
        self._seats.append(seat)
        while len(self._seats) > 1 and (len(self._seats) > self._most or self.tokens > self._tokens):
            self._seats.pop(0).context.close()

    def close(self) -> None:
        """Give all contexts back."""
        while self._seats:
            self._seats.pop().context.close()
