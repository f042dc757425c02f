"""The contract between the decode loop and anything that can run a model (DESIGN.md, section 5).

A *row* is one token fed to a model in a pass. Rows of a pass form a forest: each has a parent row earlier in the pass,
or hangs off the committed context of its sequence. A pass changes nothing until `commit`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from foretell.accept.sampling import GREEDY, Sampling
from foretell.errors import ForetellError

C = TypeVar("C", bound="Cut")

ROOT = -1  # the parent of a row that hangs off the committed context


class Rows(NamedTuple):
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


Likely = tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]


class Scores:
    """Results for the w wanted rows, in their order.

    chosen: the chosen tokens, a list. logits: float32 [w, vocabulary], or None.
    likely: (logprobs, top_tokens, top_logprobs), or None when no `top` was wanted.

    What a decode loop does not look at in every round is made when it is asked for.
    """

    __slots__ = ("_likely", "_tokens", "chosen", "logits")

    def __init__(self, chosen: list[int], logits: NDArray[np.float32] | None, likely: Likely | None = None) -> None:
        self.chosen, self.logits, self._likely = chosen, logits, likely
        self._tokens: NDArray[np.int32] | None = None

    @property
    def tokens(self) -> NDArray[np.int32]:
        """int32 [w], the chosen tokens."""
        if self._tokens is None:
            self._tokens = np.array(self.chosen, np.int32)
        return self._tokens

    @property
    def logprobs(self) -> NDArray[np.float32]:
        """float32 [w], the chosen tokens' log-probabilities, under the unmodified distribution; empty without `top`."""
        return np.zeros(0, np.float32) if self._likely is None else self._likely[0]

    @property
    def top_tokens(self) -> NDArray[np.int32]:
        """int32 [w, top], the likeliest tokens, descending, ties by id."""
        return np.zeros((len(self.chosen), 0), np.int32) if self._likely is None else self._likely[1]

    @property
    def top_logprobs(self) -> NDArray[np.float32]:
        """float32 [w, top], their log-probabilities."""
        return np.zeros((len(self.chosen), 0), np.float32) if self._likely is None else self._likely[2]


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

    def draft(
        self, sequence: int, tokens: Sequence[int], steps: int, want: Want, stop: float = 0.0, reach: float = 0.0
    ) -> Scores:
        """A chain that the model goes on with by itself: at most `steps` passes, each over the token chosen before.

        What is read is committed: all of `tokens`, and all chosen tokens but the last. Only an interrupt may leave less
        committed, and raises KeyboardInterrupt. A backend may do this in one call; `draft_by_steps` says what it is.

        Args:
            sequence: the chain continues its committed tokens.
            tokens: read in the first pass; at least one.
            steps: at least 1. Everything must fit the context, all chosen tokens but the last included.
            want: of each pass's last row.
            stop: the chain ends behind a token whose probability is below this; 0 is never. See `Doubt`.
            reach: the chain ends where the product of the probabilities so far is below this; 0 is never.

        Returns:
            Scores with a row for each pass.
        """
        ...

    def commit(self, sequence: int, path: Sequence[int]) -> None:
        """Keep these rows of the last step, a chain from ROOT, parent before child.

        Rows of other sequences can still be committed until the next step.
        """
        ...

    def rewind(self, sequence: int, length: int) -> None:
        """Cut the committed tokens to `length` (absolute)."""
        ...


@runtime_checkable
class Pretender(Protocol):
    """A session that can be put behind a context without reading one, to time what passes take there."""

    def pretend(self, sequence: int, tokens: int) -> None:
        """Let a sequence hold so many more tokens; what the model says behind them means nothing."""
        ...


class Cut(Protocol):
    """An output matrix of some tokens, for a session (`Cutter`)."""

    def fill(self, ids: Sequence[int], going: Callable[[], bool]) -> bool:
        """Put these tokens into it, as many as it has room for, each once; not while the session uses it.

        This may run in a thread of its own beside the session's passes; it asks `going` at least every few
        milliseconds. False when that said no: then it is empty.
        """
        ...


@runtime_checkable
class Cutter(Protocol[C]):
    """A session whose model can leave out outputs: fewer tokens that it may say, in less time.

    What it says of those that stay does not change, nor what it has read.
    """

    @property
    def vocabulary(self) -> int:
        """As of every session."""
        ...

    @property
    def says(self) -> NDArray[np.int32]:
        """Ids of the tokens that it can say when nothing is cut, ascending."""
        ...

    def cut(self, size: int) -> C:
        """The output matrix of so many tokens, fewer than `says` has; one for each size."""
        ...

    def narrow(self, cut: C | None) -> None:
        """From the next pass on, use a cut of this session that is filled; None: say all again."""
        ...


@dataclass(slots=True)
class Doubt:
    """Where a chain of tokens ends because the model is in doubt.

    stop: behind a token whose probability is below this. reach: where the product of the probabilities, `along`, falls
    below this: how likely it is, as far as the model knows, that all of the chain is right.
    """

    stop: float
    reach: float
    along: float = 1.0

    def ends(self, chance: float) -> bool:
        """Whether the chain ends behind its next token, which has this probability."""
        self.along *= chance
        return chance < self.stop or self.along < self.reach


def draft_by_steps(
    session: Session, sequence: int, tokens: Sequence[int], steps: int, want: Want, stop: float, reach: float
) -> Scores:
    """What `Session.draft` gives, from passes one by one."""
    if steps < 1:
        raise ForetellError(f"a draft of {steps} steps was asked for; it has at least one")
    if (stop or reach) and not want.top:
        raise ForetellError("a draft that ends where the model is in doubt needs probabilities: want a `top` of 1")
    found: list[Scores] = []
    doubt, unread = Doubt(stop, reach), list(tokens)
    while len(found) < steps:
        found.append(session.step(Rows.chain(unread, sequence, (len(unread) - 1,)), want))
        session.commit(sequence, range(len(unread)))
        if want.top and doubt.ends(math.exp(found[-1].logprobs[0])):
            break
        unread = found[-1].chosen
    logits = [each.logits for each in found if each.logits is not None]
    likely = (
        np.concatenate([each.logprobs for each in found]),
        np.concatenate([each.top_tokens for each in found]),
        np.concatenate([each.top_logprobs for each in found]),
    )
    return Scores(
        [token for each in found for token in each.chosen],
        np.concatenate(logits) if logits else None,
        likely if want.top else None,
    )
