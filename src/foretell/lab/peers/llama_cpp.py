"""llama.cpp as a rival: a worker process under an interpreter that has llama-cpp-python compiled for this machine.

How to compile it is in docs/benchmarks.md, with what to do where it crashes.
"""

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from foretell.errors import ForetellError
from foretell.lab.peers.fairness import features

WORKER = Path(__file__).with_name("llama_cpp_worker.py")


@dataclass(frozen=True, slots=True)
class Generation:
    """A greedy continuation. first_s: prompt pass and first token; seconds: all of it."""

    tokens: list[int]
    first_s: float
    seconds: float


class LlamaCpp:
    """A loaded model with one sequence. Use as a context manager: leaving ends the process.

    python: the interpreter. rows: the most tokens of one pass. repack: let it rearrange weights for faster kernels.
    version, features, system_info: what the library says of itself.
    """

    def __init__(
        self,
        python: Path | str,
        model: Path | str,
        *,
        threads: int,
        context: int,
        rows: int = 512,
        repack: bool = True,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="foretell-peer-")
        self._log = Path(self._folder.name, "log").open("w+b")  # noqa: SIM115 — closed by `close`
        # -P: the worker's folder stays off sys.path, where this file would hide the library of the same name.
        try:
            self._worker = subprocess.Popen(
                [str(python), "-P", str(WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
            )
        except OSError as error:
            self._log.close()
            self._folder.cleanup()
            raise ForetellError(
                f"cannot run {python}: {error.strerror}; give a Python that has llama-cpp-python"
            ) from error
        scores = Path(self._folder.name, "scores")
        rows = min(rows, context)
        try:
            with scores.open("wb") as file:
                file.truncate(rows * _vocabulary(model) * 4)
            loaded = self._ask(
                op="load",
                path=str(Path(model).resolve()),
                threads=threads,
                context=context,
                scores=str(scores),
                rows=rows,
                repack=repack,
            )
        except BaseException:
            self.close()
            raise
        self.version: str = loaded["version"]
        self.system_info: str = loaded["system_info"]
        self.features = features(self.system_info)
        self.vocabulary: int = loaded["vocabulary"]
        self._scores = np.memmap(scores, np.float32, "r", shape=(rows, self.vocabulary))

    def logits(self, tokens: Sequence[int], start: int = 0) -> NDArray[np.float32]:
        """Scores [n, vocabulary] after each token, the first at position `start`: a view, valid until the next call."""
        self._ask(op="score", tokens=list(tokens), start=start)
        return self._scores[: len(tokens)]

    def pass_s(self, tokens: Sequence[int], start: int, scored: Literal["all", "last", "none"] = "all") -> float:
        """Seconds of one pass over tokens that stand at `start`, start + 1, ...; measured inside the worker.

        What the sequence held from `start` on is replaced. scored: of which tokens the scores are computed.
        """
        seconds: float = self._ask(op="pass", tokens=list(tokens), start=start, scored=scored)["seconds"]
        return seconds

    def generate(self, tokens: Sequence[int], count: int) -> Generation:
        """`count` greedy tokens after a prompt, end tokens ignored."""
        return Generation(**self._ask(op="generate", tokens=list(tokens), count=count))

    def close(self) -> None:
        """End the process."""
        if self._worker.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it ended with a command unread
                self._worker.stdin.close()
        self._worker.wait()
        if self._worker.stdout is not None:
            self._worker.stdout.close()
        self._log.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, **command: Any) -> dict[str, Any]:
        worker = self._worker
        assert worker.stdin is not None  # noqa: S101 — for the type checker: both are pipes
        assert worker.stdout is not None  # noqa: S101
        try:
            worker.stdin.write(json.dumps(command) + "\n")
            worker.stdin.flush()
            line = worker.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            status = worker.wait()
            what = f"crashed (signal {-status})" if status < 0 else f"ended with status {status}"
            see = "see docs/benchmarks.md on compiling it for this processor"
            raise ForetellError(f"the llama.cpp worker {what}; {see}. Its last line: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ForetellError(f"{answer['error']} ({self._last_words()})")
        return answer

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def _vocabulary(model: Path | str) -> int:
    from foretell.models.gguf import GGUF  # noqa: PLC0415

    with GGUF.open(model) as gguf:
        return gguf.tensors["token_embd.weight"].shape[0]
