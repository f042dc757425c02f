"""When the small model speaks: speculative cascades beside deferral by the small model's own doubt (2405.19261)."""

from collections.abc import Iterator
from itertools import product
from typing import Final

from foretell.lab.experiment.rows import Row
from foretell.lab.reproduce.cases import Case, Sample
from foretell.lab.reproduce.claim import Claim, Values, interval
from foretell.lab.reproduce.ways import Way

PAPER: Final = "2405.19261"


def claims(case: Case) -> Iterator[Claim]:
    """For each setting of the cascade: that it keeps more guesses, and gives better answers than a cheaper deferral."""
    for its in case.ways("cascade"):
        exact = Way("sampling", its.width)
        if exact in case.rows:
            yield from _kept(case, exact, its)
    for its, chow in product(case.ways("cascade"), case.ways("chow")):
        yield from _worth(case, its, chow)


def _kept(case: Case, exact: Way, its: Way) -> Iterator[Claim]:
    sample = case.sample(exact, its)
    if not sample.items:
        return
    before, after = (
        sample.quotient(
            sample.sums(side, lambda row: row.guessed * (row.acceptance or 0.0)), sample.sums(side, _guessed)
        )
        for side in (0, 1)
    )
    low, high = interval(after, before, sample.items)
    says = "a cascade keeps more of the guesses than exact verification (claimed: more than it keeps)"
    title = f"{case.title}, α {its.knob:g}"
    of = f"{sample.items} prompts"
    yield Claim(PAPER, says, title, "more", float(before[0]), float(after[0]), low, high, of)


def _worth(case: Case, its: Way, chow: Way) -> Iterator[Claim]:
    """Only where the deferral has no fewer passes of the target: else nothing can be better at the same cost."""
    sample = case.sample(chow, its)
    rows = [row for side in (0, 1) for row in sample.rows(side)]
    if not rows or any(row.score is None for row in rows):
        return
    passes = [_passes(sample, side)[0] for side in (0, 1)]
    if passes[1] > passes[0]:
        return
    before, after = (sample.quotient(sample.sums(side, _score), sample.sums(side, lambda _: 1.0)) for side in (0, 1))
    low, high = interval(after, before, sample.items)
    says = (
        "at no more passes of the target a cascade's answers are better than with Chow's rule (claimed: than its score)"
    )
    title = (
        f"{case.title}, α {its.knob:g} with {passes[1]:.2f} passes per token, "
        f"threshold {chow.knob:g} with {passes[0]:.2f}"
    )
    of = f"{sample.items} questions"
    yield Claim(PAPER, says, title, "more", float(before[0]), float(after[0]), low, high, of)


def _passes(sample: Sample, side: int) -> Values:
    return sample.quotient(sample.sums(side, lambda row: row.rounds), sample.sums(side, lambda row: row.tokens))


def _guessed(row: Row) -> float:
    return row.guessed


def _score(row: Row) -> float:
    return row.score or 0.0
