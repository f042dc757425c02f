"""What passes take in a replay: times of a profile, between and beyond its points."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from foretell.cost.curve import Curve
from foretell.cost.facts import Facts
from foretell.profile.file import WHOLE, Profile, Times


@dataclass(frozen=True, slots=True)
class PassTimes:
    """Milliseconds of a model's pass by rows and by tokens before them (`foretell.backend.null.PassMs`).

    curves: (tokens before, by rows), ascending; linear between two of them, as the nearest beyond them. prompt_ms: of a
    token of a pass over more rows than these curves know.

    >>> times = PassTimes(((0, Curve.of({1: 20.0, 4: 26.0})), (1000, Curve.of({1: 24.0, 4: 30.0}))), prompt_ms=5.0)
    >>> times(1, 0), times(2, 500), times(100, 0)
    (20.0, 24.0, 500.0)
    """

    curves: tuple[tuple[int, Curve], ...]
    prompt_ms: float

    @staticmethod
    def of(times: Times, prompt_ms: float) -> "PassTimes":
        """As measured, the least of each size; `prompt_ms` where no prompt was timed."""
        curves = [
            (context, Curve.of({rows: spread.least_ms for rows, spread in spreads.items()}))
            for context, spreads in sorted(times.passes.items())
        ]
        return PassTimes(tuple(curves), prompt_ms if times.prompt is None else times.prompt.least_ms)

    def __call__(self, rows: int, context: int) -> float:
        """See the class."""
        most = min(curve.points[-1][0] for _, curve in self.curves)
        if rows > most:
            return max(self._at(most, context), rows * self.prompt_ms)
        return self._at(rows, context)

    def _at(self, rows: int, context: int) -> float:
        nearest, curve = self.curves[0]
        for tokens, later in self.curves[1:]:
            if context <= nearest:
                break
            if context < tokens:
                share = (context - nearest) / (tokens - nearest)
                return curve(rows) + share * (later(rows) - curve(rows))
            nearest, curve = tokens, later
        return curve(rows)

    def scaled(self, factor: float, prompt: float = 1.0) -> "PassTimes":
        """The same with every time of passes multiplied, and that of a prompt's token by `prompt`."""
        curves = tuple((context, curve.scaled(factor)) for context, curve in self.curves)
        return PassTimes(curves, self.prompt_ms * prompt)


def usual(times: Iterable[Times]) -> float:
    """How much longer than the least a pass usually takes: the median over all that was measured.

    >>> from foretell.profile.spread import Spread
    >>> usual([Times({64: {1: Spread(9, 20.0, 21.0, 0), 2: Spread(9, 20.0, 25.0, 0), 4: Spread(9, 30.0, 30.0, 0)}})])
    1.05
    """
    spreads = [spread for each in times for by_rows in each.passes.values() for spread in by_rows.values()]
    return median(spread.median_ms / spread.least_ms for spread in spreads)


@dataclass(frozen=True, slots=True)
class Costs:
    """What things take. round_ms: of a round besides its passes. draft: of the draft model as it is."""

    target: PassTimes
    draft: PassTimes | None
    round_ms: float

    @staticmethod
    def of(facts: Facts, draft: str = "draft") -> "Costs":
        """Exactly what decisions go by."""
        model = facts.models.get(draft)
        return Costs(
            PassTimes(((0, facts.target),), facts.prompt_ms),
            None if model is None else PassTimes(((0, model.pass_ms),), model.prompt_ms),
            facts.overhead_ms,
        )

    @staticmethod
    def measured(profile: Profile, facts: Facts) -> "Costs":
        """As decisions take it, but with contexts where those were measured, and as long as passes usually take.

        One factor for all of them: the least times say best how sizes and models compare, not how long a run is.
        """
        whole, factor = profile.drafts.get(WHOLE), usual([profile.target, *profile.drafts.values()])
        base = Costs.of(facts)
        draft = None if whole is None or base.draft is None else PassTimes.of(whole, base.draft.prompt_ms)
        return Costs(
            PassTimes.of(profile.target, facts.prompt_ms).scaled(factor, factor),
            None if draft is None else draft.scaled(factor, factor),
            facts.overhead_ms,
        )
