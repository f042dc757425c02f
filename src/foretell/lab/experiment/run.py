"""Runs a plan: every question is answered by all configurations in turn, and each answer becomes a row."""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from foretell import __version__
from foretell.api import Model
from foretell.errors import UsageError
from foretell.ir.text import show
from foretell.lab.contest import Contender
from foretell.lab.experiment.left import Kind, Left
from foretell.lab.experiment.plan import Configuration, Plan
from foretell.lab.experiment.provenance import commit
from foretell.lab.experiment.questions import Asked, Question
from foretell.lab.experiment.rows import KEY, Key, Row
from foretell.lab.experiment.worth import Worth, worth
from foretell.lab.quality import tasks
from foretell.lab.quality.sandbox.run import Sandbox
from foretell.lab.record import digest
from foretell.lab.suite import Ours, turns
from foretell.profile.machine import machine
from foretell.runtime.calibration import Mode
from foretell.runtime.events import Result
from foretell.runtime.settings import Options, Settings


@dataclass(frozen=True, slots=True)
class Answerer:
    """A configuration of loaded models. facts: the fields of its rows that are always the same."""

    configuration: Configuration
    ours: Ours
    facts: Mapping[str, Any]

    def answers(self, question: Question) -> bool:
        """Whether the question is one of its suites'."""
        return self.configuration.suites == () or question.suite.name in self.configuration.suites

    def kind(self, question: Question) -> Kind:
        """What says how long it takes."""
        return self.configuration.name, question.suite.name

    def asked(self, question: Question, repeat: int) -> dict[str, Any]:
        """The fields of a row that are known before the answer."""
        suite, prompt = question.suite, question.prompt
        return {
            **self.facts,
            "suite": suite.name,
            "klass": prompt.klass,
            "id": prompt.id,
            "max_tokens": suite.max_tokens,
            "temperature": suite.temperature,
            "seed": question.seed,
            "repeat": repeat,
        }

    def key(self, question: Question, repeat: int) -> Key:
        """What the row's key will be."""
        asked = self.asked(question, repeat)
        return tuple(asked[name] for name in KEY)

    def row(self, question: Question, repeat: int, sandbox: Sandbox) -> Row:
        """An answer, judged."""
        suite = question.suite
        started = datetime.now(UTC).isoformat(timespec="milliseconds")
        how = self.ours.options | Options(temperature=suite.temperature, seed=question.seed)
        result = replace(self.ours, options=how).run(question.prompt.text, suite.max_tokens)
        judged = Worth()
        if question.item is not None:
            judged = worth(question.item, tasks.task(suite.at), result.text, sandbox)
        return Row(**self.asked(question, repeat), **_figures(result), **asdict(judged), started=started)


def answerers(plan: Plan, models: Mapping[str, Model]) -> list[Answerer]:
    """The plan's configurations. models: loaded, by the plan's names for them."""
    return [_answerer(plan, each, models[each.models]) for each in plan.configurations]


def check_room(asked: Asked, who: Sequence[Answerer]) -> None:
    """Raise UsageError when a prompt and its answer are longer than a model's context."""
    lengths: dict[tuple[str, str], int] = {}
    for each in who:
        model = each.ours.model
        for question in filter(each.answers, asked.questions):
            prompt = question.prompt
            known = model.name, prompt.text
            if known not in lengths:
                lengths[known] = len(model.encode(prompt.text))
            if lengths[known] + question.suite.max_tokens > model.context:
                raise UsageError(
                    f"prompt {prompt.id} of suite {question.suite.name} has {lengths[known]} tokens, and with "
                    f"max_tokens {question.suite.max_tokens} that is more than the {model.context} of {model.name}: "
                    "give a smaller max_tokens, or a larger --context"
                )


def planned(asked: Asked, who: Sequence[Answerer]) -> list[tuple[Kind, Key]]:
    """Every row that there will be."""
    return [
        (each.kind(question), each.key(question, repeat))
        for repeat in range(asked.plan.repeats)
        for question in asked.questions
        for each in who
        if each.answers(question)
    ]


def rows(
    asked: Asked,
    who: Sequence[Answerer],
    known: Container[Key],
    sandbox: Sandbox,
    left: Left,
    until_s: float | None = None,
    clock: Callable[[], float] = monotonic,
) -> Iterator[Row]:
    """Rows whose keys are not known yet.

    Args:
        asked: the questions.
        who: those who answer them.
        known: keys of rows that there are.
        sandbox: where programs are run; a judgement is made before the next question, so that nothing runs beside it.
        left: knows how long answers take; told about each.
        until_s: time of `clock` by which all is to be over: no question is begun that would take longer.
        clock: seconds.
    """
    now: tuple[Question, int] | None = None
    for question, each, repeat in turns(
        asked.questions, lambda q: _of(who, q), asked.plan.seeds[0], asked.plan.repeats
    ):
        if each.key(question, repeat) in known:
            continue
        if now != (question, repeat):
            now = question, repeat
            kinds = [one.kind(question) for one in _of(who, question) if one.key(question, repeat) not in known]
            if until_s is not None and clock() + (left.of(kinds) or 0.0) > until_s:
                return
        row = each.row(question, repeat, sandbox)
        left.add(row)
        yield row


def _of(who: Sequence[Answerer], question: Question) -> list[Answerer]:
    return [each for each in who if each.answers(question)]


def _answerer(plan: Plan, configuration: Configuration, model: Model) -> Answerer:
    level, knobs = configuration.level, dict(configuration.knobs)
    if configuration.budget is not None:
        options = Options(quality_budget=configuration.budget)
        ours, mode = Ours(configuration.name, model, options), _mode(plan, configuration, model, options)
        written = mode.pipeline
        knobs |= {"budget": configuration.budget, "mode": mode.name, "threshold": mode.threshold}
    else:
        pipeline = configuration.pipeline or model.pipeline(Settings(level=level))
        ours = Contender(level or configuration.name, "level" if level else "file", pipeline).ours(model, Options())
        written = show(pipeline)
    drafter = None if model.drafter is None else model.drafter.backend()
    file, _, engine = model.backend.key.partition(", ")
    facts = {
        "plan": plan.name,
        "model": model.name,
        "draft": "" if drafter is None else drafter.name,
        "configuration": configuration.name,
        "origin": configuration.origin,
        "promise": configuration.promise,
        "level": level,
        "pipeline": written,
        "knobs": knobs,
        "machine": machine(),
        "version": __version__,
        "commit": commit(),
        "engine": engine,
        "model_digest": file[:12],
        "draft_digest": "" if drafter is None else drafter.key.partition(", ")[0][:12],
    }
    return Answerer(configuration, ours, facts)


def _mode(plan: Plan, configuration: Configuration, model: Model, options: Options) -> Mode:
    """Who answers within a budget. UsageError where nothing is certified at the temperature of a suite."""
    modes = [
        model.certified(Settings(**(options | Options(temperature=each.temperature)))).mode
        for each in plan.suites
        if each.name in configuration.suites or not configuration.suites
    ]
    return modes[0]


def _figures(result: Result) -> dict[str, Any]:
    energy = result.energy
    joules: dict[str, Any] = {}
    if energy is not None:
        joules = {"joules": energy.value, "joules_low": energy.low, "joules_high": energy.high}
        joules |= {"joules_kind": energy.kind, "joules_source": energy.source}
    same = (
        "prompt_tokens",
        "finish",
        "first_token_s",
        "response_s",
        "tokens_per_s",
        "rounds",
        "draft_passes",
        "guessed",
        "acceptance",
        "answered_by",
        "processor_s",
    )
    counts = {"tokens": len(result.tokens), "digest": digest(result.tokens)}
    return {name: getattr(result, name) for name in same} | counts | joules
