"""What a round costs in Python, beside the passes: generated code against the interpreter, per preset.

    python bench/rounds.py [--guesses 5] [--rounds 2000]

Sources give a ready proposal and the target's pass is a list, so only the round function and its rule are timed. Both
take turns; the median over turns is printed. All guesses are right, which is the dearest case.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import numpy as np
from rich.console import Console
from rich.table import Table

from foretell.accept import rules
from foretell.accept.chance import KeyedChance
from foretell.accept.proposal import Guess, Proposal, Weights
from foretell.codegen.build import build
from foretell.codegen.interpret import interpret
from foretell.codegen.round import Parts, Round
from foretell.ir import presets
from foretell.ir.ops import Accept, Defer, Draft, Pipeline
from foretell.profile.machine import machine

TURNS = 15


@dataclass(frozen=True, slots=True)
class Ready:
    """A source whose guesses 1, 2, 3, … are there already; a target that agrees with it."""

    proposal: Proposal
    q: Weights
    name: str = "ready"

    def extend(self, tokens: Sequence[int]) -> None:
        """Nothing to learn."""

    def propose(self, limit: int) -> Proposal:  # noqa: ARG002 (as asked)
        """The same guesses each time."""
        return self.proposal

    def close(self) -> None:
        """Nothing to give back."""

    def verify(self, proposal: Proposal, *, constrained: bool = False) -> "Ready":  # noqa: ARG002 (as asked)
        """No pass."""
        return self

    def choice(self, node: int) -> int:
        """The token of the next guess."""
        return node + 2

    def p(self, node: int) -> Weights:  # noqa: ARG002 (as asked)
        """The source's own distribution."""
        return self.q


def ready(pipeline: Pipeline, guesses: int) -> Parts:
    """Parts that take as little time as they can."""
    q = np.full(guesses + 2, 1 / (guesses + 2))
    sources = {}
    for each in pipeline.statements:
        if isinstance(each, Draft):
            drawn = each.law in ("sampled", "without_replacement")
            chain = tuple(Guess(i + 1, i - 1, each.source, each.law, 1.0, q if drawn else None) for i in range(guesses))
            sources[each.name] = Ready(Proposal(chain), q)
    accepts = [each for each in pipeline.statements if isinstance(each, Accept)]
    return Parts(
        sources,
        {each.name: rules.make(each.rule, epsilon=each.epsilon, alpha=each.alpha) for each in accepts},
        {each.name: lambda _: False for each in pipeline.statements if isinstance(each, Defer)},
        Ready(Proposal(), q),
    )


def round_ms(round_: Round, parts: Parts, guesses: int, rounds: int) -> float:
    """Mean milliseconds of one round."""
    chance = KeyedChance(0, 0)
    begin = perf_counter()
    for _ in range(rounds):
        round_(parts, guesses, chance)
    return (perf_counter() - begin) * 1e3 / rounds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--guesses", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=2000)
    given = parser.parse_args()
    table = Table("pipeline", "generated ms", "interpreted ms", title=f"a round of {given.guesses}, {machine()}")
    report = {}
    for name in presets.names():
        pipeline = presets.load(name)
        parts = ready(pipeline, given.guesses)
        kinds = {"generated": build(pipeline), "interpreted": interpret(pipeline)}
        turns = [
            {kind: round_ms(run, parts, given.guesses, given.rounds) for kind, run in kinds.items()}
            for _ in range(TURNS)
        ]
        report[name] = {kind: median(turn[kind] for turn in turns) for kind in kinds}
        table.add_row(name, *(f"{report[name][kind]:.4f}" for kind in kinds))
    Console().print(table)
    print(json.dumps({"what": "rounds", "machine": machine(), "guesses": given.guesses, "round_ms": report}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
