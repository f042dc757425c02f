"""`foretell lab calibrate`: which answers a small model may give in the place of the target, and what that costs."""

import contextlib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foretell.cli import options, suite
from foretell.cli.quality import Data, Weaker

if TYPE_CHECKING:
    from foretell.api import Model
    from foretell.lab.budget.certify import Certified
    from foretell.lab.budget.frontier import Point
    from foretell.lab.budget.measure import Asked
    from foretell.lab.budget.record import Record
    from foretell.lab.budget.sample import Answer
    from foretell.lab.quality.items import Item
    from foretell.lab.quality.sandbox.run import Sandbox
    from foretell.runtime.calibration import Calibration

Tasks = Annotated[
    list[str], typer.Argument(metavar="TASK...", help="gsm8k, humaneval, humanevalfix or mbpp; or several of them.")
]
Budget = Annotated[
    list[str] | None,
    typer.Option(
        "--budget",
        help="How much accuracy may be lost: 5%, or 0.05. May be given several times.",
        show_default="5%",
    ),
]
Confidence = Annotated[str, typer.Option("--confidence", help="How sure that has to be: 95%, or 0.95.")]
Also = Annotated[
    list[str] | None,
    typer.Option(
        "--also",
        metavar="WHAT",
        help="Also run a pipeline: defer=, entropy= (thresholds), mix= (epsilon), cascade= (alpha) with a number; a "
        "level such as O0; or all the usual ones. May be given several times.",
        show_default="none",
    ),
]
Again = Annotated[
    bool, typer.Option("--agreement", help="Let the small model answer twice: whether it agrees with itself.")
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Questions of each task.", show_default="all")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="File of the calibration.", show_default="kept for this pair"),
]
RowsFile = Annotated[
    Path | None, typer.Option("--rows", help="Also write a row for each answer, for reports.", show_default="none")
]


def calibrate(
    tasks: Tasks,
    *,
    data: Data = "official",
    model: options.ModelName = None,
    draft: options.Draft = None,
    budget: Budget = None,
    confidence: Confidence = "95%",
    limit: Limit = None,
    also: Also = None,
    agreement: Again = False,
    max_tokens: options.MaxTokens = 256,
    temperature: options.Temperature = 0.0,
    seed: suite.Seed = 0,
    record: suite.RecordFile = None,
    resume: suite.Resume = False,
    output: Output = None,
    rows: RowsFile = None,
    weaker_sandbox: Weaker = False,
    threads: options.Threads = None,
    context: options.ContextSize = None,
    json_: options.Json = False,
) -> int:
    """Find out which answers may be left to the small model (--draft). Status 1 when no budget could be certified."""
    from foretell.cli import quality
    from foretell.errors import UsageError
    from foretell.lab.budget import certify, modes, pipelines, sample
    from foretell.lab.budget.frontier import frontier
    from foretell.lab.budget.measure import configurations
    from foretell.lab.budget.rows import rows as made_rows
    from foretell.lab.budget.rows import write_rows
    from foretell.lab.quality import tasks as known
    from foretell.runtime.calibration import read_budget, write
    from foretell.runtime.settings import Options, Settings

    suite.check_resumable(record, resume)
    if draft is None:
        raise UsageError("a calibration is of a small model: give it with --draft")
    budgets = [read_budget(each, "budget") for each in budget or ("5%",)]
    sure = read_budget(confidence, "confidence")
    families = pipelines.families(also or (), temperature)
    levels = pipelines.levels(also or (), temperature)
    sampling = Options(temperature=temperature, seed=seed)
    Settings(**(sampling | Options(max_tokens=max_tokens)))
    options.check_writable("calibration", output)
    options.check_writable("rows", rows)
    items, sources = _questions(tasks, data, limit)
    sandbox = quality.sandbox_for(known.runs_programs(items), weaker=weaker_sandbox)
    with contextlib.ExitStack() as stack:
        loaded = stack.enter_context(options.opened(model, threads, context, draft))
        who = configurations(loaded, sampling, families, levels, again=agreement)
        facts = _facts(loaded, sources, who, sandbox)
        facts |= {"max_tokens": max_tokens, "temperature": temperature, "seed": seed}
        kept = None if record is None else stack.enter_context(_record(record, facts, resume))
        answers = _answers(items, who, max_tokens, seed, sandbox, kept)
        found = sample.samples(answers, [each.name for each in who])
        certified = certify.certify(found, budgets, sure, seed, families)
        where = output or _kept(loaded)
        calibration = _calibration(loaded, facts, certified)
    if calibration.certificates:
        write(where, calibration)
    points = frontier(found, modes.families(certified.learned, families), budgets[0], sure, levels)
    if rows is not None:
        shown = [each.tally.mode for each in points[1:] if each.front or each.tally.mode.kind != "gate"]
        write_rows(rows, made_rows(found, shown, facts, calibration.made))
    return _report(certified, calibration, points, facts, where, json_)


def _questions(tasks: Sequence[str], data: str, limit: int | None) -> "tuple[list[Item], dict[str, str]]":
    """The questions of all tasks under ids that say whose they are, and digests of the files."""
    from foretell.cli import quality
    from foretell.errors import UsageError
    from foretell.lab.quality import tasks as known
    from foretell.lab.quality.measures import RIGHT

    items: list[Item] = []
    sources: dict[str, str] = {}
    for name in dict.fromkeys(tasks):
        task = known.task(name)
        if RIGHT not in task.measures:
            raise UsageError(f"answers to {name} are better or worse, not right or wrong: a budget needs those")
        path = quality.path_of(task, data)
        sources[name] = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        items += [replace(each, id=f"{name}/{each.id}") for each in known.read(task, path, limit)]
    return items, sources


def _facts(loaded: "Model", sources: dict[str, str], who: "Sequence[Asked]", sandbox: "Sandbox") -> dict[str, Any]:
    """What is measured, by the names of records and of the output."""
    from foretell import __version__
    from foretell.lab.budget.record import WHAT
    from foretell.profile.machine import machine

    target, small = loaded.pair
    return {
        "what": WHAT,
        "version": __version__,
        "tasks": list(sources),
        "data": sources,
        "model": target.name,
        "model_digest": target.short,
        "draft": small.name,
        "draft_digest": small.short,
        "machine": machine(),
        "limits": asdict(sandbox.limits),
        "weaker_sandbox": sandbox.weaker,
        "configurations": {each.name: {} for each in who},
    }


def _record(path: Path, facts: dict[str, Any], resume: bool) -> "Record":
    from foretell.lab.budget.record import Record

    return Record(path, facts, resume=resume)


def _answers(
    items: "Sequence[Item]",
    who: "Sequence[Asked]",
    max_tokens: int,
    seed: int,
    sandbox: "Sandbox",
    record: "Record | None",
) -> "list[Answer]":
    """All answers, with a bar; those that a record has already are taken from it."""
    from foretell.cli.answering import collected
    from foretell.lab.budget import measure

    ids, names = {each.id for each in items}, {each.name for each in who}
    before = () if record is None else record.entries
    found = [each for each in before if each.id in ids and each.configuration in names]
    total = len(items) * len(who)
    if len(found) < total:
        for each in who:
            each.ask("Hello", 4)  # the first answer of a process pays for what is set up once
    known = {(each.id, each.configuration) for each in found}
    new = measure.answers(items, who, max_tokens, seed, sandbox, known)
    return collected(found, new, total, None if record is None else record.add)


def _kept(loaded: "Model") -> Path:
    from foretell.models.cache import Cache
    from foretell.runtime.calibration import FOLDER, kept

    return kept(Cache().folder(FOLDER), *loaded.pair)


def _calibration(loaded: "Model", facts: dict[str, Any], certified: "Certified") -> "Calibration":
    from datetime import UTC, datetime

    from foretell.runtime.calibration import Calibration

    target, small = loaded.pair
    return Calibration(
        target,
        small,
        tuple(f"{name} {digest}" for name, digest in facts["data"].items()),
        facts["max_tokens"],
        facts["temperature"],
        facts["seed"],
        len(certified.learned),
        len(certified.checked),
        certified.certificates,
        tuple(each.why for each in certified.attempts if each.why),
        facts["machine"],
        facts["version"],
        datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _report(
    certified: "Certified",
    calibration: "Calibration",
    points: "Sequence[Point]",
    facts: dict[str, Any],
    where: Path,
    json_: bool,
) -> int:
    from foretell.cli.calibrate_tables import print_report
    from foretell.profile.record import to_json

    if not json_:
        print_report(certified, calibration, points, facts, where)
    tests = [
        {
            "budget": each.budget,
            "family": each.family,
            "certified": each.certificate is not None,
            "why": each.why,
            "needed": each.needed,
            "tested": [
                {"mode": its.tally.mode.name, "threshold": its.tally.mode.threshold, "losses": its.tally.losses,
                 "gains": its.tally.gains, "items": its.tally.items, "p": its.p} for its in each.tested
            ],
        } for each in certified.attempts
    ]  # fmt: skip
    kept = str(where) if calibration.certificates else None
    shown = [each.to_json() for each in points if each.front or each.tally.mode.kind != "gate"]
    typer.echo(
        json.dumps(
            facts
            | {"calibration": to_json(calibration), "file": kept, "budgets": tests, "frontier": shown}
            | {"modes": len(points), "beats_exact": [each.to_json()["name"] for each in points if each.beats]}
        )
    )
    return 0 if any(each.certificate is not None for each in certified.attempts) else 1
