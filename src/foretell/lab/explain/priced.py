"""A run with joules in the place of seconds, at exact prices: what is computed of times is then computed of energy.

    joules of a part = idle watts · its seconds + core watts · its processor seconds
                       + joules a byte · bytes + joules a multiply-add · multiply-adds

Bytes and multiply-adds were counted pass by pass. Processor seconds were measured for the whole run: they are shared
out as if passes kept all threads busy, everything else of the loop one, and the reader of the tokens none.
"""

from dataclasses import dataclass, replace
from math import fsum
from statistics import median

from foretell.cost.curve import Curve
from foretell.lab.explain.basis import Basis, reads, usual
from foretell.profile.energy.model import Exact
from foretell.profile.energy.work import Work
from foretell.runtime.run import Run, Totals
from foretell.runtime.spent import Spent
from foretell.runtime.trace import Moved, Round

_NOTHING = (0, 0)


@dataclass(frozen=True, slots=True)
class Priced:
    """run: with joules for seconds. basis: with millijoules for milliseconds."""

    run: Run
    basis: Basis


def priced(run: Run, basis: Basis, spent: Spent, at: Exact) -> Priced:
    """At these prices. basis: of the run, in milliseconds. spent: what the run's joules follow from."""
    its = _Charges(at, spent.threads, _busy(run.totals, spent))
    rounds = tuple(its.round(each, moved) for each, moved in zip(run.rounds, spent.rounds, strict=True))
    out = replace(run, rounds=rounds, totals=its.totals(run.totals, spent))
    return Priced(out, its.basis(run, basis, spent, rounds))


def _busy(totals: Totals, spent: Spent) -> float:
    """Processor seconds that were measured, as a part of those that the parts are taken for."""
    passes = totals.prompt_s + totals.verify_s + totals.draft_s
    rest = max(0.0, totals.whole_s - passes - totals.reader_s)
    expected = spent.threads * passes + rest
    return spent.processor_s / expected if expected else 0.0


@dataclass(frozen=True, slots=True)
class _Charges:
    """busy: processor seconds for each that a thread is taken to be busy."""

    at: Exact
    threads: int
    busy: float

    def passes(self, seconds: float, moved: tuple[int, int]) -> float:
        """Joules of passes."""
        return self._joules(seconds, self.threads, moved)

    def own(self, seconds: float) -> float:
        """Of what one thread does."""
        return self._joules(max(0.0, seconds), 1, _NOTHING)

    def waiting(self, seconds: float) -> float:
        """Of time that nobody works in."""
        return self._joules(seconds, 0, _NOTHING)

    def _joules(self, seconds: float, threads: int, moved: tuple[int, int]) -> float:
        return self.at.joules(Work(moved[0], moved[1], seconds, self.busy * threads * seconds))

    def round(self, each: Round, moved: Moved) -> Round:
        """A round's."""
        verify = self.passes(each.verify_s, moved[:2])
        draft = self.passes(each.draft_s, moved[2:])
        propose = draft + self.own(each.propose_s - each.draft_s)
        accept, reader = self.own(each.accept_s), self.waiting(each.reader_s)
        known = each.verify_s + max(each.propose_s, each.draft_s) + each.accept_s + each.reader_s
        return each._replace(
            round_s=verify + propose + accept + reader + self.own(each.round_s - known),
            propose_s=propose,
            draft_s=draft,
            verify_s=verify,
            accept_s=accept,
            reader_s=reader,
        )

    def totals(self, totals: Totals, spent: Spent) -> Totals:
        """The whole run's; what no part is charged for is the rest of the loop's."""
        draft = self.passes(totals.draft_s, (sum(spent.draft_bytes), sum(spent.draft_macs)))
        verify = self.passes(totals.verify_s, (sum(spent.target_bytes), sum(spent.target_macs)))
        prompt = self.passes(totals.prompt_s, (spent.prompt_bytes, spent.prompt_macs))
        propose = draft + self.own(totals.propose_s - totals.draft_s)
        setup, accept, reader = self.own(totals.setup_s), self.own(totals.accept_s), self.waiting(totals.reader_s)
        known = totals.setup_s + totals.prompt_s + totals.verify_s + totals.accept_s + totals.reader_s
        rest = self.own(totals.whole_s - known - max(totals.propose_s, totals.draft_s))
        return replace(
            totals,
            whole_s=fsum((setup, prompt, propose, verify, accept, reader, rest)),
            setup_s=setup,
            prompt_s=prompt,
            propose_s=propose,
            draft_s=draft,
            verify_s=verify,
            accept_s=accept,
            reader_s=reader,
        )

    def basis(self, run: Run, basis: Basis, spent: Spent, rounds: tuple[Round, ...]) -> Basis:
        """Millijoules of passes behind the run's usual context, and of the rest of a round."""
        context = round(median(each.context for each in run.rounds)) if run.rounds else run.totals.prompt_tokens
        points = {
            n: 1000 * self.passes(ms / 1000, spent.counter.of_chain(n, context, n)) for n, ms in basis.target.points
        }
        curve = Curve.of(points)
        steps = (
            1000 * after.draft_s / before.draft_passes
            for before, after in zip(run.rounds, rounds, strict=True)
            if before.draft_passes and not reads(before)
        )
        step = _NOTHING if spent.draft is None else spent.draft.of_chain(1, context, 1)
        rest = 1000 * self.own(basis.rest_ms / 1000)
        return Basis(curve, curve, 1.0, rest, usual(steps, 1000 * self.passes(basis.step_ms / 1000, step)))
