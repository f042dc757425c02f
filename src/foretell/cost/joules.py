"""Costs in joules in the place of milliseconds, so that the same passes and the same pace save energy: level Oe.

    joules of a pass = (idle watts + core watts · threads) · seconds + joules a byte · bytes
                       + joules a multiply-add · multiply-adds

All costs are scaled by one number, so that the target's pass over one row costs as many as it takes milliseconds:
whatever compares costs decides as if these were times, and what may be lost against the target alone is bounded in
joules. Where the other prices are nothing beside time's, so that joules go as time does, nothing changes.
"""

from dataclasses import dataclass, replace
from typing import Final

from foretell.cost.curve import Curve
from foretell.cost.facts import Facts, ModelFacts, Trade
from foretell.cost.pricing import FormCounter, Pricing
from foretell.profile.energy.counter import PassCounter
from foretell.profile.energy.model import Exact
from foretell.profile.energy.work import Work
from foretell.profile.passes import CONTEXT_TOKENS

PIECE_ROWS: Final = 128  # of a pass over a prompt
_WHOLE: Final = (0, "")


def in_joules(facts: Facts, at: Exact | None = None) -> Facts:
    """The same facts with all costs in joules, scaled. Where it is not known what passes read, they stay as they are.

    at: exact prices; None: the likeliest ones.
    """
    if facts.energy is None:
        return facts
    its = _Charges(facts.energy, facts.energy.prices.likeliest if at is None else at, facts)
    models = {
        name: its.model(known, facts.energy.drafts[name]) if name in facts.energy.drafts else its.unknown(known)
        for name, known in facts.models.items()
    }
    counter, unit = facts.energy.target, 1000 * its.unit
    return replace(
        facts,
        target=its.curve(facts.target, counter),
        prompt_ms=its.prompt(facts.prompt_ms, counter),
        contexts={tokens: its.curve(curve, counter, tokens) for tokens, curve in facts.contexts.items()},
        sources={
            name: replace(
                each,
                ms=its.own(each.ms),
                widths={width: replace(narrow, ms=its.own(narrow.ms)) for width, narrow in each.widths.items()},
            )
            for name, each in facts.sources.items()
        },
        models=models,
        overhead_ms=its.own(facts.overhead_ms),
        origin=f"{facts.origin} (in joules, modelled: what is called a ms here is {unit:.3g} mJ)",
        energy=None,
    )


def curve_joules(curve: Curve, counter: PassCounter, pricing: Pricing, at: Exact, context: int) -> dict[int, float]:
    """Joules of passes, all rows scored, by rows: at the measured points of a curve of milliseconds."""
    return {n: _joules(ms, pricing.threads, counter.of_chain(n, context, n), at) for n, ms in curve.points}


def joules_of_one(facts: Facts, at: Exact) -> float:
    """What the target's pass over one row takes. The facts must know what it reads."""
    if facts.energy is None:
        raise ValueError("it is not known what passes read")
    return curve_joules(facts.target, facts.energy.target, facts.energy, at, CONTEXT_TOKENS)[facts.target.points[0][0]]


@dataclass(frozen=True, slots=True)
class _Charges:
    """What things cost at exact prices, as multiples of `unit`."""

    pricing: Pricing
    at: Exact
    facts: Facts

    @property
    def unit(self) -> float:
        """Joules that count as a millisecond."""
        return joules_of_one(self.facts, self.at) / self.facts.target(1)

    def own(self, ms: float) -> float:
        """Time of one thread, which reads and multiplies nothing to speak of."""
        return _joules(ms, 1, (0, 0), self.at) / self.unit

    def curve(self, curve: Curve, counter: PassCounter, context: int = CONTEXT_TOKENS) -> Curve:
        """A curve of passes."""
        found, unit = curve_joules(curve, counter, self.pricing, self.at, context), self.unit
        return Curve.of({n: joules / unit for n, joules in found.items()})

    def prompt(self, ms: float, counter: PassCounter) -> float:
        """A token of a prompt's passes."""
        tokens = self.facts.prompt_tokens
        work = counter.of_prompt(tokens, PIECE_ROWS)
        moved = _joules(0.0, 0, (work.bytes, work.macs), self.at) / tokens
        return (_joules(ms, self.pricing.threads, (0, 0), self.at) + moved) / self.unit

    def model(self, known: ModelFacts, form: FormCounter) -> ModelFacts:
        """A draft model."""
        whole = form(*_WHOLE)
        first, prompt = self.curve(known.pass_ms, whole)(1), self.prompt(known.prompt_ms, whole)

        def traded(trade: Trade, vocabulary: int, precision: str) -> Trade:
            its = form(vocabulary, precision)
            cost = self.curve(known.pass_ms.scaled(trade.cost), its)(1) / first
            return Trade(cost, trade.kept, self.prompt(known.prompt_ms * trade.prompt, its) / prompt)

        return replace(
            known,
            pass_ms=self.curve(known.pass_ms, whole),
            prompt_ms=prompt,
            precisions={name: traded(trade, 0, name) for name, trade in known.precisions.items()},
            vocabularies={size: traded(trade, size, "") for size, trade in known.vocabularies.items()},
            forms={key: traded(trade, *key) for key, trade in known.forms.items()},
            contexts={tokens: self.curve(curve, whole, tokens) for tokens, curve in known.contexts.items()},
        )

    def unknown(self, known: ModelFacts) -> ModelFacts:
        """A draft model of which nothing but times is known: joules as the target's for as long."""
        return known


def _joules(ms: float, threads: int, moved: tuple[int, int], at: Exact) -> float:
    return at.joules(Work(moved[0], moved[1], ms / 1000, threads * ms / 1000))
