"""`foretell compile`: what becomes of a pipeline, at every stage."""

import json
import sys
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from foretell.cli import options

if TYPE_CHECKING:
    from foretell.cost.facts import Facts
    from foretell.ir.ops import Pipeline
    from foretell.lab.explain.oe import Compared
    from foretell.runtime.compiled import Compiled

ABOUT_PIPELINES: Final = ("ir", "passes", "plan", "py", "tier", "cost")
ABOUT_KERNELS: Final = ("llvm", "asm")
EMITS: Final = (*ABOUT_PIPELINES, "graph", *ABOUT_KERNELS)


def compile(  # noqa: A001 — the command's name
    pipeline: Annotated[str | None, typer.Argument(help="Preset or file.", show_default="what the level makes")] = None,
    *,
    emit: Annotated[
        str,
        typer.Option(
            "--emit",
            help="ir: the pipeline. passes: what each pass did. cost: what was considered, with predicted prices. "
            "plan: what rounds are specialised to. py: the generated round. tier: what it may be specialised to while "
            "it runs. graph: the target's tensor graph before and after fusions. llvm, asm: a kernel module.",
        ),
    ] = "ir",
    level: Annotated[
        str | None, typer.Option("-O", help="0 to 3, or e.", show_default="2; 0 for a pipeline that is given")
    ] = None,
    allow: Annotated[
        str, typer.Option("--allow", help="Weakest class that passes may lower to: exact, distribution or lossy.")
    ] = "exact",
    model: options.ModelName = None,
    draft: options.Draft = None,
    layers: Annotated[int, typer.Option("--layers", min=0, help="Of the graph; 0 shows all.")] = 1,
    kernel: Annotated[
        str | None, typer.Option("--kernel", help="Module for llvm and asm.", show_default="none")
    ] = None,
    isa: Annotated[
        str | None,
        typer.Option("--isa", help="For llvm and asm: avx512, avx2, portable.", show_default="this machine's"),
    ] = None,
    threads: options.Threads = None,
    list_: Annotated[bool, typer.Option("--list", help="Show the presets.")] = False,
    json_: options.Json = False,
) -> None:
    """Show a pipeline at a stage on its way to machine code.

    Without --model or --draft, passes decide by assumed times.
    """
    from foretell.errors import UsageError

    if emit not in EMITS:
        raise UsageError(f"there is no stage {emit!r}; there are {', '.join(EMITS)}")
    if list_:
        _list(json_)
    elif emit == "graph":
        _graph(model, layers, json_)
    elif emit in ABOUT_KERNELS:
        _kernel(kernel, "asm" if emit == "asm" else "llvm", isa, json_)
    else:
        _pipeline(options.read_pipeline(pipeline), level, allow, (model, draft, threads), emit, json_)


def _list(json_: bool) -> None:
    from foretell.ir import presets
    from foretell.ir.check import check

    rows = []
    for name in presets.names():
        comments = [line[1:].strip() for line in presets.text(name).splitlines() if line.startswith("#")]
        rows.append({"name": name, "class": check(presets.load(name)), "about": " ".join(comments)})
    if json_:
        typer.echo(json.dumps(rows))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("name", "class", "about"):
        table.add_column(column, no_wrap=column != "about")
    for row in rows:
        table.add_row(*row.values())
    Console().print(table)


def _graph(model: str | None, layers: int, json_: bool) -> None:
    from foretell.cli.progress import bars
    from foretell.engine.inspect import graphs
    from foretell.errors import UsageError
    from foretell.models.store import Store

    if model == "toy":
        raise UsageError("the toy has no tensor graph: give a GGUF model with --model")
    store = Store()
    name = store.catalogue.default if model is None else model
    with bars() as progress:
        path = store.resolve(name, progress)
    before, after, count = graphs(path, layers)
    if json_:
        typer.echo(json.dumps({"model": name, "layers": count, "before": before, "after": after}))
        return
    shown = "" if layers in (0, count) else f", {min(layers, count)} of its {count} layers"
    typer.echo(f"# {name}{shown}: {before.count(chr(10)) + 1} nodes\n{before}")
    typer.echo(f"\n# after fusions: {after.count(chr(10)) + 1} nodes\n{after}")


def _kernel(name: str | None, stage: Literal["llvm", "asm"], isa: str | None, json_: bool) -> None:
    from foretell.engine.inspect import MODULES, kernel
    from foretell.errors import UsageError

    if name is None:
        raise UsageError(f"which kernel module? give --kernel with one of {', '.join(MODULES)}")
    text = kernel(name, stage, isa)
    typer.echo(json.dumps({"kernel": name, stage: text}) if json_ else text)


def _pipeline(
    given: "Pipeline | None",
    level: str | None,
    allow: str,
    models: tuple[str | None, str | None, int | None],
    emit: str,
    json_: bool,
) -> None:
    from foretell.ir.check import check

    if given is not None:
        check(given)  # before any model is loaded
    compiled, found = _compiled(given, level, allow, models, compare=emit == "cost")
    if json_:
        more = {} if found is None else {"compared": found.to_json()}
        typer.echo(json.dumps(_to_json(compiled) | {emit: getattr(compiled, emit)} | more))
        return
    if emit != "cost" and compiled.trace.steps:
        typer.echo(f"passes went by these times and chances: {compiled.facts.origin}", file=sys.stderr)
    typer.echo(getattr(compiled, emit).rstrip("\n"))
    if found is not None:
        typer.echo(found.text().rstrip("\n"))


def _compiled(
    given: "Pipeline | None",
    level: str | None,
    allow: str,
    models: tuple[str | None, str | None, int | None],
    *,
    compare: bool,
) -> "tuple[Compiled, Compared | None]":
    """Compiled, and at -Oe what it chooses otherwise than -O2."""
    from foretell.errors import UsageError
    from foretell.ir.laws import CLASSES
    from foretell.lab.explain.oe import compared
    from foretell.passes.levels import check_level
    from foretell.runtime.compiled import asked, compile  # noqa: A004

    name = None if level is None else options.level_name(level)
    if name is not None:
        check_level(name)
    allowed = next((each for each in CLASSES if each == allow), None)
    if allowed is None:
        raise UsageError(f"there is no class {allow!r}; there are {', '.join(CLASSES)}")
    facts = _facts(asked(given), models)
    compiled = compile(given, level=name, facts=facts, allow=allowed)
    if name != "Oe" or not compare:
        return compiled, None
    return compiled, compared(facts, lambda each: compile(given, level="O2", facts=each, allow=allowed).pipeline)


def _facts(asked: set[str], models: tuple[str | None, str | None, int | None]) -> "Facts":
    """Measured facts of the models that were given, assumed ones of all others that a pipeline asks."""
    from foretell.cost.assumed import assumed
    from foretell.runtime.choose import DRAFT

    model, draft, threads = models
    if model is None and draft is None:
        return assumed(*sorted(asked or {DRAFT}))
    with options.opened(model, threads, None, draft) as loaded:
        measured = loaded.facts
    missing = sorted(asked - set(measured.models))
    if not missing:
        return measured
    origin = f"{measured.origin}, all assumed of {', '.join(missing)}"
    return replace(measured, models={**measured.models, **assumed(*missing).models}, origin=origin)


def _to_json(compiled: "Compiled") -> dict[str, Any]:
    from foretell.cost.price import Price
    from foretell.ir.text import show

    def priced(price: Price | None) -> dict[str, Any] | None:
        return None if price is None else asdict(price) | {"tokens_per_s": price.tokens_per_s}

    trace = compiled.trace
    return {
        "pipeline": compiled.ir,
        "class": compiled.kind,
        "facts": compiled.facts.origin,
        "price": priced(trace.price),
        "steps": [
            {"name": each.name, "changed": each.after is not each.before, "remarks": each.remarks}
            for each in trace.steps
        ],
        "candidates": [
            {"pipeline": show(each.pipeline), "price": priced(each.price), "rejected": each.reason}
            for each in trace.candidates
        ],
    }
