"""Options that several commands share, and how they become a loaded model."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from foretell.api import Model

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
Threads = Annotated[int | None, typer.Option("--threads", "-t", help="Worker threads.", show_default="chosen")]
ContextSize = Annotated[
    int | None, typer.Option("--context", "-c", help="Most tokens of prompt and output.", show_default="chosen")
]
System = Annotated[str | None, typer.Option("--system", help="System message.")]
Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]


@contextmanager
def opened(name: str | None, threads: int | None, context: int | None) -> Iterator["Model"]:
    """The model, with progress bars while it is fetched and packed."""
    from foretell.api import load
    from foretell.cli.progress import bars

    with bars() as progress:
        model = load(name, threads=threads, context=context, progress=progress)
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
