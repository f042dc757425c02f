"""A contest of pipelines: levels, presets, files, and a chain whose draft model is approximated in several ways."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from foretell.api import Model
from foretell.errors import UsageError
from foretell.ir import presets
from foretell.ir.check import check
from foretell.ir.ops import Class, Draft, Pipeline, Verify
from foretell.ir.text import show
from foretell.lab import approximations
from foretell.lab.halves import against_best, best_fixed, halves
from foretell.lab.suite import Ours, Run
from foretell.lab.summary import complete, mismatched, summarise
from foretell.passes.rewrite import of_kind
from foretell.runtime.settings import Options, Settings

REFERENCE: Final = "O0"  # the target alone: what the preset `plain` says

Origin = Literal["level", "preset", "file", "approximation"]


@dataclass(frozen=True, slots=True)
class Contender:
    """A pipeline under a name. Of a level it is what the level makes for these models on this machine."""

    name: str
    origin: Origin
    pipeline: Pipeline

    @property
    def kind(self) -> Class:
        """What it promises."""
        return check(self.pipeline)

    def ours(self, model: Model, options: Options) -> Ours:
        """The model run so; the draft model is loaded in the forms that it needs, which no answer shall pay for."""
        for draft in of_kind(self.pipeline, Draft):
            if draft.source == "model" and model.drafter is not None:
                model.drafter.backend((draft.vocabulary, draft.precision))
        how = Options(level=self.name) if self.origin == "level" else Options(pipeline=self.pipeline)
        return Ours(self.name, model, options | how)

    def to_json(self) -> dict[str, str]:
        """What it is."""
        return {"origin": self.origin, "class": self.kind, "pipeline": show(self.pipeline)}


def fixed_presets(*, drafting: bool) -> list[str]:
    """Exact presets that need no grammar; not `plain`, which is REFERENCE. drafting: also those of a draft model."""
    out = []
    for name in presets.names():
        pipeline = presets.load(name)
        constrained = any(each.constrained for each in of_kind(pipeline, Verify))
        asks = any(each.of for each in of_kind(pipeline, Draft))
        if name != "plain" and check(pipeline) == "exact" and not constrained and (drafting or not asks):
            out.append(name)
    return out


def preset(name: str) -> Pipeline:
    """A preset; UsageError for one that cannot be timed on any prompt."""
    pipeline = presets.load(name)
    if any(each.constrained for each in of_kind(pipeline, Verify)):
        raise UsageError(f"the preset {name} needs a grammar, and a suite has none: leave it out")
    return pipeline


def level_contenders(model: Model, levels: Iterable[str]) -> list[Contender]:
    """The levels, with REFERENCE among them in any case."""
    names = list(dict.fromkeys((REFERENCE, *levels)))
    return [Contender(name, "level", model.pipeline(Settings(level=name))) for name in names]


def require_names_differ(contenders: Sequence[Contender]) -> None:
    """UsageError when two have one name."""
    seen: set[str] = set()
    for each in contenders:
        if each.name in seen:
            raise UsageError(f"two pipelines are called {each.name}: rename one")
        seen.add(each.name)


def report(runs: Sequence[Run], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The figures by their stable names, from prompts that every configuration has answered.

    facts: with `pipelines`, the configurations that are to be in it (see `Contender.to_json`).
    """
    pipelines: Mapping[str, Mapping[str, str]] = facts["pipelines"]
    runs = complete(runs, pipelines)
    table = summarise(runs, REFERENCE)
    by_class = halves(runs)
    fixed = [REFERENCE, *(n for n, its in pipelines.items() if (its["origin"], its["class"]) == ("preset", "exact"))]
    wrong = {run.configuration for run in mismatched(runs, REFERENCE)}
    out = {
        **facts,
        "prompts": len({run.prompt for run in runs}),
        "configurations": {name: table[name] for name in pipelines if name in table},
        "best_fixed": best_fixed(by_class, fixed, REFERENCE),
        "levels_against_best": {
            name: against_best(by_class, name, fixed)
            for name, its in pipelines.items()
            if its["origin"] == "level" and name != REFERENCE
        },
        "broken": [name for name, its in pipelines.items() if name in wrong and its["class"] == "exact"],
    }
    approximated = [name for name, its in pipelines.items() if its["origin"] == "approximation"]
    if approximated and runs:
        times = facts.get("draft_pass_ms", {})
        out["approximations"] = approximations.compare(runs, approximated, REFERENCE, times)
    return out
