"""The response that waits for a job: as a whole, or as a stream of server-sent events."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from foretell.runtime.events import Event
from foretell.serve.answer import Answer
from foretell.serve.form import Form
from foretell.serve.job import Item, Job, Started
from foretell.serve.limits import Limits
from foretell.serve.refusal import Refusal, gone

ANSWER: Final = "foretell.answer"  # where a request's scope keeps the answer, for the record
STREAM: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx, if one is in between, passes each event on at once
]
DONE: Final = b"data: [DONE]\n\n"


class Reply(Response):
    """A job's answer. Work on it ends when the client goes away.

    Args:
        job: is in the queue already. form: makes the client's objects. limits: of time.
        withdraw: takes a job out of the queue; false when it is not there.
    """

    def __init__(self, job: Job, form: Form, limits: Limits, withdraw: Callable[[Job], bool]) -> None:
        super().__init__()
        self._job, self._form, self._limits, self._withdraw = job, form, limits, withdraw

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it. A Refusal is raised as long as nothing was sent."""
        job, limits = self._job, self._limits
        loop = asyncio.get_running_loop()
        watch = asyncio.create_task(self._watch(receive))
        timer = loop.call_later(limits.queue_s, self._give_up, _waited(limits.queue_s))
        try:
            items = await job.take()
            timer.cancel()
            if isinstance(items[0], Refusal):
                raise items[0]
            timer = loop.call_later(limits.answer_s, job.stop, _too_long(limits.answer_s))
            if self._form.ask.stream:
                scope[ANSWER] = await self._stream(items, send)
            else:
                scope[ANSWER], body = await self._whole(items)
                await Json(body)(scope, receive, send)
        finally:
            timer.cancel()
            watch.cancel()
            self._give_up(gone())
            job.stop()

    async def _whole(self, items: list[Item]) -> tuple[Answer, dict[str, Any]]:
        events: list[Event] = []
        while True:
            for item in items:
                match item:
                    case Event():
                        events.append(item)
                    case Answer():
                        return item, self._form.whole(item, events)
                    case Refusal():
                        raise item
                    case Started():
                        pass
            items = await self._job.take()

    async def _stream(self, items: list[Item], send: Send) -> Answer | None:
        form = self._form
        await send({"type": "http.response.start", "status": 200, "headers": STREAM})
        opening = form.opening()
        if opening is not None:
            await _send_part(send, line(opening))
        while True:
            events = [item for item in items if isinstance(item, Event)]
            if any(event.text for event in events) or (events and form.ask.logprobs):
                await _send_part(send, line(form.part(form.piece(events))))
            match items[-1]:
                case Answer() as answer:
                    lines = [line(each) for each in form.closing(answer)]
                    await _send_part(send, b"".join([*lines, DONE]), more=False)
                    return answer
                case Refusal() as refusal:
                    await _send_part(send, line(refusal.body), more=False)
                    return None
            items = await self._job.take()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._give_up(gone())
        self._job.stop()

    def _give_up(self, why: Refusal) -> None:
        """Do not wait in the queue any more."""
        if self._withdraw(self._job):
            self._job.put(why)


class Json(Response):
    """A JSON response."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        """The body."""
        return encoded(content)


def line(value: dict[str, Any]) -> bytes:
    """An object as an event of a stream."""
    return b"data: " + encoded(value) + b"\n\n"


def encoded(value: object) -> bytes:
    """JSON in UTF-8; halves of surrogate pairs, which have no UTF-8, stay escaped."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


async def _send_part(send: Send, body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


def _waited(seconds: float) -> Refusal:
    message = f"the request waited {seconds:g} s for others: try again later"
    return Refusal(503, message, code="queue_timeout", retry_s=min(seconds, 30))


def _too_long(seconds: float) -> Refusal:
    message = f"the answer was not finished within {seconds:g} s: ask for fewer tokens (max_tokens)"
    return Refusal(504, message, code="timeout")
