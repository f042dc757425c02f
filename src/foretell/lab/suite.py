"""A suite of prompts, run by several configurations, and their figures per class.

The configurations take turns prompt by prompt in shuffled order, so that a machine that slows down slows all of them.
A rival is one more Configuration.
"""

import json
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from foretell.api import Model
from foretell.errors import ForetellError
from foretell.runtime.events import Result

REFERENCE = "plain"  # the configuration whose tokens are right
OVERALL = "overall"


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
    """A loaded model, with or without speculation."""

    name: str
    model: Model
    speculation: bool
    temperature: float = 0.0
    seed: int = 0

    def run(self, prompt: str, max_tokens: int) -> Result:
        """Answer a prompt."""
        return self.model.generate(
            prompt,
            max_tokens=max_tokens,
            speculation=self.speculation,
            temperature=self.temperature,
            seed=self.seed,
        )


@dataclass(frozen=True, slots=True)
class Run:
    """What one configuration made of one prompt."""

    prompt: Prompt
    configuration: str
    result: Result


def read_suite(path: Path, classes: Sequence[str] = (), limit: int | None = None) -> list[Prompt]:
    """The prompts of a JSONL file with the fields klass, id, prompt; of these classes, at most `limit` of each."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ForetellError(f"cannot read {path}: {error}; give a JSONL file") from error
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
    done: Callable[[Run], None] = lambda _: None,
) -> Iterator[Run]:
    """Every prompt with every configuration, in an order that the seed shuffles."""
    order = random.Random(seed)  # noqa: S311 — nothing secret
    for prompt in order.sample(prompts, len(prompts)):
        for configuration in order.sample(configurations, len(configurations)):
            run = Run(prompt, configuration.name, configuration.run(prompt.text, max_tokens))
            done(run)
            yield run


def summarise(runs: Iterable[Run]) -> dict[str, dict[str, dict[str, Any]]]:
    """Configuration → class → figures; the class `overall` holds geometric means over the classes, and sums of counts.

    tokens: sum. tokens_per_s: tokens after the first of all answers by their time. first_token_s, response_s: means.
    tokens_per_round, acceptance: over all rounds and guesses. mismatches: answers with other tokens than `plain`.
    """
    runs = list(runs)
    right = {run.prompt: run.result.tokens for run in runs if run.configuration == REFERENCE}
    table: dict[str, dict[str, dict[str, Any]]] = {}
    for name in dict.fromkeys(run.configuration for run in runs):
        mine = [run for run in runs if run.configuration == name]
        classes = sorted({run.prompt.klass for run in mine})
        figures = {klass: _figures([run for run in mine if run.prompt.klass == klass], right) for klass in classes}
        table[name] = figures | {OVERALL: _overall(list(figures.values()))}
    return dict(sorted(table.items(), key=lambda item: item[0] != REFERENCE))


def _figures(runs: Sequence[Run], right: dict[Prompt, tuple[int, ...]]) -> dict[str, Any]:
    results = [run.result for run in runs]
    timed = [(r.tokens_per_s, r.response_s - (r.first_token_s or 0)) for r in results if r.tokens_per_s is not None]
    started = [r.first_token_s for r in results if r.first_token_s is not None]
    rounds = sum(r.rounds for r in results)
    guessed = sum(r.guessed for r in results)
    return {
        "prompts": len(runs),
        "tokens": sum(len(r.tokens) for r in results),
        "tokens_per_s": sum(rate * s for rate, s in timed) / sum(s for _, s in timed) if timed else None,
        "first_token_s": sum(started) / len(started) if started else None,
        "response_s": sum(r.response_s for r in results) / len(results),
        "tokens_per_round": sum((r.tokens_per_round or 0) * r.rounds for r in results) / rounds if rounds else None,
        "acceptance": sum((r.acceptance or 0) * r.guessed for r in results) / guessed if guessed else None,
        "mismatches": sum(run.result.tokens != right.get(run.prompt, run.result.tokens) for run in runs),
    }


def _overall(classes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    counts = {name: sum(each[name] for each in classes) for name in ("prompts", "tokens", "mismatches")}
    names = ("tokens_per_s", "first_token_s", "response_s", "tokens_per_round", "acceptance")
    return counts | {name: _geometric_mean([each[name] for each in classes]) for name in names}


def _geometric_mean(values: Sequence[float | None]) -> float | None:
    """Of the values that there are; 0 if one of them is 0."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return 0.0 if min(known) <= 0 else math.exp(sum(map(math.log, known)) / len(known))


def _prompt(path: Path, number: int, line: str) -> Prompt:
    try:
        fields = json.loads(line)
        prompt = Prompt(fields["klass"], str(fields["id"]), fields["prompt"])
    except (ValueError, KeyError, TypeError) as error:
        raise ForetellError(f"{path}, line {number}: {error}; expected JSON with klass, id and prompt") from error
    if not isinstance(prompt.text, str) or not isinstance(prompt.klass, str) or not prompt.text.strip():
        raise ForetellError(f"{path}, line {number}: klass and prompt must be texts, and prompt not empty")
    return prompt
