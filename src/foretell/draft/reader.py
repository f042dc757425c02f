"""A draft model's sequence, kept in step with the text: what it has read that still holds is not read again.

A new text takes the sequence of the one that began alike, if that is still there (`foretell.draft.shelf`). A sequence
holds tokens that were committed and, behind them, guesses of earlier rounds. When the next guesses are
asked for, it is cut back to what it has in common with the text. The rest of the text is read then and not before, so a
source that is never asked costs nothing, its prompt pass included.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from foretell.accept.noise import shifted
from foretell.accept.proposal import ROOT, Proposal
from foretell.backend.protocol import Rows, Scores, Session, Want
from foretell.draft.shelf import Held, Shelf

_NOTHING = Want()


class Reader:
    """Reads one text at a time. It may outlive a generation: a text that begins alike is not read again.

    Args:
        session: of the draft model; sequences of others in it are left alone.
        piece_rows: most rows of one pass over the text.
        texts: how many it remembers, that of now included. tokens: at most, of those before it.

    `text` is what was committed; `passes` counts those over rows whose scores were wanted, `rows` their rows.
    """

    def __init__(self, session: Session, piece_rows: int = 512, texts: int = 1, tokens: int = 1 << 15) -> None:
        self.text: list[int] = []
        self.passes = self.rows = 0
        self._session, self._piece_rows = session, piece_rows
        self._shelf = Shelf(session, texts, tokens)
        self._use(Held(session.open()))
        self._skip = 0  # tokens at the beginning of the text that are not read
        self._agreed = 0  # so many of `_held` are known to be the text's
        self._foreign = False  # whether the text has a token that the draft model does not know
        self._rows: list[int] = []  # of the last pass
        self._unread = 0  # how many of them belong to the text or to settled guesses

    def begin(self, text: Sequence[int], skip: int = 0) -> None:
        """A new text; its first `skip` tokens are not read."""
        if self.text:
            self._place.text = len(self.text) - self._skip - self.unread
        self._use(self._shelf.swap(self._place, list(text[skip:])))
        self._skip, self._agreed = skip, 0
        self.text, self._foreign = [], False
        self.extend(text)

    def _use(self, place: Held) -> None:
        self._place, self._sequence = place, place.sequence
        self._held = place.tokens  # the sequence's: the text from `_skip` on, then guesses

    def extend(self, tokens: Sequence[int]) -> None:
        """More text."""
        self.text.extend(tokens)
        self._foreign = self._foreign or max(tokens, default=0) >= self._session.vocabulary

    @property
    def unread(self) -> int:
        """Tokens of the text that the next pass has to read, the newest among them: its scores are wanted."""
        text, skip, held, agreed = self.text, self._skip, self._held, self._agreed
        end = min(len(held), len(text) - skip - 1)
        while agreed < end and held[agreed] == text[skip + agreed]:
            agreed += 1
        self._agreed = max(0, min(agreed, end))
        return len(text) - skip - self._agreed

    def catch_up(self) -> bool:
        """Forget guesses that did not become text, and read the text but for the last piece.

        False when the model cannot read it: too long for its context, or tokens that it does not know.
        """
        text, skip, held = self.text, self._skip, self._held
        size = len(text) - skip
        if self._foreign or not 0 < size <= self._session.context:
            return False
        self._cut(size - self.unread)
        while size - len(held) > self._piece_rows:
            piece = text[skip + len(held) : skip + len(held) + self._piece_rows]
            self._session.step(Rows.chain(piece, self._sequence, ()), _NOTHING)
            self._rows, self._unread = piece, len(piece)
            self.keep(())
        return True

    def takes(self, guesses: Sequence[int]) -> bool:
        """Whether these tokens behind the text fit the model's context and vocabulary."""
        size = len(self.text) - self._skip + len(guesses)
        return size <= self._session.context and max(guesses, default=0) < self._session.vocabulary

    def step(self, guesses: Sequence[int], tried: Proposal, want: Want) -> Scores:
        """One pass over what is unread of the text and of the guesses that follow it, and over `tried` behind these.

        The text must have been caught up with, earlier passes of the same chain kept, and all of it must fit (`takes`).

        Args:
            guesses: a chain behind the text, settled.
            tried: guesses behind that chain; those that turn out to continue it are kept by `keep`.
            want: at positions of the whole text, as if nothing had been skipped.

        Returns:
            Scores of the newest settled token, then of each tried guess.
        """
        held, size = len(self._held), len(self.text) - self._skip
        unread = [*self.text[self._skip + held :], *guesses[max(0, held - size) :]]
        count = len(unread)
        parents = [
            *range(-1, count - 1),
            *(count - 1 if parent == ROOT else count + parent for parent in tried.parents),
        ]
        rows = [*unread, *tried.tokens]
        if self._skip:
            want = _moved(want, self._skip)
        sequences = [self._sequence] * len(rows)
        scores = self._session.step(Rows(rows, parents, sequences, range(count - 1, len(rows))), want)
        self._rows, self._unread = rows, count
        self.passes += 1
        self.rows += len(rows)
        return scores

    @property
    def room(self) -> int:
        """Most passes of a chain that goes on behind the text, so that all that is read fits the context."""
        return self._session.context - (len(self.text) - self._skip) + 1

    def draft(self, steps: int, want: Want, stop: float, reach: float) -> Scores:
        """A chain behind the text (`Session.draft`), at most `room` passes; it is kept but for its last token.

        The text must have been caught up with.
        """
        unread = self.text[self._skip + len(self._held) :]
        if self._skip:
            want = _moved(want, self._skip)
        scores = self._session.draft(self._sequence, unread, steps, want, stop, reach)
        self._held += [*unread, *scores.chosen[:-1]]
        self.passes += len(scores.chosen)
        self.rows += len(unread) + len(scores.chosen) - 1
        return scores

    def keep(self, path: Sequence[int]) -> None:
        """Hold the last pass's settled tokens, and these of the guesses that it tried, a chain behind them."""
        count = self._unread
        rows = [*range(count), *(count + node for node in path)]
        self._held.extend([self._rows[row] for row in rows])
        self._session.commit(self._sequence, rows)

    def forget(self) -> None:
        """Hold nothing: the next text is read from its beginning."""
        self._shelf.close()
        self._session.rewind(self._sequence, 0)
        self._held.clear()
        self.begin(())

    def close(self) -> None:
        """Give the sequences back."""
        self._shelf.close()
        self._session.close(self._sequence)

    def _cut(self, length: int) -> None:
        """Hold at most `length` tokens. Also mends the list when an interrupt came amid `keep` or `draft`."""
        length = min(length, self._session.length(self._sequence), len(self._held))
        del self._held[length:]
        if self._session.length(self._sequence) > length:
            self._session.rewind(self._sequence, length)


@lru_cache(maxsize=8)
def _moved(want: Want, by: int) -> Want:
    """The same draws at positions that are lower by `by`."""
    return replace(want, sampling=replace(want.sampling, seed=shifted(want.sampling.seed, by)))
