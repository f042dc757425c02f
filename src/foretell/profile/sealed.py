"""Files that say what they are, in which form, and whether somebody changed them.

JSON text of one line: `foretell` says what it is, `version` which form it has, `sha256` guards the rest.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from foretell.errors import ForetellError
from foretell.profile.record import from_json, to_json

T = TypeVar("T")


def sealed(kind: str, version: int, value: Any) -> str:
    """What the file of a record holds. kind: what it is, such as "profile"."""
    body = to_json(value)
    whole = {"foretell": kind, "version": version, "sha256": _digest(body), kind: body}
    return json.dumps(whole, separators=(",", ":"), ensure_ascii=True) + "\n"


def unsealed(content: str, kind: str, version: int, record: type[T], bad: Callable[[str], ForetellError]) -> T:
    """The record of a file's text. bad: the error to raise for what is none, from what is wrong with it."""
    try:
        whole = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise bad("is no JSON text, or cut off") from error
    if not isinstance(whole, dict) or whole.get("foretell") != kind:
        raise bad(f"is not a {kind}")
    if whole.get("version") != version:
        raise bad(f"has version {whole.get('version')!r}, not {version}: another Foretell made it")
    body = whole.get(kind)
    try:
        value = from_json(record, body, kind)
    except ForetellError as error:
        raise bad(f"is damaged: {error}") from error
    if whole.get("sha256") != _digest(body):
        raise bad("was changed by hand")
    return value


def write_whole(path: Path, text: str) -> None:
    """Write a file, whole or not at all. Raises OSError."""
    new = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        new.write_text(text, encoding="utf-8")
        new.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()
        raise


def _digest(body: Any) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
