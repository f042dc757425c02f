"""Round functions for the sources that are on: generated code in which the others do not stand."""

from collections.abc import Mapping
from functools import cache, reduce
from itertools import combinations
from typing import Final

from foretell.codegen import emit
from foretell.codegen.build import build
from foretell.codegen.plan import plan
from foretell.codegen.round import Round
from foretell.ir.ops import Draft, Pipeline
from foretell.passes.rewrite import of_kind, without
from foretell.runtime.backoff import MOST, Backoff
from foretell.runtime.pace import Pace

STABLE: Final = 16  # rounds in which the same sources guessed: then they are the ones that are on


class Rounds:
    """The function of each round: the general one, or the one of the sources that are on.

    The guard is the pace's decision, which is made before anyone is asked: when a source is to guess that is off, the
    general function runs this very round, so nothing is lost but the step back. Sources that are off are scored in
    shadow as before, as deciding looks at their guesses. While a draft model is on, so are the free sources, whose
    guesses may join its own.

    Args:
        pipeline: with paced sources. general: its round.
        labels: of its paced statements, by name: what their guesses are labelled with.
        pace: decides.

    general: see above. on: labels of the sources that are on; None in tier 0. entered, fell: how often that began, and
    its guard failed.
    """

    def __init__(self, pipeline: Pipeline, general: Round, labels: Mapping[str, str], pace: Pace) -> None:
        self.on: frozenset[str] | None = None
        self.entered = self.fell = 0
        self.general = self._special = general
        self._pipeline, self._labels, self._pace = pipeline, dict(labels), pace
        self._all = frozenset(self._labels.values())
        drafts = of_kind(pipeline, Draft)
        self._models = frozenset(labels[each.name] for each in drafts if each.source == "model" and each.name in labels)
        self._idle = dict.fromkeys(self._all, STABLE)  # rounds since each guessed
        self._recent: frozenset[str] = self._all
        self._since = 0  # rounds with the same recent sources
        self._served = 0
        self._backoff = Backoff()

    def choose(self, limit: int) -> Round:
        """The function of the coming round, which may commit so many guesses."""
        used = sources(self._pace.plan(limit).source)
        self._watch(used)
        if self.on is not None:
            if used <= self.on:
                self._served += 1
                if self._served == MOST:
                    self._backoff.used()
                return self._special
            self._fall(used - self.on)
        elif (not self.fell or self._backoff.tick()) and self._since >= STABLE and self._recent < self._all:
            self._enter()
        return self._special

    def _watch(self, used: frozenset[str]) -> None:
        idle = self._idle
        for label in idle:
            idle[label] = 0 if label in used else idle[label] + 1
        recent = frozenset(label for label, rounds in idle.items() if rounds < STABLE)
        if recent & self._models:
            recent |= self._all - self._models
        self._since = self._since + 1 if recent == self._recent else 0
        self._recent = recent

    def _enter(self) -> None:
        self.on, self._served, self.entered = self._recent, 0, self.entered + 1
        off = frozenset(name for name, label in self._labels.items() if label not in self.on)
        self._special = build(specialised(self._pipeline, off))
        self._pace.note(_names(self.on), "tier 1", f"a round of its own, without {_names(self._all - self.on)}")

    def _fall(self, wanted: frozenset[str]) -> None:
        self.on, self._special, self.fell = None, self.general, self.fell + 1
        self._backoff.failed()
        self._pace.note(
            _names(wanted), "guard sources", f"to guess again; tier 0 for {self._backoff.wait} rounds at least"
        )


def sources(decided: str) -> frozenset[str]:
    """Those of a decision, which joins several by "+"."""
    return frozenset(each for each in decided.split("+") if each)


@cache
def specialised(pipeline: Pipeline, off: frozenset[str]) -> Pipeline:
    """A pipeline without the statements of sources that are off: what the round function is generated from."""
    return reduce(without, [each for each in of_kind(pipeline, Draft) if each.name in off], pipeline)


def show(pipeline: Pipeline) -> str:
    """The functions of tier 1, of every set of sources that may be off."""
    paced = [each for each in of_kind(pipeline, Draft) if each.paced]
    if not paced or plan(pipeline).kind != "exact":
        return f"# {pipeline.name}: no tier 1, as no source of it is paced, or its text depends on guesses\n"
    out = []
    for count in range(1, len(paced) + 1):
        for off in combinations(paced, count):
            names = " and ".join(f"{each.name} ({each.of or each.source})" for each in off)
            guard = f"# tier 1. Guard: in this round, {names} {'are' if count > 1 else 'is'} not to guess; else tier 0."
            out.append(f"{guard}\n{emit.source(plan(specialised(pipeline, frozenset(each.name for each in off))))}")
    return "\n\n".join(out)


def _names(labels: frozenset[str]) -> str:
    return " and ".join(sorted(labels)) or "the target"
