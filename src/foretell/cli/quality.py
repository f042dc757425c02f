"""`foretell lab quality`: how many answers are right, in which configuration, and whether a difference is chance."""

import contextlib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foretell.cli import options, suite

if TYPE_CHECKING:
    from foretell.api import Model
    from foretell.ir.ops import Pipeline
    from foretell.lab.contest import Contender
    from foretell.lab.quality.items import Item
    from foretell.lab.quality.record import Answer, Record
    from foretell.lab.quality.sandbox.run import Sandbox
    from foretell.lab.quality.sides import Earlier, Named
    from foretell.lab.quality.tasks import Task
    from foretell.lab.suite import Configuration

TaskName = Annotated[
    str, typer.Argument(metavar="TASK", help="humaneval, humanevalfix, mbpp, gsm8k, translation, jfleg or sums.")
]
Data = Annotated[
    str,
    typer.Option(
        "--data",
        help="The task's official file or a folder with it; `official` fetches it, hf:ORG/REPOSITORY/FILE another one.",
    ),
]
Against = Annotated[
    list[str] | None,
    typer.Option(
        "--against",
        help="Also run, and compare with: a level such as O0, a preset, a pipeline's file, or another run's record "
        "(.jsonl). May be given several times.",
        show_default="none",
    ),
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Only so many questions.", show_default="all")]
Weaker = Annotated[
    bool,
    typer.Option("--weaker-sandbox", help="Run generated programs even where the sandbox lacks a protection."),
]


def quality(
    task: TaskName,
    *,
    data: Data = "official",
    model: options.ModelName = None,
    draft: options.Draft = None,
    level: options.Level = "O2",
    pipeline: options.PipelineFile = None,
    against: Against = None,
    limit: Limit = None,
    max_tokens: options.MaxTokens = 512,
    temperature: options.Temperature = 0.0,
    seed: suite.Seed = 0,
    record: suite.RecordFile = None,
    resume: suite.Resume = False,
    weaker_sandbox: Weaker = False,
    threads: options.Threads = None,
    context: options.ContextSize = None,
    json_: options.Json = False,
) -> int:
    """Let a model do a task and judge its answers. Status 1 when an exact configuration gave other answers."""
    from foretell.lab.quality import sides, tasks
    from foretell.lab.quality.measures import Sacrebleu, require_sacrebleu
    from foretell.lab.quality.report import report
    from foretell.runtime.settings import Options, Settings

    suite.check_resumable(record, resume)
    wanted = tasks.task(task)
    sampling = Options(temperature=temperature, seed=seed)
    given = options.read_pipeline(pipeline)
    Settings(**(sampling | Options(max_tokens=max_tokens, level=options.level_name(level), pipeline=given)))
    named: list[Named] = [given or options.level_name(level), *map(_named, against or ())]
    _check(named, draft, sampling)
    if any(isinstance(each, Sacrebleu) for each in wanted.measures):
        require_sacrebleu()
    path = path_of(wanted, data)
    items = tasks.read(wanted, path, limit)
    sandbox = sandbox_for(tasks.runs_programs(items), weaker=weaker_sandbox)
    earlier = [each for each in named if isinstance(each, sides.Earlier)]
    with contextlib.ExitStack() as stack:
        loaded = stack.enter_context(options.opened(model, threads, context, draft))
        contenders = _contenders(named, loaded)
        facts = _facts(wanted, path, loaded, contenders, sandbox)
        facts |= {"max_tokens": max_tokens, "temperature": temperature, "seed": seed}
        for each in earlier:
            sides.check_comparable(each, facts)
        kept = None if record is None else stack.enter_context(_record(record, facts, resume))
        who = [each.ours(loaded, sampling) for each in contenders]
        answers = _answers(items, who, max_tokens, seed, sandbox, kept)
    all_sides = [sides.side(each.name, facts, answers) for each in contenders]
    all_sides += [each for run in earlier for each in sides.earlier_sides(run)]
    found = report(items, wanted.measures, all_sides)
    known = facts["configurations"]
    figures = {name: known.get(name, {}) | its for name, its in found["configurations"].items()}
    found = facts | found | {"configurations": figures}
    if not json_:
        from foretell.cli.quality_tables import print_report

        print_report(found)
    typer.echo(json.dumps(found))
    return 1 if found["broken"] else 0


def _named(text: str) -> "Named":
    """What --against gives."""
    from foretell.errors import UsageError
    from foretell.lab.quality.sides import earlier, level

    known = level(text)
    if known is not None:
        return known
    if text.endswith(".jsonl"):
        return earlier(Path(text))
    found = options.read_pipeline(text)
    if found is None:
        raise UsageError("--against is empty: give a level, a preset or a file")
    return found


def _check(named: "Sequence[Named]", draft: str | None, sampling: Any) -> None:
    """Refuse pipelines that cannot run, and names that are given twice, before any model is loaded."""
    from foretell.errors import UsageError
    from foretell.lab.quality.sides import Earlier
    from foretell.runtime.settings import Settings

    seen: set[str] = set()
    for each in named:
        if isinstance(each, Earlier):
            continue
        name = each if isinstance(each, str) else each.name
        if name in seen:
            raise UsageError(f"{name} would be compared with itself: name another one with --against")
        seen.add(name)
        if not isinstance(each, str):
            Settings(**(sampling | {"pipeline": each}))
            options.check_models(each, draft)


def sandbox_for(programs: bool, *, weaker: bool) -> "Sandbox":
    """Where generated programs run; says what it lacks if there will be any. programs: whether there will."""
    from foretell.lab.quality.sandbox.run import Sandbox

    sandbox = Sandbox(weaker=weaker)
    if programs:
        sandbox.check()
        for lacking in sandbox.lacks:
            typer.echo(f"warning: generated programs run without {lacking}", err=True)
    return sandbox


def path_of(wanted: "Task", data: str) -> Path:
    """The file of a task, fetched where it is to be, with a bar."""
    from foretell.cli.progress import bars
    from foretell.lab.quality.fetch import located
    from foretell.models.cache import Cache

    with bars() as progress:
        return located(wanted, data, Cache(), progress)


def _contenders(named: "Sequence[str | Pipeline | Earlier]", loaded: "Model") -> "list[Contender]":
    from foretell.lab.quality.sides import Earlier, contender

    return [contender(each, loaded) for each in named if not isinstance(each, Earlier)]


def _facts(
    wanted: "Task", path: Path, loaded: "Model", contenders: "Sequence[Contender]", sandbox: "Sandbox"
) -> dict[str, Any]:
    """What is measured, by the names of records and of the output."""
    from foretell import __version__
    from foretell.lab.quality.record import WHAT
    from foretell.profile.machine import machine

    drafter = None if loaded.drafter is None else loaded.drafter.backend()
    return {
        "what": WHAT,
        "version": __version__,
        "task": wanted.name,
        "data": path.name,
        "data_digest": hashlib.sha256(path.read_bytes()).hexdigest()[:12],
        "model": loaded.name,
        "model_digest": _digest(loaded.backend.key),
        "draft": None if drafter is None else drafter.name,
        "draft_digest": None if drafter is None else _digest(drafter.key),
        "machine": machine(),
        "limits": asdict(sandbox.limits),
        "weaker_sandbox": sandbox.weaker,
        "configurations": {each.name: each.to_json() for each in contenders},
    }


def _digest(key: str) -> str:
    """The part of a backend's key that is of the file alone, shortened."""
    return key.partition(",")[0][:12]


def _record(path: Path, facts: dict[str, Any], resume: bool) -> "Record":
    from foretell.lab.quality.record import Record

    record = Record(path, facts, resume=resume)
    suite.warn_of_changed(record.changed)
    return record


def _answers(
    items: "Sequence[Item]",
    who: "Sequence[Configuration]",
    max_tokens: int,
    seed: int,
    sandbox: "Sandbox",
    record: "Record | None",
) -> "list[Answer]":
    """All answers, with a bar; those that a record has already are taken from it."""
    from foretell.cli.answering import collected
    from foretell.lab.quality import run

    ids, names = {each.id for each in items}, {each.name for each in who}
    before = () if record is None else record.entries
    found = [each for each in before if each.id in ids and each.configuration in names]
    total = len(items) * len(who)
    if len(found) < total:
        suite.warm_up(who)
    new = run.answers(items, who, max_tokens, seed, sandbox, list(found))
    return collected(found, new, total, None if record is None else record.add)
