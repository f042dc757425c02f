"""`foretell select`: which draft model for a target on this machine, for these prompts, if any."""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from foretell.cli import options

if TYPE_CHECKING:
    from foretell.lab.select.bench import Bench
    from foretell.lab.select.rank import Ranked
    from foretell.lab.select.ways import Candidate, Measured
    from foretell.lab.suite import Prompt, Run
    from foretell.profile.energy.model import Model as Prices

VERIFY: Final = ("best", "all", "none")


def select(
    *,
    target: Annotated[
        str | None,
        typer.Option("--target", "--model", "-m", help="The model that answers.", show_default="catalogue's default"),
    ] = None,
    candidates: Annotated[
        str | None,
        typer.Option(
            "--candidates",
            help="Draft models, separated by commas: names, paths, either with a form, as in NAME@q4_0+16384.",
            show_default="smaller models that are here",
        ),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            "--prompts", help="Prompts to judge by: a suite's file, or one on each line.", show_default="built-in"
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Most prompts; classes take turns.")] = 16,
    max_tokens: options.MaxTokens = 96,
    verify: Annotated[str, typer.Option("--verify", help=f"What is then run for real: {', '.join(VERIFY)}.")] = "best",
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Times that each prompt is run for real.")] = 1,
    threads: options.Threads = None,
    context: options.ContextSize = None,
    json_: options.Json = False,
) -> int:
    """Measure draft models for a target in a few passes, rank them, and try the best; none is a possible answer.

    Status 1 when none of the candidates can draft for the target.
    """
    from foretell.cli import select_tables as tables
    from foretell.cli.progress import bars
    from foretell.errors import UsageError
    from foretell.lab.select import rank
    from foretell.lab.select import verify as trial
    from foretell.lab.select.bench import Bench
    from foretell.lab.select.candidates import names, smaller
    from foretell.lab.select.prompts import chosen
    from foretell.runtime.opening import Opening
    from foretell.runtime.settings import Options, Settings

    if verify not in VERIFY:
        raise UsageError(f"verify is {verify!r}, must be one of {', '.join(VERIFY)}")
    Settings(**Options(max_tokens=max_tokens))
    asked = chosen(prompts, limit)
    wanted = smaller(target) if candidates is None else names(candidates)
    with contextlib.ExitStack() as stack:
        with bars() as progress:
            bench = stack.enter_context(Bench(Opening(threads, context, None, True, progress), target, max_tokens))
        _say_how_long(bench, len(asked), wanted, verify, repeats)
        _answer(bench, asked)
        measured, refused = _measured(bench, wanted)
        blocks = [block for each in measured for block in each.blocks] or bench.timings()
        ways = rank.ranked(bench.without(), measured, blocks, _prices(), bench.threads)
        taken = rank.choice(ways)
        out: dict[str, Any] = {
            "what": "select",
            **_facts(bench, prompts),
            "ways": [rank.to_json(each) for each in ways],
            "refused": refused,
            "choice": taken.name,
            "reason": rank.reason(ways, taken),
        }
        if not json_:
            tables.print_ranking(out)
        tried = _to_try(ways, verify)
        if tried:
            runs = _runs(bench, [each for each in ways if each.name in tried], repeats, stack)
            out["verified"] = trial.to_json(trial.verified(runs, ways))
            if not json_:
                tables.print_verified(out["verified"])
    typer.echo(json.dumps(out))
    return 1 if wanted and not measured else 0


def _say_how_long(bench: "Bench", prompts: int, wanted: Sequence[str], verify: str, repeats: int) -> None:
    from foretell.cli.progress import duration
    from foretell.lab.select.estimate import PAIR_S, seconds

    tried = {"none": 0, "best": 2 if wanted else 1, "all": 1 + len(wanted)}[verify]
    measuring, real = seconds(bench.facts.target(1), prompts, bench.max_tokens, len(wanted), tried, repeats)
    timed = wanted and bench.target.pass_costs is None
    more = f", and {PAIR_S:.0f} s more for each pair that was never measured here" if timed else ""
    trying = f" and {duration(real)} of real runs" if real else ""
    typer.echo(f"{prompts} prompts, {len(wanted)} candidates: about {duration(measuring)}{trying}{more}", err=True)


def _answer(bench: "Bench", prompts: "Sequence[Prompt]") -> None:
    from foretell.cli.progress import steps
    from foretell.errors import ForetellError

    with steps(f"answers of {bench.target.name}", len(prompts)) as advance:
        for _ in bench.answer(prompts):
            advance()
    if not bench.answers:
        raise ForetellError("no answer had two tokens, so there is nothing to guess: give other --prompts")


def _measured(bench: "Bench", wanted: Sequence[str]) -> "tuple[list[Measured], dict[str, str]]":
    """What candidates would have made of the answers, and why others are none."""
    from foretell.cli.progress import steps
    from foretell.errors import ForetellError

    measured: list[Measured] = []
    refused: dict[str, str] = {}
    for name in wanted:
        with contextlib.ExitStack() as stack:
            try:
                candidate = _opened(bench, name, stack)
                with steps(f"read by {name}", len(bench.answers)) as advance:
                    measured.append(bench.measured(candidate, advance))
            except ForetellError as error:
                refused[name] = str(error)
    return measured, refused


def _opened(bench: "Bench", name: str, stack: contextlib.ExitStack) -> "Candidate":
    """Loaded, in the form that it runs in too, with bars."""
    from foretell.cli.progress import bars

    with bars() as progress:
        bench.opening = replace(bench.opening, progress=progress)
        candidate = stack.enter_context(bench.opened(name))
        candidate.load()
    return candidate


def _to_try(ways: "Sequence[Ranked]", verify: str) -> list[str]:
    """All; or the best candidate and the two simple ways; or none."""
    from foretell.lab.select.ways import FREE, NONE

    names = [each.name for each in ways]
    best = [each for each in names if each not in (NONE, FREE)][:1]
    return {"none": [], "all": names, "best": [NONE, FREE, *best]}[verify]


def _runs(bench: "Bench", ways: "Sequence[Ranked]", repeats: int, stack: contextlib.ExitStack) -> "list[Run]":
    """Real answers, all ways taking turns, as `generate` would give them."""
    from foretell.cli.suite import answers
    from foretell.lab.select.ways import LEVEL, NONE
    from foretell.lab.suite import Ours
    from foretell.runtime.settings import Options

    who = []
    for way in ways:
        model = bench.model if way.measured.drafted is None else _opened(bench, way.name, stack).model
        level = "O0" if way.name == NONE else LEVEL
        who.append(Ours(way.name, model, Options(level=level, temperature=0.0, seed=0)))
    return answers([each.prompt for each in bench.answers], who, bench.max_tokens, 0, repeats, None)


def _prices() -> "Prices":
    """Of the energy model, fitted here or published."""
    from foretell.models.cache import Cache
    from foretell.profile.energy import meters

    return meters.model(Cache().folder("profiles"))


def _facts(bench: "Bench", prompts: Path | None) -> dict[str, Any]:
    from foretell import __version__
    from foretell.profile.machine import machine

    return {
        "version": __version__,
        "target": bench.target.name,
        "machine": machine(),
        "threads": bench.threads,
        "suite": "built-in" if prompts is None else prompts.name,
        "prompts": len(bench.answers),
        "classes": list(dict.fromkeys(each.prompt.klass for each in bench.answers)),
        "tokens": sum(len(each.played.answer) for each in bench.answers),
        "max_tokens": bench.max_tokens,
    }
