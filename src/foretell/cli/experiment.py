"""`foretell lab run`: an experiment by a plan, whose rows are kept as they come."""

import contextlib
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Final

import typer

from foretell.cli import options, suite
from foretell.cli.quality import Weaker

if TYPE_CHECKING:
    from foretell.api import Model
    from foretell.lab.experiment.plan import Plan
    from foretell.lab.experiment.questions import Asked
    from foretell.lab.experiment.results import Results
    from foretell.lab.experiment.rows import Row
    from foretell.lab.experiment.run import Answerer
    from foretell.lab.quality.sandbox.run import Sandbox

_OUT: Final = Path("results")  # a folder for each plan in it
Out = Annotated[
    Path | None,
    typer.Option("--out", help="Results folder; one that has answers is gone on with.", show_default="results/PLAN"),
]
Target = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="The plan's target: name from `foretell models`, hf:org/repo/file.gguf, a path, or toy.",
        show_default="the plan's, or the catalogue's default",
    ),
]
DraftName = Annotated[
    str | None,
    typer.Option(
        "--draft", help='The plan\'s draft model; "" is none.', show_default="the plan's, or the target's own"
    ),
]
Data = Annotated[
    str, typer.Option("--data", help="Folder with the tasks' official files; others are fetched.", show_default="none")
]
Suites = Annotated[str, typer.Option("--suites", help="Only these, separated by commas.", show_default="all")]
Seeds = Annotated[str, typer.Option("--seeds", help="Separated by commas.", show_default="the plan's")]


def run(
    plan: Annotated[str, typer.Argument(help="A plan that comes with Foretell (see `lab plans`), or a TOML file.")],
    *,
    out: Out = None,
    model: Target = None,
    draft: DraftName = None,
    data: Data = "",
    suites: Suites = "",
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Prompts per class, questions per task.", show_default="the plan's"),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", "-n", min=1, help="Of every suite.", show_default="the plan's")
    ] = None,
    seeds: Seeds = "",
    repeats: Annotated[
        int | None, typer.Option("--repeats", min=1, help="Times that all is run.", show_default="the plan's")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0, help="Stop for now after these.", show_default="the plan's")
    ] = None,
    parquet: Annotated[bool, typer.Option("--parquet", help="Also write the rows as Parquet.")] = False,
    weaker_sandbox: Weaker = False,
    threads: options.Threads = None,
    context: options.ContextSize = None,
    json_: options.Json = False,
) -> int:
    """Run an experiment, or go on with it. Status 1 when an exact configuration gave other answers."""
    from foretell.lab.experiment import read
    from foretell.lab.experiment import run as lab
    from foretell.lab.experiment.results import Results

    began_s = monotonic()
    if parquet:
        from foretell.lab.experiment.parquet import require

        require()
    given = read.Given(
        model, draft, data, limit, max_tokens, _whole(seeds), repeats, minutes, tuple(suite.names(suites))
    )
    asked = _asked(read.plan(plan, given))
    wanted = asked.plan
    sandbox = _sandbox(asked, weaker_sandbox)
    folder = out or _OUT / wanted.name
    with contextlib.ExitStack() as stack:
        results = stack.enter_context(Results(folder, wanted))
        models = {each.name: _opened(stack, each.target, each.draft, threads, context) for each in wanted.models}
        who = lab.answerers(wanted, models)
        lab.check_room(asked, who)
        until_s = None if wanted.minutes is None else began_s + 60 * wanted.minutes
        found, total = _collected(asked, who, results, sandbox, until_s)
        if parquet:
            from foretell.lab.experiment.parquet import write
            from foretell.lab.experiment.rows import PARQUET

            write(folder / PARQUET, results.rows)
    return _show(wanted, found, total, folder, json_=json_)


def _asked(plan: "Plan") -> "Asked":
    """The plan's questions; files are fetched where they are to be."""
    from foretell.cli.progress import bars
    from foretell.lab.experiment.questions import asked
    from foretell.lab.quality.fetch import located
    from foretell.models.cache import Cache

    with bars() as progress:
        return asked(plan, lambda task, data: located(task, data, Cache(), progress))


def _sandbox(asked: "Asked", weaker: bool) -> "Sandbox":
    from foretell.cli.quality import sandbox_for
    from foretell.lab.quality.measures import require_sacrebleu

    if asked.needs_sacrebleu:
        require_sacrebleu()
    return sandbox_for(asked.programs, weaker=weaker)


def _opened(stack: contextlib.ExitStack, target: str, draft: str, threads: int | None, context: int | None) -> "Model":
    return stack.enter_context(options.opened(target, threads, context, draft or None))


def _collected(
    asked: "Asked",
    who: "Sequence[Answerer]",
    results: "Results",
    sandbox: "Sandbox",
    until_s: float | None,
) -> "tuple[list[Row], int]":
    """The plan's rows on this machine, those that the folder had and those that come, and how many there will be."""
    from foretell.cli.answering import collected
    from foretell.lab.experiment import run as lab
    from foretell.lab.experiment.left import Left
    from foretell.lab.experiment.results import remarks

    for each in remarks(results.rows, [one.facts for one in who]):
        typer.echo(f"warning: {each}", err=True)
    planned = lab.planned(asked, who)
    keys = {key for _, key in planned}
    found = [row for row in results.rows if row.key in keys]
    left = Left((kind for kind, _ in planned), found)

    def left_s() -> float | None:
        seconds = left.seconds()
        return seconds if seconds is None or until_s is None else min(seconds, max(0.0, until_s - monotonic()))

    if len(found) < len(planned):
        suite.warm_up([each.ours for each in who])
    new = lab.rows(asked, who, {row.key for row in found}, sandbox, left, until_s)
    again = "the same command goes on with them"
    return collected(found, new, len(planned), results.add, again=again, left_s=left_s), len(planned)


def _show(plan: "Plan", rows: "Sequence[Row]", total: int, folder: Path, *, json_: bool) -> int:
    """The figures, for people or as JSON. Status 1 when what is exact was not."""
    from foretell.lab.experiment.summary import summarise, unequal

    figures, wrong = summarise(plan, rows), unequal(rows)
    report = f"foretell lab report {shlex.quote(str(folder))}"
    out = {
        "plan": plan.name,
        "results": str(folder),
        "machine": rows[0].machine if rows else None,
        "commit": rows[-1].commit if rows else None,
        "answers": len(rows),
        "planned": total,
        "figures": figures,
        "unequal": [{"configuration": each.configuration, "suite": each.suite, "id": each.id} for each in wrong],
        "report": report,
    }
    if json_:
        typer.echo(json.dumps(out))
    else:
        from foretell.cli.experiment_tables import print_figures

        print_figures(out)
    return 1 if wrong else 0


def _whole(text: str) -> tuple[int, ...]:
    from foretell.errors import UsageError

    try:
        return tuple(int(each) for each in suite.names(text))
    except ValueError:
        raise UsageError(f"seeds is {text!r}: write whole numbers, separated by commas") from None
