"""Rivals that are Python libraries, as configurations of a suite: OpenVINO GenAI and Hugging Face transformers.

They get the token ids that our own model would read, so that all answer the same prompt, and say when their tokens
came. A library's ways of running share a process and its weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import Any, Final, Self

from foretell.lab.peers.fairness import SETTLE_S
from foretell.lab.peers.process import Worker
from foretell.runtime.events import Result


@dataclass(frozen=True, slots=True)
class Library:
    """A rival.

    name: what it is called here. package, module: as pip and Python call it. script: of its worker. kinds: the ways
    that it can be run.
    """

    name: str
    package: str
    module: str
    script: str
    kinds: tuple[str, ...]


LIBRARIES: Final = {
    each.name: each
    for each in (
        Library("openvino", "openvino-genai", "openvino_genai", "openvino_worker.py", ("plain", "n-gram")),
        Library("transformers", "transformers", "transformers", "transformers_worker.py", ("plain", "n-gram", "draft")),
    )
}


class Running:
    """A library in its process. Use as a context manager: leaving ends it.

    Args:
        library: which. python: an interpreter that has it. model, draft: GGUF files. kinds: ways to run it.
        end_ids: tokens that end an answer. threads: of its passes. context: most tokens of a prompt and its answer.

    version, system_info: what it says of itself.
    """

    def __init__(
        self,
        library: Library,
        python: Path | str,
        model: Path,
        kinds: Sequence[str],
        *,
        draft: Path | None = None,
        end_ids: frozenset[int] = frozenset(),
        threads: int,
        context: int,
    ) -> None:
        self.name, self.kinds = library.name, tuple(kinds)
        self.end_ids = end_ids
        self._worker = Worker(library.name, python, library.script)
        try:
            loaded = self._worker.ask(
                "load",
                path=str(model.resolve()),
                draft=None if draft is None else str(draft.resolve()),
                kinds=list(kinds),
                threads=threads,
                context=context,
                end_ids=sorted(end_ids),
            )
        except BaseException:
            self.close()
            raise
        self.version: str = loaded["version"]
        self.system_info: str = loaded["system_info"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._worker.close()

    def generate(self, kind: str, ids: Sequence[int], max_tokens: int) -> dict[str, Any]:
        """What came of an answer, and when: see `workers/pieces.py`."""
        sleep(SETTLE_S)
        answer = self._worker.ask("generate", kind=kind, tokens=list(ids), count=max_tokens)
        sleep(SETTLE_S)
        return answer


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run a library: a `foretell.lab.suite.Configuration`.

    encode: a prompt's token ids. decode: the text of an answer's.
    """

    running: Running
    kind: str
    encode: Callable[[str], Sequence[int]]
    decode: Callable[[Sequence[int]], str]

    @property
    def name(self) -> str:
        """Its name in the output."""
        return f"{self.running.name} {self.kind}"

    def run(self, prompt: str, max_tokens: int) -> Result:
        """Answer a prompt greedily, from scratch."""
        ids, ends = self.encode(prompt), self.running.end_ids
        answer = self.running.generate(self.kind, ids, max_tokens)
        count, at_s = len(answer["tokens"]), answer["at_s"]
        tokens = tuple(each for each in answer["tokens"] if each not in ends)
        first, last = (at_s[0], at_s[-1]) if at_s else (0.0, 0.0)
        rounds = max(0, len(at_s) - 1)
        return Result(
            text=self.decode(tokens),
            tokens=tokens,
            prompt_tokens=len(ids),
            tokens_per_s=(count - 1) / (last - first) if last > first else None,
            first_token_s=first if at_s else None,
            response_s=last,
            load_s=0.0,
            rounds=rounds,
            tokens_per_round=(count - answer["sizes"][0]) / rounds if rounds else None,
            acceptance=None,
            guessed=0,
            finish="length" if count >= max_tokens else "stop",
            seed=0,
        )
