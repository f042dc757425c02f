"""The tokens of one content: those of the prompt, of the answer so far and of a draft model's guesses."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

FADE: Final = 0.98  # per token of the answer: a memory of about 50
WEIGHT: Final = 16.0  # tokens that all were in the matrix, which the answer is taken to have begun with


@dataclass(frozen=True, slots=True)
class Words:
    """What a model says without a cut, the same for all its generations.

    known: ids. others: what fills a matrix of `size` tokens up when the content has fewer, the likeliest first. rank:
    places in these.
    """

    size: int
    known: frozenset[int] = field(repr=False)
    others: tuple[int, ...] = field(repr=False)
    rank: dict[int, int] = field(repr=False)

    @staticmethod
    def of(size: int, says: NDArray[np.int32], frequent: Sequence[int] = ()) -> "Words":
        """says: ids, ascending. frequent: tokens that text has most often; behind them low ids, frequent in merges."""
        ids = says.tolist()
        known = frozenset(ids)
        first = dict.fromkeys(token for token in frequent if token in known)
        others = tuple(islice((*first, *(token for token in ids[: 2 * size] if token not in first)), size))
        return Words(size, known, others, {token: i for i, token in enumerate(others)})


class Content:
    """Which tokens a matrix of some size should have, and what share of the answer it leaves out.

    Before there is such a matrix, a token of the answer counts as left out when it would not have been in one that was
    made just before it.

    words: of the model. size: tokens of the matrix.
    """

    def __init__(self, words: Words) -> None:
        self.words, self.size = words, words.size
        self._seen: dict[int, None] = {}  # the newest last
        self._made: frozenset[int] | None = None
        self._lost, self._all = 0.0, WEIGHT

    @property
    def lost(self) -> float:
        """The share of the answer's tokens that the model says, and the matrix does not."""
        return self._lost / self._all

    def add(self, tokens: Iterable[int]) -> None:
        """Tokens of the prompt, or guesses."""
        seen = self._seen
        for token in tokens:
            seen.pop(token, None)
            seen[token] = None

    def answer(self, tokens: Sequence[int]) -> None:
        """Tokens of the answer."""
        for token in tokens:
            self._lost = self._lost * FADE + (token in self.words.known and not self._has(token))
            self._all = self._all * FADE + 1
            self.add((token,))

    def _has(self, token: int) -> bool:
        if self._made is not None:
            return token in self._made
        return token in self._seen or self.words.rank.get(token, self.size) < self.size - len(self._seen)

    def chosen(self) -> list[int]:
        """The ids of a matrix made now: `size` of them."""
        newest = list(self._seen)[-self.size :]
        out = dict.fromkeys(newest)
        for token in self.words.others:
            if len(out) == self.size:
                break
            out[token] = None
        return list(out)

    def made(self, ids: Iterable[int] | None) -> None:
        """These can be said from now on; None: there is no such matrix."""
        self._made = None if ids is None else frozenset(ids)
        self._lost, self._all = 0.0, WEIGHT
