"""What a smaller output matrix of a draft model gains: the formula, and the times that go into it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from foretell.cost.curve import Curve
from foretell.cost.facts import Facts, ModelFacts

# What filling a matrix of some thousand tokens takes from the generation: 13 to 18 ms of a processor, measured, and 50
# the first time, beside passes that would like to have it.
BUILD_MS: Final = 30.0
# How often a draft model guesses a token right that a matrix of the content leaves out: those are the new words of an
# answer, of which it knows fewer than of others. Qwen2.5-Coder 0.5B for 1.5B, 9,547 places of nine kinds: 0.48 of 0.82.
NOVEL: Final = 0.5
MARGIN: Final = 0.01  # of the speed: a gain below that may be an error of measurement
LATER: Final = 256  # tokens of context beyond which costs are looked at again, at least


@dataclass(frozen=True, slots=True)
class Times:
    """Passes of a draft model over one row, by how many tokens it says.

    usual_ms: with all that it can say. saved_ms: by the smaller matrix. prompt_tokens: context in which that was
    measured. contexts: the usual pass behind other contexts, as factors by their tokens.
    """

    usual_ms: float
    saved_ms: float
    contexts: Mapping[int, float]

    def factor(self, context: int) -> float:
        """What is left of a pass behind so many tokens: what is saved stays the same, and a long text takes longer."""
        return max(0.1, 1 - self.saved_ms / (self.usual_ms * self._behind(context)))

    def _behind(self, context: int) -> float:
        if len(self.contexts) < 2:
            return 1.0
        return Curve.of({max(1, at): factor for at, factor in self.contexts.items()})(max(1, context))


def times(
    facts: Facts, model: str, vocabulary: int, precision: str, sizes: tuple[int, int], whole: int
) -> Times | None:
    """From what was measured of forms of this precision; None when that does not say what a token costs.

    Of the `model`, loaded as `vocabulary` and `precision` say. sizes: tokens that it says, and that the smaller matrix
    has. whole: tokens of the whole vocabulary.
    """
    known = facts.models.get(model)
    if known is None:
        return None
    costs = {size or whole: trade.cost for (size, form), trade in known.forms.items() if form == precision}
    if not precision:
        costs[whole] = 1.0
    costs = {min(size, whole): cost for size, cost in costs.items()}
    if len(costs) < 2:
        return None
    (small, least), (large, most) = min(costs.items()), max(costs.items())
    base = known.pass_ms(1)
    saved = base * (most - least) / (large - small) * (sizes[0] - sizes[1])
    if saved <= 0:
        return None
    return Times(base * known.trade(vocabulary, precision).cost, saved, _contexts(known))


def _contexts(known: ModelFacts) -> dict[int, float]:
    curves = {tokens: curve(1) for tokens, curve in sorted(known.contexts.items())}
    return {tokens: ms / next(iter(curves.values())) for tokens, ms in curves.items()}


def gain(right: float, steps: float, target_ms: float, draft_ms: float, factor: float, kept: float) -> float:
    """How much faster rounds with this draft model become: 0.05 is 5 % more tokens in the same time.

    With steps k, of which each is right with the chance a when those before it were, a round gives

        E(a, k) = 1 + a + a^2 + ... + a^k  tokens  in  T + k D  ms

    With the smaller matrix D becomes f D, and a becomes a r, as what it cannot say is never guessed.

        gain = E(a r, k) / E(a, k)  *  (T + k D) / (T + k f D)  -  1

    right, steps: a, k. target_ms, draft_ms: T, D. factor, kept: f, r (`kept`).
    """
    tokens = _expected(right * min(1.0, kept), steps) / _expected(right, steps)
    return tokens * (target_ms + steps * draft_ms) / (target_ms + steps * factor * draft_ms) - 1


def kept(lost: float, right: float) -> float:
    """The share of right guesses that a matrix still says which leaves out this share of the answer's tokens."""
    return max(0.0, 1 - NOVEL * lost / right) if right > 0 else 1.0


def _expected(right: float, steps: float) -> float:
    """Tokens of a round; the last step may be a part of one."""
    total, reach = 1.0, 1.0
    for k in range(int(steps)):
        reach *= right
        total += reach
        if k > 64:
            break
    return total + (steps - int(steps)) * reach * right
