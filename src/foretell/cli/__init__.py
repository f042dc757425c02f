"""The command line: one file per command, which imports what it needs when it runs.

Exit status: 0 done, 1 an error that the line on stderr explains, 2 wrong usage, 130 interrupted.
"""

import importlib
import sys
from typing import Annotated

import typer

from foretell import __version__
from foretell.errors import ForetellError, UsageError

# Command → module of this package. The module has a function, or a typer app with subcommands, of the command's name.
COMMANDS = {
    "generate": "generate",
    "chat": "chat",
    "serve": "serve",
    "demo": "demo",
    "models": "models",
    "pull": "pull",
    "cache": "cache",
    "profile": "profile",
    "select": "select",
    "energy": "energy",
    "compile": "compile",
    "explain": "explain",
    "replay": "replay",
    "audit": "audit",
    "bench": "bench",
    "lab": "lab",
}

# Base of typer's own usage errors. typer does not export it, and where it lives depends on typer's version.
_ArgumentError: type[Exception] = typer.BadParameter.__mro__[2]


def build() -> typer.Typer:
    """The whole command line as a typer app."""
    app = typer.Typer(
        name="foretell",
        help="Generate text with language models, faster by prediction and with the same words.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for name, module in COMMANDS.items():
        command = getattr(importlib.import_module(f"{__name__}.{module}"), name)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and end the process with the right status."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run one command. Every foreseen failure becomes one line on stderr; the status is returned."""
    try:
        status = build()(args=arguments, prog_name="foretell", standalone_mode=False)
    except UsageError as error:
        return _fail(error, 2)
    except ForetellError as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return 130
    except typer.Abort as error:
        # Older versions of typer turn Ctrl-C into this, newer ones into status 130.
        return 130 if isinstance(error.__cause__, KeyboardInterrupt) else _fail("stopped; nothing was done", 1)
    except _ArgumentError as error:
        return _wrong_usage(error)
    return status if isinstance(status, int) else 0


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"foretell {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass  # what every command shares; the one option has done its work by now


def _wrong_usage(error: Exception) -> int:
    text = str(error.format_message())  # type: ignore[attr-defined]  # a method of the class that has no public name
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":  # not an error: a command that was called bare shows its help
        if text:  # newer versions of typer have printed it already
            typer.echo(text, err=True)
        return 2
    see = f" See `{context.command_path} --help`." if context is not None else ""
    return _fail(f"{' '.join(text.split())}{see}", 2)


def _fail(what: object, status: int) -> int:
    typer.echo(f"error: {' '.join(str(what).splitlines())}", err=True)
    return status
