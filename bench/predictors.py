"""How good the scheduler's chances are: Brier scores and reliability, on a recorded guess trace.

    python bench/predictors.py FILE.trace

Along every text each predictor learns as it does in a generation, and says before each guess that hung on right ones
how likely it is to be right. It is compared with the constant rate: how often guesses of this source were right so far
in this text. One line per source, then a reliability table, then one JSON line. Exit status 1 when a predictor does not
beat the constant rate.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from foretell.cost.known import facts
from foretell.cost.model import calibration
from foretell.cost.scores import Score, score
from foretell.draft.lookup import LookupSource
from foretell.errors import ForetellError
from foretell.ir.ops import Draft
from foretell.lab.replay.trace import GuessTrace, Text, read, variant_of
from foretell.runtime.chances import Doubts, Matches
from foretell.runtime.choose import DRAFT

WIDTH: Final = 15  # guesses of a copy


def copied(text: Text, measured: tuple[tuple[int, float, float], ...]) -> Iterator[tuple[float, bool]]:
    """Chances of copied guesses, and whether they were right."""
    source, matches = LookupSource("lookup", WIDTH), Matches(measured)
    source.extend([*text.prompt, *text.answer[:1]])
    for place in range(1, len(text.answer)):
        proposal, coming = source.propose(WIDTH), text.answer[place:]
        for guess, token in zip(proposal.guesses, coming, strict=False):
            yield matches.chance(guess.chance), guess.token == token
            if guess.token != token:
                break
        matches.score(proposal, (), coming)
        source.extend(text.answer[place : place + 1])


def said(text: Text, name: str, prior: tuple[tuple[float, float, float], ...]) -> Iterator[tuple[float, bool]]:
    """The same of a draft model's first guess at each place."""
    doubts, along = Doubts(prior), text.drafts[name].said
    for token, nats, came in zip(along.tokens, along.nats, text.answer[1:], strict=False):
        sure = math.exp(-nats)
        yield doubts.chance(sure), token == came
        doubts.score(sure, token == came)


def scores(trace: GuessTrace) -> dict[str, Score]:
    """Of each source of a trace."""
    known = facts(trace.profile, DRAFT)
    lookup = known.sources["lookup"].calibration
    out = {"lookup": score(copied(text, lookup) for text in trace.texts)}
    for name in sorted({name for text in trace.texts for name in text.drafts}):
        vocabulary, precision, prompt = variant_of(name)
        statement = Draft(
            "g", "model", of=DRAFT, law="coupled", vocabulary=vocabulary, precision=precision, prompt=prompt
        )
        prior = calibration(statement, known.model(DRAFT))
        out[name] = score(said(text, name, prior) for text in trace.texts if name in text.drafts)
    return out


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trace", type=Path)
    arguments = parser.parse_args()
    try:
        trace = read(arguments.trace)
    except ForetellError as error:
        sys.exit(f"predictors: {error}")
    found = scores(trace)
    table = Table("source", "guesses", "right", "Brier", "constant rate", "saved")
    reliable = Table("source", *(f"{i / 10:.1f}" for i in range(10)), title="right, by predicted chance from")
    for name, each in found.items():
        table.add_row(
            name, str(each.count), f"{each.right:.3f}", f"{each.brier:.4f}", f"{each.constant:.4f}", f"{each.gain:.0%}"
        )
        shares = {min(9, int(chance * 10)): f"{right:.2f}" for chance, right, _ in each.table}
        reliable.add_row(name, *(shares.get(i, "") for i in range(10)))
    console = Console()
    console.print(table)
    console.print(reliable)
    print(json.dumps({"bench": "predictors", "texts": len(trace.texts), "sources": {
        name: {"guesses": each.count, "brier": each.brier, "constant": each.constant, "table": each.table}
        for name, each in found.items()
    }}))  # fmt: skip
    if any(each.brier >= each.constant for each in found.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
