"""`foretell bench`: measurements that say where they come from."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foretell.cli import options, peers
from foretell.cli.pipelines import pipelines
from foretell.cli.policies import policies
from foretell.cli.suite import suite, summary

if TYPE_CHECKING:
    from foretell.engine.native import NativeModel
    from foretell.lab.peers.llama_cpp import LlamaCpp

bench = typer.Typer(
    help="Measure the engine, or speed on a suite of prompts, also of pipelines against each other.",
    no_args_is_help=True,
)
bench.command("suite")(suite)
bench.command("pipelines")(pipelines)
bench.command("policies")(policies)
bench.command("summary")(summary)

_SHOWN = (1, 2, 4, 8, 16, 32, 64)  # row counts in the table; JSON has all
_QUIET = 1.1  # times the best


@bench.command()
def engine(
    *,
    model: options.ModelName = None,
    contexts: Annotated[str, typer.Option(help="Tokens held before a pass, separated by commas.")] = "256,1024,4096",
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved measurements of each figure.")] = 20,
    isa: Annotated[
        str | None, typer.Option(help="avx512, avx2 or portable.", show_default="the best that the processor has")
    ] = None,
    threads: options.Threads = None,
    peer: peers.Peer = None,
    peer_python: peers.PeerPython = None,
    json_: options.Json = False,
) -> None:
    """Time passes over 1 to 64 rows and prompts, beside what this machine can do at best and beside a rival."""
    from rich.console import Console
    from rich.progress import Progress

    from foretell.lab import engine as lab
    from foretell.profile.machine import machine
    from foretell.profile.probe import Probe

    sizes = _sizes(contexts)
    room = max(*sizes, lab.PROMPT_TOKENS) + max(lab.COUNTS)
    python = peers.library_python(peer, peer_python)
    with contextlib.ExitStack() as stack:
        name, path, loaded = stack.enter_context(_opened(model, threads, room, isa))
        used, team = loaded.kernels.isa.name, loaded.team.threads
        rival = stack.enter_context(_rival(python, path, team, room, used)) if python else None
        probe = Probe(loaded)
        progress = stack.enter_context(Progress(console=Console(stderr=True)))
        task = progress.add_task(f"{rounds} rounds", total=lab.steps(sizes, rounds))
        measured = lab.measure(loaded, probe, rival, sizes, rounds, lambda: progress.advance(task))
        facts = {"model": name, "machine": machine(), "threads": team, "isa": used, "rounds": rounds}
        figures: dict[str, Any] = {**facts, **lab.report(measured, probe)}
        if rival is not None:
            figures["peer"] = lab.report_peer(measured, rival)
    if not json_:
        print_table(figures)
    typer.echo(json.dumps(figures))


def print_table(figures: Mapping[str, Any]) -> None:
    """One row per context and row count, then the machine's figures."""
    from rich.console import Console
    from rich.table import Table

    peer = figures.get("peer")
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in (
        "context",
        "rows",
        "ms",
        "best ms",
        "over bound",
        *(("peer ms", "best ms", "ratio") if peer else ()),
    ):
        table.add_column(column, justify="right", no_wrap=True)
    for context, its in figures["contexts"].items():
        for rows in map(str, _SHOWN):
            ours = its["t_ms"][rows]
            cells = [context, rows, f"{ours['median']:.1f}", f"{ours['min']:.1f}", f"{its['over_bound'][rows]:.2f}"]
            if peer:
                theirs = peer["contexts"][context]["t_ms"][rows]
                cells += [f"{theirs['median']:.1f}", f"{theirs['min']:.1f}", f"{its['over_peer'][rows]:.2f}"]
            table.add_row(*cells)
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    against = f", rival {peer['prompt_tokens_per_s']:.0f}" if peer else ""
    share = f"{figures['read_gb_s']:.1f} of {figures['bandwidth_gb_s']:.1f} GB/s ({figures['read_share']:.0%})"
    console.print(f"prompts of 512 tokens: {figures['prompt_tokens_per_s']:.0f} tokens/s{against}")
    console.print(f"products at one row read {share}; dot-product peak {figures['peak_gmac_s']:.0f} GMAC/s")
    console.print(f"{figures['model']}, {figures['isa']}, {figures['threads']} threads, {figures['machine']}")
    if peer:
        console.print(f"rival: llama.cpp ({peer['version']}), {peer['system_info']}")
    if figures["noise"] > _QUIET:
        console.print(
            f"other programs disturbed this: a typical median is {figures['noise']:.2f} times the best; repeat it"
        )


def _sizes(contexts: str) -> list[int]:
    from foretell.errors import UsageError

    sizes = [each.strip() for each in contexts.split(",") if each.strip()]
    if not sizes or not all(each.isascii() and each.isdigit() and int(each) for each in sizes):
        raise UsageError(f"contexts is {contexts!r}; give numbers of tokens above 0, as in 256,1024")
    return sorted({int(each) for each in sizes})


@contextlib.contextmanager
def _opened(
    model: str | None, threads: int | None, context: int, isa: str | None
) -> Iterator[tuple[str, Path, "NativeModel"]]:
    from foretell.cli.progress import bars
    from foretell.engine.native import NativeModel
    from foretell.errors import UsageError
    from foretell.models.store import Store

    if model == "toy":
        raise UsageError("the toy model does not run on the engine: give a GGUF file or a name from `foretell models`")
    store = Store()
    name = model or store.catalogue.default
    with bars() as progress:
        path = store.resolve(name, progress)
        digest = store.digest(path, progress)
        loaded = NativeModel.load(
            path,
            threads=threads,
            context=context,
            isa=isa,
            cache_dir=store.cache.root,
            digest=digest,
            progress=lambda done, total: progress(f"arranging {name} for this processor", done, total),
        )
    try:
        yield name, path, loaded
    finally:
        loaded.close()


@contextlib.contextmanager
def _rival(python: str, path: Path, threads: int, context: int, isa: str) -> Iterator["LlamaCpp"]:
    from foretell.lab.peers.fairness import require
    from foretell.lab.peers.llama_cpp import LlamaCpp

    with LlamaCpp(python, path, threads=threads, context=context) as rival:
        require(rival.features, isa, f"the llama.cpp of {python}")
        yield rival
