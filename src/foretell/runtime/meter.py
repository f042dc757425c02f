"""What a model's passes take: a session that counts while another one works."""

from collections.abc import Sequence
from time import perf_counter

from foretell.backend.protocol import Rows, Scores, Session, Want
from foretell.runtime.clock import Clock


class Meter:
    """Passes so far of all sessions that count here.

    passes: passes. rows: of them. seconds: by `clock`, which whoever wants other seconds sets.
    """

    __slots__ = ("clock", "passes", "rows", "seconds")

    def __init__(self, clock: Clock = perf_counter) -> None:
        self.clock = clock
        self.passes = self.rows = 0
        self.seconds = 0.0


class Metered:
    """A session of which a meter counts the passes."""

    __slots__ = ("_meter", "_session", "close", "commit", "fork", "length", "open", "rewind")

    def __init__(self, session: Session, meter: Meter) -> None:
        self._session, self._meter = session, meter
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
        started = meter.clock()
        try:
            return self._session.step(rows, want)
        finally:
            meter.seconds += meter.clock() - started
            meter.passes += 1
            meter.rows += len(rows.tokens)

    def draft(
        self, sequence: int, tokens: Sequence[int], steps: int, want: Want, stop: float = 0.0, reach: float = 0.0
    ) -> Scores:
        """A chain of passes."""
        meter = self._meter
        started = meter.clock()
        passes = 1
        try:
            scores = self._session.draft(sequence, tokens, steps, want, stop, reach)
            passes = len(scores.chosen)
        finally:
            meter.seconds += meter.clock() - started
            meter.passes += passes
            meter.rows += len(tokens) + passes - 1
        return scores
