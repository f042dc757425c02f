"""The server process: its socket, its signals and its end."""

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from foretell.errors import ForetellError, why
from foretell.serve.app import Application, Served
from foretell.serve.guard import Guard
from foretell.serve.refusal import Refusal
from foretell.serve.reply import encoded
from foretell.serve.service import Service

HEADER_BYTES = 65_536
KEEP_ALIVE_S = 30


class Protocol(H11Protocol):
    """HTTP, with OpenAI's form for what is no HTTP."""

    def send_400_response(self, msg: str) -> None:
        """Answer, unless something is being answered already, and hang up."""
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.close()
            return
        body = encoded(Refusal(400, msg, code="invalid_http").body)
        head = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
        self.transport.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        self.transport.close()


class Server(uvicorn.Server):
    """Serves until a signal comes, or until `should_exit` is set; a second Ctrl-C ends it at once.

    Args:
        service: answers. guard: says who may ask. on_served: told of each request at its end.
    """

    def __init__(self, service: Service, guard: Guard, on_served: Callable[[Served], None] = lambda _: None) -> None:
        self._service = service
        super().__init__(
            uvicorn.Config(
                Application(service, guard, on_served),
                http=Protocol,
                ws="none",
                lifespan="off",
                loop="asyncio",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                h11_max_incomplete_event_size=HEADER_BYTES,
            )
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """What waits is sent away, what is computed may go on for a while."""
        self._service.stop()
        timer = asyncio.get_running_loop().call_later(self._service.limits.grace_s, self._service.hurry)
        await super().shutdown(sockets)
        timer.cancel()


def listen(host: str, port: int) -> socket.socket:
    """A socket at an address; 0 is any free port. Raises ForetellError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ForetellError(f"cannot listen at {host}: {why(error)}; choose another --host") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(1)
    except OSError as error:
        bound.close()
        raise ForetellError(f"cannot listen at {host}, port {port}: {why(error)}; choose another --port") from error
    return bound


def url(bound: socket.socket) -> str:
    """Where a socket is reached."""
    host, port = bound.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def run(server: Server, service: Service, bound: socket.socket) -> None:
    """Serve at a socket until a signal comes."""
    try:
        with _signals_end(server):
            server.run([bound])
    finally:
        service.stop()
        service.close()
        bound.close()


@contextmanager
def _signals_end(server: Server) -> Iterator[None]:
    """Signals end the server also before it listens for them, and not the process once it has ended.

    (uvicorn raises those again that ended it.)
    """

    def end(_: int, __: FrameType | None) -> None:
        server.should_exit = True

    before = {each: signal.signal(each, end) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
