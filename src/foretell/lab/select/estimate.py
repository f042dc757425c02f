"""About how long a selection takes, said before it begins."""

from typing import Final

from foretell.lab.select.timing import BLOCKS, DRAFT_ROWS, REPEATS, ROWS

PAIR_S: Final = 25.0  # at most, for a pair of models that was never measured here
_SPED: Final = 0.6  # of an answer's time at -O2, by that of the target alone, on most texts
_READ: Final = 0.3  # reading a token of an answer by a candidate, by a pass of the target


def seconds(
    pass_ms: float, answers: int, max_tokens: int, candidates: int, tried: int, repeats: int
) -> tuple[float, float]:
    """Of measuring, and of real runs.

    pass_ms: the target's over one row. tried: ways that are run for real beside the target alone.
    """
    tokens = answers * max_tokens
    write = tokens * _SPED
    read = candidates * tokens * _READ
    time = candidates * BLOCKS * (REPEATS + 1) * (1.5 * len(ROWS) + 0.5 * len(DRAFT_ROWS))
    real = repeats * tokens * (1 + _SPED * tried) if tried else 0.0
    return pass_ms * (write + read + time) / 1000, pass_ms * real / 1000
