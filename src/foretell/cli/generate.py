"""`foretell generate`: one prompt, one answer."""

import json
import sys
from typing import Annotated

import typer

from foretell.cli import options


def generate(
    prompt: Annotated[str | None, typer.Argument(help="The prompt; standard input if it is missing or `-`.")] = None,
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
    logprobs: options.Logprobs = 0,
    no_speculation: options.NoSpeculation = False,
    level: options.Level = "2",
    draft: options.Draft = None,
    quality_budget: options.QualityBudget = None,
    calibration: options.CalibrationFile = None,
    pipeline: options.PipelineFile = None,
    schema: options.SchemaFile = None,
    regex: options.Regex = None,
    grammar: options.GrammarFile = None,
    threads: options.Threads = None,
    context: options.ContextSize = None,
    raw: Annotated[bool, typer.Option("--raw", help="Continue the text as it is, without a chat template.")] = False,
    system: options.System = None,
    trace: options.TraceFile = None,
    json_: options.Json = False,
) -> int:
    """Answer a prompt. Ctrl-C ends early and keeps what was generated."""
    from foretell.cli.render import Printer, follow, logprob_json, logprob_lines, summary
    from foretell.lab.explain.keep import Recording
    from foretell.runtime.events import Event
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
        logprobs=logprobs,
        speculation=not no_speculation,
        level=options.level_name(level),
        pipeline=options.read_pipeline(pipeline),
        grammar=options.read_grammar(schema, regex, grammar),
        quality_budget=options.read_budget(quality_budget, calibration, draft),
    )
    Settings(**settings)  # wrong values are reported before a model is loaded
    bias = options.read_bias(logit_bias)
    options.check_models(settings["pipeline"], draft)
    options.check_writable("trace", trace)
    text = options.read_prompt(prompt)
    events: list[Event] = []
    with options.opened(model, threads, context, draft, calibration) as loaded:
        settings["logit_bias"] = options.token_bias(bias, loaded.backend.codec)
        printer = Printer()
        recording = Recording.of(loaded, trace)
        stream = loaded.stream(
            text, system=system, raw=raw, on_prompt=printer.meter, recorder=recording.recorder, **settings
        )
        printer.stream = stream

        def show(event: Event) -> None:
            events.append(event)
            if not json_:
                printer(event)

        result = follow(stream, show)
        printer.end(result)
        if json_:
            extra = {"logprobs": logprob_json(events)} if logprobs else {}
            typer.echo(json.dumps(result.to_json() | extra))
        else:
            for line in logprob_lines(events, loaded.backend.codec.decode) if logprobs else ():
                typer.echo(line)
            typer.echo(summary(result), file=sys.stderr)
        recording.keep(loaded, stream, result, settings)
    return 130 if result.finish == "cancelled" else 0
