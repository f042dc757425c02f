"""What passes of a model take in joules, and each of their tokens, from how long they take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from foretell.profile.energy.counter import PassCounter
from foretell.profile.energy.joules import Joules
from foretell.profile.energy.model import Model
from foretell.profile.energy.work import Work


@dataclass(frozen=True, slots=True)
class PassEnergy:
    """A pass over so many rows. token: of each row's token, when all of them are kept."""

    rows: int
    work: Work
    joules: Joules

    @property
    def token(self) -> Joules:
        """Its part."""
        return self.joules.per(self.rows)


def energies(
    counter: PassCounter,
    costs_ms: Mapping[int, float],
    threads: int,
    prices: Model,
    *,
    rows: Sequence[int],
    context_tokens: int,
) -> list[PassEnergy]:
    """Of passes whose times were measured, behind a context, all rows scored.

    costs_ms: milliseconds by rows; what was not measured is left out. threads: all of them are busy for all of a pass,
    because those that have nothing to do wait for the next stage without sleeping.
    """
    out = []
    for n in rows:
        if n in costs_ms:
            wall_s = costs_ms[n] / 1000
            work = counter.of_pass(n, context_tokens).work + Work(0, 0, wall_s, threads * wall_s)
            out.append(PassEnergy(n, work, prices.joules(work)))
    return out
