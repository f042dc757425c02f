"""From a request to a job in the queue: everything about requests that is not HTTP."""

import hashlib
from dataclasses import replace
from pathlib import Path

from foretell import __version__
from foretell.api import Model
from foretell.errors import ForetellError, UsageError
from foretell.runtime.history import checked_text
from foretell.runtime.settings import Settings
from foretell.runtime.written import Written
from foretell.serve.ask import Ask, check_model
from foretell.serve.grammars import Grammars
from foretell.serve.job import Job, Prompt
from foretell.serve.limits import Limits
from foretell.serve.metrics import Metrics
from foretell.serve.pool import Pool
from foretell.serve.refusal import Refusal, stopping, wrong
from foretell.serve.waiting import ClosedError, FullError, Waiting
from foretell.serve.worker import Worker

REMEMBERED_CHARACTERS = 8_000_000  # of conversations whose tokens are known: some 2 million tokens


class Service:
    """A model that answers requests.

    Args:
        model: what answers; from now on the worker's alone, but for its tokenizer and template.
        limits: of requests.
        level: O0 to O3, for all of them.
        keep_tokens: tokens of earlier requests that are kept.
        quality_budget: how much accuracy may be lost where a calibration certifies that; None: nothing.

    Attributes:
        name: what requests call the model. fingerprint: what texts depend on besides requests, as a word.
        waiting: the queue. metrics: what was counted.
    """

    def __init__(
        self, model: Model, limits: Limits, *, level: str, keep_tokens: int, quality_budget: float | None = None
    ) -> None:
        if quality_budget is not None:
            model.calibration().certificate(quality_budget)  # or nothing is served
        self.quality_budget = quality_budget
        self.model, self.limits, self.level = model, limits, level
        self.name = public_name(model.name)
        key = hashlib.sha256(f"{__version__} {model.backend.key}".encode()).hexdigest()
        self.fingerprint = f"foretell-{key[:12]}"
        self.waiting = Waiting[Job](limits.queue)
        self._written = Written(model.backend.codec, REMEMBERED_CHARACTERS)
        self._grammars = Grammars()
        if model.drafter is not None:
            model.drafter.tokens = keep_tokens
        self._pool = Pool(model, keep_tokens, level=level)
        self.metrics = Metrics(
            model.free_rows,
            waiting=lambda: len(self.waiting),
            running=lambda: int(self.running),
            kept=lambda: (len(self._pool), self._pool.tokens),
        )
        self._worker = Worker(model, self.waiting, self._pool, self._written, self.metrics)
        self._worker.start()
        self.stopping = False

    @property
    def running(self) -> bool:
        """Whether a request is being computed."""
        return self._worker.running is not None

    @property
    def alive(self) -> bool:
        """Whether requests are taken in and computed."""
        return not self.stopping and self._worker.is_alive()

    def settings(self, ask: Ask) -> tuple[Prompt, Settings]:
        """What a request comes to for this model, or a Refusal. For any thread; long texts take a while."""
        check_model(ask.model, self.name)
        try:
            grammar = None if ask.format is None else self._grammars.made(*ask.format)
            settings = self._budgeted(ask, Settings(**(ask.options | {"level": self.level, "grammar": grammar})))
            ids, rendered = self._encoded(ask)
        except ForetellError as error:
            raise Refusal(400, str(error), code="invalid_value") from error
        context, size = self.model.context, len(ids)
        if size >= context:
            message = f"the context holds {context} tokens and the prompt has {size}: shorten it"
            param = "messages" if ask.messages else "prompt"
            raise Refusal(400, message, param=param, code="context_length_exceeded")
        hint = self.model.backend.codec.encode(ask.prediction)[:context] if ask.prediction else []
        return Prompt(ids, rendered, hint), settings

    def submit(self, job: Job) -> None:
        """Wait for the worker. Raises a Refusal when there is no room; it may be another one that has to go."""
        try:
            dropped = self.waiting.put(job.client, job)
        except FullError as error:
            raise self._busy(str(error)) from None
        except ClosedError:
            raise stopping() from None
        if dropped is not None:
            dropped.put(self._busy("other clients came, who have fewer requests waiting"))

    def stop(self) -> None:
        """Take nothing in any more, and send away what waits; what is computed goes on."""
        self.stopping = True
        for job in self.waiting.close():
            job.put(stopping())

    def hurry(self) -> None:
        """End what is computed, too."""
        running = self._worker.running
        if running is not None:
            running.stop(stopping())

    def close(self) -> None:
        """After `stop`: wait for the worker and give its contexts back."""
        self.hurry()
        self._worker.join()
        self._pool.close()
        self._grammars.close()

    def _budgeted(self, ask: Ask, settings: Settings) -> Settings:
        """The same within the quality budget; as they are where no calibration was made for such requests."""
        if self.quality_budget is None or not ask.messages:
            return settings
        try:
            wanted = replace(settings, quality_budget=self.quality_budget)
            self.model.certified(wanted)
        except UsageError:
            return settings
        return wanted

    def _encoded(self, ask: Ask) -> tuple[list[int], str | None]:
        """A prompt's tokens, and of a conversation its text."""
        codec, prompt = self.model.backend.codec, ask.prompt
        if ask.messages:
            rendered = self.model.render(ask.messages)
            return self._written.encode(rendered), rendered
        if isinstance(prompt, str):
            return codec.with_bos(codec.encode(checked_text(prompt), special=True)), None
        for token in prompt:
            if not 0 <= token < codec.vocabulary:
                raise wrong("prompt", f"there is no token {token}; ids are 0 to {codec.vocabulary - 1}")
        return list(prompt), None

    def _busy(self, why: str) -> Refusal:
        retry_s = self._worker.usual_s * (len(self.waiting) + 1) / 2
        return Refusal(429, f"the server is busy: {why}; try again later", code="queue_full", retry_s=retry_s)


def public_name(name: str) -> str:
    """What clients call a model: its name, and of a path the file's name without the ending."""
    is_path = not name.startswith("hf:") and ("/" in name or name.endswith(".gguf"))
    return Path(name).stem if is_path else name
