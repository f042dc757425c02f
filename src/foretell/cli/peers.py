"""Options that name a rival, and where it is found."""

import contextlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from foretell.errors import UsageError
from foretell.flags import PEER_PYTHON, PEER_SERVER

if TYPE_CHECKING:
    from foretell.api import Model
    from foretell.lab.peers.llama_server import LlamaServer

KNOWN: Final = ("llama.cpp",)

Peer = Annotated[str | None, typer.Option("--peer", help="A rival to take turns with: llama.cpp.", show_default="none")]
PeerPython = Annotated[
    Path | None,
    typer.Option(
        "--peer-python",
        envvar=PEER_PYTHON,
        help="Python that has the rival's library, compiled for this machine.",
        show_default="this one",
    ),
]
PeerServer = Annotated[
    Path | None,
    typer.Option(
        "--peer-server",
        envvar=PEER_SERVER,
        help="The rival's server, compiled for this machine.",
        show_default="llama-server on the PATH",
    ),
]
PeerKinds = Annotated[
    str, typer.Option("--peer-kinds", help="How the rival runs: of plain, n-gram and draft, separated by commas.")
]
PeerDraft = Annotated[
    str | None,
    typer.Option("--peer-draft", help="The rival's draft model.", show_default="the catalogue's for this model"),
]


def library_python(peer: str | None, python: Path | None) -> str | None:
    """The interpreter that runs a rival's library; None when no rival was asked for."""
    if not _asked(peer):
        return None
    if python is not None:
        return _runnable(python, "--peer-python")
    if importlib.util.find_spec("llama_cpp") is None:
        raise UsageError(
            f"this Python has no llama-cpp-python: name one that has it with --peer-python or {PEER_PYTHON}; "
            "docs/benchmarks.md says how to compile it"
        )
    return sys.executable


def server(peer: str | None, path: Path | None) -> str | None:
    """The rival's server program; None when no rival was asked for."""
    if not _asked(peer):
        return None
    if path is not None:
        return _runnable(path, "--peer-server")
    found = shutil.which("llama-server")
    if found is None:
        raise UsageError(
            f"there is no llama-server on the PATH: name one with --peer-server or {PEER_SERVER}; "
            "docs/benchmarks.md says how to compile it"
        )
    return found


def servers(
    stack: contextlib.ExitStack,
    program: str,
    model: "Model",
    kinds: Sequence[str],
    draft: str | None,
    threads: int | None,
    room: int,
) -> "list[LlamaServer]":
    """The rival's server in each of these ways, running until the stack is left, for the prompts of our own model.

    room: most tokens of a prompt and its answer.
    """
    from foretell.cli.progress import bars
    from foretell.engine.isa import host
    from foretell.engine.team import choose_threads
    from foretell.lab.peers import llama_server
    from foretell.lab.peers.fairness import require
    from foretell.models.store import Store

    if model.name == "toy":
        raise UsageError("the rival cannot run the toy model: give a GGUF file or a name from `foretell models`")
    if not kinds:
        raise UsageError(f"peer-kinds is empty; give some of {', '.join(llama_server.KINDS)}")
    store = Store()
    with bars() as progress:
        path = store.resolve(model.name, progress)
        if draft is None and "draft" in kinds:
            entry = store.catalogue.get(model.name)
            draft = None if entry is None else entry.draft
        draft_path = None if draft is None else store.resolve(draft, progress)
    made = []
    for kind in kinds:
        server = llama_server.LlamaServer(
            program,
            path,
            model.encode,
            model.backend.codec.end_ids,
            kind=kind,
            draft=draft_path,
            threads=choose_threads(threads),
            context=room + llama_server.SPARE_TOKENS,
        )
        made.append(stack.enter_context(server))
        require(server.features, host().name, program)
    return made


def _asked(peer: str | None) -> bool:
    if peer is not None and peer not in KNOWN:
        raise UsageError(f"unknown peer {peer!r}; known: {', '.join(KNOWN)}")
    return peer is not None


def _runnable(path: Path, option: str) -> str:
    if not path.is_file() or not os.access(path, os.X_OK):
        raise UsageError(f"{option} is {path}, which is not a program: give the path of an executable file")
    return str(path)
