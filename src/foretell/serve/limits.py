"""How much a client may ask for."""

from dataclasses import dataclass
from typing import Final

DEEPEST: Final = 100  # lists and objects of a request within each other
BODY_S: Final = 30.0  # for the request to arrive
MOST_STOPS: Final = 16
MOST_STOP_CHARACTERS: Final = 1000


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a server.

    body_bytes: of a request. max_tokens: of an answer when the request does not say. most_tokens: that a request may
    ask for; None: what fits the context. queue: requests that wait. queue_s: how long one may wait. answer_s: how long
    computing one may take. grace_s: what the running one gets at shutdown.
    """

    body_bytes: int = 2**20
    max_tokens: int = 512
    most_tokens: int | None = None
    queue: int = 64
    queue_s: float = 300.0
    answer_s: float = 600.0
    grace_s: float = 10.0
