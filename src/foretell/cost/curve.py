"""What a pass costs by its number of rows: measured points, and what lies between and beyond them."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

from foretell.errors import ForetellError


@dataclass(frozen=True, slots=True)
class Curve:
    """Milliseconds of a pass over n rows: linear between the points, and beyond the last two.

    points: (rows, ms), both ascending; see `of`.
    """

    points: tuple[tuple[int, float], ...]

    @staticmethod
    def of(costs: Mapping[int, float]) -> "Curve":
        """The curve of measured costs.

        A pass is never taken to cost more than a larger one: rows could be padded, and disturbances only ever add time.

        >>> Curve.of({1: 20.0, 2: 26.0, 4: 24.0}).points
        ((1, 20.0), (2, 24.0), (4, 24.0))
        """
        known = sorted((n, ms) for n, ms in costs.items() if n >= 1 and ms > 0)
        if not known:
            raise ForetellError(
                "no pass was measured: a cost curve needs the time of at least one; run `foretell profile run`"
            )
        least = known[-1][1]
        points = []
        for n, ms in reversed(known):
            least = min(least, ms)
            points.append((n, least))
        return Curve(tuple(reversed(points)))

    def __call__(self, rows: float) -> float:
        """Milliseconds at `rows`, which may be an average.

        >>> Curve.of({1: 20.0, 3: 24.0})(2), Curve.of({1: 20.0, 3: 24.0})(4)
        (22.0, 26.0)
        """
        points = self.points
        if rows <= points[0][0] or len(points) == 1:
            return points[0][1]
        right = min(bisect_left(points, (rows,)), len(points) - 1)
        (n0, t0), (n1, t1) = points[right - 1], points[right]
        return t0 + (t1 - t0) / (n1 - n0) * (rows - n0)

    def scaled(self, factor: float) -> "Curve":
        """The same with every time multiplied."""
        return Curve(tuple((n, ms * factor) for n, ms in self.points))
