"""The target under a grammar: what it forbids has probability 0, and what it leaves no choice about needs no pass."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from foretell.accept.distribution import distribution
from foretell.accept.grammar import Walk
from foretell.accept.noise import NOISE_MAX, NOISE_MIN
from foretell.accept.proposal import Proposal, Weights
from foretell.accept.sampling import Sampling
from foretell.accept.warpers import INVERSE_MOST, adjusted, scores, survivors


class Behind(Protocol):
    """What a pass over a proposal gives about its nodes."""

    def choice(self, node: int) -> int:
        """The token that the target chooses without a grammar."""
        ...

    def logits(self, node: int) -> NDArray[np.float32]:
        """float32 [vocabulary], unmodified."""
        ...


class Limited:
    """The target's side of a proposal (`foretell.accept.rule.Target`), limited.

    Args:
        proposal: the guesses.
        walk: the text so far, under its grammar.
        history: at least the last 64 tokens of the text. length: how many it has.
        sampling: how tokens are chosen among those that are allowed. vocabulary: number of ids.
        ask: makes the pass; called when it is first needed.
    """

    def __init__(
        self,
        proposal: Proposal,
        walk: Walk,
        history: Sequence[int],
        length: int,
        sampling: Sampling,
        vocabulary: int,
        ask: Callable[[], Behind],
    ) -> None:
        self._proposal, self._walk, self._sampling = proposal, walk, sampling
        self._history, self._length, self._vocabulary = history, length, vocabulary
        self._ask = ask
        self._behind: Behind | None = None

    def choice(self, node: int) -> int:
        """The target's own token behind a node, among those that are allowed."""
        path = self._path(node)
        allowed = self._walk.allowed(path)
        if allowed is not None and allowed.size == 1:
            return int(allowed[0])
        behind = self._asked()
        if allowed is None:
            return behind.choice(node)
        history = [*self._history, *path]
        if self._sampling.temperature == 0:
            free = behind.choice(node)  # the best of all tokens is also the best of fewer
            if free in allowed[np.searchsorted(allowed, free) :][:1]:
                return free
        return choose_among(allowed, behind.logits(node), history, self._length + len(path), self._sampling)

    def p(self, node: int) -> Weights:
        """Its distribution behind a node, after warpers. Behind forbidden guesses, which no rule keeps, it is free."""
        path = self._path(node)
        allowed = self._walk.allowed(path)
        if allowed is not None and allowed.size == 1:
            certain = np.zeros(self._vocabulary)
            certain[allowed] = 1
            return certain
        logits = self._asked().logits(node)
        if allowed is not None:
            masked = np.full_like(logits, -np.inf)
            masked[allowed] = logits[allowed]
            logits = masked
        return distribution(logits, [*self._history, *path], self._sampling)

    def _path(self, node: int) -> list[int]:
        return [self._proposal.guesses[i].token for i in self._proposal.path(node)]

    def _asked(self) -> Behind:
        if self._behind is None:
            self._behind = self._ask()
        return self._behind


def choose_among(
    allowed: NDArray[np.int64],
    logits: NDArray[np.float32],
    history: Sequence[int],
    position: int,
    sampling: Sampling,
) -> int:
    """What `warpers.choose` gives when all other logits are minus infinity.

    Args:
        allowed: ids, ascending.
        logits: float32 [vocabulary], unmodified.
        history: the tokens before the one that is drawn.
        position: how many these are in all.
        sampling: the settings.
    """
    changed = adjusted(logits, history, sampling, allowed)
    left = changed[allowed]
    if sampling.temperature == 0:
        return int(allowed[np.argmax(left)])
    kept = allowed[survivors(left, sampling)]
    inverse = np.float32(min(1 / sampling.temperature, INVERSE_MOST))
    with np.errstate(over="ignore"):
        below = (changed[kept] - changed[kept].max()) * inverse
    kept = kept[below >= NOISE_MIN - NOISE_MAX]  # no noise lifts the others so far
    return int(kept[np.argmax(scores(changed, kept, position, sampling))])
