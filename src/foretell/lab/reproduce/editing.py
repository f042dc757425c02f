"""Aggressive decoding (arXiv 2106.04970): where a text is corrected, the input is the guess."""

from collections.abc import Iterator
from typing import Final

from foretell.lab.reproduce.cases import ALONE, Case, decoded, decoding_s
from foretell.lab.reproduce.claim import Claim, interval
from foretell.lab.reproduce.same import same

PAPER: Final = "2106.04970"
_TITLE: Final = "{}, at most {} guesses"


def claims(case: Case) -> Iterator[Claim]:
    """For each length that was run, beside the target alone."""
    for its in case.ways("copy") if ALONE in case.rows else ():
        sample = case.sample(ALONE, its)
        if not sample.items:
            continue
        title, of = _TITLE.format(case.title, its.width), f"{sample.items} prompts"
        yield same(PAPER, "the text is that of greedy decoding", title, sample)
        rounds = [sample.sums(side, lambda row: row.rounds) for side in (0, 1)]
        saved = sample.quotient(rounds[0], rounds[1])
        low, high = interval(saved, saved * 0 + 1, sample.items)
        says = "it takes fewer passes than greedy decoding (claimed: more than 1 token for each)"
        yield Claim(PAPER, says, title, "more", 1.0, float(saved[0]), low, high, of)
        speeds = [sample.quotient(sample.sums(side, decoded), sample.sums(side, decoding_s)) for side in (0, 1)]
        gain = speeds[1] / speeds[0]
        low, high = interval(gain, gain * 0 + 1, sample.items)
        says = "it is faster than greedy decoding (claimed: more than 1 times as many tokens per second)"
        yield Claim(PAPER, says, title, "more", 1.0, float(gain[0]), low, high, of)
