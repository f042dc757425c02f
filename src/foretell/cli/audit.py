"""`foretell audit`: whether pipelines keep their promise on one's own models and prompts."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from foretell.cli import options
from foretell.cli.progress import steps

if TYPE_CHECKING:
    from foretell.accept.grammar import Grammar
    from foretell.api import Model
    from foretell.ir.ops import Pipeline
    from foretell.lab.audit import Finding, Variant

_STOPPED: Final = 130  # exit status after Ctrl-C


def audit(
    pipelines: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PIPELINE]...", help="Presets or files, run as they are.", show_default=False),
    ] = None,
    *,
    level: Annotated[
        list[str] | None,
        typer.Option("-O", help="Also what this level makes; may be given several times.", show_default="2 by itself"),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            "--prompts", help="JSONL file: klass, id and prompt on each line.", show_default="eight short ones"
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Prompts per class.", show_default="all")] = None,
    model: options.ModelName = None,
    draft: options.Draft = None,
    max_tokens: options.MaxTokens = 128,
    temperature: Annotated[
        list[float] | None,
        typer.Option("--temperature", help="May be given several times.", show_default="0 and 0.8"),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the first prompt; the next has the next one.")] = 0,
    schema: options.SchemaFile = None,
    regex: options.Regex = None,
    grammar: options.GrammarFile = None,
    threads: options.Threads = None,
    context: options.ContextSize = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File for the certificate.", show_default="standard output")
    ] = None,
    json_: options.Json = False,
) -> int:
    """Test what pipelines promise against the target alone, and write a certificate. Status 1 when one fails.

    Ctrl-C ends it with a certificate of what was done so far.
    """
    from foretell.lab.audit import Audit, refuse_untestable
    from foretell.lab.certificate import certificate
    from foretell.lab.prompts import BUILT_IN
    from foretell.lab.suite import read_suite
    from foretell.runtime.settings import Settings

    given = [(name, pipeline) for name in pipelines or () if (pipeline := options.read_pipeline(name)) is not None]
    levels = [options.level_name(each) for each in level or (() if given else ("2",))]
    temperatures = temperature or [0.0, 0.8]
    limits = options.read_grammar(schema, regex, grammar)
    for degree in temperatures:  # wrong values are reported before a model is loaded
        for each in levels:
            Settings(max_tokens=max_tokens, temperature=degree, seed=seed, level=each, grammar=limits)
        for _, pipeline in given:
            Settings(max_tokens=max_tokens, temperature=degree, seed=seed, pipeline=pipeline, grammar=limits)
            refuse_untestable(pipeline)
            options.check_models(pipeline, draft)
    chosen = list(BUILT_IN[:limit]) if prompts is None else read_suite(prompts, limit=limit)
    with options.opened(model, threads, context, draft) as loaded:
        variants = _variants(loaded, given, levels, temperatures, limits)
        one = Audit(loaded, variants, max_tokens, seed, limits)
        with steps("answers", len(chosen) * len(variants)) as advance:
            findings = one.run(chosen, advance)
        found = certificate(findings, chosen, (loaded.name, draft), max_tokens, partial=one.interrupted)
    if not json_:
        _show(findings)
    if output is not None:
        _write(output, json.dumps(found, indent=1) + "\n")
    else:
        typer.echo(json.dumps(found))
    if one.interrupted:
        looked = sum(each.answers for each in findings)
        typer.echo(f"stopped: {looked} of {len(chosen) * len(variants)} answers; the certificate is partial", err=True)
    return 1 if not found["passed"] else _STOPPED if one.interrupted else 0


def _variants(
    model: "Model",
    given: "Sequence[tuple[str, Pipeline]]",
    levels: Sequence[str],
    temperatures: Sequence[float],
    grammar: "Grammar | None",
) -> "list[Variant]":
    """Each pipeline and each level at each temperature."""
    from foretell.lab.audit import Variant
    from foretell.runtime.settings import Settings

    variants = []
    for temperature in temperatures:
        variants += [Variant(label, pipeline, temperature) for label, pipeline in given]
        for level in levels:
            settings = Settings(temperature=temperature, level=level, grammar=grammar)
            variants.append(Variant(level, model.pipeline(settings), temperature, level))
    return variants


def _show(findings: "Sequence[Finding]") -> None:
    """A table, and the first difference of each pipeline that has one."""
    from rich.console import Console
    from rich.table import Table

    from foretell.lab.audit import FALSE_ALARM
    from foretell.lab.certificate import shown, verdict

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("pipeline", "class", "temperature", "answers", "tokens", "", "found"):
        table.add_column(column, justify="right" if column in {"temperature", "answers", "tokens"} else "left")
    for each in findings:
        variant, word = each.variant, ("passed" if each.passed else "FAILED") if each.answers else "-"
        counts = f"{variant.temperature:g}", str(each.answers), str(each.tokens)
        table.add_row(variant.label, variant.kind, *counts, word, verdict(each))
    Console().print(table)
    if any(each.tests for each in findings):
        typer.echo(
            "Distributions: distance from the target's, of the threshold; when all is right, the chance that any is "
            f"exceeded is at most {FALSE_ALARM:g}."
        )
    for each in findings:
        if each.first is not None:
            typer.echo(f"\n{shown(each, each.first)}")


def _write(path: Path, text: str) -> None:
    from foretell.errors import ForetellError, why

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ForetellError(f"cannot write {path}: {why(error)}; give another --output") from error
    typer.echo(f"certificate: {path}", err=True)
