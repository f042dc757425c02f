"""`foretell bench suite`: speed per class of prompts, plain, with lookup and of a rival, interleaved."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from foretell.cli import options, peers


def suite(
    file: Annotated[Path, typer.Argument(help="JSONL file: klass, id and prompt on each line.")],
    *,
    model: options.ModelName = None,
    max_tokens: options.MaxTokens = 128,
    temperature: options.Temperature = 0.0,
    seed: Annotated[int, typer.Option("--seed", help="Of the order, and of sampling.")] = 0,
    classes: Annotated[str, typer.Option("--classes", help="Only these, separated by commas.")] = "",
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Prompts per class.", show_default="all")] = None,
    threads: options.Threads = None,
    context: options.ContextSize = None,
    peer: peers.Peer = None,
    peer_server: peers.PeerServer = None,
    peer_kinds: peers.PeerKinds = "plain,n-gram,draft",
    peer_draft: peers.PeerDraft = None,
    json_: options.Json = False,
) -> None:
    """Run a suite of prompts and print a table per class, then one line of JSON."""
    from rich.console import Console
    from rich.progress import Progress

    from foretell.errors import UsageError
    from foretell.lab.suite import Configuration, Ours, read_suite, run_suite, summarise
    from foretell.profile.machine import machine
    from foretell.runtime.settings import Settings

    Settings(max_tokens=max_tokens, temperature=temperature, seed=seed)
    prompts = read_suite(file, [each.strip() for each in classes.split(",") if each.strip()], limit)
    program = peers.server(peer, peer_server)
    if program and temperature:
        raise UsageError(f"temperature is {temperature}, but rivals are compared greedily: leave it out")
    with contextlib.ExitStack() as stack:
        loaded = stack.enter_context(options.opened(model, threads, context))
        who: list[Configuration] = [
            Ours(name, loaded, name == "lookup", temperature, seed) for name in ("plain", "lookup")
        ]
        facts = {"model": loaded.name, "machine": machine(), "suite": file.name, "max_tokens": max_tokens}
        if program:
            room = max(len(loaded.encode(prompt.text)) for prompt in prompts) + max_tokens
            kinds = [each.strip() for each in peer_kinds.split(",") if each.strip()]
            servers = peers.servers(stack, program, loaded, kinds, peer_draft, threads, room)
            who += servers
            facts["peer"] = {"name": peer, "version": servers[0].version, "system_info": servers[0].system_info}
        for each in who:
            each.run("Hello", 4)  # the first answer of a process pays for what is set up once
        with Progress(console=Console(stderr=True)) as progress:
            task = progress.add_task(f"{len(prompts)} prompts", total=len(prompts) * len(who))
            runs = list(run_suite(prompts, who, max_tokens, seed, lambda _: progress.advance(task)))
    figures = summarise(runs)
    configurations = {each.name: figures[each.name] for each in who}
    if not json_:
        print_table(configurations)
    typer.echo(json.dumps({**facts, "temperature": temperature, "seed": seed, "configurations": configurations}))


def print_table(configurations: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    """One row per class and configuration."""
    from rich.console import Console
    from rich.table import Table

    from foretell.cli.render import number

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))  # fits 80 columns
    for column in ("class", "who", "tokens", "tok/s", "ratio", "1st s", "all s", "/round", "kept", "diff"):
        table.add_column(column, justify="left" if column in {"class", "who"} else "right", no_wrap=True)
    first = next(iter(configurations.values()))
    for klass in first:
        for name, figures in configurations.items():
            row, base = figures[klass], first[klass]["tokens_per_s"]
            ratio = row["tokens_per_s"] / base if row["tokens_per_s"] and base else None
            table.add_row(
                klass,
                name,
                str(row["tokens"]),
                number(row["tokens_per_s"], "{:.1f}"),
                number(ratio),
                number(row["first_token_s"]),
                number(row["response_s"]),
                number(row["tokens_per_round"]),
                number(row["acceptance"], "{:.0%}"),
                str(row["mismatches"]),
            )
    Console().print(table)
