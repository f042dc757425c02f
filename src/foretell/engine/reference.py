"""A plain NumPy float32 forward pass of the dequantised weights: the independent check of the engine.

Nothing here is fast and nothing is shared with the kernels but the reading of the file. One sequence, one cache.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foretell.engine.dequantise import FORMATS, dequantise
from foretell.engine.hyper import Hyper, inverse_frequencies
from foretell.errors import ForetellError
from foretell.models.gguf import GGUF

Array = NDArray[np.float32]


class Reference:
    """A model and the keys and values of one sequence.

    keep: hold the float32 weights after their first use (4 bytes each: 6.2 GB for 1.5 billion). Without it a pass
    dequantises every matrix anew, which costs seconds but only one matrix's memory; the scores are the same.
    """

    def __init__(self, path: Path | str, *, keep: bool = True) -> None:
        self.gguf = GGUF.open(Path(path))
        self.hyper = Hyper.read(self.gguf)
        self._frequencies = inverse_frequencies(self.gguf, self.hyper).astype(np.float64)
        self._kept: dict[str, Array] | None = {} if keep else None
        empty = np.empty((0, self.hyper.kv_heads, self.hyper.head_size), np.float32)
        self._keys = [empty] * self.hyper.layers  # each [positions, kv_heads, head_size]
        self._values = [empty] * self.hyper.layers

    @property
    def length(self) -> int:
        """Positions in the cache."""
        return len(self._keys[0])

    def close(self) -> None:
        """Let go of the file and the weights."""
        self._kept = None
        self.gguf.close()

    def logits(self, tokens: Sequence[int], start: int = 0) -> Array:
        """Scores [n, vocabulary] after each of the n tokens, which stand at positions start, start + 1, and so on.

        The cache is cut to `start` first, and holds start + n positions afterwards.
        """
        if not 0 <= start <= self.length:
            raise ForetellError(f"cannot start at position {start}: the cache holds {self.length}")
        if len(tokens) == 0:
            raise ForetellError("there are no tokens to score: give at least one")
        hyper = self.hyper
        cos, sin = self._rotations(np.arange(start, start + len(tokens)))
        x = self._embeddings(tokens)
        for layer in range(hyper.layers):
            prefix = f"blk.{layer}."
            x = x + self._attention(layer, self._norm(x, prefix + "attn_norm"), start, cos, sin)
            normed = self._norm(x, prefix + "ffn_norm")
            gate = self._product(normed, prefix + "ffn_gate")
            x = x + self._product(silu(gate) * self._product(normed, prefix + "ffn_up"), prefix + "ffn_down")
        return self._product(self._norm(x, "output_norm"), "token_embd" if hyper.tied else "output")

    def _attention(self, layer: int, x: Array, start: int, cos: Array, sin: Array) -> Array:
        hyper, prefix, n = self.hyper, f"blk.{layer}.", len(x)
        queries = self._product(x, prefix + "attn_q").reshape(n, hyper.heads, hyper.head_size)
        keys = self._product(x, prefix + "attn_k").reshape(n, hyper.kv_heads, hyper.head_size)
        values = self._product(x, prefix + "attn_v").reshape(n, hyper.kv_heads, hyper.head_size)
        if hyper.qk_norms:
            queries = self._norm(queries, prefix + "attn_q_norm")
            keys = self._norm(keys, prefix + "attn_k_norm")
        keys = np.concatenate([self._keys[layer][:start], self._rotate(keys, cos, sin)])
        values = np.concatenate([self._values[layer][:start], values])
        self._keys[layer], self._values[layer] = keys, values
        # Query head h reads key-value head h // group.
        grouped = self._rotate(queries, cos, sin).reshape(n, hyper.kv_heads, -1, hyper.head_size)
        scores = np.einsum("qkgd,pkd->kgqp", grouped, keys, optimize=True) * np.float32(hyper.head_size**-0.5)
        later = np.arange(start + n) > np.arange(start, start + n)[:, None]
        scores[:, :, later] = -np.inf
        mixed = np.einsum("kgqp,pkd->qkgd", softmax(scores), values, optimize=True)
        return self._product(mixed.reshape(n, -1), prefix + "attn_output")

    def _rotations(self, positions: NDArray[np.int64]) -> tuple[Array, Array]:
        """Cosines and sines [positions, 1 (heads), rope_size / 2]."""
        angles = positions[:, None, None] * self._frequencies
        magnitude = self.hyper.rope_magnitude
        return (magnitude * np.cos(angles)).astype(np.float32), (magnitude * np.sin(angles)).astype(np.float32)

    def _rotate(self, x: Array, cos: Array, sin: Array) -> Array:
        """Turn the pairs of each head of x [n, heads, head_size]; floats beyond rope_size stay."""
        size = self.hyper.rope_size
        if self.hyper.rope_interleaved:
            first, second = slice(0, size, 2), slice(1, size, 2)
        else:
            first, second = slice(size // 2), slice(size // 2, size)
        turned = x.copy()
        turned[..., first] = x[..., first] * cos - x[..., second] * sin
        turned[..., second] = x[..., first] * sin + x[..., second] * cos
        return turned

    def _norm(self, x: Array, name: str) -> Array:
        mean: Array = np.mean(x * x, axis=-1, keepdims=True)
        normed: Array = x / np.sqrt(mean + np.float32(self.hyper.norm_epsilon))
        return normed * self._tensor(name + ".weight")

    def _product(self, x: Array, name: str) -> Array:
        y: Array = x @ self._tensor(name + ".weight").T
        return y + self._tensor(name + ".bias") if name + ".bias" in self.gguf.tensors else y

    def _tensor(self, name: str) -> Array:
        if self._kept is not None and name in self._kept:
            return self._kept[name]
        tensor = self.gguf.tensors[name]
        weights = dequantise(tensor.format, self.gguf.data(name), tensor.shape)
        if self._kept is not None:
            self._kept[name] = weights
        return weights

    def _embeddings(self, tokens: Sequence[int]) -> Array:
        """The tokens' rows [n, width], without dequantising the others."""
        tensor = self.gguf.tensors["token_embd.weight"]
        vocabulary, width = tensor.shape
        wrong = [token for token in tokens if not 0 <= token < vocabulary]
        if wrong:
            raise ForetellError(f"token {wrong[0]} is not in the vocabulary of {vocabulary}")
        rows = self.gguf.data("token_embd.weight").reshape(vocabulary, FORMATS[tensor.format].row_bytes(width))
        return dequantise(tensor.format, rows[np.asarray(tokens, np.int64)], (len(tokens), width))


def silu(x: Array) -> Array:
    """X · logistic(x), with the exponential of a value that cannot overflow."""
    small = np.exp(-np.abs(x))
    logistic = np.where(x >= 0, np.float32(1), small) / (1 + small)
    product: Array = x * logistic
    return product


def softmax(x: Array) -> Array:
    """Along the last axis."""
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    shares: Array = powers / powers.sum(axis=-1, keepdims=True)
    return shares
