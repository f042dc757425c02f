"""A suite of prompts, run by several configurations.

The configurations take turns prompt by prompt in shuffled order, so that a machine that slows down slows all of them.
A rival is one more Configuration. `foretell.lab.summary` makes figures of the runs.
"""

import json
import random
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from foretell.api import Model
from foretell.errors import ForetellError, why
from foretell.runtime.events import Result
from foretell.runtime.settings import Options

Q = TypeVar("Q")
C = TypeVar("C")
Key = tuple[str, str, str, int]  # class and id of a prompt, configuration, repeat


@dataclass(frozen=True, slots=True)
class Prompt:
    """One line of a suite file: its class, its name and what is asked."""

    klass: str
    id: str
    text: str


class Configuration(Protocol):
    """Something that answers prompts."""

    @property
    def name(self) -> str:
        """Its name in the output."""
        ...

    def run(self, prompt: str, max_tokens: int) -> Result:
        """Answer a prompt from scratch."""
        ...


@dataclass(frozen=True, slots=True)
class Ours:
    """A loaded model, run as these options say."""

    name: str
    model: Model
    options: Options

    def run(self, prompt: str, max_tokens: int) -> Result:
        """Answer a prompt; what was read for others, by a draft model too, does not serve it."""
        if self.model.drafter is not None:
            self.model.drafter.forget()
        result = self.model.generate(prompt, **(self.options | Options(max_tokens=max_tokens)))
        if result.finish == "cancelled":
            raise KeyboardInterrupt
        return result


@dataclass(frozen=True, slots=True)
class Run:
    """What one configuration made of one prompt. repeat: the how manieth time, from 0."""

    prompt: Prompt
    configuration: str
    result: Result
    repeat: int = 0

    @property
    def key(self) -> Key:
        """What tells it from other runs of a suite whose ids differ."""
        return self.prompt.klass, self.prompt.id, self.configuration, self.repeat


def read_suite(path: Path, classes: Sequence[str] = (), limit: int | None = None) -> list[Prompt]:
    """The prompts of a JSONL file with the fields klass, id, prompt; of these classes, at most `limit` of each."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ForetellError(f"cannot read {path}: {why(error)}; give a JSONL file") from error
    prompts = [_prompt(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    known = list(dict.fromkeys(prompt.klass for prompt in prompts))
    for klass in classes:
        if klass not in known:
            raise ForetellError(f"{path} has no class {klass!r}; its classes are {', '.join(known) or 'none'}")
    chosen = [p for klass in classes or known for p in [p for p in prompts if p.klass == klass][:limit]]
    if not chosen:
        raise ForetellError(f"{path} has no prompts: one JSON object a line with klass, id and prompt is expected")
    return chosen


def run_suite(
    prompts: Sequence[Prompt],
    configurations: Sequence[Configuration],
    max_tokens: int,
    seed: int = 0,
    repeats: int = 1,
    known: Container[Key] = (),
) -> Iterator[Run]:
    """Every prompt with every configuration, in an order that the seed shuffles, and all of that again per repeat.

    known: keys of runs that are left out; the others keep their order.
    """
    for prompt, configuration, repeat in turns(prompts, lambda _: configurations, seed, repeats):
        if (prompt.klass, prompt.id, configuration.name, repeat) not in known:
            yield Run(prompt, configuration.name, configuration.run(prompt.text, max_tokens), repeat)


def turns(
    questions: Sequence[Q], who: Callable[[Q], Sequence[C]], seed: int, repeats: int
) -> Iterator[tuple[Q, C, int]]:
    """The order of a measurement: question, one of those who answer it, and repeat.

    All who answer a question do so before the next one comes, in an order that the seed shuffles as it does that of the
    questions. It depends on nothing else, so that a measurement that is gone on with keeps it.
    """
    order = random.Random(seed)  # noqa: S311 — nothing secret
    for repeat in range(repeats):
        for question in order.sample(questions, len(questions)):
            answering = who(question)
            for each in order.sample(answering, len(answering)):
                yield question, each, repeat


def _prompt(path: Path, number: int, line: str) -> Prompt:
    try:
        fields = json.loads(line)
        prompt = Prompt(fields["klass"], str(fields["id"]), fields["prompt"])
    except (ValueError, KeyError, TypeError) as error:
        raise ForetellError(f"{path}, line {number}: {error}; expected JSON with klass, id and prompt") from error
    if not isinstance(prompt.text, str) or not isinstance(prompt.klass, str) or not prompt.text.strip():
        raise ForetellError(f"{path}, line {number}: klass and prompt must be texts, and prompt not empty")
    return prompt
