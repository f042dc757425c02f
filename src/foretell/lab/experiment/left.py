"""How long an experiment will still take, by the rows that there are."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from foretell.lab.experiment.rows import Row

Kind = tuple[str, str]  # configuration and suite: what answers take depends most on these
_NEWEST: Final = 50  # rows of a kind that count: a machine's speed changes


class Left:
    """Seconds of what is still to come.

    Args:
        planned: the kind of every row there will be, those that there are too.
        rows: those that there are, of this machine.
    """

    def __init__(self, planned: Iterable[Kind], rows: Iterable[Row]) -> None:
        self._left = Counter(planned)
        self._took: dict[Kind, list[float]] = {}
        for each in rows:
            self.add(each)

    def add(self, row: Row) -> None:
        """One more came."""
        kind = row.configuration, row.suite
        self._left[kind] -= 1
        self._took.setdefault(kind, []).append(row.response_s)

    def of(self, kinds: Sequence[Kind]) -> float | None:
        """Seconds that rows of these kinds will take; None while there are none at all to go by.

        A kind without rows is taken to be like those with the same suite, or like all.
        """
        if not self._took:
            return None
        return sum(self._mean(kind) for kind in kinds)

    def seconds(self) -> float | None:
        """Of all that is left."""
        if not self._took:
            return None
        return sum(max(0, count) * self._mean(kind) for kind, count in self._left.items())

    def _mean(self, kind: Kind) -> float:
        like = self._took.get(kind, ())[-_NEWEST:]
        like = like or [s for (_, suite), took in self._took.items() if suite == kind[1] for s in took]
        like = like or [s for took in self._took.values() for s in took]
        return sum(like) / len(like)
