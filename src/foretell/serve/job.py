"""A request on its way: made and read by the HTTP side, computed by the worker, ended by either."""

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from time import perf_counter
from typing import Final

from foretell.runtime.events import Event
from foretell.runtime.loop import Stream
from foretell.runtime.settings import Settings
from foretell.serve.answer import Answer
from foretell.serve.refusal import Refusal, gone


class Started:
    """The worker begins with a job."""


STARTED: Final = Started()
Item = Started | Event | Answer | Refusal  # the last two come last


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model reads.

    ids: at least one token. rendered: the text of a conversation (`Model.render`), None for other prompts.
    hint: tokens of a text that the answer may be like.
    """

    ids: list[int]
    rendered: str | None
    hint: list[int]


class Job:
    """One request. `put` and `begin` are the worker's, `take` the event loop's, `stop` anyone's.

    Attributes:
        arrived: by `time.perf_counter`. why: the reason to stop, once there is one.
    """

    def __init__(self, prompt: Prompt, settings: Settings, client: tuple[str, ...]) -> None:
        self.prompt, self.settings, self.client = prompt, settings, client
        self.arrived = perf_counter()
        self.why: Refusal | None = None
        self._stream: Stream | None = None
        self._ending = Lock()
        self._loop = asyncio.get_running_loop()
        self._items: deque[Item] = deque()
        self._some = asyncio.Event()
        self._told = False

    def begin(self, stream: Stream) -> None:
        """The worker computes this."""
        with self._ending:
            self._stream = stream
        if self.why is not None:
            stream.cancel()
        self.put(STARTED)

    def put(self, item: Item) -> None:
        """Something for the reader."""
        self._items.append(item)
        if not self._told:
            self._told = True
            with suppress(RuntimeError):  # the event loop is closed: nobody reads
                self._loop.call_soon_threadsafe(self._some.set)

    async def take(self) -> list[Item]:
        """What came since, at least one item."""
        while not self._items:
            await self._some.wait()
            self._some.clear()
            self._told = False
        found = []
        while self._items:
            found.append(self._items.popleft())
        return found

    def stop(self, why: Refusal | None = None) -> None:
        """The answer is not wanted any more: work on it ends within a round.

        The first reason counts; without one it is that the client has gone.
        """
        with self._ending:
            self.why = self.why or why or gone()
            stream = self._stream
        if stream is not None:
            stream.cancel()
