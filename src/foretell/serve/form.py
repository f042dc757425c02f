"""The form of answers: what both endpoints' bodies and streams have in common."""

import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from foretell.backend.model import Codec
from foretell.runtime.events import Event
from foretell.serve.answer import Answer
from foretell.serve.ask import Ask

LEAST_LOGPROB: Final = -9999.0  # instead of minus infinity, which JSON does not have


class Form(ABC):
    """Makes the objects that a client gets for one request.

    Args:
        ask: the request. model: the model's name. codec: its tokenizer. fingerprint: what the text depends on besides
            the request: model, engine and instruction set.
    """

    prefix: ClassVar[str]
    whole_kind: ClassVar[str]
    part_kind: ClassVar[str]

    def __init__(self, ask: Ask, model: str, codec: Codec, fingerprint: str) -> None:
        self.ask, self.codec = ask, codec
        self._head = {
            "id": self.prefix + secrets.token_hex(12),
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": fingerprint,
        }

    @abstractmethod
    def opening(self) -> dict[str, Any] | None:
        """The chunk before any text, if there is one."""

    @abstractmethod
    def piece(self, events: Sequence[Event]) -> list[dict[str, Any]]:
        """The choices of a chunk with these tokens."""

    @abstractmethod
    def last(self, finish: str) -> list[dict[str, Any]]:
        """The choices of the chunk that says why the text ended."""

    @abstractmethod
    def choices(self, text: str, events: Sequence[Event], finish: str) -> list[dict[str, Any]]:
        """The choices of an answer as a whole."""

    def part(self, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        """A chunk of a stream."""
        usage = {"usage": None} if self.ask.include_usage else {}
        return self._head | {"object": self.part_kind, "choices": choices} | usage | more

    def closing(self, answer: Answer) -> list[dict[str, Any]]:
        """The chunks behind the text."""
        last = self.part(self.last(answer.result.finish), foretell=answer.figures())
        return [last, self.part([], usage=answer.usage())] if self.ask.include_usage else [last]

    def whole(self, answer: Answer, events: Sequence[Event]) -> dict[str, Any]:
        """An answer as a whole."""
        result = answer.result
        return self._head | {
            "object": self.whole_kind,
            "choices": self.choices(result.text, events, result.finish),
            "usage": answer.usage(),
            "foretell": answer.figures(),
        }


def shown(logprob: float | None) -> float:
    """A log-probability as JSON can have it."""
    return LEAST_LOGPROB if logprob is None else max(LEAST_LOGPROB, logprob)


def byte_list(codec: Codec, token: int) -> list[int] | None:
    """The bytes that a token adds to the text; None for a control token."""
    return list(codec.text_bytes(token)) or None
