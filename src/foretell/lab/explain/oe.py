"""What -Oe chooses otherwise than -O2, and whether that survives the ranges of the energy model's prices.

Two things are chosen: a pipeline, before anything runs, and how many guesses a round takes, which depends on how likely
these are right. The first is compiled once for time, once for the likeliest prices, and once for every choice of one
end of each price's range; the second is the best fixed length of a chain, for a few chances.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from foretell.cost.facts import Facts
from foretell.cost.joules import in_joules
from foretell.cost.model import approximated
from foretell.cost.price import price
from foretell.ir.ops import Draft, Pipeline
from foretell.ir.text import show
from foretell.lab.explain.basis import Basis
from foretell.lab.explain.energy import Span
from foretell.lab.explain.thrift import Length, lengths
from foretell.profile.record import to_json
from foretell.runtime.choose import DRAFT

CHANCES: Final = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
COPIES: Final = "copies"
_CELL: Final = 20

Make = Callable[[Facts], Pipeline]  # the pipeline that costs like these come to


@dataclass(frozen=True, slots=True)
class Compared:
    """Levels -O2 and -Oe on the same facts.

    seconds, joules: their pipelines. alike: at how many ends of the ranges -Oe's is the one of the likeliest prices;
    ends: of how many there are. time, energy: what an answer by -Oe's pipeline is predicted to take, as a part of that
    by -O2's, both paced for time, and both for joules. lengths: by chance, of copied guesses and those of the draft
    model. source: of the prices.
    """

    seconds: Pipeline
    joules: Pipeline
    alike: int
    ends: int
    time: float
    energy: Span
    lengths: dict[float, tuple[Length, ...]]
    source: str

    @property
    def same(self) -> bool:
        """Whether both choose the same pipeline."""
        return self.seconds.statements == self.joules.statements

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "pipeline_O2": show(self.seconds),
            "pipeline_Oe": show(self.joules),
            "same": self.same,
            "ends_alike": self.alike,
            "ends": self.ends,
            "time_ratio": self.time,
            "energy_ratio": to_json(self.energy),
            "lengths": [
                {"chance": chance, **to_json(each), "differs": each.differs, "survives": each.survives}
                for chance, found in self.lengths.items()
                for each in found
            ],
            "prices": self.source,
        }

    def text(self) -> str:
        """For people."""
        energy, all_of = self.energy, "every end" if self.alike == self.ends else f"{self.alike} of {self.ends} ends"
        which = "the same pipeline" if self.same else "different pipelines"
        span = f"{energy.low:.3f} to {energy.high:.3f}"
        lines = [
            "",
            f"-Oe and -O2 choose {which}; -Oe's is this one at {all_of} of the ranges of prices",
            f"prices are modelled: {self.source}",
            f"paced for time, an answer by -Oe's pipeline takes {self.time:.3f} of the time that -O2's takes",
            f"paced for joules, it takes {energy.value:.3f} of the joules ({span})",
            "guesses of a round, for time, for energy (over the ranges), by how often each is right:",
        ]
        names = [each.source for each in next(iter(self.lengths.values()))]
        lines.append("right".rjust(7) + "".join(f"   {name:<{_CELL}}" for name in names).rstrip())
        for chance, found in self.lengths.items():
            cells = (f"{each.seconds}, {each.joules} ({each.least} to {each.most}){_mark(each)}" for each in found)
            lines.append(f"{chance:7.0%}" + "".join(f"   {cell:<{_CELL}}" for cell in cells).rstrip())
        lines.append("=: the same whatever the prices; *: different whatever the prices")
        return "\n".join(lines) + "\n"


def _mark(length: Length) -> str:
    return "" if not length.survives else " *" if length.differs else " ="


def compared(facts: Facts, make: Make) -> Compared | None:
    """On these facts; None where it is not known what passes read."""
    if facts.energy is None:
        return None
    prices = facts.energy.prices
    seconds = make(facts)
    priced = [in_joules(facts, at) for at in (prices.likeliest, *prices.ends)]
    chosen = [make(each) for each in priced]
    joules = chosen[0]
    ratios = [price(joules, each).response_ms / price(seconds, each).response_ms for each in priced]
    draft = next((each for each in seconds.statements if isinstance(each, Draft) and each.source == "model"), None)
    bases = [_basis(each, draft) for each in priced]
    sources = (COPIES,) if draft is None else (COPIES, DRAFT)
    by_chance = {
        chance: lengths(dict.fromkeys(sources, (chance,)), _basis(facts, draft), bases[0], bases[1:])
        for chance in CHANCES
    }
    return Compared(
        seconds,
        joules,
        sum(each.statements == joules.statements for each in chosen[1:]),
        len(chosen) - 1,
        price(joules, facts).response_ms / price(seconds, facts).response_ms,
        Span(ratios[0], min(ratios), max(ratios)),
        by_chance,
        prices.source,
    )


def _basis(facts: Facts, draft: Draft | None) -> Basis:
    """A round's costs. draft: the statement that asks the draft model."""
    step = 0.0
    if draft is not None:
        known = facts.model(draft.of)
        step = known.pass_ms(1) * approximated(draft, known)[0]
    return Basis(facts.target, facts.target, 1.0, facts.overhead_ms, step)
