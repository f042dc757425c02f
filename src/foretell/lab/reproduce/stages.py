"""Staged speculation against a draft model alone (arXiv 2308.04623): the draft model is itself sped up by guesses."""

from collections.abc import Iterator
from typing import Final

from foretell.lab.experiment.rows import Row
from foretell.lab.reproduce.cases import Case, decoded, decoding_s
from foretell.lab.reproduce.claim import Claim, interval
from foretell.lab.reproduce.same import same
from foretell.lab.reproduce.ways import Way

PAPER: Final = "2308.04623"


def claims(case: Case) -> Iterator[Claim]:
    """For each length that was run in one stage and in two."""
    for its in case.ways("staged"):
        one = Way("chain", its.width)
        sample = case.sample(one, its) if one in case.rows else None
        if sample is None or not sample.items:
            continue
        title = f"{case.title}, {its.width} guesses"
        of = f"{sample.items} prompts"
        yield same(PAPER, "a second stage leaves the text as it is", title, sample)
        before, after = (
            sample.quotient(sample.sums(side, lambda row: row.draft_passes), sample.sums(side, _tokens))
            for side in (0, 1)
        )
        low, high = interval(after, before, sample.items)
        says = "a second stage saves passes of the draft model, per token (claimed: fewer than in one stage)"
        yield Claim(PAPER, says, title, "less", float(before[0]), float(after[0]), low, high, of)
        speeds = [sample.quotient(sample.sums(side, decoded), sample.sums(side, decoding_s)) for side in (0, 1)]
        gain = speeds[1] / speeds[0]
        low, high = interval(gain, gain * 0 + 1, sample.items)
        says = "two stages give more tokens per second than one (claimed: more than 1 times as many)"
        yield Claim(PAPER, says, title, "more", 1.0, float(gain[0]), low, high, of)


def _tokens(row: Row) -> float:
    return row.tokens
