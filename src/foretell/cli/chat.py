"""`foretell chat`: a conversation at the terminal."""

import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING

import typer

from foretell.cli import options

if TYPE_CHECKING:
    from foretell.api import Model
    from foretell.conversation import Chat
    from foretell.runtime.settings import Options

HELP = "/clear forgets the conversation, /exit or Ctrl-D leaves, Ctrl-C stops an answer, /help shows this."


def chat(
    *,
    model: options.ModelName = None,
    max_tokens: options.MaxTokens = 512,
    temperature: options.Temperature = 0.0,
    top_k: options.TopK = 0,
    top_p: options.TopP = 1.0,
    min_p: options.MinP = 0.0,
    repeat_penalty: options.RepeatPenalty = 1.0,
    logit_bias: options.LogitBias = None,
    seed: options.Seed = None,
    stop: options.Stop = None,
    no_speculation: options.NoSpeculation = False,
    level: options.Level = "2",
    draft: options.Draft = None,
    pipeline: options.PipelineFile = None,
    schema: options.SchemaFile = None,
    regex: options.Regex = None,
    grammar: options.GrammarFile = None,
    threads: options.Threads = None,
    context: options.ContextSize = None,
    system: options.System = None,
    json_: options.Json = False,
) -> None:
    """Talk with a model. Earlier turns are kept and not read again."""
    from foretell.runtime.route import check_unrouted
    from foretell.runtime.settings import Options, Settings

    settings = Options(
        max_tokens=max_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repeat_penalty=repeat_penalty,
        seed=seed,
        stop=stop or (),
        speculation=not no_speculation,
        level=options.level_name(level),
        pipeline=options.read_pipeline(pipeline),
        grammar=options.read_grammar(schema, regex, grammar),
    )
    Settings(**settings)
    bias = options.read_bias(logit_bias)
    check_unrouted(settings["pipeline"])
    options.check_models(settings["pipeline"], draft)
    with contextlib.suppress(ImportError):  # line editing, where the platform has it
        import readline

        if os.environ.get("TERM", "dumb") != "dumb":  # lines pasted together are one message
            readline.parse_and_bind("set enable-bracketed-paste on")
    with options.opened(model, threads, context, draft) as loaded:
        settings["logit_bias"] = options.token_bias(bias, loaded.backend.codec)
        typer.echo(f"{loaded.name}, context of {loaded.context} tokens. {HELP}", file=sys.stderr)
        _converse(loaded, loaded.chat(system), settings, json_)


def _converse(model: "Model", conversation: "Chat", settings: "Options", json_: bool) -> None:
    """Read lines and answer them until the end."""
    from foretell.errors import ForetellError

    while (line := _read()) is not None:
        match line.strip():
            case "":
                continue
            case "/exit" | "/quit":
                return
            case "/help":
                typer.echo(HELP, file=sys.stderr)
            case "/clear":
                conversation.clear()
                typer.echo("the conversation is forgotten", file=sys.stderr)
            case command if command.startswith("/") and " " not in command:
                typer.echo(f"unknown command {command}. {HELP}", file=sys.stderr)
            case _:
                try:
                    _answer(model, conversation, line, settings, json_)
                except ForetellError as error:
                    typer.echo(f"error: {error}", file=sys.stderr)
                except KeyboardInterrupt:  # a second Ctrl-C, which came when the answer had ended already
                    typer.echo(file=sys.stderr)


def _read() -> str | None:
    """The next line; None at the end. Waits without using the processor."""
    from foretell.errors import ForetellError

    while True:
        try:
            return _ask()
        except EOFError:
            if sys.stdin.isatty():
                typer.echo(file=sys.stderr)  # the cursor still stands behind the prompt
            return None
        except KeyboardInterrupt:
            typer.echo(f"\n{HELP}", file=sys.stderr)
        except UnicodeDecodeError as error:
            raise ForetellError(f"the input is not UTF-8 ({error.reason}): convert it, e.g. with iconv") from error


def _ask() -> str:
    """A line after a prompt, which is for people: it never goes where answers are piped."""
    if not sys.stdin.isatty():
        return input()
    if sys.stdout.isatty():
        return input("> ")  # with line editing
    typer.echo("> ", nl=False, err=True)
    return input()


def _answer(model: "Model", conversation: "Chat", line: str, settings: "Options", json_: bool) -> None:
    from foretell.cli.render import Printer, follow, summary
    from foretell.lab.explain.keep import Recording

    printer, recording = Printer(), Recording.of(model)
    stream = conversation.send(line, on_prompt=printer.meter, recorder=recording.recorder, **settings)
    printer.stream = stream
    if conversation.dropped:
        typer.echo(
            f"the context of {model.context} tokens is full: the {conversation.dropped} oldest messages are forgotten",
            file=sys.stderr,
        )
    result = follow(stream, (lambda _: None) if json_ else printer)
    printer.end(result)
    if json_:
        extra = {"dropped": conversation.dropped, "reused_tokens": conversation.reused_tokens}
        typer.echo(json.dumps(result.to_json() | extra))
    else:
        typer.echo(f"[{summary(result)}]", file=sys.stderr)
    recording.keep(model, stream, result, settings)
