"""What an experiment runs: models × configurations × suites × seeds × repeats. docs/lab.md has its TOML form."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from foretell.ir.check import check
from foretell.ir.ops import Pipeline
from foretell.ir.text import show as show_pipeline
from foretell.lab.experiment.knobs import Knobs
from foretell.lab.experiment.rows import Promise

Origin = Literal["level", "preset", "file", "budget"]
PAIR: Final = "pair"  # the plan's target with its draft model
SMALL: Final = "small"  # its draft model alone
SOURCES: Final = ("prompts", "file", "task")  # of a suite; each with what it names


@dataclass(frozen=True, slots=True)
class Models:
    """A target and its draft model ("" none) under a name."""

    name: str
    target: str
    draft: str = ""


@dataclass(frozen=True, slots=True)
class Configuration:
    """A way to generate, under a name of its own.

    models: the name of those it runs on. level: O0 to O3 or Oe; "" where there is a pipeline, its knobs turned, or a
    budget: what quality may be lost, which a calibration knows how to spend. preset: where the pipeline is from, ""
    where the plan or a file has it. suites: those it answers; () all.
    """

    name: str
    models: str
    level: str = ""
    pipeline: Pipeline | None = None
    preset: str = ""
    budget: float | None = None
    knobs: Knobs = field(default_factory=dict)
    suites: tuple[str, ...] = ()

    @property
    def origin(self) -> Origin:
        """What it is."""
        if self.budget is not None:
            return "budget"
        return "level" if self.pipeline is None else "preset" if self.preset else "file"

    @property
    def promise(self) -> Promise:
        """What may be lost by it."""
        if self.budget is not None:
            return "lossy"
        return "exact" if self.pipeline is None else check(self.pipeline)


@dataclass(frozen=True, slots=True)
class Suite:
    """Where prompts are from.

    source: one of SOURCES, with `at`: "built-in" or "profile" for prompts, a file, or a task's name. data: the task's
    file or folder, or "official". classes: only these; () all. limit: prompts per class, or questions of a task.
    digest: of its questions, "" before they were read.
    """

    name: str
    source: str
    at: str
    max_tokens: int
    temperature: float
    data: str = ""
    classes: tuple[str, ...] = ()
    limit: int | None = None
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """An experiment. minutes: when it stops for this time; None: when it is through."""

    name: str
    models: tuple[Models, ...]
    configurations: tuple[Configuration, ...]
    suites: tuple[Suite, ...]
    seeds: tuple[int, ...] = (0,)
    repeats: int = 1
    minutes: float | None = None
    about: str = ""

    def grows_to(self, other: "Plan") -> bool:
        """Whether a folder of this plan's results can go on with the other: more seeds, more repeats, another time."""
        return self == replace(
            other, seeds=self.seeds, repeats=self.repeats, minutes=self.minutes, about=self.about, name=self.name
        )

    def differences(self, other: "Plan") -> str:
        """The first thing in which it differs from another one, in words."""
        for what in ("models", "configurations", "suites"):
            mine, theirs = ({each.name: each for each in getattr(plan, what)} for plan in (self, other))
            for name in dict.fromkeys((*mine, *theirs)):
                if mine.get(name) != theirs.get(name):
                    return f"{what.removesuffix('s') if what != 'models' else what} {name}"
        return "nothing"


def show(plan: Plan) -> str:
    """Its TOML, with everything in it: what `read.parse` makes the same plan of, whatever else has changed."""
    head = {"about": plan.about, "name": plan.name, "seeds": list(plan.seeds), "repeats": plan.repeats}
    parts = [_table("", head | ({} if plan.minutes is None else {"minutes": plan.minutes}))]
    parts += [_table(f"[models.{_value(m.name)}]", {"target": m.target, "draft": m.draft}) for m in plan.models]
    parts += [_table("[[run]]", _configuration(each)) for each in plan.configurations]
    parts += [_table("[[suite]]", _suite(each)) for each in plan.suites]
    return "\n".join(parts)


def _configuration(each: Configuration) -> dict[str, Any]:
    about: dict[str, Any] = {
        "level": each.level,
        "budget": each.budget,
        "preset": each.preset,
        "suites": list(each.suites),
        "knobs": dict(each.knobs),
    }
    text = {} if each.pipeline is None else {"pipeline": show_pipeline(each.pipeline)}
    return {"name": each.name, "models": each.models} | {name: value for name, value in about.items() if value} | text


def _suite(each: Suite) -> dict[str, Any]:
    told = {"name": each.name, each.source: each.at, "max_tokens": each.max_tokens, "temperature": each.temperature}
    more = {"data": each.data, "classes": list(each.classes), "limit": each.limit, "digest": each.digest}
    return told | {name: value for name, value in more.items() if value}


def _table(header: str, values: Mapping[str, Any]) -> str:
    return "".join(f"{line}\n" for line in (header, *_pairs(values)) if line)


def _pairs(values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        if name == "pipeline" and "'''" not in value:
            yield f"{name} = '''\n{value}'''"
        else:
            yield f"{name} = {_value(value)}"


def _value(value: Any) -> str:
    """A value in TOML. JSON's texts, numbers and lists are TOML's, but for one control character."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_value(each)}" for name, each in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
