"""What a client is told when there is no answer, in OpenAI's form."""

import math
from typing import Any, Final

CLIENT_GONE: Final = 499  # not of HTTP's own, but widely used
KINDS: Final = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class Refusal(Exception):  # noqa: N818 — as often returned as raised
    """An answer that is not given.

    Args:
        status: the HTTP status.
        message: what happened and what to do.
        param: the field of the request that is to blame.
        code: a word for programs.
        retry_s: after how many seconds trying again may help; None: it does not.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code, self.retry_s = status, message, param, code, retry_s

    @property
    def body(self) -> dict[str, Any]:
        """The response's body."""
        kind = KINDS.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> dict[str, str]:
        """Whether and when to try again, for clients in general and for OpenAI's own."""
        if self.retry_s is None:
            return {"x-should-retry": "false"}
        return {"retry-after": str(max(1, math.ceil(self.retry_s)))}


def wrong(param: str, message: str, code: str | None = "invalid_value") -> Refusal:
    """A field that makes no sense."""
    return Refusal(400, f"{param}: {message}", param=param, code=code)


def gone() -> Refusal:
    """Nobody will read it, but the record has it."""
    return Refusal(CLIENT_GONE, "the client closed the connection")


def stopping() -> Refusal:
    """The server ends."""
    return Refusal(503, "the server is shutting down: try again later", code="shutting_down", retry_s=5)
