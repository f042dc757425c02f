"""What each source earned: the time that its kept guesses saved, less what its guesses cost."""

from dataclasses import dataclass
from math import fsum

from foretell.lab.explain.basis import Basis
from foretell.runtime.choose import DRAFT
from foretell.runtime.run import Run


@dataclass(frozen=True, slots=True)
class Earned:
    """Milliseconds of a source.

    kept: its guesses that became text. saved_ms: rounds of the target alone that these stand for. rows_ms: what its
    rows added to the target's passes. draft_ms: passes of the draft model, reading included.
    """

    source: str
    kept: int
    saved_ms: float
    rows_ms: float
    draft_ms: float

    @property
    def ms(self) -> float:
        """What is left: above 0, the source made the run faster."""
        return self.saved_ms - self.rows_ms - self.draft_ms


@dataclass(frozen=True, slots=True)
class Balance:
    """All rounds against the target alone.

    plain_ms: what as many tokens would have taken it. actual_ms: of the rounds, without the reader's time. rest_ms:
    what sources do not account for: their own time, and rounds that were faster or slower than usual.
    """

    sources: tuple[Earned, ...]
    tokens: int
    plain_ms: float
    actual_ms: float
    rest_ms: float

    @property
    def ms(self) -> float:
        """Saved in all; below 0, lost."""
        return self.plain_ms - self.actual_ms


def earned(run: Run, basis: Basis) -> Balance:
    """Of each source that guessed or took time.

    The rows of a pass are charged to sources by their guesses: verify - T(1), shared out.
    """
    names = {source for each in run.rounds for _, _, source, _ in each.tried}
    if run.totals.draft_s > 0:
        names.add(DRAFT)
    sources = []
    for name in sorted(names):
        kept, rows_ms = 0, []
        for each in run.rounds:
            mine = [i for i, (_, _, source, _) in enumerate(each.tried) if source == name]
            if mine:
                kept += len({*mine} & {*each.kept})
                rows_ms.append((1000 * each.verify_s - basis.target(1)) * len(mine) / len(each.tried))
        draft_ms = 1000 * fsum(each.draft_s for each in run.rounds) if name == DRAFT else 0.0
        sources.append(Earned(name, kept, kept * basis.plain_ms, fsum(rows_ms), draft_ms))
    tokens = sum(len(each.kept) + (each.bonus is not None) for each in run.rounds)
    plain_ms = tokens * basis.plain_ms
    actual_ms = 1000 * fsum(each.round_s - each.reader_s for each in run.rounds)
    rest_ms = plain_ms - actual_ms - fsum(each.ms for each in sources)
    return Balance(tuple(sources), tokens, plain_ms, actual_ms, rest_ms)
