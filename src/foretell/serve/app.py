"""The server as an ASGI application: who may ask, how many at once, and what becomes of errors."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from foretell.serve.answer import Answer
from foretell.serve.endpoints import HEALTH, Endpoints
from foretell.serve.guard import Guard
from foretell.serve.refusal import CLIENT_GONE, Refusal
from foretell.serve.reply import ANSWER, Json
from foretell.serve.service import Service

log: Final = logging.getLogger("foretell.serve")
FAILED: Final = Refusal(500, "the server failed; its log says why", code="internal_error")
SPARE: Final = 64  # requests beyond the queue that may be on their way in or out


@dataclass(frozen=True, slots=True)
class Served:
    """A request that was answered. status: 499 when the client went away. answer: what was computed, if anything."""

    method: str
    path: str
    client: str
    status: int
    answer: Answer | None


class Application:
    """Every request goes through here.

    Args:
        service: answers. guard: says who may ask. on_served: told of each request at its end.
    """

    def __init__(self, service: Service, guard: Guard, on_served: Callable[[Served], None]) -> None:
        self._service, self._guard, self._on_served = service, guard, on_served
        endpoints = Endpoints(service)
        self._paths = {route.path for route in endpoints.routes}
        self._inner = Starlette(
            routes=endpoints.routes,
            exception_handlers={Refusal: _refused, HTTPException: _no_route, Exception: _failed},
        )
        self._most = 2 * service.limits.queue + SPARE
        self._now = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        status = CLIENT_GONE

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._now += 1
        try:
            await self._answer(scope, receive, noting)
        except ClientDisconnect:
            pass
        except Exception:
            log.exception("a request failed")
            status = FAILED.status
        finally:
            self._now -= 1
            self._note(scope, status)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._check(scope)
        except Refusal as refusal:
            await _refusal(refusal)(scope, receive, send)
            return
        await self._inner(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        self._guard.check(Headers(scope=scope), is_open=scope["path"] == HEALTH)
        if self._now > self._most:
            raise Refusal(429, f"{self._now} requests at once are too many", code="queue_full", retry_s=1)

    def _note(self, scope: Scope, status: int) -> None:
        path = scope["path"]
        self._service.metrics.request(path if path in self._paths else "other", status)
        client = scope.get("client")
        self._on_served(Served(scope["method"], path, client[0] if client else "", status, scope.get(ANSWER)))


def _refusal(refusal: Refusal) -> Response:
    return Json(refusal.body, refusal.status, refusal.headers)


async def _refused(_: Request, error: Exception) -> Response:
    return _refusal(error if isinstance(error, Refusal) else FAILED)


async def _failed(_: Request, __: Exception) -> Response:
    return _refusal(FAILED)


async def _no_route(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else FAILED.status
    where = f"{request.method} {request.url.path[:200]}"
    if status == 405 and isinstance(error, HTTPException):
        refusal = _refusal(Refusal(405, f"{where}: this path takes another method", code="method_not_allowed"))
        refusal.headers.update(error.headers or {})
        return refusal
    return _refusal(Refusal(status, f"{where}: there is nothing here; see docs/serve.md", code="not_found"))
