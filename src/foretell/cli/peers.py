"""Options that name rivals, and where these are found."""

import contextlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from foretell.errors import UsageError
from foretell.flags import PEER_PYTHON, PEER_SERVER

if TYPE_CHECKING:
    from foretell.api import Model
    from foretell.lab.peers.library import Library
    from foretell.lab.suite import Configuration

ENGINES: Final = ("llama.cpp",)  # rivals whose single passes can be timed
KNOWN: Final = (*ENGINES, "openvino", "transformers")

Peer = Annotated[str | None, typer.Option("--peer", help="A rival to take turns with: llama.cpp.", show_default="none")]
Peers = Annotated[
    list[str] | None,
    typer.Option(
        "--peer",
        help=f"A rival to take turns with: {', '.join(KNOWN)}; several times for several.",
        show_default="none",
    ),
]
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
    str, typer.Option("--peer-kinds", help="How rivals run: of plain, n-gram and draft, separated by commas.")
]
PeerDraft = Annotated[
    str | None,
    typer.Option("--peer-draft", help="The rivals' draft model.", show_default="ours, or the catalogue's"),
]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rivals are wanted, and where they are: found before any model is loaded.

    server: of llama.cpp, if it is wanted. libraries: with the interpreter of each. kinds: ways to run them.
    """

    server: str | None
    libraries: "Mapping[Library, str]"
    kinds: tuple[str, ...]


def library_python(peer: str | None, python: Path | None) -> str | None:
    """The interpreter that runs llama.cpp's library; None when no rival was asked for."""
    if peer is None:
        return None
    _check(peer, ENGINES)
    return _python(peer, python, "llama_cpp", "llama-cpp-python")


def wanted(names: Sequence[str], server: Path | None, python: Path | None, kinds: Sequence[str]) -> Wanted:
    """The rivals of these names. UsageError when one is unknown or not to be found, or runs in none of these ways."""
    from foretell.lab.peers import llama_server
    from foretell.lab.peers.library import LIBRARIES

    for name in names:
        _check(name, KNOWN)
    for kind in kinds:
        if kind not in llama_server.KINDS:
            raise UsageError(f"unknown way to run rivals: {kind!r}; known: {', '.join(llama_server.KINDS)}")
    if names and not kinds:
        raise UsageError(f"peer-kinds is empty; give some of {', '.join(llama_server.KINDS)}")
    libraries = {}
    for name in dict.fromkeys(names):
        if name in LIBRARIES:
            library = LIBRARIES[name]
            if not set(library.kinds) & set(kinds):
                raise UsageError(f"{name} runs {' and '.join(library.kinds)}: add one to --peer-kinds")
            libraries[library] = _python(name, python, library.module, library.package)
    return Wanted(_server(server) if "llama.cpp" in names else None, libraries, tuple(kinds))


def started(
    stack: contextlib.ExitStack,
    rivals: Wanted,
    model: "Model",
    draft: str | None,
    threads: int | None,
    room: int,
) -> "tuple[list[Configuration], list[dict[str, str]]]":
    """Rivals in each of their ways, running until the stack is left, for the prompts of our own model; what they say.

    room: most tokens of a prompt and its answer.
    """
    from foretell.cli.progress import bars
    from foretell.engine.isa import host
    from foretell.engine.team import choose_threads
    from foretell.lab.peers.fairness import require
    from foretell.lab.peers.library import Running, Way
    from foretell.lab.peers.llama_server import SPARE_TOKENS, LlamaServer
    from foretell.models.store import Store

    if model.name == "toy":
        raise UsageError("rivals cannot run the toy model: give a GGUF file or a name from `foretell models`")
    store = Store()
    with bars() as progress:
        path = store.resolve(model.name, progress)
        if draft is None and "draft" in rivals.kinds:
            entry = store.catalogue.get(model.name)
            draft = None if entry is None else entry.draft
        draft_path = None if draft is None else store.resolve(draft, progress)
    codec, count = model.backend.codec, choose_threads(threads)
    who: list[Configuration] = []
    about: list[dict[str, str]] = []
    for kind in rivals.kinds if rivals.server else ():
        server = stack.enter_context(
            LlamaServer(
                str(rivals.server),
                path,
                model.encode,
                codec.end_ids,
                kind=kind,
                draft=draft_path,
                threads=count,
                context=room + SPARE_TOKENS,
            )
        )
        require(server.features, host().name, str(rivals.server))
        if not who:
            about.append({"name": "llama.cpp", "version": server.version, "system_info": server.system_info})
        who.append(server)
    for library, python in rivals.libraries.items():
        kinds = [each for each in library.kinds if each in rivals.kinds and (each != "draft" or draft_path is not None)]
        running = stack.enter_context(
            Running(
                library,
                python,
                path,
                kinds,
                draft=draft_path,
                end_ids=codec.end_ids,
                threads=count,
                context=room,
            )
        )
        about.append({"name": library.name, "version": running.version, "system_info": running.system_info})
        who += [Way(running, kind, model.encode, codec.decode) for kind in kinds]
    return who, about


def _check(name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise UsageError(f"unknown peer {name!r}; known: {', '.join(known)}")


def _python(peer: str, given: Path | None, module: str, package: str) -> str:
    """The interpreter that has a rival's library."""
    if given is not None:
        return _runnable(given, "--peer-python")
    if importlib.util.find_spec(module) is None:
        raise UsageError(
            f"this Python has no {package}, which {peer} needs: name one that has it with --peer-python or "
            f"{PEER_PYTHON}; docs/benchmarks.md says how to install it"
        )
    return sys.executable


def _server(path: Path | None) -> str:
    """llama.cpp's server program."""
    if path is not None:
        return _runnable(path, "--peer-server")
    found = shutil.which("llama-server")
    if found is None:
        raise UsageError(
            f"there is no llama-server on the PATH: name one with --peer-server or {PEER_SERVER}; "
            "docs/benchmarks.md says how to compile it"
        )
    return found


def _runnable(path: Path, option: str) -> str:
    if not path.is_file() or not os.access(path, os.X_OK):
        raise UsageError(f"{option} is {path}, which is not a program: give the path of an executable file")
    return str(path)
