"""What a round costs in Python, beside the passes: generated code against the interpreter, per preset.

    python bench/rounds.py [--guesses 5] [--rounds 2000] [--model NAME] [--cold 40]

Sources give a ready proposal and what the target says is a list, so only the round function and its rule are timed.
All guesses are right, which is the dearest case. Warm: many rounds on end, with no pass. Cold: within each round, at
its place, stands a real pass of a model, which leaves nothing of Python in the caches; its own time is taken off.
Generated code and the interpreter take turns; medians are printed. Exit status 1 when the generated round of `chain`
takes more than 0.15 ms or longer than the interpreter's, warm or cold.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from foretell.accept import rules
from foretell.accept.chance import KeyedChance
from foretell.accept.proposal import Guess, Proposal, Weights
from foretell.backend.protocol import Rows, Session, Want
from foretell.codegen.build import build
from foretell.codegen.interpret import interpret
from foretell.codegen.round import Parts, Round
from foretell.engine.native import NativeModel
from foretell.ir import presets
from foretell.ir.ops import Accept, Defer, Draft, Pipeline
from foretell.models.store import Store
from foretell.profile.machine import machine

TURNS: Final = 15
LIMIT_MS: Final = 0.15
JUDGED: Final = "chain"
HELD_TOKENS: Final = 256  # before the passes


@dataclass(slots=True)
class Passes:
    """Real passes over as many rows as a round has; `took_s` is what all of them took. Without a session, none."""

    session: Session | None = None
    rows: int = 1
    took_s: float = 0.0
    sequence: int = field(init=False)

    def __post_init__(self) -> None:
        if self.session is not None:
            self.sequence = self.session.open()
            self.session.step(Rows.chain([0] * HELD_TOKENS, self.sequence, ()), Want())
            self.session.commit(self.sequence, range(HELD_TOKENS))

    def run(self) -> None:
        """One pass."""
        if self.session is not None:
            begin = perf_counter()
            self.session.step(Rows.chain([0] * self.rows, self.sequence), Want())
            self.took_s += perf_counter() - begin


@dataclass(frozen=True, slots=True)
class Ready:
    """A source whose guesses 1, 2, 3, … are there already; a target that agrees with it."""

    proposal: Proposal
    q: Weights
    passes: Passes
    name: str = "ready"

    def extend(self, tokens: Sequence[int]) -> None:
        """Nothing to learn."""

    def propose(self, limit: int) -> Proposal:  # noqa: ARG002 (as asked)
        """The same guesses each time."""
        return self.proposal

    def close(self) -> None:
        """Nothing to give back."""

    def verify(self, proposal: Proposal, *, constrained: bool = False) -> "Ready":  # noqa: ARG002 (as asked)
        """The pass."""
        self.passes.run()
        return self

    def choice(self, node: int) -> int:
        """The token of the next guess."""
        return node + 2

    def p(self, node: int) -> Weights:  # noqa: ARG002 (as asked)
        """The source's own distribution."""
        return self.q


def ready(pipeline: Pipeline, guesses: int, passes: Passes) -> Parts:
    """Parts that take as little time as they can, but for the passes."""
    q = np.full(guesses + 2, 1 / (guesses + 2))
    sources = {}
    for each in pipeline.statements:
        if isinstance(each, Draft):
            drawn = each.law in ("sampled", "without_replacement")
            chain = tuple(Guess(i + 1, i - 1, each.source, each.law, 1.0, q if drawn else None) for i in range(guesses))
            sources[each.name] = Ready(Proposal(chain), q, passes)
    accepts = [each for each in pipeline.statements if isinstance(each, Accept)]
    return Parts(
        sources,
        {each.name: rules.make(each.rule, epsilon=each.epsilon, alpha=each.alpha) for each in accepts},
        {each.name: lambda _: False for each in pipeline.statements if isinstance(each, Defer)},
        Ready(Proposal(), q, passes),
    )


def round_ms(round_: Round, parts: Parts, passes: Passes, guesses: int, rounds: int) -> float:
    """Mean milliseconds of one round, without its pass."""
    chance = KeyedChance(0, 0)
    before_s = passes.took_s
    begin = perf_counter()
    for _ in range(rounds):
        round_(parts, guesses, chance)
    return (perf_counter() - begin - (passes.took_s - before_s)) * 1e3 / rounds


def measure(pipeline: Pipeline, passes: Passes, guesses: int, turns: int, rounds: int) -> dict[str, float]:
    """Median milliseconds over turns of so many rounds each."""
    parts = ready(pipeline, guesses, passes)
    kinds = {"generated": build(pipeline), "interpreted": interpret(pipeline)}
    took: dict[str, list[float]] = {kind: [] for kind in kinds}
    for turn in range(turns + 1):
        for kind, run in kinds.items():
            ms = round_ms(run, parts, passes, guesses, rounds)
            if turn:  # the first warms up
                took[kind].append(ms)
    return {kind: median(values) for kind, values in took.items()}


@contextmanager
def opened(name: str | None) -> Iterator[Session]:
    """A session of a model of the catalogue or a file."""
    store = Store()
    path = store.resolve(name or store.catalogue.default)
    model = NativeModel.load(path, cache_dir=store.cache.root, digest=store.digest(path))
    try:
        yield model.session()
    finally:
        model.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--guesses", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=2000, help="warm ones in a turn")
    parser.add_argument("--cold", type=int, default=40, help="rounds with a real pass; 0: none")
    parser.add_argument("--model", help="whose passes these are; the catalogue's default, unless given")
    given = parser.parse_args()
    table = Table(title=f"ms of a round of {given.guesses}, {machine()}")
    for column in ("pipeline", "generated, warm", "interpreted, warm", "generated, cold", "interpreted, cold"):
        table.add_column(column, justify="left" if column == "pipeline" else "right")
    pipelines = {name: presets.load(name) for name in presets.names()}
    report: dict[str, dict[str, Any]] = {
        name: {"warm": measure(each, Passes(), given.guesses, TURNS, given.rounds)} for name, each in pipelines.items()
    }
    if given.cold:
        with opened(given.model) as session:
            passes = Passes(session, given.guesses + 1)
            for name, each in pipelines.items():
                report[name]["cold"] = measure(each, passes, given.guesses, given.cold, 1)
    for name, its in report.items():
        table.add_row(name, *(f"{ms:.4f}" for how in its.values() for ms in how.values()))
    Console().print(table)
    good = all(how["generated"] <= min(LIMIT_MS, how["interpreted"]) for how in report[JUDGED].values())
    figures = {"what": "rounds", "machine": machine(), "guesses": given.guesses, "limit_ms": LIMIT_MS}
    print(json.dumps(figures | {"good": good, "round_ms": report}))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
