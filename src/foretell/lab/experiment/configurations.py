"""What a [[run]] of a plan comes to: its levels or pipelines, with each combination of knobs, on each of its models."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from foretell.errors import ForetellError, why
from foretell.ir import presets
from foretell.ir.ops import Pipeline, Verify
from foretell.ir.text import parse
from foretell.lab.experiment.fields import Fields
from foretell.lab.experiment.knobs import grid, turned, words
from foretell.lab.experiment.plan import PAIR, SMALL, Configuration, Models
from foretell.passes.levels import LEVELS
from foretell.passes.rewrite import of_kind
from foretell.runtime.choose import DRAFT
from foretell.runtime.compiled import asked
from foretell.runtime.settings import Options, Settings

_KINDS: Final = ("levels", "level", "budgets", "budget", "presets", "preset", "pipeline", "file")
_RUN: Final = ("name", "models", *_KINDS, "knobs", "suites")


def configurations_of(
    run: Fields, models: Mapping[str, Models], suites: Sequence[str], folder: Path
) -> Iterator[Configuration]:
    """The configurations of a [[run]].

    Args:
        run: the table.
        models: the plan's, by name.
        suites: names of the plan's.
        folder: where the path of a file begins.

    Raises:
        UsageError: says what is wrong, and where.
    """
    run.known(_RUN)
    groups = run.strings("models") or (PAIR,)
    for each in groups:
        if each == SMALL and SMALL not in models:
            raise run.wrong("models", "the plan has no draft model that could run alone: give --draft", each)
        run.one_of("models", each, models, "set of models")
    for each in run.strings("suites"):
        run.one_of("suites", each, suites, "suite")
    knobs = [*grid(_choices(run))]
    kinds = [*_kinds(run, folder)]
    name = run.string("name")
    for kind in kinds:
        for turn in knobs:
            for group in groups:
                told = kind.name if not name else f"{name} {kind.name}" if len(kinds) > 1 else name
                told += (words(turn) if len(knobs) > 1 else "") + (f" ({group})" if len(groups) > 1 else "")
                pipeline = _turned(run, kind, turn)
                _check_draft(run, kind, pipeline, models[group])
                yield Configuration(
                    told, group, kind.level, pipeline, kind.preset, kind.budget, turn, run.strings("suites")
                )


def _kinds(run: Fields, folder: Path) -> Iterator[Configuration]:
    """The levels and pipelines of a [[run]], on no models yet."""
    for key in ("levels", "level"):
        for each in run.strings(key):
            yield Configuration(run.one_of(key, each, LEVELS, "level"), "", level=each)
    both = run.string("preset") if "pipeline" in run.table else ""  # as it was: a preset may change
    for key in ("budgets", "budget"):
        for budget in run.numbers(key):
            yield Configuration(f"budget {budget:g}", "", budget=budget)
    for key in () if both else ("presets", "preset"):
        for each in run.strings(key):
            run.one_of(key, each, presets.names(), "preset")
            yield Configuration(each, "", pipeline=presets.load(each), preset=each)
    if "pipeline" in run.table:
        found = _pipeline(run, "pipeline", run.string("pipeline"), "pipeline")
        yield Configuration(both or found.name, "", pipeline=found, preset=both)
    if "file" in run.table:
        path = folder / run.string("file")
        try:
            written = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise run.wrong("file", f"cannot read the pipeline {path}: {why(error)}") from None
        found = _pipeline(run, "file", written, str(path))
        yield Configuration(found.name, "", pipeline=found)
    if not set(run.table) & set(_KINDS):
        raise run.wrong("", "a run has levels, presets, a pipeline, a file or budgets; this one has none")


def _pipeline(run: Fields, key: str, written: str, name: str) -> Pipeline:
    try:
        return parse(written, name)
    except ForetellError as error:
        raise run.wrong(key, str(error)) from None


def _choices(run: Fields) -> dict[str, list[float | str]]:
    knobs = run.inner("knobs")
    out = {}
    for name, value in knobs.table.items():
        values = value if isinstance(value, list) else [value]
        wrong = [each for each in values if isinstance(each, bool) or not isinstance(each, str | int | float)]
        if wrong or not values:
            raise knobs.wrong(name, f"the knob {name} is {value!r:.60}; expected a number, a word, or a list of them")
        out[name] = values
    return out


def _turned(run: Fields, kind: Configuration, knobs: dict[str, float | str]) -> Pipeline | None:
    if kind.pipeline is None:
        if knobs:
            raise run.wrong("knobs", f"{kind.name} has no knobs; a preset or a pipeline may")
        return None
    try:
        found = turned(kind.pipeline, knobs)
        if not any(each.constrained for each in of_kind(found, Verify)):
            Settings(**Options(pipeline=found))  # checks it
            return found
    except ForetellError as error:
        raise run.wrong("knobs" if knobs else "", str(error)) from None
    raise run.wrong("", f"the pipeline {found.name} needs a grammar, and a suite has none: leave it out")


def _check_draft(run: Fields, kind: Configuration, pipeline: Pipeline | None, models: Models) -> None:
    wanted = set() if pipeline is None else asked(pipeline)
    other = sorted(wanted - {DRAFT})
    if other:
        raise run.wrong("", f"the pipeline asks the model {other[0]!r}: here the draft model is called {DRAFT}")
    if wanted and not models.draft:
        raise run.wrong("", f"the pipeline asks a draft model, and the models {models.name} have none: name one")
    if kind.budget is not None and not models.draft:
        raise run.wrong("", f"a budget needs a small model, and the models {models.name} have no draft: name one")
