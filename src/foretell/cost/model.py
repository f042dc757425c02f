"""What a draft model's proposal is expected to hold and to cost.

Doubt at a place is 1 - max q. Chances are taken to fall in proportion to it, so that their average is the measured one:
a chain that ends at doubtful places then has surer guesses, and siblings stand where they are needed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import Final

from foretell.cost.curve import Curve
from foretell.cost.facts import ModelFacts, SourceFacts
from foretell.cost.guesses import Case, Guesses, at, kept, reached
from foretell.ir.ops import Draft

# Classes of a draft model's guesses by their probability under it: (upper end, how often right, share of places), in
# answers of Qwen2.5-Coder 1.5B to 40 prompts of eight kinds, drafted by 0.5B. For models that nobody measured.
USUAL: Final = (
    (0.3, 0.20, 0.07), (0.5, 0.37, 0.09), (0.7, 0.49, 0.09), (0.85, 0.76, 0.07), (0.95, 0.85, 0.08), (0.99, 0.96, 0.10),
    (1.0, 0.993, 0.50),
)  # fmt: skip

LEAST_SHARE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Places:
    """A kind of place in a chain. mean: of its doubts; None when there are none. hedged: share with siblings beside."""

    mean: float | None
    hedged: float
    hedged_mean: float


def model(draft: Draft, facts: ModelFacts, sources: Mapping[str, SourceFacts], lift: float = 0.0) -> Guesses:
    """Of the statement's draft model. An approximation that was not measured is taken to change nothing."""
    cost, factor = approximated(draft, facts)
    chances = facts.at(draft.width)
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
        chance = at(chances, i, 0.0) * factor
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
    trade = facts.trade(draft.vocabulary, draft.precision)
    return trade.cost, trade.kept * facts.prompts.get(draft.prompt, 1.0)


def calibration(draft: Draft, facts: ModelFacts) -> tuple[tuple[float, float, float], ...]:
    """Of the statement's guesses, by their probability under the model: (upper end, how often right, share).

    As measured, or the usual one: moved in log odds until the average is that of this model in this form.
    """
    kept = approximated(draft, facts)[1]
    if facts.calibration:
        return shifted(_coarse(facts.calibration), kept * sum(right * share for _, right, share in facts.calibration))
    return shifted(USUAL, kept * (facts.chances[0] if facts.chances else 0.5))


def _coarse(classes: Sequence[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    """The same with neighbours put together until each has a share worth learning about, and surer ones are righter."""
    out: list[tuple[float, float, float]] = []
    for each in classes:
        upper, right, share = each
        while out and (min(share, out[-1][2]) < LEAST_SHARE or right < out[-1][1]):
            _, before, rest = out.pop()
            right, share = (right * share + before * rest) / (share + rest), share + rest
        out.append((upper, right, share))
    return out


def shifted(classes: Sequence[tuple[float, float, float]], average: float) -> tuple[tuple[float, float, float], ...]:
    """Classes whose average chance is this, by the same step in log odds for all of them."""
    low, high = -12.0, 12.0
    moved = list(classes)
    for _ in range(30):
        step = (low + high) / 2
        moved = [(upper, 1 / (1 + (1 / max(right, 1e-3) - 1) * exp(-step)), share) for upper, right, share in classes]
        low, high = (step, high) if sum(right * share for _, right, share in moved) < average else (low, step)
    return tuple(moved)


def drafting_ms(length: int, pass_ms: Curve, inner: SourceFacts | None) -> list[float]:
    """Milliseconds of a chain of 0, 1, ... `length` guesses.

    With an inner source (staged drafting, arXiv 2308.04623), each pass of the draft model also checks as many inner
    guesses as are still of use, and keeps its own token behind the right ones. A tree has fewer levels than guesses.
    """
    if inner is None:
        return [n * pass_ms(1) for n in range(length + 1)]
    out = [0.0]
    for left in range(1, length + 1):
        depth = int((left - 1) / inner.level_rows)
        reach = (1.0, *reached([(at(inner.chances, i, 0.0), 0.0) for i in range(depth)]), 0.0)
        rest = sum((reach[k] - reach[k + 1]) * out[left - 1 - k] for k in range(depth + 1))
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
