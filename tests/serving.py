"""Servers for tests: on a free loopback port, in a thread of this process."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import openai

import foretell
from foretell.api import Model
from foretell.backend.protocol import Rows, Scores, Want
from foretell.backend.toy import ToyBackend, ToySession
from foretell.serve.app import Served
from foretell.serve.guard import Guard
from foretell.serve.limits import Limits
from foretell.serve.server import Server, listen, url
from foretell.serve.service import Service

HELLO = [{"role": "user", "content": "hello there"}]
# An answer that goes on until somebody stops it: without its end token, and with few guesses that are right.
ENDLESS: dict[str, Any] = {"max_tokens": 3000, "logit_bias": {"256": -100}, "temperature": 1.5, "seed": 3}


class SlowSession(ToySession):
    """The toy's, with passes that take so long that one can watch."""

    pass_s = 0.02

    def step(self, rows: Rows, want: Want) -> Scores:
        time.sleep(self.pass_s)
        return super().step(rows, want)


class SlowBackend(ToyBackend):
    """The toy with slow passes."""

    def session(self) -> ToySession:
        return SlowSession(self.model, self.context)


def slow_model() -> Model:
    backend = SlowBackend()
    return Model(backend, backend.pass_costs or {})


@dataclass
class Running:
    """A server. served: the requests that it has answered."""

    url: str
    service: Service
    server: Server
    thread: threading.Thread
    served: list[Served] = field(default_factory=list)

    def client(self, **options: Any) -> openai.OpenAI:
        given = {"api_key": "none", "max_retries": 0, "timeout": 60} | options
        return openai.OpenAI(base_url=f"{self.url}/v1", **given)

    def post(
        self, path: str, body: object, headers: dict[str, str] | None = None, method: str = "POST"
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Status, JSON body and headers of a raw request."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=60)
        try:
            connection.request(method, path, data, {"content-type": "application/json"} | (headers or {}))
            response = connection.getresponse()
            return response.status, json.loads(response.read()), {k.lower(): v for k, v in response.getheaders()}
        finally:
            connection.close()

    def ask(self, **fields: object) -> tuple[int, dict[str, Any], dict[str, str]]:
        """A raw chat request."""
        return self.post("/v1/chat/completions", {"model": "toy", "messages": HELLO, "max_tokens": 5} | fields)


@contextmanager
def serving(
    model: Model | None = None,
    limits: Limits | None = None,
    *,
    api_key: str | None = None,
    keep_tokens: int = 4096,
    quality_budget: float | None = None,
) -> Iterator[Running]:
    """A server while the context lasts."""
    model = model or foretell.load("toy")
    limits = limits or Limits(grace_s=0)
    service = Service(model, limits, level="O2", keep_tokens=keep_tokens, quality_budget=quality_budget)
    served: list[Served] = []
    server = Server(service, Guard(api_key, "127.0.0.1"), served.append)
    bound = listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, args=([bound],))
    thread.start()
    try:
        yield Running(url(bound), service, server, thread, served)
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        service.stop()
        service.close()
        bound.close()
        model.close()
        assert not thread.is_alive()


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for something."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited for nothing"
        time.sleep(0.005)
