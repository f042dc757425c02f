"""`foretell bench suite`: speed per class of prompts, ours without and with guesses, and rivals', interleaved."""

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foretell.cli import options, peers

if TYPE_CHECKING:
    from foretell.lab.record import Record
    from foretell.lab.suite import Configuration, Prompt, Run

File = Annotated[Path, typer.Argument(help="JSONL file: klass, id and prompt on each line.")]
Seed = Annotated[int, typer.Option("--seed", help="Of the order, and of sampling.")]
Classes = Annotated[str, typer.Option("--classes", help="Only these, separated by commas.", show_default="all")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Prompts per class.", show_default="all")]
Repeats = Annotated[int, typer.Option("--repeats", min=1, help="Times that all is run; medians per prompt count.")]
RecordFile = Annotated[
    Path | None, typer.Option("--record", help="File that each answer is noted in at once.", show_default="none")
]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print nothing but a table of speeds, for a README.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with --record: answers that it has are left out.")]


def suite(
    file: File,
    *,
    model: options.ModelName = None,
    draft: options.Draft = None,
    max_tokens: options.MaxTokens = 128,
    temperature: options.Temperature = 0.0,
    seed: Seed = 0,
    classes: Classes = "",
    limit: Limit = None,
    repeats: Repeats = 1,
    record: RecordFile = None,
    resume: Resume = False,
    threads: options.Threads = None,
    context: options.ContextSize = None,
    peer: peers.Peers = None,
    peer_server: peers.PeerServer = None,
    peer_python: peers.PeerPython = None,
    peer_kinds: peers.PeerKinds = "plain,n-gram,draft",
    peer_draft: peers.PeerDraft = None,
    markdown: Markdown = False,
    json_: options.Json = False,
) -> None:
    """Run a suite of prompts and print a table per class, then one line of JSON."""
    from foretell.errors import UsageError
    from foretell.lab.contest import level_contenders
    from foretell.lab.policies.catalogue import OURS
    from foretell.lab.suite import Configuration, Ours, read_suite
    from foretell.lab.summary import REFERENCE
    from foretell.runtime.settings import Options, Settings

    sampling = Options(temperature=temperature, seed=seed)
    Settings(**(sampling | Options(max_tokens=max_tokens)))
    prompts = read_suite(file, names(classes), limit)
    rivals = peers.wanted(peer or (), peer_server, peer_python, names(peer_kinds))
    if peer and temperature:
        raise UsageError(f"temperature is {temperature}, but rivals are compared greedily: leave it out")
    with contextlib.ExitStack() as stack:
        loaded = stack.enter_context(options.opened(model, threads, context, draft))
        _, ours = level_contenders(loaded, [OURS])
        who: list[Configuration] = [
            Ours(REFERENCE, loaded, sampling | Options(speculation=False)),
            ours.ours(loaded, sampling),
        ]
        facts = facts_of("suite", file, (loaded.name, draft), max_tokens, temperature, seed, repeats)
        if peer:
            room = max(len(loaded.encode(prompt.text)) for prompt in prompts) + max_tokens
            running, facts["peers"] = peers.started(stack, rivals, loaded, peer_draft or draft, threads, room)
            who += running
        facts["pipelines"] = {each.name: {} for each in who}
        kept = recording(record, facts, prompts, resume)
        runs = answers(prompts, who, max_tokens, seed, repeats, kept)
    show(runs, facts, json_, markdown=markdown)


def names(text: str) -> list[str]:
    """Those in a list that is separated by commas."""
    return [each.strip() for each in text.split(",") if each.strip()]


def facts_of(
    what: str, file: Path, models: tuple[str, str | None], max_tokens: int, temperature: float, seed: int, repeats: int
) -> dict[str, Any]:
    """What is measured, under the names that records and output have for it. models: target and draft."""
    from foretell.profile.machine import machine

    return {
        "what": what,
        "model": models[0],
        "draft": models[1],
        "machine": machine(),
        "suite": file.name,
        "suite_digest": hashlib.sha256(file.read_bytes()).hexdigest()[:12],
        "max_tokens": max_tokens,
        "temperature": temperature,
        "seed": seed,
        "repeats": repeats,
    }


def check_resumable(record: Path | None, resume: bool) -> None:
    """UsageError for --resume without --record."""
    from foretell.errors import UsageError

    if record is None and resume:
        raise UsageError("there is nothing to resume: give --record too")


def recording(
    path: Path | None, facts: Mapping[str, Any], prompts: "Sequence[Prompt]", resume: bool
) -> "Record | None":
    """The record, if one is wanted."""
    from foretell.lab.record import Record

    check_resumable(path, resume)
    if path is None:
        return None
    record = Record(path, facts, prompts, resume=resume)
    warn_of_changed(record.changed)
    return record


def warn_of_changed(levels: Sequence[str]) -> None:
    """Say which levels are not what they were when a record was begun."""
    for name in levels:
        typer.echo(f"warning: {name} came to another pipeline before; its figures will be of both", err=True)


def answers(
    prompts: "Sequence[Prompt]",
    who: "Sequence[Configuration]",
    max_tokens: int,
    seed: int,
    repeats: int,
    record: "Record | None",
) -> "list[Run]":
    """All runs, with a bar; those that a record has already are taken from it."""
    from foretell.cli.answering import collected
    from foretell.lab.suite import run_suite

    with record or contextlib.nullcontext():
        warm_up(who)
        wanted = {each.name for each in who}
        before = () if record is None else record.runs
        runs = [run for run in before if run.configuration in wanted and run.repeat < repeats]
        new = run_suite(prompts, who, max_tokens, seed, repeats, {run.key for run in runs})
        return collected(runs, new, len(prompts) * len(who) * repeats, None if record is None else record.add)


def warm_up(who: "Sequence[Configuration]") -> None:
    """The first answer of a process pays for what is set up once: let it be this one."""
    for each in who:
        each.run("Hello", 4)


def show(runs: "Sequence[Run]", facts: Mapping[str, Any], json_: bool, *, markdown: bool = False) -> int:
    """Tables for people unless only JSON is wanted, then the line of JSON. Status 1 when an exact pipeline was not.

    markdown: nothing but a table of speeds, as it stands in the README.
    """
    from foretell.cli.markdown import speeds
    from foretell.cli.tables import print_contest, print_speeds
    from foretell.lab.contest import report
    from foretell.lab.summary import complete, summarise

    if facts["what"] == "pipelines":
        found = report(runs, facts)
        if markdown:
            typer.echo(speeds(found))
            return 1 if found["broken"] else 0
        if not json_:
            print_contest(found)
        typer.echo(json.dumps(found))
        return 1 if found["broken"] else 0
    table = summarise(complete(runs, facts["pipelines"]))
    configurations = {name: table[name] for name in facts["pipelines"] if name in table}
    if markdown:
        typer.echo(speeds({**facts, "configurations": configurations}))
        return 0
    if not json_:
        print_speeds(configurations)
        for rival in facts.get("peers", ()):
            typer.echo(f"{rival['name']}: {rival['version']}; {rival['system_info']}")
    typer.echo(json.dumps({**facts, "configurations": configurations}))
    return 0


def summary(
    record: Annotated[Path, typer.Argument(help="File that --record of suite or pipelines wrote.")],
    *,
    markdown: Markdown = False,
    json_: options.Json = False,
) -> int:
    """The tables and the line of JSON of a record, of prompts that every configuration has answered so far."""
    from foretell.lab.record import read

    found = read(record)
    return show(found.entries, found.facts, json_, markdown=markdown)
