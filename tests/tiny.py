"""Tiny synthetic models that between them have every architecture and format, and the truth about their scores.

The truth is what the engine's promise is measured against: each row in a pass of its own, in order, on one thread.
`test_engine_invariance` first checks that the rewinding, which saves starting over for every path, does it no harm.
"""

import os
from itertools import takewhile
from pathlib import Path

import numpy as np

from foretell.backend.protocol import ROOT, Rows, Want
from foretell.engine import isa
from foretell.engine.native import NativeModel
from foretell.engine.session import NativeSession
from synthetic import Shape, write

ISAS = tuple(isa.ALL)[list(isa.ALL).index(isa.host().name) :]
LOGITS = Want(logits=True)

# Every format, architecture and way to combine formats: gate and up of one format (one kernel) or of two; tied matrices
# and others; vocabularies that are no multiple of 16; inputs that are no multiple of 256.
MODELS: dict[str, tuple[Shape, dict[str, str]]] = {
    "qwen2": (
        Shape("qwen2", width=256, heads=4, kv_heads=2, feed_forward=512, vocabulary=301, seed=1),
        {"": "Q4_K", "attn_v": "Q6_K", "ffn_down": "Q5_K", "output": "Q6_K", "token_embd": "Q8_0"},
    ),
    "llama": (
        Shape("llama", width=96, heads=6, kv_heads=3, feed_forward=160, vocabulary=277, rope_factors=True, seed=2),
        {"": "Q4_0", "attn_k": "Q5_0", "attn_v": "Q5_1", "ffn_down": "Q4_1", "ffn_up": "Q5_0", "output": "Q8_0"},
    ),
    "qwen3": (
        Shape("qwen3", 2, 64, 3, 1, head_size=48, feed_forward=100, vocabulary=259, seed=3, tied=True),
        {"": "F16", "attn_v": "BF16", "ffn_gate": "F32", "ffn_up": "F32", "attn_output": "BF16", "token_embd": "F16"},
    ),
    "mixed": (
        Shape("qwen3", 3, 256, 2, 2, head_size=128, feed_forward=256, vocabulary=320, seed=4, tied=True),
        {"": "Q5_K", "attn_q": "Q8_0", "attn_v": "F16", "ffn_gate": "Q4_1", "ffn_up": "Q4_1", "token_embd": "Q6_K"},
    ),
}


def tokens(seed: int, count: int) -> list[int]:
    """Random ids that every tiny model has."""
    result: list[int] = np.random.default_rng(seed).integers(0, 256, count).tolist()
    return result


class Truth:
    """Scores of a model one row at a time, remembered by the tokens up to the row."""

    def __init__(self, model: NativeModel) -> None:
        self._session = model.session()
        self._sequence, self._held = self._session.open(), list[int]()
        self._known: dict[tuple[int, ...], bytes] = {}

    def of(self, path: list[int]) -> bytes:
        """The bytes of all logits after the last of these tokens."""
        key = tuple(path)
        if key not in self._known:
            pairs = zip(path[:-1], self._held, strict=False)
            kept = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
            self._session.rewind(self._sequence, kept)
            del self._held[kept:]
            for token in path[kept:]:
                scores = self._session.step(Rows([token], [ROOT], [self._sequence], [0]), LOGITS)
                self._session.commit(self._sequence, [0])
                assert scores.logits is not None
                self._held.append(token)
                self._known[tuple(self._held)] = scores.logits[0].tobytes()
        return self._known[key]


class Zoo:
    """Loads each tiny model once for each instruction set and number of threads."""

    def __init__(self, folder: Path, cache_dir: Path) -> None:
        self._folder, self._cache_dir = folder, cache_dir
        self._models: dict[tuple[str, str, int], NativeModel] = {}
        self._truths: dict[tuple[str, str], Truth] = {}

    def path(self, name: str) -> Path:
        """The model's file."""
        path = self._folder / f"{name}.gguf"
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            new = self._folder / f"{name}.{os.getpid()}"  # another test process may write it at the same time
            write(new, *MODELS[name])
            new.replace(path)
        return path

    def load(self, name: str, instructions: str | None = None, threads: int = 1) -> NativeModel:
        """A loaded model; not to be closed."""
        key = name, instructions or isa.host().name, threads
        if key not in self._models:
            self._models[key] = NativeModel.load(
                self.path(name), isa=key[1], threads=threads, cache_dir=self._cache_dir, digest=f"tiny-{name}"
            )
        return self._models[key]

    def truth(self, name: str, instructions: str | None = None) -> Truth:
        """What the model's scores must be."""
        key = name, instructions or isa.host().name
        if key not in self._truths:
            self._truths[key] = Truth(self.load(*key))
        return self._truths[key]

    def close(self) -> None:
        """Close all."""
        for model in self._models.values():
            model.close()


def committed(session: NativeSession, path: list[int]) -> int:
    """A new sequence that holds these tokens."""
    sequence = session.open()
    for start in range(0, len(path), 64):
        piece = path[start : start + 64]
        session.step(Rows.chain(piece, sequence, ()), Want())
        session.commit(sequence, range(len(piece)))
    return sequence
