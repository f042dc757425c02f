"""Randomness of drafts and rules: every decision of a generation has noise of its own, computed from its key.

The key is (seed, purpose, round, node), mixed one after the other by the mixers of `foretell.accept.noise`. So nothing
is shared between a draft's draw, the coin that decides about it and the residual draw, nor with the target's own noise,
which a draft may know (law `coupled`); and a generation can be repeated.
"""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np

from foretell.accept.noise import row_key
from foretell.accept.proposal import Weights


@dataclass(frozen=True, slots=True)
class KeyedChance:
    """The `Chance` of one round.

    seed: of the generation, below 2^64. round: counted from 0, every one its own. Nodes are indices of guesses or ROOT.
    """

    seed: int
    round: int

    def coin(self, purpose: str, node: int, probability: Any) -> bool:
        """True with this probability, to 2^-53; certain at 0 and at 1."""
        return bool(self._uniform(purpose, node) < probability)

    def draw(self, purpose: str, node: int, weights: Weights) -> int:
        """An index, with probability in proportion to its weight; never one of weight 0.

        The first whose running sum exceeds a uniform share of the total.
        """
        running = np.cumsum(weights)
        return int(np.searchsorted(running, self._uniform(purpose, node) * running[-1], side="right"))

    def _uniform(self, purpose: str, node: int) -> float:
        """A multiple of 2^-53 in [0, 1)."""
        key = _mixed(_mixed(_mixed(self.seed, _number(purpose)), self.round), node + 1)  # ROOT is -1
        return (key >> 11) * 2.0**-53


def _mixed(key: int, count: int) -> int:
    """64 bits; for each key another permutation of the 64-bit counts."""
    high, low = row_key(key, count)
    return high << 32 | low


@lru_cache(maxsize=64)
def _number(purpose: str) -> int:
    """64 bits that stand for a name; far from the positions that the target's noise is keyed by."""
    return int.from_bytes(blake2b(purpose.encode(), digest_size=8).digest(), "big")
