"""What a round takes besides passes and proposals: the loop, commits, text from ids."""

from collections.abc import Sequence
from time import perf_counter

from foretell.accept.sampling import GREEDY
from foretell.backend.model import Backend
from foretell.backend.protocol import Rows, Scores, Session, Want
from foretell.draft.sources import make
from foretell.ir import presets
from foretell.profile.spread import Spread
from foretell.runtime.bind import bind
from foretell.runtime.context import Context
from foretell.runtime.loop import Request, Stream


class _Timed:
    """A session that adds up what its passes take."""

    def __init__(self, session: Session) -> None:
        self._session, self.seconds = session, 0.0
        self.vocabulary, self.context = session.vocabulary, session.context
        self.open, self.close, self.fork = session.open, session.close, session.fork
        self.length, self.commit, self.rewind = session.length, session.commit, session.rewind
        self.draft = session.draft

    def step(self, rows: Rows, want: Want) -> Scores:
        """A pass."""
        started = perf_counter()
        try:
            return self._session.step(rows, want)
        finally:
            self.seconds += perf_counter() - started


def overhead(backend: Backend, prompt: Sequence[int], rounds: int) -> Spread | None:
    """Of rounds of plain decoding behind a prompt; None when the context has no room for any."""
    session = _Timed(backend.session())
    limit = min(rounds + 1, session.context - len(prompt))
    if limit < 2:
        return None
    context = Context(session)
    bound = bind(presets.load("plain"), lambda draft: make(draft, GREEDY, session.vocabulary), GREEDY)
    request = Request(prompt=prompt, max_tokens=limit, piece_rows=backend.piece_rows)
    times: list[float] = []
    try:
        stream = Stream(request, context, backend.detokeniser(), bound)
        next(stream)
        before, passes = perf_counter(), session.seconds
        for _ in stream:
            now = perf_counter()
            times.append(1000 * max(0.0, now - before - (session.seconds - passes)))
            before, passes = now, session.seconds
    finally:
        context.close()
    return Spread.of(times) if times else None
