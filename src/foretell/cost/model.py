"""What a draft model's proposal is expected to hold and to cost.

Doubt at a place is 1 - max q. Chances are taken to fall in proportion to it, so that their average is the measured one:
a chain that ends at doubtful places then has surer guesses, and siblings stand where they are needed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from foretell.cost.curve import Curve
from foretell.cost.facts import ModelFacts, SourceFacts, Trade
from foretell.cost.guesses import Case, Guesses, at, kept, reached
from foretell.ir.ops import Draft

AS_IS = Trade(1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Places:
    """A kind of place in a chain. mean: of its doubts; None when there are none. hedged: share with siblings beside."""

    mean: float | None
    hedged: float
    hedged_mean: float


def model(draft: Draft, facts: ModelFacts, sources: Mapping[str, SourceFacts], lift: float = 0.0) -> Guesses:
    """Of the statement's draft model. An approximation that was not measured is taken to change nothing."""
    cost, factor = approximated(draft, facts)
    doubts = facts.doubts.get("chow", ())
    everywhere = _places(doubts, draft)
    sure = _places([d for d in doubts if d <= 1 - draft.stop], draft)
    unsure = _places([d for d in doubts if d > 1 - draft.stop], draft)
    ends = sum(d > 1 - draft.stop for d in doubts) / len(doubts) if doubts and draft.stop else 0.0
    length = max(1, int(draft.width / (1 + draft.siblings * everywhere.hedged)))
    average = sum(doubts) / len(doubts) if doubts else 0.0
    beside = 1.0
    for chance in facts.siblings[: draft.siblings]:
        beside *= 1 - chance

    def place(i: int, kind: Places) -> tuple[float, float]:
        chance = at(facts.chances, i, 0.0) * factor
        wrong = 1 - chance if kind.mean is None else min(1.0, _ratio(1 - chance, average) * kind.mean)
        hedged = kind.hedged * min(1.0, _ratio(1 - chance, average) * kind.hedged_mean)
        return (1 - wrong) + lift * wrong, hedged * (1 - beside) * (1 - lift)

    cases = []
    for n in range(1, length + 1):
        last, share = (everywhere, (1 - ends) ** (n - 1)) if n == length else (unsure, (1 - ends) ** (n - 1) * ends)
        kinds = [*([sure if ends else everywhere] * (n - 1)), last]
        rows = n + draft.siblings * sum(kind.hedged for kind in kinds)
        cases.append(Case(share, rows, reached([place(i, kind) for i, kind in enumerate(kinds)])))
    drafts = kept(cases)
    steps = drafting_ms(length, facts.pass_ms.scaled(cost), sources[draft.inner] if draft.inner else None)
    return Guesses(sum(case.share * steps[len(case.reach)] for case in drafts), drafts)


def approximated(draft: Draft, facts: ModelFacts) -> tuple[float, float]:
    """Factors on the time of the statement's draft passes and on its chances."""
    precision = facts.precisions.get(draft.precision, AS_IS)
    vocabulary = facts.vocabularies.get(draft.vocabulary, AS_IS)
    prompt = facts.prompts.get(draft.prompt, 1.0)
    return precision.cost * vocabulary.cost, precision.kept * vocabulary.kept * prompt


def drafting_ms(length: int, pass_ms: Curve, inner: SourceFacts | None) -> list[float]:
    """Milliseconds of a chain of 0, 1, ... `length` guesses.

    With an inner source (staged drafting, arXiv 2308.04623), each pass of the draft model also checks as many inner
    guesses as are still of use, and keeps its own token behind the right ones.
    """
    if inner is None:
        return [n * pass_ms(1) for n in range(length + 1)]
    out = [0.0]
    for left in range(1, length + 1):
        reach = (1.0, *reached([(at(inner.chances, i, 0.0), 0.0) for i in range(left - 1)]), 0.0)
        rest = sum((reach[k] - reach[k + 1]) * out[left - 1 - k] for k in range(left))
        helped = pass_ms(left) + inner.ms + rest
        alone = pass_ms(1) + inner.ms + out[left - 1]
        out.append(inner.offers * helped + (1 - inner.offers) * alone)
    return out


def _places(doubts: Sequence[float], draft: Draft) -> Places:
    hedged = [d for d in doubts if d > draft.doubt] if draft.siblings else []
    return Places(
        sum(doubts) / len(doubts) if doubts else None,
        len(hedged) / len(doubts) if doubts else 0.0,
        sum(hedged) / len(hedged) if hedged else 0.0,
    )


def _ratio(a: float, b: float) -> float:
    return a / b if b else 0.0
