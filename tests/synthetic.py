"""Small GGUF models with random weights, for what no real file at hand covers; deterministic by seed.

From Python, `write(path, Shape(...), formats)`. From a shell, `python tests/synthetic.py --shape 7b OUT.gguf` writes
layers of a 7B model's size (fewer of them, of random Q4_K and Q6_K blocks) to time the engine on.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType as Kind
from gguf import GGUFWriter, quants

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
# The kinds of matrix whose format can be chosen.
MATRICES = ("token_embd", "output", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
# Like the real Q4_K_M files, where a format needs 256 inputs; and what their quantiser falls back to elsewhere.
SUPERBLOCKS = {"": "Q4_K", "attn_v": "Q6_K", "ffn_down": "Q6_K", "output": "Q6_K", "token_embd": "Q4_K"}
BLOCKS = {"": "Q5_0", "attn_v": "Q8_0", "ffn_down": "Q4_1", "output": "Q8_0", "token_embd": "Q5_1"}


@dataclass(frozen=True, slots=True)
class Shape:
    """What is written. rope_factors: a `rope_freqs.weight` tensor. extra: more or other metadata (None: left out)."""

    architecture: str = "qwen2"
    layers: int = 2
    width: int = 256
    heads: int = 4
    kv_heads: int = 2
    head_size: int | None = None
    feed_forward: int = 512
    vocabulary: int = 300
    context: int = 2048
    rope_base: float = 10_000.0
    rope_size: int | None = None
    rope_factors: bool = False
    tied: bool = False
    biases: bool | None = None  # as the architecture has them
    seed: int = 0
    extra: Mapping[str, Any] | None = None


def write(path: Path, shape: Shape, formats: Mapping[str, str] | str = "F32", *, fast: bool = False) -> Path:
    """Write a model and return its path.

    formats: one for all matrices, or by kind of matrix (MATRICES) with "" for the rest. Embeddings are always scaled so
    that the scores' standard deviation is about 3, and layers so that they add about as much as they are given.
    fast: random bits of the right size in place of quantised values.
    """
    by_kind = {"": formats} if isinstance(formats, str) else dict(formats)
    rng = np.random.default_rng(shape.seed)
    writer = GGUFWriter(path, shape.architecture)
    _metadata(writer, shape)
    _tokenizer(writer, shape.vocabulary)
    head_size = shape.head_size or shape.width // shape.heads
    queries, keys = shape.heads * head_size, shape.kv_heads * head_size

    def matrix(name: str, outputs: int, inputs: int, deviation: float) -> None:
        kind = Kind[by_kind.get(name.split(".")[-2], by_kind.get("", "F32"))]
        if fast and kind in RANDOM_BLOCKS:
            data = random_blocks(kind, outputs, inputs, deviation, rng)
        else:
            data = quantise(kind, rng.normal(0, deviation, (outputs, inputs)).astype(np.float32))
        writer.add_tensor(name, data, raw_dtype=kind)

    def vector(name: str, size: int, middle: float, deviation: float) -> None:
        writer.add_tensor(name, rng.normal(middle, deviation, size).astype(np.float32))

    matrix("token_embd.weight", shape.vocabulary, shape.width, 3 * shape.width**-0.5)
    for layer in range(shape.layers):
        prefix = f"blk.{layer}."
        vector(prefix + "attn_norm.weight", shape.width, 1, 0.1)
        for name, outputs in (("attn_q", queries), ("attn_k", keys), ("attn_v", keys)):
            matrix(f"{prefix}{name}.weight", outputs, shape.width, shape.width**-0.5)
            if shape.biases if shape.biases is not None else shape.architecture == "qwen2":
                vector(f"{prefix}{name}.bias", outputs, 0, 0.3)
        if shape.architecture == "qwen3":
            vector(prefix + "attn_q_norm.weight", head_size, 1, 0.2)
            vector(prefix + "attn_k_norm.weight", head_size, 1, 0.2)
        matrix(prefix + "attn_output.weight", shape.width, queries, queries**-0.5)
        vector(prefix + "ffn_norm.weight", shape.width, 1, 0.1)
        matrix(prefix + "ffn_gate.weight", shape.feed_forward, shape.width, shape.width**-0.5)
        matrix(prefix + "ffn_up.weight", shape.feed_forward, shape.width, shape.width**-0.5)
        matrix(prefix + "ffn_down.weight", shape.width, shape.feed_forward, shape.feed_forward**-0.5)
    vector("output_norm.weight", shape.width, 1, 0.1)
    if not shape.tied:
        matrix("output.weight", shape.vocabulary, shape.width, 3 * shape.width**-0.5)
    if shape.rope_factors:
        factors = np.geomspace(1, 8, (shape.rope_size or head_size) // 2).astype(np.float32)
        writer.add_tensor("rope_freqs.weight", factors)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _metadata(writer: GGUFWriter, shape: Shape) -> None:
    name = shape.architecture
    values: dict[str, Any] = {
        "general.name": f"Synthetic {name} {shape.seed}",
        f"{name}.block_count": shape.layers,
        f"{name}.context_length": shape.context,
        f"{name}.embedding_length": shape.width,
        f"{name}.feed_forward_length": shape.feed_forward,
        f"{name}.attention.head_count": shape.heads,
        f"{name}.attention.head_count_kv": shape.kv_heads,
        f"{name}.attention.key_length": shape.head_size,
        f"{name}.attention.value_length": shape.head_size,
        f"{name}.attention.layer_norm_rms_epsilon": 1e-6,
        f"{name}.rope.freq_base": shape.rope_base,
        f"{name}.rope.dimension_count": shape.rope_size,
        **(shape.extra or {}),
    }
    for key, value in values.items():
        match value:
            case None:
                continue
            case bool():
                writer.add_bool(key, value)
            case int():
                writer.add_uint32(key, value)
            case float():
                writer.add_float32(key, value)
            case str():
                writer.add_string(key, value)
            case _:
                writer.add_array(key, value)


def byte_characters() -> list[str]:
    """What stands for each byte in byte-level BPE: itself where it is printable, else a character from U+0100 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def _tokenizer(writer: GGUFWriter, vocabulary: int) -> None:
    """Bytes, then pairs of frequent letters (some with a space before), unused ids, and last the special tokens."""
    if vocabulary < 256 + len(SPECIAL):
        raise ValueError(f"a byte-level vocabulary has at least {256 + len(SPECIAL)} tokens, not {vocabulary}")
    bytes_ = byte_characters()
    letters = "etaoinshrdlu"
    merges = [f"{first} {second}" for first in "Ġ" + letters for second in letters]
    merges = merges[: vocabulary - 256 - len(SPECIAL)]
    tokens = bytes_ + [merge.replace(" ", "") for merge in merges]
    types = [1] * len(tokens)
    while len(tokens) < vocabulary - len(SPECIAL):
        tokens.append(f"[UNUSED{len(tokens)}]")
        types.append(5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([*tokens, *SPECIAL])
    writer.add_token_types([*types, *[3] * len(SPECIAL)])
    if merges:
        writer.add_token_merges(merges)
    writer.add_bos_token_id(vocabulary - 3)
    writer.add_eos_token_id(vocabulary - 1)
    writer.add_pad_token_id(vocabulary - 3)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def quantise(kind: Kind, values: np.ndarray) -> np.ndarray:
    """The bytes of a matrix in a format: the `gguf` package's own quantiser, or a plain one for the superblocks."""
    if kind == Kind.Q6_K:
        return _quantise_q6_k(values)
    if kind in {Kind.Q4_K, Kind.Q5_K}:
        return _quantise_with_mins(values, bits=4 if kind == Kind.Q4_K else 5)
    return quants.quantize(values, kind)


def _halves(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float16)[..., None].view(np.uint8)


def _quantise_with_mins(values: np.ndarray, bits: int) -> np.ndarray:
    """Q4_K and Q5_K: each run of 32 from its least value (at most 0) to its greatest in equal steps."""
    outputs, inputs = values.shape
    runs = values.reshape(outputs, inputs // 256, 8, 32)
    least = np.minimum(runs.min(axis=3), 0)
    steps = np.maximum(runs.max(axis=3) - least, 1e-12) / (2**bits - 1)
    d = (steps.max(axis=2) / 63).astype(np.float16)
    dmin = (-least.min(axis=2) / 63).astype(np.float16)
    with np.errstate(divide="ignore", invalid="ignore"):
        scales = np.nan_to_num(np.ceil(steps / d[..., None]).clip(1, 63)).astype(np.uint8)
        mins = np.nan_to_num(np.rint(-least / dmin[..., None]).clip(0, 63)).astype(np.uint8)
    step = d[..., None, None].astype(np.float32) * scales[..., None]
    shift = dmin[..., None, None].astype(np.float32) * mins[..., None]
    q = np.rint((runs + shift) / np.maximum(step, 1e-12)).clip(0, 2**bits - 1).astype(np.uint8)
    packed = np.empty((*d.shape, 12), np.uint8)
    packed[..., :4] = scales[..., :4] | scales[..., 4:] >> 4 << 6
    packed[..., 4:8] = mins[..., :4] | mins[..., 4:] >> 4 << 6
    packed[..., 8:] = scales[..., 4:] & 15 | mins[..., 4:] << 4
    low = (q[:, :, ::2] & 15 | q[:, :, 1::2] << 4).reshape(*d.shape, 128)
    parts = [_halves(d), _halves(dmin), packed]
    if bits == 5:
        parts.append(np.packbits(q >> 4, axis=2, bitorder="little").reshape(*d.shape, 32))
    return np.concatenate([*parts, low], axis=2).reshape(outputs, -1)


def _quantise_q6_k(values: np.ndarray) -> np.ndarray:
    outputs, inputs = values.shape
    runs = values.reshape(outputs, inputs // 256, 16, 16)
    steps = np.abs(runs).max(axis=3) / 31
    d = np.maximum(steps.max(axis=2) / 127, 1e-7).astype(np.float16)
    scales = np.rint(steps / d[..., None].astype(np.float32)).clip(1, 127).astype(np.int8)
    scales[:, :, ::3] *= -1  # a real quantiser uses both signs
    q = np.rint(runs / (d[..., None].astype(np.float32) * scales)[..., None]).clip(-32, 31) + 32
    q = q.astype(np.uint8).reshape(outputs, -1, 2, 4, 32)
    low = np.concatenate([q[:, :, :, 0] & 15 | q[:, :, :, 2] << 4, q[:, :, :, 1] & 15 | q[:, :, :, 3] << 4], axis=3)
    high = q[:, :, :, 0] >> 4 | q[:, :, :, 1] >> 4 << 2 | q[:, :, :, 2] >> 4 << 4 | q[:, :, :, 3] >> 4 << 6
    parts = [low.reshape(*d.shape, 128), high.reshape(*d.shape, 64), scales.view(np.uint8), _halves(d)]
    return np.concatenate(parts, axis=2).reshape(outputs, -1)


# Formats that random_blocks knows: bytes per block, and where d is and the field subtracted with it, if any.
RANDOM_BLOCKS = {Kind.Q4_K: (256, 144, 0, 2), Kind.Q5_K: (256, 176, 0, 2), Kind.Q6_K: (256, 210, 208, None)}
_MIDDLE = {Kind.Q4_K: 7.5, Kind.Q5_K: 15.5, Kind.Q6_K: 0.0}  # the mean quant: dmin = this · d centres the weights


def random_blocks(kind: Kind, outputs: int, inputs: int, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Blocks of random bits, all quants and integer scales among them, whose weights have this standard deviation."""
    block, size, at, at_min = RANDOM_BLOCKS[kind]
    blocks = np.frombuffer(rng.bytes(outputs * inputs // block * size), np.uint8).reshape(-1, size).copy()
    d = np.float16(deviation / _unit_deviation(kind))
    blocks[:, at : at + 2] = _halves(d)
    if at_min is not None:
        blocks[:, at_min : at_min + 2] = _halves(np.float16(d * _MIDDLE[kind]))
    return blocks.reshape(outputs, -1)


@cache
def _unit_deviation(kind: Kind) -> float:
    """The standard deviation of random blocks with d = 1."""
    _, size, at, at_min = RANDOM_BLOCKS[kind]
    blocks = np.random.default_rng(0).integers(0, 256, (4000, size), np.uint8)
    blocks[:, at : at + 2] = _halves(np.float16(1))
    if at_min is not None:
        blocks[:, at_min : at_min + 2] = _halves(np.float16(_MIDDLE[kind]))
    return float(quants.dequantize(blocks, kind).std())


SHAPES = {
    "tiny": Shape(),
    "7b": Shape(
        "llama",
        8,
        4096,
        32,
        8,
        feed_forward=14336,
        vocabulary=1024,
        context=8192,
        rope_base=500_000.0,
        rope_factors=True,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a GGUF model with random weights.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--layers", type=int, help="as many as the shape says, unless given")
    parser.add_argument("--feed-forward", type=int, help="as wide as the shape says, unless given")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    shape = SHAPES[given.shape]
    shape = replace(
        shape,
        layers=given.layers or shape.layers,
        feed_forward=given.feed_forward or shape.feed_forward,
        seed=given.seed,
    )
    write(given.path, shape, SUPERBLOCKS, fast=True)


if __name__ == "__main__":
    main()
