"""The loop of a worker: one JSON command a line on stdin, one JSON answer a line on stdout.

Workers are run by the interpreter that has their rival's library, which need not be ours: what stands in this folder
imports nothing of Foretell. The first command is `load`; what it gives answers the others.

    {"op": "load", ...}  → what the library says of itself
    {"op": NAME, ...}    → what the method of this name gives
    any of them          → {"error": "..."} when it fails
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any, Protocol


class Loaded(Protocol):
    """What a worker has loaded."""

    commands: frozenset[str]  # names of its methods that answer commands
    about: dict[str, Any]  # the answer to `load`


def serve(load: Callable[..., Loaded]) -> None:
    """Answer commands until there are no more."""
    # Libraries may print to stdout: keep the real one for answers and send everything else to stderr.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    loaded: Loaded | None = None
    for line in sys.stdin:
        command = json.loads(line)
        name = command.pop("op")
        try:
            if name == "load":
                loaded = load(**command)
                answer = loaded.about
            elif loaded is None:
                answer = {"error": "load comes first"}
            elif name in loaded.commands:
                answer = getattr(loaded, name)(**command)
            else:
                answer = {"error": f"unknown operation {name}"}
        except Exception as error:  # noqa: BLE001 — whatever the library raises, whoever asked is told
            answer = {"error": " ".join(f"{type(error).__name__}: {error}".split())}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
