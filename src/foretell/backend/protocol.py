"""The contract between the decode loop and anything that can run a model (DESIGN.md, section 5).

A *row* is one token fed to a model in a pass. Rows of a pass form a forest: each has a parent row earlier in the pass,
or hangs off the committed context of its sequence. A pass changes nothing until `commit`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from foretell.accept.sampling import GREEDY, Sampling

ROOT = -1  # the parent of a row that hangs off the committed context


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one pass, parents before children.

    tokens[i]: token id. parents[i]: index of an earlier row of the same sequence, or ROOT. sequences[i]: sequence id.
    wanted: the rows whose scores are wanted, ascending; the others skip the output matrix.
    """

    tokens: Sequence[int]
    parents: Sequence[int]
    sequences: Sequence[int]
    wanted: Sequence[int]

    @staticmethod
    def chain(tokens: Sequence[int], sequence: int = 0, wanted: Sequence[int] | None = None) -> "Rows":
        """Rows that follow one another; scores wanted of all of them unless said otherwise."""
        n = len(tokens)
        return Rows(tokens, range(-1, n - 1), [sequence] * n, range(n) if wanted is None else wanted)


@dataclass(frozen=True, slots=True)
class Want:
    """What the engine computes from each wanted row's logits, so that 150,000 floats are not copied for one integer.

    sampling: how the row's token is chosen (greedy is argmax, ties to the lowest id).
    top: how many of the likeliest (id, log-probability) pairs to return, under the unmodified distribution.
    logits: return all logits.
    """

    sampling: Sampling = GREEDY
    top: int = 0
    logits: bool = False


@dataclass(frozen=True, slots=True)
class Scores:
    """Results for the w wanted rows, in their order.

    tokens: int32 [w], the chosen token. logprobs: float32 [w], its log-probability under the unmodified distribution
    (only when `top` > 0, else empty). top_tokens: int32 [w, top]; top_logprobs: float32 [w, top], descending, ties by
    id.
    logits: float32 [w, vocabulary], or None.
    """

    tokens: NDArray[np.int32]
    logprobs: NDArray[np.float32]
    top_tokens: NDArray[np.int32]
    top_logprobs: NDArray[np.float32]
    logits: NDArray[np.float32] | None


@runtime_checkable
class Session(Protocol):
    """Sequences of committed tokens, and passes over rows that extend them. Not for use by two threads at once.

    Promise: a row's scores depend only on its own token and its ancestors (tokens and logical positions): not on what
    else is in the pass, how a prompt was cut into passes, the number of threads, or what was guessed and rejected
    before.
    """

    @property
    def vocabulary(self) -> int:
        """Number of token ids."""
        ...

    @property
    def context(self) -> int:
        """Most tokens a sequence may hold. A row beyond it raises ForetellError."""
        ...

    def open(self) -> int:
        """A new empty sequence's id (the lowest that is free)."""
        ...

    def close(self, sequence: int) -> None:
        """Forget a sequence; its id may be given out again."""
        ...

    def fork(self, sequence: int) -> int:
        """A new sequence with the same committed tokens, sharing their keys and values."""
        ...

    def length(self, sequence: int) -> int:
        """Committed tokens of a sequence."""
        ...

    def step(self, rows: Rows, want: Want) -> Scores:
        """One pass. A later `step` discards what was not committed. Raises KeyboardInterrupt promptly on Ctrl-C."""
        ...

    def commit(self, sequence: int, path: Sequence[int]) -> None:
        """Keep these rows of the last step, a chain from ROOT, parent before child.

        Rows of other sequences can still be committed until the next step.
        """
        ...

    def rewind(self, sequence: int, length: int) -> None:
        """Cut the committed tokens to `length` (absolute)."""
        ...
