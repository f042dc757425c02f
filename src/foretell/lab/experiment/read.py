"""Plans from TOML: those that come with Foretell by name, and files."""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from foretell.errors import ForetellError, UsageError, why
from foretell.lab.experiment.configurations import configurations_of
from foretell.lab.experiment.fields import Fields, listed, nearest
from foretell.lab.experiment.plan import PAIR, SMALL, SOURCES, Configuration, Models, Plan, Suite
from foretell.lab.quality import tasks
from foretell.lab.quality.fetch import OFFICIAL
from foretell.lab.quality.tasks import TASKS
from foretell.models.catalogue import Catalogue
from foretell.runtime.settings import Options, Settings

PROMPTS: Final = ("built-in", "corrections", "profile")
_FOLDER: Final = files("foretell.lab.experiment") / "plans"
_SUFFIX: Final = ".toml"
_HEAD: Final = (
    "name",
    "about",
    "target",
    "draft",
    "max_tokens",
    "temperature",
    "seeds",
    "repeats",
    "minutes",
    "models",
    "run",
    "suite",
)
_SUITE: Final = ("name", *SOURCES, "data", "classes", "limit", "max_tokens", "temperature", "digest")


@dataclass(frozen=True, slots=True)
class Given:
    """What a person gives beside a plan, instead of what it says; None and "" leave it as it is.

    draft: "" is none. data: a folder for tasks that don't name theirs; what it lacks is had officially. limit: of every
    suite. suites: only these.
    """

    target: str | None = None
    draft: str | None = None
    data: str = ""
    limit: int | None = None
    max_tokens: int | None = None
    seeds: tuple[int, ...] = ()
    repeats: int | None = None
    minutes: float | None = None
    suites: tuple[str, ...] = ()


def names() -> tuple[str, ...]:
    """The plans that come with Foretell, in alphabetical order."""
    found = (each.name for each in _FOLDER.iterdir())
    return tuple(sorted(each.removesuffix(_SUFFIX) for each in found if each.endswith(_SUFFIX)))


def text(name: str) -> str:
    """Such a plan as it was written."""
    if name not in names():
        raise UsageError(f"there is no plan {name!r}{nearest(name, names())}; {listed(names())}")
    return (_FOLDER / f"{name}{_SUFFIX}").read_text(encoding="utf-8")


def plan(name_or_path: str, given: Given = Given()) -> Plan:
    """A plan by its name, or of a file.

    Raises:
        UsageError: there is none, or something in it is wrong; it says where.
    """
    path = Path(name_or_path)
    if name_or_path in names():
        return parse(text(name_or_path), f"plan {name_or_path}", name_or_path, Path(), given)
    if path.suffix != _SUFFIX and not path.exists():
        text(name_or_path)
    try:
        written = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"cannot read the plan {path}: {why(error)}; give a TOML file, or one of {', '.join(names())}"
        ) from None
    return parse(written, str(path), path.stem, path.parent, given)


def parse(written: str, source: str, name: str, folder: Path, given: Given = Given()) -> Plan:
    """A plan of its text.

    Args:
        written: the TOML.
        source: for messages.
        name: if the plan doesn't say its own.
        folder: where paths in it begin.
        given: instead of what it says.
    """
    try:
        table = tomllib.loads(written)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{source}: {error}; expected TOML") from None
    head = Fields(_with(table, given), source, written)
    head.known(_HEAD)
    models = {each.name: each for each in _models(head)}
    suites = tuple(_suite(each, head, folder, given) for each in head.tables("suite"))
    configurations = tuple(
        each for run in head.tables("run") for each in configurations_of(run, models, [s.name for s in suites], folder)
    )
    for what, found in (("suite", suites), ("run", configurations)):
        _check_names(head, what, [each.name for each in found])
    _check_runs(head, configurations, suites)
    if given.suites:
        configurations, suites = _only(given.suites, configurations, suites)
    used = {each.models for each in configurations}
    return Plan(
        head.string("name", name),
        tuple(each for each in models.values() if each.name in used),
        configurations,
        suites,
        _seeds(head),
        head.whole("repeats", 1) or 1,
        head.number("minutes"),
        head.string("about"),
    )


def _with(table: dict[str, Any], given: Given) -> dict[str, Any]:
    heads: dict[str, Any] = {
        "target": given.target,
        "draft": given.draft,
        "repeats": given.repeats,
        "minutes": given.minutes,
    }
    heads |= {"max_tokens": given.max_tokens, "seeds": list(given.seeds) or None}
    return table | {name: value for name, value in heads.items() if value is not None}


def _only(
    names: Sequence[str], configurations: Sequence[Configuration], suites: Sequence[Suite]
) -> tuple[tuple[Configuration, ...], tuple[Suite, ...]]:
    """Of a plan, what these suites need."""
    known = [each.name for each in suites]
    for name in names:
        if name not in known:
            raise UsageError(f"the plan has no suite {name!r}{nearest(name, known)}; {listed(known)}")
    narrowed = (
        replace(each, suites=tuple(name for name in each.suites if name in names))
        for each in configurations
        if not each.suites or set(each.suites) & set(names)
    )
    return tuple(narrowed), tuple(each for each in suites if each.name in names)


def _models(head: Fields) -> Iterator[Models]:
    catalogue = Catalogue.load()
    target = head.string("target", catalogue.default)
    _check_model(head, "target", target)
    entry = catalogue.get(target)
    draft = head.string("draft", (entry.draft or "") if entry else "")
    if draft:
        _check_model(head, "draft", draft)
        yield Models(SMALL, draft)
    yield Models(PAIR, target, draft)
    inner = head.inner("models")
    for name in inner.table:
        each = inner.inner(name)
        each.known(("target", "draft"))
        both = each.string("target"), each.string("draft")
        if not both[0]:
            raise each.wrong("", f"the models {name} have no target: name one")
        for role, model in zip(("target", "draft"), both, strict=True):
            if model:
                _check_model(each, role, model)
        yield Models(name, *both)


def _check_model(table: Fields, role: str, name: str) -> None:
    known = [*(each.name for each in Catalogue.load()), "toy"]
    if name not in known and not name.startswith("hf:") and not Path(name).is_file():
        raise table.wrong(
            role,
            f"there is no model {name!r}{nearest(name, known)}; give {', '.join(known)}, hf:org/repo/file.gguf or a "
            "GGUF file",
            name,
        )


def _suite(each: Fields, head: Fields, folder: Path, given: Given) -> Suite:
    each.known(_SUITE)
    named = [source for source in SOURCES if source in each.table]
    if len(named) != 1:
        raise each.wrong("", f"a suite has one of {', '.join(SOURCES)}; this one has {' and '.join(named) or 'none'}")
    source, at = named[0], each.string(named[0])
    if source == "task":
        each.one_of("task", at, TASKS, "task")
    elif source == "prompts":
        each.one_of("prompts", at, PROMPTS, "set of prompts")
    else:
        at = str((folder / at).absolute())
    data = each.string("data")
    if source == "task" and not data:
        data = _data(at, given.data)
    elif data and source != "task":
        raise each.wrong("data", f"data is for tasks; the {source} {at} has none")
    elif data and not data.startswith("hf:") and data != OFFICIAL:
        data = str((folder / data).absolute())
    max_tokens = given.max_tokens or each.whole("max_tokens", head.whole("max_tokens", 128))
    temperature = each.number("temperature", head.number("temperature", 0.0))
    return Suite(
        each.string("name", at if source != "file" else Path(at).stem),
        source,
        at,
        max_tokens or 0,
        temperature or 0.0,
        data,
        each.strings("classes"),
        given.limit or each.whole("limit"),
        each.string("digest"),
    )


def _data(task: str, folder: str) -> str:
    """Where a task's file is that the plan doesn't say: in a person's folder, or where it is to be had officially."""
    if not folder:
        return OFFICIAL
    path = Path(folder)
    if not path.exists():
        raise UsageError(f"there is no folder {folder}: give one with tasks' files as --data")
    try:
        return str(tasks.find(tasks.task(task), path).absolute())
    except ForetellError:
        return OFFICIAL


def _check_names(head: Fields, what: str, found: Sequence[str]) -> None:
    if not found:
        raise head.wrong("", f"there is no [[{what}]]: a plan needs at least one")
    for number, name in enumerate(found):
        if name in found[:number]:
            raise head.wrong("", f"two of [[{what}]] come to the name {name!r}: give one of them another `name`")


def _check_runs(head: Fields, configurations: Sequence[Configuration], suites: Sequence[Suite]) -> None:
    """That every configuration has a suite, and can run at its temperature."""
    for each in configurations:
        for suite in suites:
            if each.pipeline is not None and (not each.suites or suite.name in each.suites):
                try:
                    Settings(**Options(pipeline=each.pipeline, temperature=suite.temperature))
                except UsageError as error:
                    raise head.wrong("", f"{each.name} on {suite.name}: {error}") from None


def _seeds(head: Fields) -> tuple[int, ...]:
    value = head.table.get("seeds", [0])
    values = [value] if isinstance(value, int) else value
    if not isinstance(values, list) or not values or not all(type(each) is int and each >= 0 for each in values):
        raise head.wrong("seeds", f"seeds is {value!r:.60}; expected whole numbers of 0 or more")
    return tuple(dict.fromkeys(values))
