import cmath
import math

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind
from gguf import quants
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.engine.reference import Reference
from foretell.errors import ForetellError
from foretell.models.gguf import GGUF
from synthetic import BLOCKS, SUPERBLOCKS, Shape, write

TOKENS = [7, 299, 0, 64, 65, 66, 7, 7, 150, 23]


def scores(path, tokens=TOKENS):
    reference = Reference(path)
    result = reference.logits(tokens)
    reference.close()
    return result


def one_token_at_a_time(path, tokens, *, epsilon=1e-6, base=10_000.0, factor=1.0):
    """The model from its definition in float64: loops over positions and heads, rotations as complex numbers."""
    with GGUF.open(path) as gguf:
        name = gguf.metadata["general.architecture"]
        heads, kv_heads = (gguf.metadata[f"{name}.attention.{key}"] for key in ("head_count", "head_count_kv"))
        weights = {
            key: quants.dequantize(gguf.data(key).reshape(math.prod(tensor.shape[:-1]), -1), Kind[tensor.format])
            .reshape(tensor.shape)
            .astype(np.float64)
            for key, tensor in gguf.tensors.items()
        }

    def norm(x, key):
        return x / math.sqrt(sum(x * x) / len(x) + epsilon) * weights[key]

    def linear(x, key):
        return weights[key + ".weight"] @ x + weights.get(key + ".bias", 0)

    def turn(head, position):
        size = len(head)
        turned = np.empty(size)
        for pair in range(size // 2):
            a, b = (2 * pair, 2 * pair + 1) if name == "llama" else (pair, pair + size // 2)
            divisor = factor * weights.get("rope_freqs.weight", np.ones(size))[pair]
            z = complex(head[a], head[b]) * cmath.exp(1j * position * base ** (-2 * pair / size) / divisor)
            turned[a], turned[b] = z.real, z.imag
        return turned

    layers = 1 + max(int(key.split(".")[1]) for key in weights if key.startswith("blk."))
    cache = [([], []) for _ in range(layers)]
    result = []
    for position, token in enumerate(tokens):
        x = weights["token_embd.weight"][token]
        for layer, (keys, values) in enumerate(cache):
            prefix = f"blk.{layer}."
            normed = norm(x, prefix + "attn_norm.weight")
            q = linear(normed, prefix + "attn_q").reshape(heads, -1)
            k = linear(normed, prefix + "attn_k").reshape(kv_heads, -1)
            if name == "qwen3":
                q = [norm(head, prefix + "attn_q_norm.weight") for head in q]
                k = [norm(head, prefix + "attn_k_norm.weight") for head in k]
            keys.append([turn(head, position) for head in k])
            values.append(linear(normed, prefix + "attn_v").reshape(kv_heads, -1))
            mixed = []
            for index, head in enumerate(q):
                group, turned = index * kv_heads // heads, turn(head, position)
                powers = [math.exp(turned @ key[group] / math.sqrt(len(head))) for key in keys]
                mixed.append(sum(p * value[group] for p, value in zip(powers, values, strict=True)) / sum(powers))
            x = x + linear(np.concatenate(mixed), prefix + "attn_output")
            normed = norm(x, prefix + "ffn_norm.weight")
            gate = linear(normed, prefix + "ffn_gate")
            x = x + linear(gate / (1 + np.exp(-gate)) * linear(normed, prefix + "ffn_up"), prefix + "ffn_down")
        output = "output" if "output.weight" in weights else "token_embd"
        result.append(linear(norm(x, "output_norm.weight"), output))
    return np.array(result)


@pytest.mark.parametrize(
    ("shape", "formats"),
    [
        (Shape("llama", rope_factors=True), SUPERBLOCKS),
        (Shape("llama", width=192, heads=3, kv_heads=1, tied=True, biases=True), BLOCKS),
        (Shape("qwen2"), SUPERBLOCKS),
        (Shape("qwen2", width=192, heads=6, kv_heads=2, feed_forward=320, tied=True), BLOCKS),
        (Shape("qwen3", head_size=128), SUPERBLOCKS),
        (Shape("qwen3", width=96, heads=2, kv_heads=2, head_size=64), "F16"),
        (Shape("qwen2"), "Q5_K"),
        (Shape("llama", layers=1), "BF16"),
    ],
)
def test_the_scores_are_those_of_the_definition(tmp_path, shape, formats):
    path = write(tmp_path / "m.gguf", shape, formats)
    np.testing.assert_allclose(scores(path), one_token_at_a_time(path, TOKENS), rtol=2e-4, atol=2e-4)


def test_linear_scaling_slows_every_pair(tmp_path):
    extra = {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0}
    path = write(tmp_path / "m.gguf", Shape("llama", extra=extra))
    np.testing.assert_allclose(scores(path), one_token_at_a_time(path, TOKENS, factor=4.0), rtol=2e-4, atol=2e-4)


def test_floats_beyond_the_rope_size_do_not_turn(tmp_path):
    partial = Shape("qwen2", rope_size=32, biases=False)
    whole = write(tmp_path / "whole.gguf", Shape("qwen2", biases=False))
    path = write(tmp_path / "part.gguf", partial)
    first, others = scores(path)[0], scores(path)[1:]
    np.testing.assert_allclose(first, scores(whole)[0], rtol=1e-5, atol=1e-5)  # nothing turns at position 0
    assert np.abs(others - scores(whole)[1:]).max() > 0.01


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_cuts_and_rewinds_do_not_matter(data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "cuts.gguf"
    if not path.exists():
        write(path, Shape("qwen3"), SUPERBLOCKS)
    tokens = data.draw(st.lists(st.integers(0, 299), min_size=2, max_size=12))
    reference = Reference(path)
    whole = reference.logits(tokens)
    cut = data.draw(st.integers(0, len(tokens) - 1))
    np.testing.assert_allclose(reference.logits(tokens[cut:], cut), whole[cut:], rtol=1e-4, atol=1e-4)
    assert reference.length == len(tokens)
    changed = [*tokens[:cut], (tokens[cut] + 1) % 300]
    np.testing.assert_allclose(reference.logits(changed)[:cut], whole[:cut], rtol=1e-4, atol=1e-4)
    reference.close()


def test_weights_that_are_not_kept_give_the_same_scores(tmp_path):
    path = write(tmp_path / "m.gguf", Shape(), SUPERBLOCKS)
    frugal = Reference(path, keep=False)
    np.testing.assert_array_equal(frugal.logits(TOKENS), scores(path))
    frugal.close()


def test_a_model_is_the_same_in_every_format_but_for_rounding(tmp_path):
    shape = Shape("llama")
    exact = scores(write(tmp_path / "exact.gguf", shape))
    for name, most in (("F16", 0.02), ("BF16", 0.2), ("Q8_0", 0.3), ("Q6_K", 0.8), ("Q5_K", 1.5), ("Q5_1", 1.5)):
        difference = np.abs(scores(write(tmp_path / "m.gguf", shape, name)) - exact)
        assert 0 < difference.mean() < most / 2, name


def test_synthetic_models_are_the_same_for_the_same_seed(tmp_path):
    first = write(tmp_path / "a.gguf", Shape(seed=5), BLOCKS).read_bytes()
    assert write(tmp_path / "b.gguf", Shape(seed=5), BLOCKS).read_bytes() == first
    assert write(tmp_path / "c.gguf", Shape(seed=6), BLOCKS).read_bytes() != first


def test_what_cannot_be_scored_is_said(tmp_path):
    reference = Reference(write(tmp_path / "m.gguf", Shape()))
    with pytest.raises(ForetellError, match="token 300 is not in the vocabulary of 300"):
        reference.logits([1, 300])
    with pytest.raises(ForetellError, match="cannot start at position 3: the cache holds 0"):
        reference.logits([1], 3)
    with pytest.raises(ForetellError, match="no tokens to score"):
        reference.logits([])
    reference.close()
