"""Where saving joules asks for other guesses than saving time, and whether that survives the ranges of the prices.

By the best fixed length of chains whose guesses are right with given chances: once at the times of passes, once at
their joules, and once more at every end of the ranges of the energy model's prices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from foretell.lab.explain.basis import Basis
from foretell.lab.explain.bounds import best_chain, step


@dataclass(frozen=True, slots=True)
class Length:
    """Guesses of a source in a round: for the least time, for the fewest joules; least, most: over all prices."""

    source: str
    seconds: int
    joules: int
    least: int
    most: int

    @property
    def differs(self) -> bool:
        """Whether -Oe would choose otherwise than -O2."""
        return self.joules != self.seconds

    @property
    def survives(self) -> bool:
        """Whether it does whatever the prices are within their ranges; or doesn't, whatever they are."""
        if self.differs:
            return not self.least <= self.seconds <= self.most
        return self.least == self.most == self.seconds

    @property
    def words(self) -> str:
        """For people."""
        span = f"{self.least} to {self.most}"
        if self.survives:
            return "differs whatever the prices" if self.differs else "the same whatever the prices"
        return f"{'differs' if self.differs else 'the same'}; {span} within the ranges of the prices"


def lengths(
    chances: Mapping[str, Sequence[float]], seconds: Basis, joules: Basis, ends: Sequence[Basis]
) -> tuple[Length, ...]:
    """Of each source with its chances by place. ends: as `joules`, at each end of the ranges."""
    out = []
    for source, by_place in chances.items():

        def best(basis: Basis, source: str = source, by_place: Sequence[float] = by_place) -> int:
            return best_chain(by_place, basis, step(source, basis)).guesses

        found = [best(joules), *map(best, ends)]
        out.append(Length(source, best(seconds), found[0], min(found), max(found)))
    return tuple(out)
