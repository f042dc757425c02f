"""Asks questions of the target, of the small model and of pipelines, each once, and judges what they say."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Protocol

from foretell.accept.sampling import Sampling
from foretell.api import Model
from foretell.ir.text import parse
from foretell.lab.budget.modes import Family
from foretell.lab.budget.sample import AGAIN, EXACT, SMALL, Answer
from foretell.lab.quality.items import Item
from foretell.lab.quality.judge import judge
from foretell.lab.quality.sandbox.run import Sandbox
from foretell.lab.record import digest
from foretell.lab.suite import Ours, turns
from foretell.runtime.calibration import Mode
from foretell.runtime.events import Result
from foretell.runtime.gate import AGAIN_SEED
from foretell.runtime.settings import Options, Settings
from foretell.runtime.signals import AGAIN_TEMPERATURE, Step, step
from foretell.runtime.within import Asking, small_stream


@dataclass(frozen=True, slots=True)
class Said:
    """What was answered. steps: of the small model's tokens, with seconds and processor seconds until each."""

    result: Result
    processor_s: float
    steps: Sequence[Step] = ()
    at_s: Sequence[float] = ()
    processor_at_s: Sequence[float] = ()


class Asked(Protocol):
    """A configuration."""

    @property
    def name(self) -> str:
        """Its name in records."""
        ...

    def ask(self, prompt: str, max_tokens: int) -> Said:
        """Answer from scratch."""
        ...


@dataclass(frozen=True, slots=True)
class Whole:
    """The target by a level, or both models by a pipeline."""

    ours: Ours

    @property
    def name(self) -> str:
        """The level's or the pipeline's."""
        return self.ours.name

    def ask(self, prompt: str, max_tokens: int) -> Said:
        """One answer."""
        before = process_time()
        result = self.ours.run(prompt, max_tokens)
        return Said(result, process_time() - before)


@dataclass(frozen=True, slots=True)
class Small:
    """The small model by itself, as `Model.within_budget` lets it begin. sampling: of a second answer."""

    name: str
    model: Model
    options: Options
    sampling: Sampling | None = None

    def ask(self, prompt: str, max_tokens: int) -> Said:
        """One answer, with the clock at every token."""
        model, settings = self.model, Settings(**(self.options | Options(max_tokens=max_tokens)))
        started, before = perf_counter(), process_time()
        request = model.request(model.encode(prompt), settings, started)
        stream = small_stream(model, model.small, Asking(request, settings, model.bill()), self.sampling)
        steps: list[Step] = []
        at_s: list[float] = []
        processor_at_s: list[float] = []
        for event in stream.ahead():
            at_s.append(perf_counter() - started)
            processor_at_s.append(process_time() - before)
            steps.append(step(event))
        result = stream.result
        if result.finish == "cancelled":
            raise KeyboardInterrupt
        return Said(result, process_time() - before, steps, at_s, processor_at_s)


def configurations(
    model: Model, options: Options, families: Sequence[Family], levels: Sequence[Mode] = (), *, again: bool
) -> list[Asked]:
    """Who is asked: the target at the default level, the small model, its second answer, pipelines, other levels."""
    out: list[Asked] = [
        Whole(Ours(EXACT, model, options | Options(level=EXACT))),
        Small(SMALL, model, options),
    ]
    if again:
        out.append(Small(AGAIN, model, options, Sampling(temperature=AGAIN_TEMPERATURE, seed=AGAIN_SEED)))
    return (
        out
        + [
            Whole(Ours(mode.name, model, options | Options(pipeline=parse(mode.pipeline, mode.name))))
            for family in families
            for mode in family.modes
        ]
        + [Whole(Ours(mode.name, model, options | Options(level=mode.name))) for mode in levels]
    )


def answers(
    items: Sequence[Item],
    who: Sequence[Asked],
    max_tokens: int,
    seed: int,
    sandbox: Sandbox,
    known: Collection[tuple[str, str]] = (),
) -> Iterator[Answer]:
    """Answers that are not known yet (by question and configuration), in turns; each is judged before the next."""
    for item, each, _ in turns(items, lambda _: who, seed, 1):
        if (item.id, each.name) not in known:
            yield _judged(item, each.name, each.ask(item.prompt, max_tokens), sandbox)


def _judged(item: Item, name: str, said: Said, sandbox: Sandbox) -> Answer:
    verdict, result = judge(item, said.result.text, sandbox), said.result
    return Answer(
        item.id,
        name,
        bool(verdict.right),
        len(result.tokens),
        digest(result.tokens),
        result.finish,
        result.first_token_s,
        result.response_s,
        said.processor_s,
        result.rounds,
        result.tokens_per_s,
        verdict.why,
        verdict.extracted,
        result.tokens if said.steps else (),
        tuple(each.surprise for each in said.steps),
        tuple(each.closeness for each in said.steps),
        tuple(each.entropy for each in said.steps),
        tuple(round(each, 5) for each in said.at_s),
        tuple(round(each, 5) for each in said.processor_at_s),
        None if result.energy is None else result.energy.to_json(),
    )
