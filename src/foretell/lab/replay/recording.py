"""A guess trace in the making: prompts are answered by a loaded model, and each text is written down at once."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter

from foretell.api import Model
from foretell.cost import known
from foretell.errors import ForetellError, UsageError
from foretell.lab.policies.catalogue import OURS, everything, named
from foretell.lab.replay import trace
from foretell.lab.replay.record import record, variants
from foretell.lab.replay.run import generate
from foretell.lab.replay.trace import About
from foretell.lab.suite import Prompt
from foretell.profile.file import Profile
from foretell.profile.record import to_json


class Recording:
    """A file that grows.

    Args:
        path: the file; one that is there is gone on with, when it is of the same models and settings.
        about: what is recorded.
        profile: of the models here.

    `known` are the (class, id) of texts that the file had.
    """

    def __init__(self, path: Path, about: About, profile: Profile) -> None:
        self.known: set[tuple[str, str]] = set()
        self._path, self._about, self._facts = path, about, known.facts(profile)
        if path.exists() and path.stat().st_size:
            before = trace.read(path)
            check_same(path, before.about, about)
            self.known = {(text.klass, text.id) for text in before.texts}
            self._facts = known.facts(before.profile)
            _mend(path)
        else:
            self._write(trace.header(about, profile))

    def add(self, model: Model, prompts: Sequence[Prompt]) -> Iterator[Prompt]:
        """Answer prompts that the file has not, and write down what every source would have guessed.

        An answer too short for any guess is left out.
        """
        wanted = variants(each.pipeline for each in everything(self._facts))
        answers, about = named(OURS, self._facts), self._about
        for prompt in prompts:
            if (prompt.klass, prompt.id) in self.known:
                continue
            ids = model.encode(prompt.text)
            if model.drafter is not None:
                model.drafter.forget()
            played = generate(model, ids, answers, about.sampling, max_tokens=about.max_tokens, clock=perf_counter)
            if played.result.finish == "cancelled":
                raise KeyboardInterrupt
            text = record(model, prompt.klass, prompt.id, ids, played, wanted, about)
            if text is not None:
                self._write(trace.line(text))
            yield prompt

    def _write(self, line: str) -> None:
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise ForetellError(f"cannot write {self._path}: {error.strerror}; give another file") from error


def check_same(path: Path, before: About, now: About) -> None:
    """Raise UsageError when a trace is of something else than what is asked now."""
    then, asked = to_json(before), to_json(now)
    for name, value in asked.items():
        if then[name] != value:
            raise UsageError(
                f"{path} was recorded with {name} {then[name]!r}, this is {value!r}: give another file, or the same "
                "options"
            )


def _mend(path: Path) -> None:
    """Cut off a last line that broke off."""
    data = path.read_bytes()
    end = data.rfind(b"\n") + 1
    if end < len(data):
        path.write_bytes(data[:end])
