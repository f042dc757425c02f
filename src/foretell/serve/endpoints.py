"""What each path answers."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from foretell.serve import chat, completion
from foretell.serve.ask import Ask, check_model
from foretell.serve.body import read_json
from foretell.serve.form import Form
from foretell.serve.job import Job, Prompt
from foretell.serve.limits import Limits
from foretell.serve.refusal import stopping
from foretell.serve.reply import Json, Reply
from foretell.serve.service import Service

Read = Callable[[object, Limits], Ask]

HEALTH: Final = "/health"


class Endpoints:
    """The handlers, for one service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._made_s = int(time.time())
        self._preparing = asyncio.Lock()  # long prompts are encoded one at a time, beside the event loop

    @property
    def routes(self) -> list[Route]:
        """Which path is answered by which handler."""
        return [
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
            Route("/v1/completions", self._completion, methods=["POST"]),
            Route("/v1/models", self._models, methods=["GET"]),
            Route("/v1/models/{name:path}", self._model, methods=["GET"]),
            Route(HEALTH, self._health, methods=["GET"]),
            Route("/metrics", self._metrics, methods=["GET"]),
        ]

    async def _chat(self, request: Request) -> Response:
        return await self._answer(request, chat.read, chat.ChatForm)

    async def _completion(self, request: Request) -> Response:
        return await self._answer(request, completion.read, completion.TextForm)

    async def _answer(self, request: Request, read: Read, form: type[Form]) -> Response:
        service, limits = self._service, self._service.limits
        body = await read_json(request, limits.body_bytes)
        if service.stopping:
            raise stopping()
        prepare = partial(self._prepared, read, body)
        async with self._preparing:
            ask, prompt, settings = await asyncio.to_thread(prepare)
        job = Job(prompt, settings, (request.client.host if request.client else "", ask.user))
        service.submit(job)
        made = form(ask, service.name, service.model.backend.codec, service.fingerprint)
        return Reply(job, made, limits, service.waiting.remove)

    def _prepared(self, read: Read, body: object) -> tuple[Ask, Prompt, Any]:
        ask = read(body, self._service.limits)
        return ask, *self._service.settings(ask)

    async def _models(self, _: Request) -> Response:
        return Json({"object": "list", "data": [self._described()]})

    async def _model(self, request: Request) -> Response:
        check_model(request.path_params["name"], self._service.name)
        return Json(self._described())

    def _described(self) -> dict[str, Any]:
        service = self._service
        return {
            "id": service.name,
            "object": "model",
            "created": self._made_s,
            "owned_by": "foretell",
            "context_length": service.model.context,
        }

    async def _health(self, _: Request) -> Response:
        service = self._service
        status = "ok" if service.alive else "stopping"
        body = {"status": status, "running": int(service.running), "waiting": len(service.waiting)}
        return Json(body, 200 if service.alive else 503)

    async def _metrics(self, _: Request) -> Response:
        metrics = self._service.metrics
        return Response(metrics.text(), media_type=metrics.content_type)
