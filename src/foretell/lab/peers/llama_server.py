"""llama.cpp's server as a configuration of a suite: plain, guessing by n-grams, or with a draft model.

It gets the token ids that our own model would read, so that all answer the same prompt, and sends its tokens as they
come. Nothing that it computed for one prompt serves the next.
"""

import contextlib
import http.client
import json
import re
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import Any, Final, Self

from foretell.errors import ForetellError, UsageError
from foretell.lab.peers.fairness import SETTLE_S, features
from foretell.runtime.events import Result

KINDS: Final = ("plain", "n-gram", "draft")
NGRAM: Final = "ngram-simple"  # of the server's ways to guess from the text
SPARE_TOKENS: Final = 128  # of its context, beyond a prompt and its answer: for guesses
READY_S: Final = 300.0  # most time to load a model
_ANSWER_S: Final = 600.0  # most time between two pieces of an answer
_HOST: Final = "127.0.0.1"


def arguments(kind: str, draft: Path | None) -> list[str]:
    """What makes the server guess in this way."""
    match kind:
        case "plain":
            return []
        case "n-gram":
            return ["--spec-type", NGRAM]
        case "draft" if draft is not None:
            return ["--spec-type", "draft-simple", "--spec-draft-model", str(draft)]
        case "draft":
            raise UsageError("the rival has no draft model for this model: give one with --peer-draft")
        case _:
            raise UsageError(f"unknown way to run the rival: {kind!r}; known: {', '.join(KINDS)}")


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of an answer, and when it came."""

    at_s: float
    fields: dict[str, Any]


class LlamaServer:
    """A running server: a `foretell.lab.suite.Configuration`. Use as a context manager: leaving ends it.

    program: the executable. encode: a prompt's token ids. end_ids: left out of the result's tokens. context: most
    tokens of a prompt and its answer. kind, draft: see `arguments`. system_info, features, version: what it says of
    itself.
    """

    def __init__(
        self,
        program: str,
        model: Path,
        encode: Callable[[str], Sequence[int]],
        end_ids: frozenset[int],
        *,
        kind: str = "plain",
        draft: Path | None = None,
        threads: int,
        context: int,
    ) -> None:
        self.name = f"llama.cpp {kind}"
        self._encode, self._end_ids = encode, end_ids
        extra = arguments(kind, draft)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 — closed by `close`
        self._port = _free_port()
        # -lv 4 is the least that names the processor's features. The caches would keep what was computed for a prompt.
        given = ["-m", str(model), "-t", str(threads), "-tb", str(threads), "-c", str(context), "-np", "1", "-lv", "4"]
        given += [
            "--host",
            _HOST,
            "--port",
            str(self._port),
            "--cache-ram",
            "0",
            "--no-cache-prompt",
            "--no-ui",
            "--offline",
        ]
        try:
            self._process = subprocess.Popen(
                [program, *given, *extra], stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT
            )
        except OSError as error:
            self._log.close()
            raise ForetellError(
                f"cannot run {program}: {error.strerror}; give a llama-server of this machine"
            ) from error
        try:
            self._await_ready()
        except BaseException:
            self.close()
            raise
        said = self._said()
        self.system_info = _found(r"system_info: (.*)", said)
        self.version = _found(r"build \S+ \(.*", said)
        self.features = features(self.system_info)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the server."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def run(self, prompt: str, max_tokens: int) -> Result:
        """Answer a prompt greedily, from scratch."""
        ids = list(self._encode(prompt))
        request = {
            "prompt": ids,
            "n_predict": max_tokens,
            "temperature": 0,
            "top_k": 1,
            "cache_prompt": False,
            "stream": True,
            "return_tokens": True,
        }
        sleep(SETTLE_S)
        started = perf_counter()
        try:
            pieces = list(self._answer(request))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ForetellError(f"{self.name} gave no answer ({error}): {self._last_words()}") from error
        sleep(SETTLE_S)
        if not pieces or not pieces[-1].fields.get("stop"):
            said = pieces[-1].fields if pieces else "nothing"
            raise ForetellError(f"{self.name} broke off its answer, last with {said}: {self._last_words()}")
        return self._result(ids, pieces, started)

    def _result(self, ids: Sequence[int], pieces: Sequence[_Piece], started: float) -> Result:
        end = pieces[-1].fields
        stopped = end.get("stop_type") != "limit"
        timings = end["timings"]
        count, guessed, kept = (int(timings.get(name, 0)) for name in ("predicted_n", "draft_n", "draft_n_accepted"))
        spoken = [piece for piece in pieces if piece.fields.get("tokens")]
        tokens = [token for piece in spoken for token in piece.fields["tokens"] if token not in self._end_ids]
        timed = (
            [*spoken, pieces[-1]] if stopped else spoken
        )  # an end token is generated too, and has no piece of its own
        first, last = timed[0].at_s, timed[-1].at_s
        rounds = max(0, count - 1 - kept)  # each gives one token of its own besides the guesses that it keeps
        return Result(
            text="".join(piece.fields.get("content", "") for piece in pieces),
            tokens=tuple(tokens),
            prompt_tokens=len(ids),
            tokens_per_s=(count - 1) / (last - first) if count > 1 and last > first else None,
            first_token_s=first - started,
            response_s=last - started,
            load_s=0.0,
            rounds=rounds,
            tokens_per_round=(count - 1) / rounds if rounds else None,
            acceptance=kept / guessed if guessed else None,
            guessed=guessed,
            finish="stop" if stopped else "length",
            seed=0,
        )

    def _answer(self, request: dict[str, Any]) -> Iterator[_Piece]:
        with contextlib.closing(http.client.HTTPConnection(_HOST, self._port, timeout=_ANSWER_S)) as connection:
            connection.request("POST", "/completion", json.dumps(request), {"Content-Type": "application/json"})
            response = connection.getresponse()
            if response.status != http.HTTPStatus.OK:
                raise ForetellError(f"{self.name} refused the prompt: {response.read().decode(errors='replace')}")
            while line := response.readline():
                if line.startswith(b"data: {"):
                    yield _Piece(perf_counter(), json.loads(line.removeprefix(b"data: ")))

    def _await_ready(self) -> None:
        deadline = monotonic() + READY_S
        while monotonic() < deadline:
            status = self._process.poll()
            if status is not None:
                what = f"crashed (signal {-status})" if status < 0 else f"ended with status {status}"
                see = "see docs/benchmarks.md on compiling it for this processor"
                raise ForetellError(f"{self.name} {what} while loading; {see}. Its last line: {self._last_words()}")
            if self._healthy():
                return
            sleep(0.1)
        raise ForetellError(f"{self.name} was not ready after {READY_S:.0f} s: {self._last_words()}")

    def _healthy(self) -> bool:
        try:
            with contextlib.closing(http.client.HTTPConnection(_HOST, self._port, timeout=5)) as connection:
                connection.request("GET", "/health")
                return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False  # not yet

    def _said(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def _last_words(self) -> str:
        lines = self._said().strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return (match[1] if match.lastindex else match[0]).strip() if match else "unknown"
