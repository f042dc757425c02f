"""A finished text read once more: what the target, and each draft of a pipeline, expected at every place of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from foretell.accept.distribution import distribution
from foretell.accept.sampling import PENALTY_WINDOW, Sampling
from foretell.backend.protocol import Rows, Want
from foretell.draft import sources
from foretell.draft.drawn import fitted
from foretell.draft.source import Source
from foretell.ir.ops import Draft
from foretell.runtime.context import Context

_PIECE_ROWS: Final = 16  # a row's logits are a megabyte
_LOGITS: Final = Want(logits=True)

Weights = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reread:
    """Distributions of a model along a text.

    context: its sequence, kept from text to text. piece_rows: most rows of a prompt pass. vocabulary: the target's.
    """

    context: Context
    piece_rows: int
    vocabulary: int

    def along(self, prompt: Sequence[int], tokens: Sequence[int], sampling: Sampling) -> Iterator[Weights]:
        """float64 [vocabulary] before each of the tokens behind a prompt, after warpers."""
        context, text = self.context, [*prompt, *tokens]
        done = context.reuse(prompt)
        while done < len(prompt) - 1:
            self._step(prompt[done : min(done + self.piece_rows, len(prompt) - 1)], wanted=False)
            done = len(context)
        while done < len(text) - 1:
            logits = self._step(text[done : min(done + _PIECE_ROWS, len(text) - 1)], wanted=True)
            for place, row in enumerate(logits, done + 1):
                history = text[max(0, place - PENALTY_WINDOW) : place]
                yield distribution(fitted(row, self.vocabulary), history, sampling)
            done = len(context)

    def _step(self, piece: Sequence[int], *, wanted: bool) -> NDArray[np.float32]:
        context = self.context
        rows = Rows.chain(piece, context.sequence, None if wanted else ())
        scores = context.session.step(rows, _LOGITS if wanted else Want())
        context.commit(piece)
        return np.zeros((0, 0), np.float32) if scores.logits is None else scores.logits


def guessed(
    statement: Draft, prompt: Sequence[int], tokens: Sequence[int], sampling: Sampling, vocabulary: int
) -> Iterator[Weights]:
    """The same of a free source: 1 at what it would guess next, from the text before alone."""
    source: Source = sources.make(statement, sampling, vocabulary)
    source.extend(prompt)
    try:
        for token in tokens:
            proposal = source.propose(statement.width)
            expected = np.zeros(vocabulary)
            expected[[proposal.guesses[i].token for i in proposal.children(-1)]] = 1.0
            yield expected
            source.extend([token])
    finally:
        source.close()
