"""Drafts made cheaper: matrices quantised again, and an output matrix of some tokens only."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import synthetic
from foretell.accept.sampling import Sampling
from foretell.accept.warpers import choose
from foretell.backend.protocol import ROOT, Rows, Scores, Want
from foretell.engine import approximate
from foretell.engine import pack as packing
from foretell.engine.approximate import Approximated, quantise
from foretell.engine.dequantise import FORMATS, dequantise
from foretell.engine.hyper import Hyper
from foretell.engine.native import NativeModel
from foretell.engine.pack import pack, write_pack
from foretell.errors import UsageError
from foretell.models.gguf import GGUF
from synthetic import Shape, write
from tiny import ISAS, LOGITS, MODELS, Zoo, tokens

SKIPPED = frozenset({"rope_freqs.weight"})
TREE = Rows([5, 6, 7, 8, 9, 10, 11], [ROOT, 0, 1, 0, ROOT, 4, 4], [0] * 7, range(7))
HISTORIES = [[5], [5, 6], [5, 6, 7], [5, 8], [9], [9, 10], [9, 11]]


def error(weights: np.ndarray, data: np.ndarray, name: str) -> float:
    """Squares of the differences that quantising makes, weighed as Q4_K's fit does."""
    outputs, inputs = weights.shape
    runs = weights.reshape(outputs, -1, 32)
    weigh = np.abs(runs) + np.sqrt(np.mean(runs**2, axis=2, keepdims=True))
    back = dequantise(name, data.reshape(-1), (outputs, inputs)).reshape(runs.shape)
    return float(np.sum(weigh * (back - runs) ** 2))


@pytest.mark.parametrize("scale", [1e-4, 0.02, 30.0])
def test_q4_0_has_the_reference_quantiser_s_bytes(scale: float) -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(0, scale, (40, 256)).astype(np.float32)
    weights[3, 32:64] = 0
    weights[4, :32] = scale * np.tile([1, -1], 16)  # both are farthest: the first one counts
    weights[5, :32] = scale * np.tile([-1, 1], 16)
    weights[6] = np.rint(weights[6] / scale)
    expected = quants.quantize(weights, GGMLQuantizationType.Q4_0)
    assert quantise("Q4_0", weights).tobytes() == expected.tobytes()


def random_grid(seed: int) -> np.ndarray:
    """Q4_K blocks [3, 2 · 144] whose runs have their lowest and highest levels and whose scales go up to 63."""
    rng = np.random.default_rng(seed)
    q = rng.integers(0, 16, (3, 2, 8, 32), np.uint8)
    q[..., 3], q[..., 29] = 0, 15
    scales, mins = rng.integers(1, 64, (3, 2, 8), np.uint8), rng.integers(0, 64, (3, 2, 8), np.uint8)
    scales[..., 5] = mins[..., 2] = 63
    halves = rng.uniform(0.001, 0.1, (3, 2, 2)).astype(np.float16)
    packed = np.zeros((3, 2, 12), np.uint8)
    for run in range(8):  # as the format's description has them, run by run
        scale, least = scales[..., run], mins[..., run]
        if run < 4:
            packed[..., run] |= scale
            packed[..., run + 4] |= least
        else:
            packed[..., run + 4] |= scale & 15 | (least & 15) << 4
            packed[..., run - 4] |= scale >> 4 << 6
            packed[..., run] |= least >> 4 << 6
    low = np.stack([q[..., 2 * pair, :] | q[..., 2 * pair + 1, :] << 4 for pair in range(4)], axis=2)
    return np.concatenate([halves.view(np.uint8).reshape(3, 2, 4), packed, low.reshape(3, 2, 128)], axis=2)


@pytest.mark.parametrize("seed", range(20))
def test_q4_k_finds_the_blocks_that_weights_came_from(seed: int) -> None:
    data = random_grid(seed).reshape(3, -1)
    assert quantise("Q4_K", dequantise("Q4_K", data.reshape(-1), (3, 512))).tobytes() == data.tobytes()


def test_q4_k_is_better_than_equal_steps_over_the_span() -> None:
    weights = np.random.default_rng(1).standard_t(5, (64, 512)).astype(np.float32)
    plain = error(weights, synthetic.quantise(GGMLQuantizationType.Q4_K, weights), "Q4_K")
    fitted = error(weights, quantise("Q4_K", weights), "Q4_K")
    assert fitted < 0.87 * plain  # 0.83; without the search it is 0.97
    assert fitted < 0.8 * error(weights, quantise("Q4_0", weights), "Q4_0")


def test_q4_k_of_runs_without_spread() -> None:
    weights = np.zeros((1, 512), np.float32)
    weights[0, 64:96], weights[0, 96:128], weights[0, 256:288] = 0.63, -0.63, 1e-9
    back = dequantise("Q4_K", quantise("Q4_K", weights).reshape(-1), (1, 512))
    np.testing.assert_allclose(back, weights, atol=1e-3)
    assert (back[weights == 0] == 0).all()


@settings(max_examples=60, deadline=None)
@given(weights=arrays(np.float32, (2, 256), elements=st.floats(-1000, 1000, width=32)))
def test_any_weights_come_back_within_a_step(weights: np.ndarray) -> None:
    """Also those too small for a scale. Q4_0: steps of 1/8 of the farthest, one of which may be missing at the end.

    Q4_K: steps of 1/15 of a run's span, stretched by a tenth at most, as are the offsets; 6-bit scales are off by half
    of 1/63 of the block's largest, times 15.
    """
    for name, runs, steps in (("Q4_0", 16, 1 / 8), ("Q4_K", 2, 0.4)):
        back = dequantise(name, quantise(name, weights).reshape(-1), weights.shape)
        farthest = np.abs(weights).reshape(runs, -1).max(axis=1, keepdims=True)
        worst = np.abs(back - weights).reshape(runs, -1) - steps * 1.01 * farthest
        assert worst.max() <= 1e-4, name


def test_other_formats_are_not_written() -> None:
    with pytest.raises(ValueError, match="cannot be quantised to Q6_K"):
        quantise("Q6_K", np.zeros((1, 256), np.float32))


@pytest.mark.parametrize(
    ("was", "inputs", "precision", "now"),
    [
        ("F32", 256, None, "F32"),
        ("F16", 256, "Q4_0", "Q4_0"),
        ("Q8_0", 96, "Q4_0", "Q4_0"),
        ("Q4_1", 96, "Q4_0", "Q4_0"),
        ("Q4_K", 256, "Q4_0", "Q4_K"),  # no smaller
        ("Q4_0", 256, "Q4_K", "Q4_0"),
        ("Q6_K", 512, "Q4_K", "Q4_K"),
        ("Q5_0", 896, "Q4_K", "Q4_0"),  # no multiple of 256
        ("F16", 100, "Q4_K", "F16"),  # no multiple of 32
    ],
)
def test_matrices_get_fewer_bits_where_that_is_possible(was: str, inputs: int, precision: str | None, now: str) -> None:
    assert approximate._cheaper(was, inputs, precision) == now


SHAPES = {
    "superblocks": Shape("qwen2", width=256, heads=4, kv_heads=2, feed_forward=512, vocabulary=301, seed=11),
    "blocks": Shape(
        "llama", width=96, heads=6, kv_heads=3, feed_forward=160, vocabulary=277, rope_factors=True, seed=12
    ),
    "tied": Shape("qwen3", 2, 64, 3, 1, head_size=48, feed_forward=100, vocabulary=259, seed=13, tied=True),
}


@contextmanager
def loaded(
    path: Path, cache_dir: Path | None, *, keep: Sequence[int] | None = None, **options: object
) -> Iterator[NativeModel]:
    """A model loaded for the length of a block."""
    model = NativeModel.load(path, cache_dir=cache_dir, keep=keep, **{"threads": 1, **options})
    try:
        yield model
    finally:
        model.close()


def scores_of(model: NativeModel, rows: Rows = TREE, want: Want = LOGITS) -> Scores:
    """Scores of a pass on an empty sequence."""
    session = model.session()
    session.open()
    return session.step(rows, want)


def logits_of(model: NativeModel, rows: Rows = TREE) -> np.ndarray:
    """All logits of a pass on an empty sequence."""
    logits = scores_of(model, rows).logits
    assert logits is not None
    return logits


@pytest.mark.parametrize("precision", ["Q4_0", "Q4_K"])
@pytest.mark.parametrize("name", ["superblocks", "blocks"])
def test_a_lowered_precision_is_that_of_a_file_quantised_so(
    tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch, name: str, precision: str
) -> None:
    shape, plain = SHAPES[name], synthetic.quantise
    kind = precision if name == "superblocks" else "Q4_0"

    def ours(form: GGMLQuantizationType, values: np.ndarray) -> np.ndarray:
        return quantise(form.name, values) if form.name == kind else plain(form, values)

    write(tmp_path / "float.gguf", shape, "F32")
    monkeypatch.setattr(synthetic, "quantise", ours)
    write(tmp_path / "quantised.gguf", shape, {"": kind, "token_embd": "F32"})
    with (
        loaded(tmp_path / "float.gguf", cache_dir, precision=precision) as lowered,
        loaded(tmp_path / "quantised.gguf", cache_dir) as expected,
        loaded(tmp_path / "float.gguf", cache_dir) as before,
    ):
        assert {name: each.layout for name, each in lowered.weights.tensors.items()} == {
            name: each.layout for name, each in expected.weights.tensors.items()
        }
        assert lowered.graph == expected.graph
        got = logits_of(lowered)
        assert got.tobytes() == logits_of(expected).tobytes()
        assert got.tobytes() != logits_of(before).tobytes()


def test_matrices_that_do_not_fit_stay(tmp_path: Path, cache_dir: Path) -> None:
    write(tmp_path / "a.gguf", SHAPES["tied"], "F16")
    with loaded(tmp_path / "a.gguf", cache_dir, precision="Q4_K") as model:
        layouts = {name.split(".")[-2]: each.layout for name, each in model.weights.tensors.items() if each.layout}
        assert layouts.pop("ffn_down") == "F16"  # of 100 inputs
        assert layouts.pop("attn_output") == "F16"  # of 144
        assert set(layouts.values()) == {"Q4_0"}
        assert np.isfinite(logits_of(model)).all()


def cut(logits: np.ndarray, keep: Sequence[int]) -> np.ndarray:
    """The logits with all tokens but these at minus infinity."""
    out = np.full_like(logits, -np.inf)
    out[:, keep] = logits[:, keep]
    return out


def some(vocabulary: int, count: int, seed: int = 0) -> list[int]:
    """Token ids, each once, in no order."""
    ids: list[int] = np.random.default_rng(seed).permutation(vocabulary)[:count].tolist()
    return ids


Load = Callable[..., NativeModel]


@pytest.fixture(scope="module")
def cut_model(zoo: Zoo, cache_dir: Path) -> Iterator[Load]:
    """Loads tiny models with some tokens; (name, instructions, keep)."""
    known: dict[tuple[str, str, tuple[int, ...]], NativeModel] = {}

    def load(name: str, instructions: str, keep: Sequence[int]) -> NativeModel:
        key = name, instructions, tuple(keep)
        if key not in known:
            known[key] = NativeModel.load(
                zoo.path(name), isa=instructions, threads=1, cache_dir=cache_dir, digest=f"tiny-{name}", keep=keep
            )
        return known[key]

    yield load
    for model in known.values():
        model.close()


@pytest.mark.parametrize("instructions", ISAS)
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("count", [1, 16, 97])
def test_kept_tokens_score_as_ever_and_others_never(
    zoo: Zoo, cut_model: Load, name: str, instructions: str, count: int
) -> None:
    keep = some(MODELS[name][0].vocabulary, count)
    model = cut_model(name, instructions, keep)
    expected = cut(logits_of(zoo.load(name, instructions)), keep)
    got = scores_of(model)
    assert got.logits is not None
    assert got.logits.tobytes() == expected.tobytes()
    assert got.tokens.tolist() == expected.argmax(axis=1).tolist()
    output = "token_embd.weight" if MODELS[name][0].tied else "output.weight"
    assert model.weights.tensors[output].outputs == count


SAMPLINGS = [
    Sampling(temperature=0.8),
    Sampling(temperature=1e30),
    Sampling(temperature=1.5, top_k=5),
    Sampling(temperature=1.5, top_k=200, top_p=0.9),
    Sampling(temperature=2.0, top_p=0.7, min_p=0.01, repeat_penalty=1.4),
    Sampling(repeat_penalty=5.0),
]


@pytest.mark.parametrize("instructions", ISAS)
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_tokens_are_drawn_with_the_noise_of_their_true_ids(
    zoo: Zoo, cut_model: Load, instructions: str, sampling: Sampling
) -> None:
    """As the whole model would with the other tokens ruled out: penalty, warpers and noise see true ids."""
    keep = sorted({5, 9, *some(301, 40)})  # two of them in the histories
    model = cut_model("qwen2", instructions, keep)
    logits = cut(logits_of(zoo.load("qwen2", instructions)), keep)
    for seed in range(20):
        want = Want(replace(sampling, seed=seed))
        with np.errstate(invalid="ignore"):
            expected = [
                choose(line, past, len(past), want.sampling) for line, past in zip(logits, HISTORIES, strict=True)
            ]
        assert scores_of(model, want=want).tokens.tolist() == expected
    assert set(expected) <= set(keep)


@pytest.mark.parametrize("keep", [[7], [250, 3, 19], some(301, 60)], ids=len)
def test_the_likeliest_are_kept_tokens(zoo: Zoo, cut_model: Load, keep: list[int]) -> None:
    got = scores_of(cut_model("qwen2", ISAS[0], keep), want=Want(top=5))
    logits = cut(logits_of(zoo.load("qwen2")), keep).astype(np.float64)
    top = min(5, len(keep))
    order = np.argsort(-logits, axis=1, kind="stable")[:, :top]
    assert got.top_tokens.tolist() == order.tolist()
    shares = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(got.top_logprobs, np.take_along_axis(shares, order, axis=1), atol=1e-4)
    np.testing.assert_allclose(got.logprobs, got.top_logprobs[:, 0], atol=1e-6)


def test_many_kept_tokens_and_passes_of_all_sizes(tmp_path: Path, cache_dir: Path) -> None:
    """More than a work item moves; programs of several sizes, passes without scores, two threads."""
    shape = Shape("llama", 1, 32, 2, 1, feed_forward=64, vocabulary=20_011, seed=14)
    path, keep = write(tmp_path / "wide.gguf", shape, "F16"), some(20_011, 17_003)
    with loaded(path, cache_dir, keep=keep, threads=2) as model, loaded(path, cache_dir) as whole:
        session, text = model.session(), tokens(4, 60)
        sequence, expected = session.open(), cut(logits_of(whole, Rows.chain(text)), keep)
        for start, stop in ((0, 1), (1, 4), (4, 40), (40, 41), (41, 60)):
            rows = Rows.chain(text[start:stop], sequence, () if stop == 4 else range(stop - start))
            got = session.step(rows, LOGITS).logits
            session.commit(sequence, range(stop - start))
            assert got is not None
            if stop != 4:
                assert got.tobytes() == expected[start:stop].tobytes()
        assert session.vocabulary == 20_011


def test_both_at_once(tmp_path: Path, cache_dir: Path) -> None:
    path, keep = write(tmp_path / "a.gguf", SHAPES["superblocks"], "Q8_0"), some(301, 50)
    with (
        loaded(path, cache_dir, precision="Q4_0", keep=keep) as both,
        loaded(path, cache_dir, precision="Q4_0") as lowered,
    ):
        got = logits_of(both)
        assert got.tobytes() == cut(logits_of(lowered), keep).tobytes()
        assert both.weights.tensors["output.weight"].n_bytes == 4 * 16 * 256 * 4.5 / 8  # 50 outputs, padded
    with loaded(path, None, precision="Q4_0", keep=keep) as in_memory:
        assert logits_of(in_memory).tobytes() == got.tobytes()


def test_pieces_make_the_same_whole(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    with GGUF.open(zoo.path("llama")) as gguf:
        source = Approximated(gguf, Hyper.read(gguf), keep=some(277, 75), precision="Q4_0")
        whole = pack(source, SKIPPED)[1].tobytes()
        monkeypatch.setattr(packing, "_ROWS", 16)
        monkeypatch.setattr(approximate, "_CHUNK", 300)
        assert pack(source, SKIPPED)[1].tobytes() == whole


def test_nothing_changed_is_the_file_s_own_pack(zoo: Zoo, tmp_path: Path) -> None:
    with GGUF.open(zoo.path("mixed")) as gguf:
        source = Approximated(gguf, Hyper.read(gguf))
        assert source.key == ""
        assert source.tensors == gguf.tensors
        weights = write_pack(tmp_path / "a.pack", gguf, SKIPPED)
        assert packing.open_pack(tmp_path / "a.pack", source, SKIPPED) is not None
        assert pack(source, SKIPPED)[1].tobytes() == weights.data.tobytes()


def test_every_approximation_has_a_pack_of_its_own(zoo: Zoo, cache_dir: Path, tmp_path: Path) -> None:
    (cache_dir / "code").mkdir(parents=True, exist_ok=True)
    (tmp_path / "code").symlink_to(cache_dir / "code")
    load = partial(loaded, zoo.path("qwen2"), tmp_path, digest="model")
    options: list[dict[str, object]] = [
        {},
        {"keep": range(30)},
        {"keep": range(1, 31)},
        {"precision": "Q4_0"},
        {"precision": "Q4_K"},
        {"precision": "Q4_0", "keep": range(30)},
    ]
    finite: list[list[int]] = []
    for count, each in enumerate(options, 1):
        with load(**each) as model:
            finite.append(np.flatnonzero(np.isfinite(logits_of(model)[0])).tolist())
        packs = {path.name: path.stat().st_size for path in (tmp_path / "packed").glob("*.pack")}
        assert len(packs) == count
    assert {name for name, size in packs.items() if 8 * size < packs["model-v1.pack"]} == {
        name for name in packs if "-k" in name
    }, "a cut has its outputs alone"
    assert [len(ids) for ids in finite] == [301, 30, 30, 301, 301, 30]
    assert (finite[1][0], finite[2][0]) == (0, 1)
    stems = [path.stem for path in (tmp_path / "packed").glob("*.pack")]
    assert "model-v1" in stems
    assert not any(one != other and other.startswith(one + "-") for one in stems for other in stems)
    told: list[tuple[int, int]] = []
    again = [29, *range(29), 3]  # the same tokens, in another order, one twice
    with load(keep=again, progress=lambda *now: told.append(now)) as model:
        assert np.isfinite(logits_of(model)[0]).sum() == 30
    assert not told


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": []}, "no token is to be kept; keep at least one"),
        ({"keep": [5, -1]}, "token -1 is to be kept; the vocabulary has tokens 0 to 300"),
        ({"keep": [301, 5]}, "token 301 is to be kept; the vocabulary has tokens 0 to 300"),
        ({"precision": "Q6_K"}, "precision is 'Q6_K', must be one of Q4_0, Q4_K"),
    ],
)
def test_what_cannot_be_is_said_before_packing(
    zoo: Zoo, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message), loaded(zoo.path("qwen2"), tmp_path, **options):
        pass
    assert not (tmp_path / "packed").exists()


def test_bits_of_formats() -> None:
    """What decides whether a matrix becomes smaller: Q4_0 has a half for 32 weights, Q4_K as much in all."""
    assert approximate._bits("Q4_0") == approximate._bits("Q4_K") == 4.5
    assert math.isclose(approximate._bits("Q6_K"), 6.5625)
    assert min(FORMATS, key=approximate._bits) in approximate.PRECISIONS
