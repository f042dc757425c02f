"""The body of a request: read within limits of size and time, and as JSON."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NoReturn

from starlette.requests import Request

from foretell.serve.limits import BODY_S, DEEPEST
from foretell.serve.refusal import Refusal


async def read_json(request: Request, most: int) -> object:
    """The JSON value of a body of at most `most` bytes, or a Refusal."""
    try:
        async with asyncio.timeout(BODY_S):
            return parse(await _read(request, most))
    except TimeoutError:
        raise Refusal(408, f"the body did not arrive within {BODY_S:.0f} s", code="timeout") from None


def parse(data: bytes) -> object:
    """A JSON value, or a Refusal."""
    if not data.strip():
        raise _bad("it is empty")
    try:
        value = json.loads(data.decode(), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise _bad(f"byte {error.start} is not UTF-8") from None
    except RecursionError:
        raise _bad(f"it is nested deeper than {DEEPEST} levels") from None
    except ValueError as error:  # a JSONDecodeError, or a number of too many digits
        raise _bad(str(error)[:200]) from None
    _check_depth(value)
    return value


async def _read(request: Request, most: int) -> bytes:
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said) > most:
        raise _large(most)
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > most:
            raise _large(most)
    return bytes(data)


def _check_depth(value: object) -> None:
    """Refuse what is nested so deep that code written for sensible requests might not bear it."""
    level: list[Any] = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for each in level
            if isinstance(each, list | Mapping)
            for inner in (each.values() if isinstance(each, Mapping) else each)
        ]
        if not level:
            return
    raise _bad(f"it is nested deeper than {DEEPEST} levels")


def _large(most: int) -> Refusal:
    return Refusal(413, f"the body is larger than {most} bytes: shorten it", code="request_too_large")


def _bad(why: str) -> Refusal:
    return Refusal(400, f"the body is not the JSON of a request: {why}", code="invalid_json")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
