"""What a model's passes take and read: a session that counts while another one works."""

from collections.abc import Sequence
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.backend.protocol import Cut, Cutter, Rows, Scores, Session, Want
from foretell.profile.energy.counter import PassCounter
from foretell.runtime.clock import Clock


class Meter:
    """Passes so far of all sessions that count here.

    passes: passes. rows: of them. seconds: by `clock`, which whoever wants other seconds sets.
    bytes, macs: that they read and multiplied, of models that are known to.
    """

    __slots__ = ("bytes", "clock", "macs", "passes", "rows", "seconds")

    def __init__(self, clock: Clock = perf_counter) -> None:
        self.clock = clock
        self.passes = self.rows = self.bytes = self.macs = 0
        self.seconds = 0.0

    def count(self, passes: int, rows: int, moved: tuple[int, int]) -> None:
        """These were made. moved: bytes and multiply-adds."""
        self.passes += passes
        self.rows += rows
        self.bytes += moved[0]
        self.macs += moved[1]


class Metered:
    """A session of which a meter counts the passes, all rows of each being of one sequence.

    counter: of the session's model; None for one that reads no weights.
    """

    __slots__ = ("_counter", "_meter", "_session", "_whole", "close", "commit", "fork", "length", "open", "rewind")

    def __init__(self, session: Session, meter: Meter, counter: PassCounter | None = None) -> None:
        self._session, self._meter, self._counter, self._whole = session, meter, counter, counter
        self.open, self.close, self.fork, self.length = session.open, session.close, session.fork, session.length
        self.commit, self.rewind = session.commit, session.rewind

    @property
    def vocabulary(self) -> int:
        """As the session's."""
        return self._session.vocabulary

    @property
    def context(self) -> int:
        """As the session's."""
        return self._session.context

    def step(self, rows: Rows, want: Want) -> Scores:
        """One pass."""
        meter = self._meter
        moved = self._moved(rows.sequences[0], len(rows.tokens), len(rows.wanted)) if rows.tokens else (0, 0)
        started = meter.clock()
        try:
            return self._session.step(rows, want)
        finally:
            meter.seconds += meter.clock() - started
            meter.count(1, len(rows.tokens), moved)

    def draft(
        self, sequence: int, tokens: Sequence[int], steps: int, want: Want, stop: float = 0.0, reach: float = 0.0
    ) -> Scores:
        """A chain of passes."""
        meter = self._meter
        before = self.length(sequence)
        started = meter.clock()
        passes = 1
        try:
            scores = self._session.draft(sequence, tokens, steps, want, stop, reach)
            passes = len(scores.chosen)
        finally:
            meter.seconds += meter.clock() - started
            counter = self._counter
            moved = (0, 0) if counter is None else counter.of_chain(len(tokens), before, 1, passes)
            meter.count(passes, len(tokens) + passes - 1, moved)
        return scores

    def narrow(self, share: float) -> None:
        """From now on passes read this share of the output matrix."""
        self._counter = None if self._whole is None else self._whole.cut(share)

    def _moved(self, sequence: int, rows: int, wanted: int) -> tuple[int, int]:
        counter = self._counter
        return (0, 0) if counter is None else counter.of_chain(rows, self.length(sequence), wanted)


class Narrowing:
    """What cuts the outputs of a session, where its passes are counted too."""

    def __init__(self, cutter: Cutter[Any], metered: Metered) -> None:
        self._cutter, self._metered = cutter, metered
        self._sizes: dict[int, int] = {}  # by the cut's identity; a session keeps its cuts

    @property
    def vocabulary(self) -> int:
        """As the session's."""
        return self._cutter.vocabulary

    @property
    def says(self) -> NDArray[np.int32]:
        """As the session's."""
        return self._cutter.says

    def cut(self, size: int) -> Cut:
        """As the session's."""
        made: Cut = self._cutter.cut(size)
        self._sizes[id(made)] = size
        return made

    def narrow(self, cut: Cut | None) -> None:
        """As the session's. Passes with many rows use all outputs all the same; few of these are scored."""
        self._cutter.narrow(cut)
        self._metered.narrow(1.0 if cut is None else self._sizes[id(cut)] / len(self.says))
