"""Guesses by the laws `point` and `coupled`: the token that the draft model itself would say.

By `point` that is its argmax. By `coupled` it is what the draft model draws with the target's own settings and noise,
which is keyed by position and token: where the two models' distributions are alike, they draw the same token. The
engine chooses the token, so no row's logits are copied.
"""

import math
from dataclasses import replace
from typing import Final

from foretell.accept.proposal import Guess
from foretell.accept.sampling import Sampling
from foretell.backend.protocol import Scores, Want
from foretell.draft.place import Place
from foretell.draft.tree import runners_up

CANDIDATES: Final = 16  # likeliest tokens among which siblings are looked for when noise decides


class Likely:
    """The picker (`place.Picker`) of the laws `point` and `coupled`.

    Args:
        source: what guesses are labelled with.
        law: "point" or "coupled".
        sampling: the target's settings.
        vocabulary: of the target; ids beyond it are never guessed.
        siblings: most further guesses beside one whose probability is below 1 - doubt.
        doubt: see there.
    """

    def __init__(
        self, source: str, law: str, sampling: Sampling, vocabulary: int, siblings: int = 0, doubt: float = 0.0
    ) -> None:
        self._source, self._law, self._vocabulary = source, law, vocabulary
        self._siblings, self._doubt = siblings, doubt
        self._sampling = sampling if law == "coupled" else replace(sampling, temperature=0.0)
        noisy = self._sampling.temperature > 0
        top = max(siblings + 1, CANDIDATES if siblings and noisy else 1)
        self.want = Want(self._sampling, top)
        self.plain = not siblings

    def guesses(self, scores: Scores, row: int, place: Place) -> list[Guess]:
        """The model's choice, and the next ones where it is in doubt."""
        token, sure = scores.chosen[row], math.exp(scores.logprobs[row])
        if token >= self._vocabulary:
            return []
        found = [(token, sure)]
        if self._siblings and sure < 1 - self._doubt:
            ids, logprobs = scores.top_tokens[row], scores.top_logprobs[row]
            others = (ids != token) & (ids < self._vocabulary)
            found += runners_up(ids[others], logprobs[others], place.position, self._sampling)[: self._siblings]
        return [Guess(each, place.parent, self._source, self._law, chance) for each, chance in found[: place.room]]
