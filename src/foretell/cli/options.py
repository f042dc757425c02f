"""Options that several commands share, and how they become a loaded model."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from foretell.accept.grammar import Grammar
    from foretell.api import Model
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
Seed = Annotated[int | None, typer.Option("--seed", help="Of the chance in sampling.", show_default="drawn")]
Stop = Annotated[list[str] | None, typer.Option("--stop", help="End before this text; may be given several times.")]
Logprobs = Annotated[int, typer.Option("--logprobs", help="Show log-probabilities and this many alternatives.")]
NoSpeculation = Annotated[bool, typer.Option("--no-speculation", help="One token per pass; the text is the same.")]
Level = Annotated[str, typer.Option("-O", help="How much is done for speed: 0 to 3; the text is the same.")]
Draft = Annotated[
    str | None, typer.Option("--draft", help="A smaller model that guesses, named as --model.", show_default="none")
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
Threads = Annotated[int | None, typer.Option("--threads", "-t", help="Worker threads.", show_default="chosen")]
ContextSize = Annotated[
    int | None, typer.Option("--context", "-c", help="Most tokens of prompt and output.", show_default="chosen")
]
System = Annotated[str | None, typer.Option("--system", help="System message.")]
Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]


def read_pipeline(name: str | None) -> "Pipeline | None":
    """A preset, or the pipeline in a file."""
    from foretell.errors import UsageError
    from foretell.ir import presets
    from foretell.ir.text import parse

    if name is None:
        return None
    if name in presets.names():
        return presets.load(name)
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"there is no pipeline {name!r}: give a text file or one of {', '.join(presets.names())} ({error})"
        ) from error
    return parse(text, name)


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


def _read(what: str, path: str) -> str:
    from foretell.errors import UsageError

    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"there is no {what} in {path!r}: give a text file ({error})") from error


def level_name(level: str) -> str:
    """`2`, as in `-O2`, means O2."""
    return level if level.startswith("O") else f"O{level}"


@contextmanager
def opened(name: str | None, threads: int | None, context: int | None, draft: str | None = None) -> Iterator["Model"]:
    """The model, with progress bars while it is fetched and packed."""
    from foretell.api import load
    from foretell.cli.progress import bars

    with bars() as progress:
        model = load(name, threads=threads, context=context, progress=progress, draft=draft)
    with model:
        yield model


def read_prompt(argument: str | None) -> str:
    """The prompt: the argument, or standard input when there is none or it is `-`."""
    from foretell.api import checked_text
    from foretell.errors import ForetellError, UsageError

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
