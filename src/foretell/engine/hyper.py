"""A model's shape, read from a GGUF file's metadata and checked against its tensors.

llama         pairs of neighbours rotate together (GGUF files store Llama's heads permuted for this)
qwen2         biases on queries, keys and values; the two halves of a head rotate together
qwen3         norms on each head's query and key; halves too; the head size is free of the width
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from foretell.engine.dequantise import dequantise
from foretell.errors import ForetellError
from foretell.models.gguf import GGUF

ARCHITECTURES = ("llama", "qwen2", "qwen3")

RopeScaling = Literal["none", "linear", "yarn"]

_LIMIT = 1 << 24  # no dimension of a real model comes near it; a larger one would overflow sizes further on


@dataclass(frozen=True, slots=True)
class Hyper:
    """The numbers that fix a model's tensor graph. Sizes count floats. The attention scale is head_size ** -0.5.

    context: the longest text it was trained on, in tokens. rope_size: how many of a head's floats rotate.
    rope_interleaved: rotate neighbours (2i, 2i + 1), else halves (i, i + rope_size / 2).
    rope_magnitude: what the rotated floats are multiplied by, queries and keys alike.
    """

    architecture: str
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_size: int
    feed_forward: int
    vocabulary: int
    context: int
    norm_epsilon: float
    rope_base: float
    rope_size: int
    rope_interleaved: bool
    rope_scaling: RopeScaling
    rope_factor: float
    rope_magnitude: float
    tied: bool
    qkv_biases: bool
    qk_norms: bool

    @property
    def output(self) -> str:
        """The output matrix's name: in tied models the embeddings serve as it."""
        return "token_embd.weight" if self.tied else "output.weight"

    @staticmethod
    def read(gguf: GGUF) -> "Hyper":
        """The shape of a model whose tensors are all there, have that shape, and are all used."""
        architecture = gguf.metadata.get("general.architecture")
        if not isinstance(architecture, str) or architecture not in ARCHITECTURES:
            raise ForetellError(
                f"architecture {_shown(architecture)} is not supported; supported are {', '.join(ARCHITECTURES)}"
            )
        _refuse_variants(gguf, architecture)
        width = _count(gguf, f"{architecture}.embedding_length")
        heads = _count(gguf, f"{architecture}.attention.head_count")
        head_size = _count(gguf, f"{architecture}.attention.key_length", default=width // heads)
        scaling, factor, magnitude = _rope_scaling(gguf, architecture)
        hyper = Hyper(
            architecture=architecture,
            layers=_count(gguf, f"{architecture}.block_count", most=4096),
            width=width,
            heads=heads,
            kv_heads=_count(gguf, f"{architecture}.attention.head_count_kv", default=heads),
            head_size=head_size,
            feed_forward=_count(gguf, f"{architecture}.feed_forward_length"),
            vocabulary=_vocabulary(gguf),
            context=_count(gguf, f"{architecture}.context_length", most=1 << 30),
            norm_epsilon=_real(gguf, f"{architecture}.attention.layer_norm_rms_epsilon", 0.0, 1.0),
            rope_base=_real(gguf, f"{architecture}.rope.freq_base", 1.0, 1e15, default=10_000.0),
            rope_size=_count(gguf, f"{architecture}.rope.dimension_count", default=head_size),
            rope_interleaved=architecture == "llama",
            rope_scaling=scaling,
            rope_factor=factor,
            rope_magnitude=magnitude,
            tied="output.weight" not in gguf.tensors,
            qkv_biases="blk.0.attn_q.bias" in gguf.tensors,
            qk_norms=architecture == "qwen3",
        )
        _check_heads(gguf, hyper)
        _check_tensors(gguf, hyper)
        return hyper


def inverse_frequencies(gguf: GGUF, hyper: Hyper) -> NDArray[np.float32]:
    """float32 [rope_size / 2]: at position p, pair i turns by p times the i-th, in radians.

    Linear scaling divides all of them; YaRN (Peng et al. 2023, arXiv 2309.00071, section 3.2) divides only those that
    turn too seldom within the original context, with a ramp between; Llama 3 files give a divisor for each.
    """
    pairs = hyper.rope_size // 2
    frequencies = hyper.rope_base ** (np.arange(pairs) * -2.0 / hyper.rope_size)
    if "rope_freqs.weight" in gguf.tensors:
        tensor = gguf.tensors["rope_freqs.weight"]
        divisors = dequantise(tensor.format, gguf.data("rope_freqs.weight"), tensor.shape)
        if not ((divisors >= 1e-6) & (divisors <= 1e6)).all():
            raise ForetellError(
                "rope_freqs.weight holds values that are not between 1e-06 and 1e+06: the file is damaged"
            )
        frequencies = frequencies / divisors
    scaled = frequencies / hyper.rope_factor
    if hyper.rope_scaling == "yarn":
        kept = _yarn_ramp(gguf, hyper)
        scaled = scaled * (1 - kept) + frequencies * kept
    return scaled.astype(np.float32)


def _yarn_ramp(gguf: GGUF, hyper: Hyper) -> NDArray[np.float64]:
    """[rope_size / 2]: 1 for pairs that keep their frequency, 0 for those that are stretched."""
    name = hyper.architecture
    original = _count(gguf, f"{name}.rope.scaling.original_context_length", default=hyper.context, most=1 << 30)
    fast = _real(gguf, f"{name}.rope.scaling.yarn_beta_fast", 1e-3, 1e6, default=32.0)
    slow = _real(gguf, f"{name}.rope.scaling.yarn_beta_slow", 1e-3, 1e6, default=1.0)

    def pair_that_turns(times: float) -> float:  # within the original context
        return hyper.rope_size * math.log(original / (times * 2 * math.pi)) / (2 * math.log(hyper.rope_base))

    low = max(0, math.floor(pair_that_turns(fast)))
    high = min(hyper.rope_size - 1, math.ceil(pair_that_turns(slow)))
    return 1 - np.clip((np.arange(hyper.rope_size // 2) - low) / max(0.001, high - low), 0, 1)


def _rope_scaling(gguf: GGUF, architecture: str) -> tuple[RopeScaling, float, float]:
    """Kind, factor and magnitude. YaRN sharpens attention with the factor's logarithm (section 3.4)."""
    kind = gguf.metadata.get(f"{architecture}.rope.scaling.type", "none")
    if not isinstance(kind, str) or kind not in {"none", "linear", "yarn"}:
        raise ForetellError(f"RoPE scaling {_shown(kind)} is not supported; supported are none, linear, yarn")
    old_key, key = f"{architecture}.rope.scale_linear", f"{architecture}.rope.scaling.factor"
    if kind == "none" and old_key in gguf.metadata:
        kind, key = "linear", old_key
    if kind == "none":
        return "none", 1.0, 1.0
    factor = _real(gguf, key, 0.0, 1e6, default=1.0) or 1.0  # writers use 0 for "not scaled"
    magnitude = _real(gguf, f"{architecture}.rope.scaling.attn_factor", 1e-3, 1e3, default=1.0)
    if kind == "linear":
        return "linear", factor, magnitude
    return "yarn", factor, magnitude * (1 + 0.1 * math.log(factor) if factor > 1 else 1.0)


def _refuse_variants(gguf: GGUF, architecture: str) -> None:
    """Models that share an architecture's name but compute something else."""
    experts = gguf.metadata.get(f"{architecture}.expert_count", 0)
    if not isinstance(experts, int) or experts > 0:
        raise ForetellError("mixtures of experts are not supported; choose a dense model")
    if gguf.metadata.get(f"{architecture}.attention.causal", True) is False:
        raise ForetellError("this is an embedding model (its attention is not causal); choose one that generates text")


def _vocabulary(gguf: GGUF) -> int:
    if "token_embd.weight" not in gguf.tensors:
        raise ForetellError("tensor token_embd.weight is missing: the file is damaged or not a language model")
    return next(iter(gguf.tensors["token_embd.weight"].shape), 0)


def _check_heads(gguf: GGUF, hyper: Hyper) -> None:
    value_size = _count(gguf, f"{hyper.architecture}.attention.value_length", default=hyper.head_size)
    if value_size != hyper.head_size:
        raise ForetellError(f"heads with {hyper.head_size} key but {value_size} value floats are not supported")
    if hyper.heads % hyper.kv_heads:
        raise ForetellError(
            f"{hyper.heads} heads cannot share {hyper.kv_heads} key-value heads evenly: the file is damaged"
        )
    if hyper.rope_size % 2 or hyper.rope_size > hyper.head_size:
        raise ForetellError(
            f"a RoPE dimension of {hyper.rope_size} does not fit heads of {hyper.head_size}: the file is damaged"
        )


def tensor_shapes(hyper: Hyper) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of every tensor that the model must have."""
    width, queries, keys = hyper.width, hyper.heads * hyper.head_size, hyper.kv_heads * hyper.head_size
    yield "token_embd.weight", (hyper.vocabulary, width)
    yield "output_norm.weight", (width,)
    if not hyper.tied:
        yield "output.weight", (hyper.vocabulary, width)
    for layer in range(hyper.layers):
        prefix = f"blk.{layer}."
        yield prefix + "attn_norm.weight", (width,)
        for name, outputs in (("attn_q", queries), ("attn_k", keys), ("attn_v", keys)):
            yield f"{prefix}{name}.weight", (outputs, width)
            if hyper.qkv_biases:
                yield f"{prefix}{name}.bias", (outputs,)
        if hyper.qk_norms:
            yield prefix + "attn_q_norm.weight", (hyper.head_size,)
            yield prefix + "attn_k_norm.weight", (hyper.head_size,)
        yield prefix + "attn_output.weight", (width, queries)
        yield prefix + "ffn_norm.weight", (width,)
        yield prefix + "ffn_gate.weight", (hyper.feed_forward, width)
        yield prefix + "ffn_up.weight", (hyper.feed_forward, width)
        yield prefix + "ffn_down.weight", (width, hyper.feed_forward)


def _check_tensors(gguf: GGUF, hyper: Hyper) -> None:
    """All there, none of another shape, none that we would silently leave out of the computation."""
    known = set()
    for name, shape in tensor_shapes(hyper):
        known.add(name)
        if name not in gguf.tensors:
            raise ForetellError(
                f"tensor {name} is missing: the file is damaged or its model is a variant we don't know"
            )
        if gguf.tensors[name].shape != shape:
            raise ForetellError(f"tensor {name} has shape {gguf.tensors[name].shape}, not {shape}: the file is damaged")
    divisors = gguf.tensors.get("rope_freqs.weight")
    if divisors is not None and divisors.shape != (hyper.rope_size // 2,):
        raise ForetellError(f"rope_freqs.weight has shape {divisors.shape}, not {(hyper.rope_size // 2,)}")
    for name in gguf.tensors:
        if name not in known and name != "rope_freqs.weight":
            raise ForetellError(
                f"tensor {name} has no place in a {hyper.architecture} model: this variant is unsupported"
            )


def _count(gguf: GGUF, key: str, default: int | None = None, most: int = _LIMIT) -> int:
    """A positive integer. A list must hold one value over and over (some writers give one per layer)."""
    value = gguf.metadata.get(key, default)
    if isinstance(value, list | np.ndarray):
        if len(set(value)) != 1:
            raise ForetellError(f"{key} differs from layer to layer, which is not supported")
        value = value[0]
    if value is None:
        raise ForetellError(f"the file does not say {key}: it is damaged or not a language model")
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= most:
        raise ForetellError(f"{key} is {_shown(value)}, which is not a count from 1 to {most}: the file is damaged")
    return int(value)


def _real(gguf: GGUF, key: str, least: float, most: float, default: float | None = None) -> float:
    value = gguf.metadata.get(key, default)
    if value is None:
        raise ForetellError(f"the file does not say {key}: it is damaged or not a language model")
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not least <= float(value) <= most:
        raise ForetellError(f"{key} is {_shown(value)}, not between {least:g} and {most:g}: the file is damaged")
    return float(value)


def _shown(value: object) -> str:
    """A value of a file for an error message: one line, and short whatever the file holds."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."
