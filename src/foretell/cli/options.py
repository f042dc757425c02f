"""Options that several commands share, and how they become a loaded model."""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from foretell.accept.grammar import Grammar
    from foretell.api import Model
    from foretell.backend.model import Codec
    from foretell.ir.ops import Pipeline

ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="Name from `foretell models`, hf:org/repo/file.gguf, a path, or toy.",
        show_default="catalogue's default",
    ),
]
MaxTokens = Annotated[int, typer.Option("--max-tokens", "-n", help="Most tokens to generate.")]
Temperature = Annotated[float, typer.Option("--temperature", help="0: always the likeliest token.")]
TopK = Annotated[int, typer.Option("--top-k", help="Choose among the k likeliest; 0: among all.")]
TopP = Annotated[float, typer.Option("--top-p", help="Choose among the likeliest that have this share together.")]
MinP = Annotated[float, typer.Option("--min-p", help="Leave out tokens below this share of the likeliest.")]
RepeatPenalty = Annotated[float, typer.Option("--repeat-penalty", help="Above 1: avoid the last 64 tokens.")]
LogitBias = Annotated[
    list[str] | None,
    typer.Option(
        "--logit-bias",
        metavar="TOKEN=VALUE",
        help="Make a token likelier or, below 0, less likely: -100 to 100, or -inf. TOKEN is an id, or a text that is "
        "one token. May be given several times.",
    ),
]
Seed = Annotated[int | None, typer.Option("--seed", help="Of the chance in sampling.", show_default="drawn")]
Stop = Annotated[list[str] | None, typer.Option("--stop", help="End before this text; may be given several times.")]
Logprobs = Annotated[int, typer.Option("--logprobs", help="Show log-probabilities and this many alternatives.")]
NoSpeculation = Annotated[bool, typer.Option("--no-speculation", help="One token per pass; the text is the same.")]
Level = Annotated[
    str, typer.Option("-O", help="How much is done for speed: 0 to 3; e: for fewer joules. The text is the same.")
]
Draft = Annotated[
    str | None,
    typer.Option(
        "--draft",
        help="A smaller model that guesses, named as --model, or with a form as in NAME@q4_0+16384.",
        show_default="none",
    ),
]
PipelineFile = Annotated[
    str | None,
    typer.Option("--pipeline", help="Preset (see `foretell compile --list`) or file to run.", show_default="by level"),
]
SchemaFile = Annotated[
    str | None, typer.Option("--schema", help="File with a JSON schema that the answer fits.", show_default="none")
]
Regex = Annotated[
    str | None, typer.Option("--regex", help="Regular expression that the whole answer fits.", show_default="none")
]
GrammarFile = Annotated[
    str | None, typer.Option("--grammar", help="File with a Lark grammar that the answer fits.", show_default="none")
]
QualityBudget = Annotated[
    str | None,
    typer.Option(
        "--quality-budget",
        metavar="SHARE",
        help="How much accuracy may be lost, as in 5%: lets the small model (--draft) answer where a calibration "
        "(`foretell lab calibrate`) certifies that.",
        show_default="none",
    ),
]
CalibrationFile = Annotated[
    Path | None,
    typer.Option("--calibration", help="File of `foretell lab calibrate`.", show_default="kept for this pair"),
]
Threads = Annotated[int | None, typer.Option("--threads", "-t", help="Worker threads.", show_default="chosen")]
ContextSize = Annotated[
    int | None, typer.Option("--context", "-c", help="Most tokens of prompt and output.", show_default="chosen")
]
System = Annotated[str | None, typer.Option("--system", help="System message.")]
Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]
TraceFile = Annotated[
    Path | None,
    typer.Option(
        "--trace", help="Record the run, its text too, in this file for `foretell explain`.", show_default="none"
    ),
]


def read_pipeline(name: str | None) -> "Pipeline | None":
    """A preset, or the pipeline in a file."""
    from foretell.ir import presets
    from foretell.ir.text import parse

    if name is None:
        return None
    if name in presets.names():
        return presets.load(name)
    return parse(_read("pipeline", name, f", or one of {', '.join(presets.names())}"), name)


def check_models(pipeline: "Pipeline | None", draft: str | None) -> None:
    """Raise UsageError when a pipeline asks a model that was not given."""
    from foretell.errors import UsageError
    from foretell.runtime.choose import DRAFT
    from foretell.runtime.compiled import asked

    if pipeline is None:
        return
    other = sorted(asked(pipeline) - {DRAFT})
    if other:
        raise UsageError(
            f"pipeline {pipeline.name} asks the model {other[0]!r}: here the draft model is called {DRAFT}"
        )
    if asked(pipeline) and draft is None:
        raise UsageError(f"pipeline {pipeline.name} asks a draft model: give one with --draft")


def read_bias(given: Sequence[str] | None) -> list[tuple[int | str, float]]:
    """Tokens, as ids or texts, and what is added to their logits; checked as far as that needs no model."""
    from foretell.accept.sampling import Sampling
    from foretell.errors import UsageError

    out: list[tuple[int | str, float]] = []
    for each in given or ():
        token, _, number = each.rpartition("=")
        try:
            bias = float(number)
            text = json.loads(token) if len(token) > 1 and token[0] == token[-1] == '"' else token
        except ValueError:
            text = ""
        if not text:
            raise UsageError(f"logit-bias is {each!r}: write TOKEN=VALUE, as in 1234=-5, ' the'=2.5 or '\"7\"'=-inf")
        Sampling(logit_bias=((0, bias),))
        out.append((int(token) if token.isdecimal() else text, bias))
    return out


def token_bias(given: Sequence[tuple[int | str, float]], codec: "Codec") -> Mapping[int, float]:
    """The bias by token id."""
    from foretell.errors import UsageError

    out = {}
    for token, bias in given:
        ids = [token] if isinstance(token, int) else codec.encode(token)
        if len(ids) != 1:
            raise UsageError(
                f"logit-bias is for {token!r}, which is {len(ids)} tokens {ids}: give one token, by its id"
            )
        out[ids[0]] = bias
    return out


def read_grammar(schema: str | None, regex: str | None, grammar: str | None) -> "Grammar | None":
    """What limits the answer: one of the three at most, checked."""
    from foretell.accept.grammar import Grammar
    from foretell.errors import UsageError

    given = {"--schema": schema, "--regex": regex, "--grammar": grammar}
    chosen = [name for name, value in given.items() if value is not None]
    if len(chosen) > 1:
        raise UsageError(f"{' and '.join(chosen)} exclude each other: give one")
    if regex is not None:
        return Grammar("regex", regex)
    if schema is not None:
        return Grammar("schema", _read("schema", schema))
    return None if grammar is None else Grammar("lark", _read("grammar", grammar))


def _read(what: str, path: str, also: str = "") -> str:
    from foretell.errors import UsageError

    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"there is no {what} {path!r}: give a text file{also}") from None
    except OSError as error:
        raise UsageError(f"cannot read the {what} {path!r}: {error.strerror}; give a text file{also}") from error
    except ValueError as error:  # bytes that are no text, or a zero byte in the name
        raise UsageError(f"cannot read the {what} {path!r}: {error}; give a text file in UTF-8{also}") from error


def check_writable(what: str, path: Path | None) -> None:
    """Raise UsageError when a file cannot be made there: better now than after the work that goes into it."""
    from foretell.errors import UsageError

    if path is None:
        return
    folder = path.parent
    if path.is_dir():
        raise UsageError(f"the {what} file {str(path)!r} is a folder: give a file")
    if not folder.is_dir():
        raise UsageError(f"the {what} file {str(path)!r} is in no folder that exists: make {str(folder)!r} first")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise UsageError(f"the {what} file {str(path)!r} cannot be written: give another one")


def read_budget(text: str | None, calibration: Path | None, draft: str | None) -> float | None:
    """A quality budget, checked as far as that needs no model."""
    from foretell.errors import UsageError
    from foretell.runtime.calibration import read as read_calibration
    from foretell.runtime.calibration import read_budget as read

    if text is None:
        if calibration is not None:
            raise UsageError("--calibration is for --quality-budget: give that too")
        return None
    if draft is None:
        raise UsageError("a quality budget needs the small model that was calibrated: give it with --draft")
    budget = read(text)
    if calibration is not None:
        read_calibration(calibration).certificate(budget)
    return budget


def level_name(level: str) -> str:
    """`2`, as in `-O2`, means O2."""
    return level if level.startswith("O") else f"O{level}"


@contextmanager
def opened(
    name: str | None,
    threads: int | None,
    context: int | None,
    draft: str | None = None,
    calibration: Path | None = None,
) -> Iterator["Model"]:
    """The model, with progress bars while it is fetched and packed."""
    from foretell.api import load
    from foretell.cli.progress import bars

    with bars() as progress:
        model = load(name, threads=threads, context=context, progress=progress, draft=draft, calibration=calibration)
    with model:
        _warn_of_draft(model)
        yield model


def _warn_of_draft(model: "Model") -> None:
    """Say so when a draft model cannot make anything faster."""
    from foretell.runtime.choose import DRAFT

    if model.drafter is None:
        return
    target_ms, draft_ms = model.facts.target(1), model.facts.model(DRAFT).pass_ms(1)
    if model.drafter.backend().key == model.backend.key:
        typer.echo("warning: the draft model is the target itself, so its guesses save nothing", err=True)
    elif draft_ms >= target_ms:
        typer.echo(
            f"warning: a token takes the draft model {draft_ms:.1f} ms and the target {target_ms:.1f} ms, so guesses "
            "save nothing",
            err=True,
        )


def read_prompt(argument: str | None) -> str:
    """The prompt: the argument, or standard input when there is none or it is `-`."""
    from foretell.errors import ForetellError, UsageError
    from foretell.runtime.history import checked_text

    if argument is not None and argument != "-":
        return checked_text(argument)
    if argument is None and sys.stdin.isatty():
        raise UsageError("there is no prompt: give it as an argument, or pipe it to standard input")
    data = sys.stdin.buffer.read()
    try:
        return checked_text(data.decode().removesuffix("\n"))
    except UnicodeDecodeError as error:
        byte = data[error.start]
        raise ForetellError(
            f"standard input is not UTF-8: byte {byte:#04x} at offset {error.start}; convert it first, e.g. with iconv"
        ) from error
