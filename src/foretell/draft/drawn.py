"""Guesses by the laws `sampled` and `without_replacement`: really drawn from q, which goes with them.

q is the draft model's distribution after the target's warpers, on the target's vocabulary. Draws take noise of their
own, keyed by round and guess. Where siblings are drawn is decided by q alone, before any of them is known.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from foretell.accept.distribution import distribution
from foretell.accept.proposal import Guess
from foretell.accept.sampling import Sampling
from foretell.backend.protocol import Scores, Want
from foretell.draft.place import Place
from foretell.errors import ForetellError

_UNMODIFIED = Sampling(temperature=1.0)


class Drawn:
    """The picker (`place.Picker`) of the laws `sampled` and `without_replacement`.

    Args:
        source: what guesses are labelled with.
        law: "sampled" or "without_replacement".
        sampling: the target's settings.
        vocabulary: of the target; ids beyond it have probability 0.
        siblings: most further draws, without replacement, where no token has a probability of 1 - doubt.
        doubt: see there.
        deferring: the guesses go to a `defer`, which judges how sure the model is and not what was drawn from: they
            carry its unmodified distribution.
    """

    def __init__(
        self,
        source: str,
        law: str,
        sampling: Sampling,
        vocabulary: int,
        siblings: int = 0,
        doubt: float = 0.0,
        *,
        deferring: bool = False,
    ) -> None:
        self._source, self._law, self._sampling, self._vocabulary = source, law, sampling, vocabulary
        self._siblings, self._doubt, self._deferring = siblings, doubt, deferring
        self.want = Want(logits=True)
        self.plain = False

    def guesses(self, scores: Scores, row: int, place: Place) -> list[Guess]:
        """A draw, and where q is flat further ones without those before."""
        if scores.logits is None:
            raise ForetellError("this pass was not asked for distributions")
        logits = fitted(scores.logits[row], self._vocabulary)
        q = distribution(logits, place.history, self._sampling)
        more = self._siblings if q.max() < 1 - self._doubt else 0
        shown = distribution(logits, (), _UNMODIFIED) if self._deferring else q
        return [
            Guess(token, place.parent, self._source, self._law, float(shown[token]), shown)
            for token in self._draws(q, min(1 + more, place.room), place)
        ]

    def _draws(self, q: NDArray[np.float64], count: int, place: Place) -> Sequence[int]:
        """Up to `count` different tokens."""
        tokens: list[int] = []
        rest = q
        for i in range(count):
            tokens.append(place.chance.draw("draft", place.first + i, rest))
            rest = q.copy()
            rest[tokens] = 0
            if not rest.any():
                break
        return tokens


def fitted(logits: NDArray[np.float32], vocabulary: int) -> NDArray[np.float32]:
    """Logits of exactly the target's ids: further ones are cut off, missing ones can never be drawn."""
    missing = vocabulary - logits.size
    if missing <= 0:
        return logits[:vocabulary]
    return np.concatenate([logits, np.full(missing, -np.inf, np.float32)])
