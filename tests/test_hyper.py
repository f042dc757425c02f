import math
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.engine.hyper import Hyper, inverse_frequencies
from foretell.errors import ForetellError
from foretell.models.gguf import GGUF, Tensor
from synthetic import Shape, write


def read(tmp_path, **changes):
    with GGUF.open(write(tmp_path / "m.gguf", Shape(**changes))) as gguf:
        hyper = Hyper.read(gguf)
        return hyper, inverse_frequencies(gguf, hyper)


def test_a_model_says_its_shape(tmp_path):
    hyper, frequencies = read(tmp_path, architecture="qwen3", head_size=32, tied=True, rope_base=1e6)
    assert asdict(hyper) == {
        "architecture": "qwen3",
        "layers": 2,
        "width": 256,
        "heads": 4,
        "kv_heads": 2,
        "head_size": 32,
        "feed_forward": 512,
        "vocabulary": 300,
        "context": 2048,
        "norm_epsilon": pytest.approx(1e-6),
        "rope_base": 1e6,
        "rope_size": 32,
        "rope_interleaved": False,
        "rope_scaling": "none",
        "rope_factor": 1.0,
        "rope_magnitude": 1.0,
        "tied": True,
        "qkv_biases": False,
        "qk_norms": True,
    }
    assert frequencies.dtype == np.float32
    np.testing.assert_allclose(frequencies, [1e6 ** (-pair / 16) for pair in range(16)], rtol=1e-6)


def test_what_a_file_leaves_out_has_the_usual_value(tmp_path):
    missing = {"llama.attention.head_count_kv": None, "llama.rope.freq_base": None}
    with pytest.raises(ForetellError, match=r"blk.0.attn_k.weight has shape \(128, 256\), not \(256, 256\)"):
        read(tmp_path, architecture="llama", extra=missing)
    hyper, _ = read(tmp_path, architecture="llama", kv_heads=4, extra=missing)
    assert (hyper.kv_heads, hyper.rope_base, hyper.rope_interleaved, hyper.qkv_biases) == (4, 10_000, True, False)


def test_a_count_may_be_given_once_per_layer_when_it_is_the_same(tmp_path):
    assert read(tmp_path, extra={"qwen2.feed_forward_length": [512, 512]})[0].feed_forward == 512
    with pytest.raises(ForetellError, match="feed_forward_length differs from layer to layer"):
        read(tmp_path, extra={"qwen2.feed_forward_length": [512, 256]})


def test_linear_scaling_and_frequency_factors_divide(tmp_path):
    plain = read(tmp_path, architecture="llama")[1]
    for kind in (
        {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0},
        {"llama.rope.scale_linear": 4.0},
    ):
        np.testing.assert_allclose(read(tmp_path, architecture="llama", extra=kind)[1], plain / 4, rtol=1e-6)
    divided = read(tmp_path, architecture="llama", rope_factors=True)[1]
    np.testing.assert_allclose(divided, plain / np.geomspace(1, 8, 32), rtol=1e-6)


def test_yarn_keeps_the_fast_pairs_and_stretches_the_slow(tmp_path):
    extra = {
        "qwen2.rope.scaling.type": "yarn",
        "qwen2.rope.scaling.factor": 4.0,
        "qwen2.rope.scaling.original_context_length": 1024,
    }
    plain = read(tmp_path)[1]
    hyper, frequencies = read(tmp_path, extra=extra)
    assert hyper.rope_magnitude == pytest.approx(1 + 0.1 * math.log(4))
    turns = 1024 * plain / (2 * math.pi)  # of each pair within the original context
    ratio = frequencies / plain
    assert ratio[turns > 34] == pytest.approx(1)  # a pair's width away from the limits, which are rounded to pairs
    assert ratio[turns < 0.7] == pytest.approx(0.25)
    assert (np.diff(ratio) <= 1e-6).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "gemma3"}, "architecture 'gemma3' is not supported; supported are llama, qwen2, qwen3"),
        ({"extra": {"qwen2.block_count": None}}, "does not say qwen2.block_count"),
        ({"extra": {"qwen2.block_count": 0}}, "block_count is 0, which is not a count from 1 to 4096"),
        ({"extra": {"qwen2.block_count": 3}}, "blk.2.attn_norm.weight is missing"),
        ({"extra": {"qwen2.block_count": 1}}, "blk.1.attn_norm.weight has no place in a qwen2 model"),
        ({"extra": {"qwen2.attention.head_count": 3}}, "3 heads cannot share 2 key-value heads"),
        ({"extra": {"qwen2.rope.dimension_count": 66}}, "RoPE dimension of 66 does not fit heads of 64"),
        ({"extra": {"qwen2.rope.dimension_count": 63}}, "RoPE dimension of 63"),
        ({"extra": {"qwen2.attention.value_length": 32}}, "64 key but 32 value floats"),
        ({"extra": {"qwen2.attention.layer_norm_rms_epsilon": math.nan}}, "epsilon is nan"),
        ({"extra": {"qwen2.rope.freq_base": 0.0}}, "freq_base is 0.0"),
        ({"extra": {"qwen2.rope.scaling.type": "longrope"}}, "RoPE scaling 'longrope' is not supported"),
        ({"extra": {"qwen2.expert_count": 8}}, "mixtures of experts are not supported"),
        ({"extra": {"qwen2.attention.causal": False}}, "embedding model"),
        ({"architecture": "qwen3", "biases": True}, None),
        ({"rope_factors": True, "rope_size": 32, "extra": {"qwen2.rope.dimension_count": 64}}, r"shape \(16,\), not"),
    ],
)
def test_a_model_that_cannot_run_is_refused_in_one_line(tmp_path, changes, message):
    if message is None:
        assert read(tmp_path, **changes)[0].qkv_biases
        return
    with pytest.raises(ForetellError, match=message) as caught:
        read(tmp_path, **changes)
    assert "\n" not in str(caught.value)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64),
    st.integers(0, 16),
    st.floats(),
    st.text(max_size=100),
    st.lists(st.text(max_size=3), max_size=3),
    st.lists(st.integers(0, 2**32 - 1), max_size=3).map(np.array),
    st.lists(st.floats(width=32), max_size=3).map(np.array),
)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_whatever_the_metadata_say_the_answer_is_a_shape_or_one_line(data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "fuzz.gguf"
    if not path.exists():
        write(path, Shape(rope_factors=True))
    with GGUF.open(path) as gguf:
        keys = sorted(key for key in gguf.metadata if not key.startswith("tokenizer"))
        keys += [f"qwen2.rope.scaling.{name}" for name in ("type", "factor", "attn_factor", "original_context_length")]
        metadata = {key: gguf.metadata[key] for key in gguf.metadata if not key.startswith("tokenizer")}
        if data.draw(st.booleans()):
            metadata["qwen2.rope.scaling.type"] = data.draw(st.sampled_from(["yarn", "linear"]))
        for key in data.draw(st.lists(st.sampled_from(keys), max_size=3)):
            metadata[key] = data.draw(VALUES)
        tensors = dict(gguf.tensors)
        for name in data.draw(st.lists(st.sampled_from(sorted(tensors)), max_size=1)):
            shape = tuple(data.draw(st.lists(st.integers(1, 2**40), max_size=3)))
            tensors[name] = Tensor(name, "F32", shape, 0, 0)
        fake = SimpleNamespace(metadata=metadata, tensors=tensors, data=gguf.data)
        said = ""
        try:
            hyper = Hyper.read(fake)
            frequencies = inverse_frequencies(fake, hyper)
        except ForetellError as error:
            said = str(error)
        else:
            assert np.isfinite(frequencies).all()
            assert hyper.rope_magnitude > 0
        assert "\n" not in said
        assert len(said) < 250
