"""Bytes and multiply-adds of passes: by hand, against packed files, and the same from a file as from a loaded model."""

from pathlib import Path

import pytest

from foretell.engine.native import NativeModel
from foretell.profile.energy.counter import PassCounts
from foretell.profile.energy.counts import of_file, of_model
from foretell.profile.energy.work import Work
from tiny import MODELS, Zoo

NAMES = pytest.mark.parametrize("name", list(MODELS))

# Packed bytes of 256 inputs of 16 outputs: quants, scales, minima, float scales, padded to 64 (engine/layout.py).
Q4_K = 16 * 256 // 2 + 16 * 8 + 16 * 8 + 64
Q5_K = 16 * 256 * 5 // 8 + 16 * 8 + 16 * 8 + 64
Q6_K = 16 * 256 * 6 // 8 + 16 * 16 + 32 + 32


def test_by_hand(zoo: Zoo) -> None:
    """Width 256, 4 heads and 2 key-value heads of 64, feed-forward 512, 301 tokens, 2 layers, biases, untied."""
    assert (Q4_K, Q5_K, Q6_K) == (2368, 2880, 3392)
    counter = of_file(zoo.path("qwen2"))
    queries, keys, values, mixed = 16 * Q4_K, 8 * Q4_K, 8 * Q6_K, 16 * Q4_K
    gate, up, down = 32 * Q4_K, 32 * Q4_K, 16 * 2 * Q5_K
    vectors = 4 * (256 + 256) + 4 * (256 + 128 + 128)  # norms and biases
    assert counter.always_bytes == 2 * (queries + keys + values + mixed + gate + up + down + vectors) + 4 * 256
    assert counter.output_bytes == 19 * Q6_K  # 301 outputs take 19 groups of 16
    assert counter.cache_bytes == 2 * 2 * 2 * 64 * 2  # layers, keys and values, heads, float16
    assert counter.row_bytes == 256 // 32 * 34  # Q8_0 as it lies in the file
    assert counter.row_macs == 2 * (256 * 256 * 2 + 256 * 128 * 2 + 3 * 256 * 512)
    assert counter.scored_macs == 301 * 256
    assert counter.seen_macs == 2 * 2 * 4 * 64  # layers, scores and values, heads
    found = counter.of_pass(3, 10, wanted=1)
    assert found == PassCounts(
        counter.always_bytes + counter.output_bytes,
        13 * 1024,
        3 * 272,
        3 * counter.row_macs + counter.scored_macs,
        (11 + 12 + 13) * counter.seen_macs,
    )
    assert found.work == Work(
        found.weight_bytes + found.cache_bytes + found.embedding_bytes, found.product_macs + found.attention_macs
    )


def test_a_pass_that_scores_nothing_leaves_the_output_matrix(zoo: Zoo) -> None:
    counter = of_file(zoo.path("qwen2"))
    silent, scored = counter.of_pass(4, 0, wanted=0), counter.of_pass(4, 0)
    assert scored.weight_bytes - silent.weight_bytes == counter.output_bytes
    assert scored.product_macs - silent.product_macs == 4 * counter.scored_macs


@NAMES
def test_every_packed_byte_is_read_once(zoo: Zoo, cache_dir: Path, name: str) -> None:
    counter = of_model(zoo.load(name))
    (pack,) = (cache_dir / "packed").glob(f"tiny-{name}-v*.pack")
    head = pack.read_bytes()[:16]
    first = -(-(16 + int.from_bytes(head[8:], "little")) // 4096) * 4096
    assert counter.always_bytes + counter.output_bytes == pack.stat().st_size - first
    assert counter.of_pass(7, 0).weight_bytes == pack.stat().st_size - first


@NAMES
def test_a_file_counts_as_the_loaded_model(zoo: Zoo, name: str) -> None:
    model = zoo.load(name)
    assert of_file(zoo.path(name)) == of_model(model)
    page = model.session()._cache.page()
    assert of_model(model).cache_bytes == page.data.nbytes // 128


def test_an_approximated_model_reads_less(zoo: Zoo, cache_dir: Path) -> None:
    model = NativeModel.load(
        zoo.path("qwen2"), threads=1, cache_dir=cache_dir, digest="tiny-qwen2", precision="Q4_0", keep=range(64)
    )
    try:
        cut = of_model(model)
    finally:
        model.close()
    whole, lowered = of_file(zoo.path("qwen2")), of_file(zoo.path("qwen2"), precision="Q4_0")
    assert cut.always_bytes == lowered.always_bytes < whole.always_bytes
    assert cut.row_macs == whole.row_macs
    assert (cut.scored_macs, whole.scored_macs) == (64 * 256, 301 * 256)
    assert cut.row_bytes == whole.row_bytes, "any token may be read"


@pytest.mark.parametrize("tokens", [1, 127, 128, 300])
def test_a_prompt_is_the_sum_of_its_pieces(zoo: Zoo, tokens: int) -> None:
    counter = of_file(zoo.path("qwen2"))
    work = counter.of_prompt(tokens, 128)
    pieces = -(-tokens // 128)
    assert work.macs == (
        tokens * counter.row_macs + counter.scored_macs + tokens * (tokens + 1) // 2 * counter.seen_macs
    )
    weights = pieces * counter.always_bytes + counter.output_bytes
    cached = sum(min(tokens, 128 * (i + 1)) for i in range(pieces)) * counter.cache_bytes
    assert work.bytes == weights + cached + tokens * counter.row_bytes
