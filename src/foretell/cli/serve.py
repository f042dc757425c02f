"""`foretell serve`: the model behind an HTTP interface that OpenAI's clients speak."""

import json
import logging
import os
import sys
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foretell.cli import options
from foretell.flags import API_KEY

if TYPE_CHECKING:
    from foretell.api import Model
    from foretell.serve.app import Served
    from foretell.serve.limits import Limits

QUIET = {"/health", "/metrics"}  # asked every few seconds by programs; only failures of theirs are shown


def serve(
    *,
    host: Annotated[str, typer.Option("--host", help="Address to listen at; 0.0.0.0: all of this machine's.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="0: any that is free.")] = 8080,
    model: options.ModelName = None,
    draft: options.Draft = None,
    quality_budget: options.QualityBudget = None,
    calibration: options.CalibrationFile = None,
    level: options.Level = "2",
    threads: options.Threads = None,
    context: options.ContextSize = None,
    api_key: Annotated[
        str | None,
        typer.Option(
            "--api-key",
            envvar=API_KEY,
            help="What clients have to know. Better set the variable: others on this machine can read command lines.",
            show_default="none",
        ),
    ] = None,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", "-n", min=1, help="Most tokens of an answer whose request does not say.")
    ] = 512,
    token_limit: Annotated[
        int | None,
        typer.Option("--token-limit", min=1, help="Most tokens that a request may ask for.", show_default="context"),
    ] = None,
    keep_tokens: Annotated[
        int, typer.Option("--keep-tokens", min=0, help="Tokens of earlier requests that need not be read again.")
    ] = 16384,
    queue: Annotated[int, typer.Option("--queue", min=1, help="Most requests that wait.")] = 64,
    queue_timeout: Annotated[float, typer.Option("--queue-timeout", min=0.001, help="Seconds that one waits.")] = 300.0,
    timeout: Annotated[float, typer.Option("--timeout", min=0.001, help="Seconds that an answer may take.")] = 600.0,
    grace: Annotated[float, typer.Option("--grace", min=0, help="Seconds that the last one gets at the end.")] = 10.0,
    max_body: Annotated[int, typer.Option("--max-body", min=1, help="Most bytes of a request.")] = 2**20,
    json_: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON when ready and for each request.")
    ] = False,
) -> None:
    """Answer requests over HTTP as OpenAI's API does. Ctrl-C ends it."""
    from foretell.errors import UsageError
    from foretell.passes.levels import check_level
    from foretell.serve.guard import Guard, is_loopback
    from foretell.serve.limits import Limits
    from foretell.serve.server import Server, listen, run, url
    from foretell.serve.service import Service

    limits = Limits(max_body, max_tokens, token_limit, queue, queue_timeout, timeout, grace)
    level = options.level_name(level)
    check_level(level)
    if api_key is not None and not api_key.strip():
        raise UsageError("the API key is empty: give one, or leave --api-key out")
    budget = options.read_budget(quality_budget, calibration, draft)
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    with listen(host, port) as bound, options.opened(model, threads, context, draft, calibration) as loaded:
        service = Service(loaded, limits, level=level, keep_tokens=keep_tokens, quality_budget=budget)
        where = url(bound)
        _greet(loaded, service.name, level, where, limits, json_=json_)
        if api_key is None and not is_loopback(host):
            typer.echo("warning: others can reach this server, and it has no API key: set --api-key", err=True)
        run(Server(service, Guard(api_key, host), _report_json if json_ else _report), service, bound)


def _greet(model: "Model", name: str, level: str, where: str, limits: "Limits", *, json_: bool) -> None:
    """Say what is served where."""
    draft = None if model.drafter is None else model.drafter.backend().name
    if json_:
        about = {"url": where, "model": name, "draft": draft, "level": level, "context": model.context}
        typer.echo(json.dumps(about | {"pid": os.getpid(), "limits": asdict(limits)}))
        return
    drafting = "no draft model" if draft is None else f"draft model {draft}"
    request = json.dumps({"model": name, "messages": [{"role": "user", "content": "Hello!"}]})
    lines = [
        f"{typer.style(name, bold=True)} at {typer.style(f'{where}/v1', bold=True, fg='green')}",
        f"  {level}, {drafting}, context of {model.context} tokens, {model.free_rows} free rows",
        f"  {where}/health and {where}/metrics say how it is",
        f"  curl {where}/v1/chat/completions -H 'Content-Type: application/json' -d '{request}'",
        "  Ctrl-C ends it.",
    ]
    typer.echo("\n".join(lines), err=True)


def _report(served: "Served") -> None:
    """A line for a request."""
    from datetime import datetime

    from foretell.cli.render import summary

    if served.path in QUIET and served.status == 200:
        return
    path = ascii(served.path)[1:-1]  # it may hold anything
    answer = "" if served.answer is None else f": {summary(served.answer.result)}"
    now = f"{datetime.now().astimezone():%H:%M:%S}"
    with suppress(OSError):  # a terminal that was closed
        typer.echo(f"{now} {served.client} {served.method} {path} {served.status}{answer}", err=True)


def _report_json(served: "Served") -> None:
    """The same for programs; without the text."""
    about: dict[str, Any] = {"method": served.method, "path": served.path, "client": served.client}
    about["status"] = served.status
    if served.answer is not None:
        about |= {"usage": served.answer.usage(), "figures": served.answer.figures()}
    try:
        typer.echo(json.dumps(about))
    except BrokenPipeError:  # whoever read this is gone; requests are answered all the same
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
