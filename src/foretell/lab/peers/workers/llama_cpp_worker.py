"""llama.cpp for the benchmarks (`lines`). Needs only NumPy and llama-cpp-python.

    {"op": "load", "path": ..., "threads": n, "context": n, "scores": FILE, "rows": n, "repack": bool}
                                                                  → {"version", "system_info", "vocabulary"}
    {"op": "score", "tokens": [...], "start": n}                  → {"seconds"}; FILE holds the scores of each token
    {"op": "step", "tokens": [...], "start": n, "scored": which}  → {"seconds"}; which: "all", "last" or "none"
    {"op": "generate", "tokens": [...], "count": n}               → {"tokens", "first_s", "seconds"}; greedy, no stops

`start` cuts the sequence to that many tokens first. Large arrays go through a memory-mapped file.
"""

import ctypes
import time
from typing import Any

import llama_cpp as llama
import numpy as np
from lines import serve


class Model:
    """One model with one sequence."""

    commands = frozenset({"score", "step", "generate"})

    def __init__(self, *, path: str, threads: int, context: int, scores: str, rows: int, repack: bool) -> None:
        llama.llama_backend_init()
        model = llama.llama_model_default_params()
        model.use_extra_bufts = repack  # weights rearranged for faster kernels (REPACK, AMX): its default
        self.model = llama.llama_model_load_from_file(path.encode(), model)
        if not self.model:
            raise RuntimeError(f"llama.cpp cannot load {path}")
        self.vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self.model))
        given = llama.llama_context_default_params()
        given.n_ctx = context
        given.n_batch = given.n_ubatch = max(rows, 512)  # its default for a prompt pass
        given.n_threads = given.n_threads_batch = threads
        self.context = llama.llama_init_from_model(self.model, given)
        if not self.context:
            raise RuntimeError(f"llama.cpp cannot make a context of {context} tokens")
        self.batch = llama.llama_batch_init(max(rows, 512), 0, 1)
        self.scores = np.memmap(scores, np.float32, "r+", shape=(rows, self.vocabulary))
        info = llama.llama_print_system_info().decode().strip()
        self.about = {"version": llama.__version__, "system_info": info, "vocabulary": self.vocabulary}

    def step(self, tokens: list[int], start: int, scored: str) -> dict[str, float]:
        """One pass, for its time alone."""
        return {"seconds": self.run(tokens, start, scored)}

    def run(self, tokens: list[int], start: int, scored: str) -> float:
        """Seconds of one pass; `scored` is "all", "last" or "none"."""
        llama.llama_memory_seq_rm(llama.llama_get_memory(self.context), 0, start, -1)
        self.batch.n_tokens = len(tokens)
        for index, token in enumerate(tokens):
            self.batch.token[index] = token
            self.batch.pos[index] = start + index
            self.batch.n_seq_id[index] = 1
            self.batch.seq_id[index][0] = 0
            self.batch.logits[index] = scored == "all" or (scored == "last" and index == len(tokens) - 1)
        begin = time.perf_counter()
        status = llama.llama_decode(self.context, self.batch)
        llama.llama_synchronize(self.context)
        seconds = time.perf_counter() - begin
        if status:
            raise RuntimeError(f"llama_decode gave {status} for {len(tokens)} tokens at {start}")
        return seconds

    def score(self, tokens: list[int], start: int) -> dict[str, float]:
        """Write the scores of each token to the shared file; seconds of the pass alone."""
        seconds = self.run(tokens, start, "all")
        self.scores[: len(tokens)] = self._logits(len(tokens))
        return {"seconds": seconds}

    def generate(self, tokens: list[int], count: int) -> dict[str, Any]:
        """Greedy tokens one pass at a time, as plain generation does."""
        begin = time.perf_counter()
        self.run(tokens, 0, "last")
        chosen = [int(self._logits(1)[0].argmax())]
        first = time.perf_counter()
        while len(chosen) < count:
            self.run(chosen[-1:], len(tokens) + len(chosen) - 1, "last")
            chosen.append(int(self._logits(1)[0].argmax()))
        return {"tokens": chosen, "first_s": first - begin, "seconds": time.perf_counter() - begin}

    def _logits(self, rows: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        pointer = ctypes.cast(llama.llama_get_logits(self.context), ctypes.POINTER(ctypes.c_float))
        return np.ctypeslib.as_array(pointer, (rows, self.vocabulary))


if __name__ == "__main__":
    serve(Model)
