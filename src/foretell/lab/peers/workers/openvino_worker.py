"""OpenVINO GenAI for the benchmarks (`lines`): it reads the GGUF file itself and keeps its weights' precision.

    {"op": "load", "path": ..., "draft": PATH or null, "kinds": [...], "threads": n, "context": n, "end_ids": [...]}
                                                                 → {"version", "system_info"}
    {"op": "generate", "kind": which, "tokens": [...], "count": n} → see `pieces`; greedy, until an end token

kinds: "plain" and "n-gram" (its prompt lookup, which is a pipeline of its own).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import openvino
import openvino_genai
from lines import serve
from pieces import Pieces

LOOKUP_TOKENS, NGRAM = 5, 3  # of prompt lookup: the values in the library's own samples


class Stream(openvino_genai.StreamerBase):
    """Notes the tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces = Pieces()

    def write(self, token: int | Sequence[int]) -> openvino_genai.StreamingStatus:
        """Tokens came."""
        self.pieces.add([token] if isinstance(token, int) else token)
        return openvino_genai.StreamingStatus.RUNNING

    def end(self) -> None:
        """Nothing is kept back."""


class Model:
    """A pipeline for each way to run it."""

    commands = frozenset({"generate"})

    def __init__(
        self, *, path: str, draft: str | None, kinds: list[str], threads: int, context: int, end_ids: list[int]
    ) -> None:
        del draft, context  # it needs none
        given = {"INFERENCE_NUM_THREADS": threads}
        self._end_ids = set(end_ids)
        self._pipelines = {
            kind: openvino_genai.LLMPipeline(
                path, "CPU", **({"prompt_lookup": True} if kind == "n-gram" else {}), **given
            )
            for kind in kinds
        }
        core = openvino.Core()
        can = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        info = f"{core.get_property('CPU', 'FULL_DEVICE_NAME')}, {', '.join(can)}, {threads} threads"
        self.about = {"version": f"openvino-genai {openvino_genai.__version__}", "system_info": info}

    def generate(self, kind: str, tokens: list[int], count: int) -> dict[str, Any]:
        """An answer."""
        settings = openvino_genai.GenerationConfig()
        settings.max_new_tokens = count
        settings.do_sample = False
        settings.stop_token_ids = self._end_ids
        if kind == "n-gram":
            settings.num_assistant_tokens, settings.max_ngram_size = LOOKUP_TOKENS, NGRAM
        stream = Stream()
        self._pipelines[kind].generate(openvino.Tensor(np.array([tokens], np.int64)), settings, stream)
        return stream.pieces.answer


if __name__ == "__main__":
    serve(Model)
