"""How much is measured, and how far that is."""

from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Final

from foretell.profile.counts import Form

if TYPE_CHECKING:
    from foretell.models.sources import Progress


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    how: its name. repeats: of each pass. rounds: built-in prompts of each kind. tokens: most of an answer. together:
    answers written at a time. forms: of a draft model, besides as it is. prompts: lengths that prompts are cut to for
    it. contexts: tokens of longer contexts behind which some passes are timed too. limit_s: about how long it may
    take; on a slow machine less is measured (0: no limit).
    """

    how: str
    repeats: int
    rounds: int = 0
    tokens: int = 0
    together: int = 8
    forms: tuple[Form, ...] = ()
    prompts: tuple[int, ...] = ()
    contexts: tuple[int, ...] = (2048,)
    limit_s: float = 0.0


_CHEAP: Final[tuple[Form, ...]] = ((0, "Q4_0"), (16384, "Q4_0"), (32768, "Q4_0"))
PASSES: Final = Plan("passes", repeats=4, limit_s=6)
QUICK: Final = Plan("quick", repeats=4, rounds=1, tokens=48, forms=_CHEAP, prompts=(64,), limit_s=25)
THOROUGH: Final = Plan(
    "thorough",
    repeats=16,
    rounds=3,
    tokens=192,
    together=12,
    forms=(*_CHEAP, (16384, ""), (32768, "")),
    prompts=(64, 128, 256),
    contexts=(1024, 2048, 4096),
)


@dataclass(slots=True)
class Meter:
    """Tells a progress callback how far a job is, and whether its time is up.

    done, total: in about the milliseconds that the parts take with a target of 1.5 billion weights on two processors.
    limit_s: see `Plan`. hurried: whether something was left out because of it.
    """

    what: str
    report: "Progress | None"
    limit_s: float = 0.0
    total: int = 0
    done: int = 0
    hurried: bool = False
    began_s: float = field(default_factory=perf_counter)

    def add(self, amount: int) -> None:
        """So much more is done."""
        self.done = min(self.done + amount, self.total)
        if self.report is not None:
            self.report(self.what, self.done, self.total)

    def late(self, share: float) -> bool:
        """Whether this share of the time is up, so that something has to be left out."""
        late = self.up(share)
        self.hurried |= late
        return late

    def ticked(self, amount: int, share: float) -> bool:
        """So much more is done; whether this share of the time is up, so that repeats are to end."""
        self.add(amount)
        return self.up(share)

    def up(self, share: float) -> bool:
        """Whether this share of the time is up."""
        return 0 < share * self.limit_s < perf_counter() - self.began_s
