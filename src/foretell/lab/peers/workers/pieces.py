"""What came of an answer, and when: for rivals that stream their tokens."""

import time
from collections.abc import Iterable
from typing import Any


class Pieces:
    """Tokens as they come. `answer` is what a worker's `generate` gives.

    {"tokens": [...], "at_s": [...], "sizes": [...]}: all tokens; of each piece that came, when, and how many.
    """

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._tokens: list[int] = []
        self._at_s: list[float] = []
        self._sizes: list[int] = []

    def add(self, tokens: Iterable[int]) -> None:
        """A piece came."""
        now = time.perf_counter() - self._began
        new = [int(each) for each in tokens]
        if new:
            self._tokens += new
            self._at_s.append(now)
            self._sizes.append(len(new))

    @property
    def answer(self) -> dict[str, Any]:
        """See the class."""
        return {"tokens": self._tokens, "at_s": self._at_s, "sizes": self._sizes}
