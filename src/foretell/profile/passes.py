"""What passes over n rows cost on this machine.

Sizes take turns, so that a machine that slows down slows all of them. The free rows are the largest n with
T(n) <= 1.1 T(1) (DESIGN.md, section 3).
"""

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Final

from foretell.backend.protocol import Pretender, Rows, Session, Want
from foretell.profile.spread import Spread

ROWS: Final = (1, 2, 3, 4, 6, 8, 12, 16)
CONTEXT_TOKENS: Final = 256  # before the passes, unless said otherwise
LONG_ROWS: Final = (1, 4, 8)  # behind longer contexts
PROMPT_ROWS: Final = 64  # of a pass over a prompt: shorter ones cost more per token
FREE: Final = 1.1


def free_rows(costs: Mapping[int, float]) -> int:
    """The largest measured n whose pass costs at most 1.1 times one row's.

    >>> free_rows({1: 20.0, 2: 20.5, 4: 21.0, 8: 21.9, 16: 40.0})
    8
    """
    return max(n for n, ms in costs.items() if ms <= FREE * costs[1])


def measure(
    session: Session,
    *,
    repeats: int,
    rows: Sequence[int] = ROWS,
    context_tokens: int = CONTEXT_TOKENS,
    piece_rows: int = 128,
    tick: Callable[[], bool] = lambda: False,
) -> dict[int, Spread]:
    """Times of passes by row count, all rows scored, behind so many tokens (or what the context has room for).

    Args:
        session: of a loaded model; its other sequences are left alone.
        repeats: measurements of each size, behind one that warms up.
        rows: sizes; those that the context has no room for are left out.
        context_tokens: see there.
        piece_rows: most rows of a pass that reads them.
        tick: called after each round through the sizes, that to warm up included; True: that is enough, if there is a
            measurement.
    """
    (found,) = in_turns(
        [(session, rows)], repeats=repeats, context_tokens=context_tokens, piece_rows=piece_rows, tick=tick
    )
    return found


def behind(
    session: Session, contexts: Sequence[int], *, repeats: int, piece_rows: int = 128
) -> dict[int, dict[int, Spread]]:
    """A few sizes behind longer contexts, by tokens of these, as far as the model's context has room for them."""
    room = [tokens for tokens in contexts if session.context >= tokens + LONG_ROWS[-1]]
    return {
        tokens: measure(session, repeats=max(1, repeats), rows=LONG_ROWS, context_tokens=tokens, piece_rows=piece_rows)
        for tokens in room
    }


def in_turns(
    timed: Sequence[tuple[Session, Sequence[int]]],
    *,
    repeats: int,
    context_tokens: int = CONTEXT_TOKENS,
    piece_rows: int = 128,
    tick: Callable[[], bool] = lambda: False,
) -> list[dict[int, Spread]]:
    """The same of several models, each with its sizes, in the same moments."""
    sequences: list[int] = []
    times: list[dict[int, list[float]]] = []
    try:
        for session, rows in timed:
            sequences.append(session.open())
            before = min(context_tokens, session.context - 1)
            _hold(session, sequences[-1], before, piece_rows)
            times.append({n: [] for n in rows if before + n <= session.context})
        for repeat in range(repeats + 1):
            for (session, _), sequence, taken in zip(timed, sequences, times, strict=True):
                for n, values in taken.items():
                    started = perf_counter()
                    session.step(Rows.chain([0] * n, sequence), Want())
                    if repeat:
                        values.append(1000 * (perf_counter() - started))
            if tick() and repeat:
                break
    finally:
        for (session, _), sequence in zip(timed, sequences, strict=False):
            session.close(sequence)
    return [{n: Spread.of(values) for n, values in taken.items()} for taken in times]


def prompt(session: Session, *, repeats: int) -> Spread | None:
    """Of a token in a pass over part of a prompt; None when the context has no room for that."""
    if session.context < PROMPT_ROWS:
        return None
    sequence, values = session.open(), list[float]()
    try:
        for _ in range(repeats + 1):
            started = perf_counter()
            session.step(Rows.chain([0] * PROMPT_ROWS, sequence, (PROMPT_ROWS - 1,)), Want())
            values.append(1000 * (perf_counter() - started) / PROMPT_ROWS)
    finally:
        session.close(sequence)
    return Spread.of(values[1:] or values)


def _hold(session: Session, sequence: int, tokens: int, piece_rows: int) -> None:
    if isinstance(session, Pretender):
        session.pretend(sequence, tokens)
        return
    for start in range(0, tokens, piece_rows):
        count = min(piece_rows, tokens - start)
        session.step(Rows.chain([0] * count, sequence, ()), Want())
        session.commit(sequence, range(count))
