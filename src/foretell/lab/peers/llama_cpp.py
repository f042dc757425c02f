"""llama.cpp as a rival: a worker process under an interpreter that has llama-cpp-python compiled for this machine.

How to compile it is in docs/benchmarks.md, with what to do where it crashes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from foretell.lab.peers.fairness import features
from foretell.lab.peers.process import Worker


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
        self._worker = Worker("llama.cpp", python, "llama_cpp_worker.py")
        scores = self._worker.folder / "scores"
        rows = min(rows, context)
        try:
            with scores.open("wb") as file:
                file.truncate(rows * _vocabulary(model) * 4)
            loaded = self._worker.ask(
                "load",
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
        self._worker.ask("score", tokens=list(tokens), start=start)
        return self._scores[: len(tokens)]

    def pass_s(self, tokens: Sequence[int], start: int, scored: Literal["all", "last", "none"] = "all") -> float:
        """Seconds of one pass over tokens that stand at `start`, start + 1, ...; measured inside the worker.

        What the sequence held from `start` on is replaced. scored: of which tokens the scores are computed.
        """
        seconds: float = self._worker.ask("step", tokens=list(tokens), start=start, scored=scored)["seconds"]
        return seconds

    def generate(self, tokens: Sequence[int], count: int) -> Generation:
        """`count` greedy tokens after a prompt, end tokens ignored."""
        return Generation(**self._worker.ask("generate", tokens=list(tokens), count=count))

    def close(self) -> None:
        """End the process."""
        self._worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _vocabulary(model: Path | str) -> int:
    from foretell.models.gguf import GGUF  # noqa: PLC0415

    with GGUF.open(model) as gguf:
        return gguf.tensors["token_embd.weight"].shape[0]
