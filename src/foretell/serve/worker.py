"""The thread that computes. It alone touches the model, one request at a time."""

import logging
from threading import Thread
from time import perf_counter
from typing import Final

from foretell.api import Model
from foretell.errors import ForetellError
from foretell.runtime.loop import Stream
from foretell.runtime.trace import Recorder
from foretell.runtime.within import Asking
from foretell.runtime.written import Written
from foretell.serve.answer import Answer
from foretell.serve.job import Job
from foretell.serve.metrics import Metrics
from foretell.serve.pool import Pool, Seat
from foretell.serve.refusal import Refusal, gone, wrong
from foretell.serve.waiting import Waiting

log: Final = logging.getLogger("foretell.serve")


class Worker(Thread):
    """Takes jobs from the queue and answers them until the queue is closed.

    The rest of the server knows jobs and the queue alone. A worker that computes several requests in one pass would
    take a job whenever it has a sequence free, and `put` each one's events as its rounds give them.

    Args:
        model: what answers. waiting: the queue. pool: contexts. written: told of finished conversations.
        metrics: told of finished generations.
    """

    def __init__(self, model: Model, waiting: Waiting[Job], pool: Pool, written: Written, metrics: Metrics) -> None:
        super().__init__(name="foretell-worker", daemon=True)
        self._model, self._waiting, self._pool = model, waiting, pool
        self._written, self._metrics = written, metrics
        self.running: Job | None = None
        self.usual_s = 1.0  # what an answer takes, the recent ones more

    def run(self) -> None:
        """Until the queue is closed."""
        while (job := self._waiting.take()) is not None:
            self.running = job
            begun = perf_counter()
            try:
                job.put(job.why or self._answered(job))
            except Exception:
                log.exception("a request failed")
                job.put(Refusal(500, "the server failed; its log says why", code="internal_error"))
            finally:
                self.running = None
                self.usual_s += 0.2 * (perf_counter() - begun - self.usual_s)

    def _answered(self, job: Job) -> Answer | Refusal:
        """What becomes of a job; its events are handed out on the way."""
        queue_s = perf_counter() - job.arrived
        seat = self._pool.take(job.prompt.ids)
        try:
            outcome = self._computed(job, seat, queue_s)
        except BaseException:
            seat.context.close()
            raise
        self._pool.give(seat)
        return outcome

    def _computed(self, job: Job, seat: Seat, queue_s: float) -> Answer | Refusal:
        recorder = Recorder(None if self._model.drafter is None else self._model.drafter.meter)
        try:
            stream = self._stream(job, seat, recorder)
        except ForetellError as error:  # what only the model can tell, such as a bias for a token that it does not have
            return Refusal(400, str(error), code="invalid_value")
        job.begin(stream)
        sources: dict[str, int] = {}
        try:
            for event in stream:
                sources[event.source] = sources.get(event.source, 0) + 1
                job.put(event)
            result = stream.result
        except ForetellError as error:
            if job.settings.grammar is None:
                raise
            return wrong("response_format", str(error))  # one that is fine by itself, but not for this model or text
        answer = Answer(result, recorder.reused, queue_s, sources)
        self._metrics.answer(answer, recorder)
        if result.finish == "cancelled":
            return job.why or gone()
        if job.prompt.rendered is not None:
            self._written.add(job.prompt.rendered, job.prompt.ids, result)
        return answer

    def _stream(self, job: Job, seat: Seat, recorder: Recorder) -> Stream:
        model = self._model
        bill = model.bill(recorder)
        request = model.request(job.prompt.ids, job.settings, perf_counter())
        if job.settings.quality_budget is not None:
            asking = Asking(
                request,
                job.settings,
                bill,
                recorder=recorder,
                seat=(seat.context, seat.pace),
                hint=job.prompt.hint,
                stopped=lambda: job.why is not None,
            )
            return model.within_budget(asking)
        bound = model.bound(job.settings, request.sampling, seat.pace, job.prompt.hint)
        return Stream(request, seat.context, model.backend.detokeniser(), bound, recorder=recorder, bill=bill)
