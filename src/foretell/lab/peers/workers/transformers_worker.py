"""Hugging Face transformers for the benchmarks (`lines`): the weights of a GGUF file, dequantised to bfloat16.

    {"op": "load", "path": ..., "draft": PATH or null, "kinds": [...], "threads": n, "context": n, "end_ids": [...]}
                                                                 → {"version", "system_info"}
    {"op": "generate", "kind": which, "tokens": [...], "count": n} → see `pieces`; greedy, until an end token

kinds: "plain", "n-gram" (its prompt lookup) and "draft" (its assisted generation), with the library's own settings.
"""

from pathlib import Path
from typing import Any

import torch
import transformers
from lines import serve
from pieces import Pieces
from transformers.generation.streamers import BaseStreamer

LOOKUP_TOKENS = 10  # that prompt lookup copies: the value in the library's own documentation


class Stream(BaseStreamer):
    """Notes the tokens; the first that it is given are the prompt."""

    def __init__(self) -> None:
        self.pieces = Pieces()
        self._prompt = True

    def put(self, value: torch.Tensor) -> None:
        """Tokens came."""
        if not self._prompt:
            self.pieces.add(value.flatten().tolist())
        self._prompt = False

    def end(self) -> None:
        """Nothing is kept back."""


class Model:
    """A target, and a draft model where one is asked for."""

    commands = frozenset({"generate"})

    def __init__(
        self, *, path: str, draft: str | None, kinds: list[str], threads: int, context: int, end_ids: list[int]
    ) -> None:
        del context  # its cache grows as it needs
        torch.set_num_threads(threads)
        self._end_ids = end_ids
        self._target = _loaded(path)
        self._draft = _loaded(draft) if draft and "draft" in kinds else None
        processor = torch.backends.cpu.get_cpu_capability()
        info = f"{processor}, {torch.get_num_threads()} threads, bfloat16"
        self.about = {
            "version": f"transformers {transformers.__version__}, torch {torch.__version__}",
            "system_info": info,
        }

    def generate(self, kind: str, tokens: list[int], count: int) -> dict[str, Any]:
        """An answer."""
        more: dict[str, Any] = {}
        if kind == "n-gram":
            more["prompt_lookup_num_tokens"] = LOOKUP_TOKENS
        elif kind == "draft":
            more["assistant_model"] = self._draft
        ids = torch.tensor([tokens])
        stream = Stream()
        with torch.inference_mode():
            self._target.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=count,
                do_sample=False,
                eos_token_id=self._end_ids,
                pad_token_id=self._end_ids[0] if self._end_ids else None,
                streamer=stream,
                **more,
            )
        return stream.pieces.answer


def _loaded(path: str) -> Any:
    file = Path(path)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        str(file.parent), gguf_file=file.name, dtype=torch.bfloat16
    )
    model.generation_config = transformers.GenerationConfig()  # greedy and without penalties, whatever the file says
    return model.eval()


if __name__ == "__main__":
    serve(Model)
