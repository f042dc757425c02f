"""How `replay` and `bench policies` come to a guess trace: read, gone on with, or recorded."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from foretell.api import Model
    from foretell.lab.replay.trace import GuessTrace
    from foretell.lab.suite import Prompt
    from foretell.profile.file import Profile


def covers(path: Path | None, prompts: "Sequence[Prompt]", max_tokens: int, temperature: float, seed: int) -> bool:
    """Whether a file has all of these prompts, answered so, so that no model need be loaded."""
    from foretell.errors import UsageError
    from foretell.lab.replay.trace import read

    if path is None or not path.exists() or not path.stat().st_size:
        return False
    found = read(path)
    about = found.about
    asked = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed}
    for name, value in asked.items():
        if getattr(about, name) != value:
            raise UsageError(
                f"{path} was recorded with {name} {getattr(about, name)}, this is {value}: give another --trace, or "
                "the same options"
            )
    return {(each.klass, each.id) for each in prompts} <= {(text.klass, text.id) for text in found.texts}


def chosen(trace: "GuessTrace", prompts: "Sequence[Prompt]") -> "GuessTrace":
    """Only the texts of these prompts."""
    wanted = {(each.klass, each.id) for each in prompts}
    return replace(trace, texts=tuple(text for text in trace.texts if (text.klass, text.id) in wanted))


def recorded(
    model: "Model", path: Path, prompts: "Sequence[Prompt]", max_tokens: int, temperature: float, seed: int
) -> None:
    """Answer and write down what the file has not, with a bar."""
    from foretell.cli.progress import steps
    from foretell.lab.replay.record import about
    from foretell.lab.replay.recording import Recording

    known = about(model, max_tokens=max_tokens, temperature=temperature, seed=seed)
    recording = Recording(path, known, _profile(model))
    done = sum((each.klass, each.id) in recording.known for each in prompts)
    with steps("texts", len(prompts), done) as advance:
        try:
            for _ in recording.add(model, prompts):
                advance()
        except KeyboardInterrupt:
            typer.echo(f"stopped: what was recorded is in {path}; the same command goes on", err=True)
            raise


@contextmanager
def kept(path: Path | None) -> Iterator[Path]:
    """The file, or one that is forgotten afterwards."""
    if path is not None:
        yield path
        return
    with TemporaryDirectory(prefix="foretell-") as folder:
        yield Path(folder) / "trace.jsonl"


def _profile(model: "Model") -> "Profile":
    """What was measured of the loaded models: what they go by."""
    from foretell.cli.progress import bars
    from foretell.runtime.opening import Opening

    with bars() as progress:
        return Opening(None, None, None, False, progress).profile(model.backend, model.drafter)
