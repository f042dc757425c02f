"""Answers within a quality budget: the streams that a certified mode chooses between."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from foretell.accept.sampling import Sampling
from foretell.backend.model import Backend
from foretell.backend.protocol import Session
from foretell.ir.ops import Pipeline
from foretell.runtime.bill import Bill, Billing
from foretell.runtime.bind import Bound
from foretell.runtime.calibration import Certificate
from foretell.runtime.context import Context
from foretell.runtime.gate import Starter, answer
from foretell.runtime.held import Held
from foretell.runtime.loop import OnPrompt, Request
from foretell.runtime.meter import Metered
from foretell.runtime.pace import Pace
from foretell.runtime.settings import Settings
from foretell.runtime.signals import TOP
from foretell.runtime.trace import Recorder


class Speaker(Protocol):
    """What a loaded model (`foretell.api.Model`) does for this."""

    @property
    def backend(self) -> Backend:
        """What runs it."""
        ...

    @property
    def session(self) -> Session:
        """Of all its generations."""
        ...

    @property
    def billing(self) -> Billing:
        """How they come to joules."""
        ...

    def bound(
        self, settings: Settings, sampling: Sampling, pace: Pace | None = None, hint: Sequence[int] = ()
    ) -> Bound:
        """The pipeline of a generation."""
        ...

    def bill(self, recorder: Recorder | None = None) -> Bill:
        """Of a generation."""
        ...


@dataclass(frozen=True, slots=True)
class Asking:
    """A request that the target or the small model may answer.

    bill: of the request, whoever answers; it counts the passes of both. recorder: notes of whoever answers.
    seat: where the target answers, if it does; it stays open. hint: for the target, see `Binding`.
    stopped: whether nobody waits for the answer any more.
    """

    request: Request
    settings: Settings
    bill: Bill
    on_prompt: OnPrompt | None = None
    recorder: Recorder | None = None
    seat: tuple[Context, Pace] | None = None
    hint: Sequence[int] = ()
    stopped: Callable[[], bool] = lambda: False

    @property
    def plain(self) -> Settings:
        """The settings without a budget."""
        return replace(self.settings, quality_budget=None)


def within_budget(large: Speaker, small: Speaker, certificate: Certificate, asking: Asking) -> Held:
    """The stream of whoever answers."""
    starter = Starter(
        lambda sampling: small_stream(large, small, asking, sampling),
        lambda pipeline: _target_stream(large, asking, pipeline),
    )
    return answer(certificate, starter, asking.stopped)


def small_stream(large: Speaker, small: Speaker, asking: Asking, sampling: Sampling | None = None) -> Held:
    """The small model's own answer, with the log-probabilities that calibrations go by.

    sampling: instead of the request's.
    """
    own = large.bill(asking.recorder)
    own.small, own.counter = asking.bill.small, None  # the session counts
    top, drawn = max(TOP, asking.request.top), sampling or asking.request.sampling
    request = replace(asking.request, top=top, sampling=drawn, answered_by="draft")
    context = Context(Metered(small.session, asking.bill.small, small.billing.counter))
    return _held(small, asking, asking.plain, request, context, own, context.close)


def _target_stream(large: Speaker, asking: Asking, pipeline: Pipeline | None) -> Held:
    if asking.recorder is not None:
        asking.recorder.restart()
    request = asking.request if pipeline is None else replace(asking.request, answered_by="both")
    settings = replace(asking.plain, pipeline=pipeline)
    context, pace = asking.seat or (Context(large.session), None)
    end = None if asking.seat else context.close
    return _held(large, asking, settings, request, context, asking.bill, end, pace)


def _held(
    model: Speaker,
    asking: Asking,
    settings: Settings,
    request: Request,
    context: Context,
    bill: Bill,
    end: Callable[[], None] | None,
    pace: Pace | None = None,
) -> Held:
    """A stream; `end` is called with it, or at once where it cannot be made."""
    try:
        return Held(
            request,
            context,
            model.backend.detokeniser(),
            model.bound(settings, request.sampling, pace, asking.hint),
            on_prompt=asking.on_prompt,
            on_end=end,
            recorder=asking.recorder,
            bill=bill,
            top=asking.request.top,
        )
    except BaseException:
        if end is not None:
            end()
        raise
