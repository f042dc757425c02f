"""How many guesses a round takes: as many as are expected to pay at this machine's measured cost, or none.

One pass over n rows costs T(n). With k guesses and the chance a(i) that guess i is right when those before it were,

    expected tokens  E(k) = 1 + a(1) + a(1) a(2) + ... + a(1)...a(k)

and the k is chosen that maximises E(k) - r T(k + 1), where r is the recent rate in tokens per millisecond, never below
that of plain decoding, 1 / T(1). This is "add the next row while its gain per extra time beats the current rate", for
curves with steps. k = 0 wins whenever guesses don't pay.

Chances are learned per length of the match that the guess continues (a guess after an accepted guess continues a match
longer by one), with counts that fade, so that a change of text shows within a few dozen guesses. Guesses that were
available but not tried are scored too (in shadow), as far as the text that came anyway says whether they were right, so
a source that was switched off comes back when it would pay.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Final

from foretell.draft.lookup import LENGTHS, PRIOR

PRIOR_WEIGHT: Final = 8.0  # guesses that the prior counts for
FADE: Final = 0.98  # per scored guess of a class: a memory of about 50
RATE_FADE: Final = 0.7  # per round: a memory of about 3
ROW_MARGIN: Final = 0.01  # of T(1), charged per guess besides the measured cost: noise of measurement must not tempt
CLASS_OF: Final = tuple(max(0, bisect_right(LENGTHS, n) - 1) for n in range(LENGTHS[-1] + 1))


class Width:
    """Chooses the number of guesses per round and keeps score.

    Args:
        costs: milliseconds of one pass by row count; see `charged`. Empty: all passes cost the same.
        limit: most guesses in a round.

    Counters: `tried` and `accepted` guesses; `untried` guesses that were scored in shadow and how many were `missed`
    (right); `plain_rounds` without a guess although one was available.
    """

    __slots__ = (
        "_costs", "_hits", "_milliseconds", "_tokens", "_trials",
        "accepted", "limit", "missed", "plain_rounds", "tried", "untried",
    )  # fmt: skip

    def __init__(self, costs: Mapping[int, float], limit: int) -> None:
        self.limit = max(0, limit)
        self._costs = charged(costs, self.limit + 1)
        self._hits = [p * PRIOR_WEIGHT for p in PRIOR]
        self._trials = [PRIOR_WEIGHT] * len(PRIOR)
        self._tokens, self._milliseconds = 1.0, self._costs[0]
        self.tried = self.accepted = self.untried = self.missed = self.plain_rounds = 0

    def chance(self, match_length: int) -> float:
        """Estimated chance that a guess continuing a match of this many tokens is right."""
        kind = CLASS_OF[min(match_length, LENGTHS[-1])]
        return self._hits[kind] / self._trials[kind]

    def choose(self, match_length: int, available: int) -> int:
        """How many of the `available` guesses to try."""
        costs, hits, trials, longest = self._costs, self._hits, self._trials, LENGTHS[-1]
        rate = max(1 / costs[0], self._tokens / self._milliseconds)
        best, best_value = 0, 1 - rate * costs[0]
        expected = reach = 1.0
        for k in range(1, min(available, self.limit) + 1):
            kind = CLASS_OF[min(match_length + k - 1, longest)]
            reach *= hits[kind] / trials[kind]
            expected += reach
            value = expected - rate * costs[k]
            if value > best_value:
                best, best_value = k, value
        return best

    def score(self, match_length: int, guesses: Sequence[int], tried: int, actual: Sequence[int]) -> None:
        """Learn from a round.

        Args:
            match_length: of the match that the first guess continued.
            guesses: all that were available.
            tried: how many of them were in the pass.
            actual: the tokens that the round gave: accepted guesses and the target's own.
        """
        hits, trials, longest = self._hits, self._trials, LENGTHS[-1]
        self._tokens = self._tokens * RATE_FADE + len(actual)
        self._milliseconds = self._milliseconds * RATE_FADE + self._costs[tried]
        self.tried += tried
        self.accepted += len(actual) - 1
        self.plain_rounds += tried == 0 and len(guesses) > 0
        for i, (guess, token) in enumerate(zip(guesses, actual, strict=False)):
            kind = CLASS_OF[min(match_length + i, longest)]
            right = guess == token
            hits[kind] = hits[kind] * FADE + right
            trials[kind] = trials[kind] * FADE + 1
            if i >= tried:
                self.untried += 1
                self.missed += right
            if not right:
                return


def charged(costs: Mapping[int, float], rows: int) -> list[float]:
    """Cost in ms of a pass over 1, 2, ... `rows` rows, with the margin per guess added.

    A pass is never taken to cost more than a larger one: rows could be padded, and disturbances only ever add time.

    >>> charged({1: 20.0, 3: 24.0}, 4)
    [20.0, 22.2, 24.4, 26.6]
    """
    known = sorted((n, ms) for n, ms in costs.items() if n >= 1 and ms > 0) or [(1, 1.0)]
    beyond = [ms for n, ms in known if n > rows]
    least = [_at(known, n) for n in range(1, rows + 1)] + beyond
    for i in range(len(least) - 2, -1, -1):
        least[i] = min(least[i], least[i + 1])
    return [round(ms + ROW_MARGIN * least[0] * i, 6) for i, ms in enumerate(least[:rows])]


def _at(known: Sequence[tuple[int, float]], n: int) -> float:
    """The measured curve at n: linear between its points, and beyond the last two."""
    if n <= known[0][0] or len(known) == 1:
        return known[0][1]
    right = min(bisect_left(known, (n,)), len(known) - 1)
    (n0, t0), (n1, t1) = known[right - 1], known[right]
    slope = (t1 - t0) / (n1 - n0)
    return t0 + (max(0.0, slope) if n > n1 else slope) * (n - n0)
