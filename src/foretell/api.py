"""The Python interface: load a model, generate or stream text, hold a conversation (`foretell.conversation`).

>>> import foretell
>>> model = foretell.load("toy")
>>> prompt = "to be or not to be, that is the question. to be or"
>>> result = model.generate(prompt, max_tokens=20)
>>> plain = model.generate(prompt, max_tokens=20, speculation=False)
>>> result.text == plain.text, result.rounds < plain.rounds, plain.tokens_per_round
(True, True, 1.0)

Events come one per token and say who proposed it:

>>> events = list(model.stream(prompt, max_tokens=20))
>>> "".join(event.text for event in events) == result.text
True
>>> sorted({event.source for event in events})
['lookup', 'target']

A stop string is cut off; sampling is repeatable by its seed:

>>> first = model.generate("abc", temperature=0.9, max_tokens=10, seed=5)
>>> stopped = model.generate("abc", temperature=0.9, max_tokens=10, seed=5, stop=first.text[4:6])
>>> stopped.text == first.text[:4], stopped.finish
(True, 'stop')
>>> model.close()
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from foretell.accept.grammar import Guide
from foretell.accept.sampling import Sampling
from foretell.backend.model import Backend
from foretell.backend.protocol import Session
from foretell.conversation import Chat
from foretell.cost.facts import Facts
from foretell.cost.joules import in_joules
from foretell.errors import ForetellError, UsageError
from foretell.ir.ops import Pipeline
from foretell.profile.passes import free_rows
from foretell.runtime.bill import Bill, Billing
from foretell.runtime.bind import Bound
from foretell.runtime.binding import Binding
from foretell.runtime.calibration import Calibration, Certificate, of_pair
from foretell.runtime.calibration import Model as CalibratedModel
from foretell.runtime.choose import DRAFT, choose, constrained, facts
from foretell.runtime.context import Context
from foretell.runtime.drafter import Drafter
from foretell.runtime.events import Result
from foretell.runtime.history import Message, checked_text
from foretell.runtime.loop import OnPrompt, Request, Stream
from foretell.runtime.meter import Meter, Metered
from foretell.runtime.opening import Opening
from foretell.runtime.pace import Pace
from foretell.runtime.route import is_sure, route_of, unrouted
from foretell.runtime.settings import Options, Settings
from foretell.runtime.trace import Recorder
from foretell.runtime.within import Asking, within_budget

if TYPE_CHECKING:
    from foretell.models.sources import Progress


def load(
    name_or_path: str | Path | None = None,
    *,
    threads: int | None = None,
    context: int | None = None,
    cache_dir: Path | None = None,
    pull: bool = True,
    progress: "Progress | None" = None,
    draft: str | Path | None = None,
    calibration: Path | None = None,
) -> "Model":
    """Load a model.

    Args:
        name_or_path: a name of the catalogue (`foretell models`), `hf:org/repo/file.gguf`, a path to a GGUF file, or
            "toy" for a tiny built-in model that needs no file. None: the catalogue's default.
        threads: worker threads; None chooses.
        context: most tokens of prompt and output together; None chooses.
        cache_dir: where models and compiled code are kept; None: the user's cache directory.
        pull: whether a missing model may be fetched.
        progress: told about fetching and packing.
        draft: a smaller model that guesses what this one will say; named as the first one. It must have the same
            tokens.
        calibration: the file that `quality_budget` goes by; None: the one of this pair that is kept, if there is one.

    Raises:
        ForetellError: a model cannot be had, read or run here, or the two have different tokens.
        UsageError: an argument is out of range.
    """
    started = perf_counter()
    _check(threads, context)
    opening = Opening(threads, context, cache_dir, pull, progress)
    if draft is not None:
        opening.check_pair(name_or_path, draft)
    backend = opening.open(name_or_path)
    drafter: Drafter | None = None
    try:
        drafter = None if draft is None else opening.drafter(draft, backend)
        known = opening.facts(backend, drafter)
        billing = Billing.of(backend, None if drafter is None else drafter.meter, opening.profiles.folder)
        where, costs = calibration or opening.calibrations, dict(known.target.points)
        return Model(backend, costs, perf_counter() - started, drafter, known, billing, where)
    except BaseException:  # Ctrl-C, most likely
        if drafter is not None:
            drafter.close()
        backend.close()
        raise


class Model:
    """A loaded model. Use it as a context manager, or call `close`. Not for two threads at once.

    Attributes:
        name: what was loaded. load_s: what loading took. backend: what runs it. drafter: the draft model, if any.
        pass_costs: measured milliseconds of a pass by row count. facts: what the compiler decides by.
        billing: how its generations come to joules. calibrated: the calibration's file, or the folder that may have it.
    """

    def __init__(
        self,
        backend: Backend,
        pass_costs: Mapping[int, float],
        load_s: float = 0.0,
        drafter: Drafter | None = None,
        known: Facts | None = None,
        billing: Billing | None = None,
        calibrated: Path | None = None,
    ) -> None:
        self.backend = backend
        self.name = backend.name
        self.pass_costs = dict(pass_costs)
        self.load_s = load_s
        self.drafter = drafter
        self.facts = known or facts(self.pass_costs, {} if drafter is None else {DRAFT: drafter.pass_costs()})
        self.billing = billing or Billing.of(backend, None if drafter is None else drafter.meter)
        self.facts = replace(self.facts, energy=self.billing.pricing({} if drafter is None else {DRAFT: drafter}))
        self._session: Session | None = backend.session()
        self._chosen: dict[str, Pipeline] = {}  # by level
        self._in_joules: Facts | None = None  # made for the first generation at Oe
        self._guide: Guide | None = None  # made when the first grammar comes
        self._small: Model | None = None  # the draft model as one that answers
        self.calibrated = calibrated
        self._calibration: Calibration | None = None  # read when the first quality budget comes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def context(self) -> int:
        """Most tokens of prompt and output together."""
        return self.session.context

    @property
    def free_rows(self) -> int:
        """Rows that one pass scores in about the time of one."""
        return free_rows(self.pass_costs)

    @property
    def session(self) -> Session:
        """The session that all generations of this model share."""
        if self._session is None:
            raise ForetellError("the model is closed: load it again")
        return self._session

    def generate(
        self,
        prompt: str | Sequence[Message],
        *,
        system: str | None = None,
        raw: bool = False,
        **options: Unpack[Options],
    ) -> Result:
        """The whole text at once. Arguments as for `stream`."""
        return self.stream(prompt, system=system, raw=raw, **options).result

    def stream(
        self,
        prompt: str | Sequence[Message],
        *,
        system: str | None = None,
        raw: bool = False,
        on_prompt: OnPrompt | None = None,
        recorder: Recorder | None = None,
        **options: Unpack[Options],
    ) -> Stream:
        """Token by token.

        Args:
            prompt: a text, or the messages of a conversation.
            system: a system message before them.
            raw: continue the text as it is, without the chat template; names of control tokens in it mean these.
            on_prompt: told how many of the prompt's tokens were read.
            recorder: notes what every round did (`foretell.runtime.trace`).
            options: see foretell.runtime.settings.Settings.

        Returns:
            An iterator of events, with the `result` at the end.
        """
        started, settings = perf_counter(), Settings(**options)
        bill = self.bill(recorder)
        request = self.request(self.encode(prompt, system, raw), settings, started)
        if settings.quality_budget is not None:
            return self.within_budget(Asking(request, settings, bill, on_prompt, recorder))
        model, context, settings = self._routed(request, settings, bill)
        request = request if model is self else replace(request, answered_by="draft")
        try:
            bound = model.bound(settings, request.sampling)
            detokeniser = model.backend.detokeniser()
            return Stream(
                request,
                context,
                detokeniser,
                bound,
                on_prompt=on_prompt,
                on_end=context.close,
                recorder=recorder,
                bill=bill,
            )
        except BaseException:
            context.close()
            raise

    def within_budget(self, asking: Asking) -> Stream:
        """The stream of whoever may answer within the quality budget of the settings.

        Raises:
            UsageError: there is no calibration for it, it is of other models, or it certifies no such budget.
        """
        certificate = self.certified(asking.settings)
        held = within_budget(self, self.small, certificate, asking)
        doubts = self.calibration().doubts(*self.pair)
        held.why += f" ({doubts})" if doubts and held.why else ""
        return held

    def calibration(self) -> Calibration:
        """Of this model and its draft model; a UsageError where there is none."""
        if self.drafter is None:
            raise UsageError("a quality budget needs a small model: load one with --draft, as it was calibrated")
        if self._calibration is None:
            if self.calibrated is None:
                raise UsageError("this model was loaded without a place for calibrations: use foretell.load")
            self._calibration = of_pair(self.calibrated, *self.pair)
        return self._calibration

    def certified(self, settings: Settings) -> Certificate:
        """What the quality budget of these settings allows; a UsageError says why nothing."""
        calibration = self.calibration()
        calibration.check_settings(settings.temperature, settings.top_k, settings.top_p, settings.min_p)
        return calibration.certificate(settings.quality_budget or 0.0)

    @property
    def pair(self) -> "tuple[CalibratedModel, CalibratedModel]":
        """Target and draft model, as calibrations know them."""
        small = self.small.backend
        return CalibratedModel.of(self.name, self.backend.key), CalibratedModel.of(small.name, small.key)

    @property
    def small(self) -> "Model":
        """The draft model as one that answers."""
        if self.drafter is None:
            raise UsageError("there is no small model: load one with --draft")
        if self._small is None:
            self._small = Model(self.drafter.backend(), self.drafter.pass_costs())
        return self._small

    def chat(self, system: str | None = None) -> Chat:
        """A conversation that keeps what was read."""
        return Chat(self, system)

    def encode(self, prompt: str | Sequence[Message], system: str | None = None, raw: bool = False) -> list[int]:
        """Token ids of a prompt."""
        codec = self.backend.codec
        if raw:
            if not isinstance(prompt, str) or system is not None:
                raise UsageError("a raw prompt is one text without a system message: leave one of the two out")
            return codec.with_bos(codec.encode(checked_text(prompt), special=True))
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        checked_text(messages[-1]["content"] if messages else "")
        return codec.with_bos(codec.encode_protected(self.render(messages, system)))

    def render(self, messages: Sequence[Message], system: str | None = None) -> str:
        """The text of a conversation under the model's chat template, for `encode_protected` of the codec."""
        first = [] if system is None else [{"role": "system", "content": system}]
        protect = self.backend.codec.protect
        safe = [{"role": each["role"], "content": protect(each["content"])} for each in (*first, *messages)]
        return self.backend.template.render(safe)

    def request(self, prompt: Sequence[int], settings: Settings, started: float) -> Request:
        """What the loop needs."""
        seed = settings.choose_seed()
        return Request(
            prompt=prompt,
            max_tokens=settings.max_tokens,
            sampling=settings.sampling(seed),
            end_ids=self.backend.codec.end_ids,
            stop=settings.stops,
            top=settings.logprobs,
            piece_rows=self.backend.piece_rows,
            seed=seed,
            load_s=self.load_s,
            started_s=started,
        )

    def bill(self, recorder: Recorder | None = None) -> Bill:
        """What a generation takes that begins now. recorder: its notes, which count passes too."""
        return self.billing.begin(Meter() if recorder is None else recorder.target)

    def costs(self, level: str) -> Facts:
        """What decisions at a level go by: facts, with costs in joules at Oe."""
        if level != "Oe":
            return self.facts
        self._in_joules = self._in_joules or in_joules(self.facts)
        return self._in_joules

    def pace(self, level: str = "O2") -> Pace:
        """A new rule for what paced sources guess at a level.

        It may use more than the free rows, as far as passes were measured: only where it expects that to pay.
        """
        return Pace(self.costs(level), max(self.pass_costs))

    def _routed(self, request: Request, settings: Settings, bill: Bill) -> "tuple[Model, Context, Settings]":
        """Who answers a request, in what context, and under which settings: the pipeline may route it."""
        route, pipeline = route_of(settings.pipeline), settings.pipeline
        if route is None or pipeline is None:
            return self, Context(self.session), settings
        if self.drafter is None or route.small != DRAFT:
            raise UsageError(f"pipeline {pipeline.name} routes to {route.small!r}: load it with --draft")
        settings = replace(settings, pipeline=unrouted(pipeline))
        small = self.small
        context = Context(Metered(small.session, bill.small, small.billing.counter))
        if is_sure(route, request, context):
            bill.counter = None  # its session counts already
            return small, context, settings
        context.close()
        return self, Context(self.session), settings

    def pipeline(self, settings: Settings) -> Pipeline:
        """What the level of these settings comes to here."""
        speculates = settings.speculation and max(self.pass_costs) > 1  # no guess was ever measured otherwise
        level = settings.level if speculates else "O0"
        if level not in self._chosen:
            self._chosen[level] = choose(level, self.facts)
        chosen = self._chosen[level]
        return chosen if settings.grammar is None else constrained(chosen)

    def bound(
        self, settings: Settings, sampling: Sampling, pace: Pace | None = None, hint: Sequence[int] = ()
    ) -> Bound:
        """The pipeline of a generation, ready to run.

        Args:
            settings: of the generation.
            sampling: the same for the engine.
            pace: with what earlier turns taught it; None for a new one.
            hint: tokens of a text that the output may be like. It changes the speed, as all guesses do.
        """
        pipeline = settings.pipeline or self.pipeline(settings)
        walk = None
        if settings.grammar is not None:
            self._guide = self._guide or Guide(self.backend.codec, self.session.vocabulary)
            walk = self._guide.walk(settings.grammar)
        pace = pace or self.pace(settings.level)
        binding = Binding(sampling, self.session.vocabulary, pace, self.costs(settings.level), self.drafter, walk, hint)
        return binding.bound(pipeline)

    def close(self) -> None:
        """Give back memory and threads."""
        if self._session is not None:
            self._session = None
            if self.drafter is not None:
                self.drafter.close()
            self.backend.close()


def _check(threads: int | None, context: int | None) -> None:
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if threads is not None and not 1 <= threads <= processors:
        raise UsageError(f"threads is {threads}, must be between 1 and the number of processors, {processors}")
    if context is not None and context < 2:
        raise UsageError(f"context is {context}, must be 2 or more")
