"""Scoring in generated code against its definition in NumPy (`foretell.accept.warpers`), bit for bit.

Chosen tokens, likeliest tokens and log-probabilities must also be the same on all instruction sets.
"""

import ctypes
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llvmlite import ir
from numpy.typing import NDArray
from scipy import stats

from foretell.accept import noise as noise_reference
from foretell.accept import warpers
from foretell.accept.sampling import GREEDY, PENALTY_WINDOW, Sampling
from foretell.accept.warpers import choose
from foretell.backend.protocol import Scores, Want
from foretell.engine import isa as instruction_sets
from foretell.engine.emit import F32, I32, I64, PTR, Fn, vector
from foretell.engine.isa import ISA
from foretell.engine.jit import Library
from foretell.engine.kernels import exact, scores
from foretell.engine.kernels.logits import SPAN
from foretell.engine.scoring import OPS, Need, Scorer, needs

KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
_NAMES = list(instruction_sets.ALL)
AVAILABLE = _NAMES[_NAMES.index(instruction_sets.host().name) :]
EVERY_ISA = pytest.mark.parametrize("isa", AVAILABLE)
FILLER = np.int64(0x5B5B5B5B5B5B5B5B)  # what memory holds before: nothing may depend on it


@cache
def library(isa: str) -> Library:
    return Library("scores", scores.EXPORTS, instruction_sets.ALL[isa], scores.build, None)


@dataclass(frozen=True)
class Case:
    """Logits of some rows [rows, vocabulary], their histories, and the positions to draw at."""

    logits: NDArray[np.float32]
    histories: Sequence[Sequence[int]]
    positions: Sequence[int]

    def expected(self, sampling: Sampling) -> list[int]:
        rows = zip(self.logits, self.histories, self.positions, strict=True)
        return [choose(line, history, position, sampling) for line, history, position in rows]


def make_scorer(logits: NDArray[np.float32], threads: int = 1) -> tuple[Scorer, NDArray[np.float32]]:
    """A scorer and its padded logits; the padding holds what no one may look at."""
    rows, vocabulary = logits.shape
    padded = np.full((rows, -(-vocabulary // 16) * 16), np.nan, np.float32)
    padded[:, :vocabulary] = logits
    padded[:, vocabulary + 1 :] = np.inf
    return Scorer(padded, vocabulary, threads), padded


def prepare(scorer: Scorer, want: Want, case: Case) -> Need:
    need = scorer.prepare(want)
    scorer.set_histories(case.histories)
    scorer.set_positions(case.positions)
    return need


def run_operations(isa: str, scorer: Scorer, rows: int, need: Need, shuffle: int | None = None) -> None:
    """What the thread team does; with `shuffle`, items in another order, in pieces, by two threads."""
    order = np.random.default_rng(shuffle)
    for op in OPS:
        if op.need not in need:
            continue
        items, kernel = rows * (scorer.spans if op.by_span else 1), KERNEL(library(isa)[op.kernel])
        if shuffle is None:
            kernel(scorer.record.ctypes.data, 0, items, 0)
            continue
        ends = np.unique(np.append(order.integers(0, items + 1, 4), [0, items]))
        pieces = list(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True))
        for k in order.permutation(len(pieces)).tolist():
            kernel(scorer.record.ctypes.data, *pieces[k], k % 2)


def run_scores(isa: str, case: Case, want: Want, shuffle: int | None = None) -> Scores:
    scorer, padded = make_scorer(case.logits, threads=2)
    for array in scorer._keep:
        array[:] = FILLER
    need = prepare(scorer, want, case)
    run_operations(isa, scorer, len(case.logits), need, shuffle)
    assert padded[:, : case.logits.shape[1]].tobytes() == case.logits.tobytes()
    return scorer.read(len(case.logits), want)


SIZES = st.one_of(
    st.integers(1, 70),
    st.sampled_from([1000, SPAN - 1, SPAN, SPAN + 1, SPAN + 16, 3 * SPAN + 5, 20_011]),
)
SHAPES = ["normal", "narrow", "wide", "rounded", "two values", "flat", "one", "steep", "huge", "zeros"]


def draw_logits(rng: np.random.Generator, shape: str, size: int) -> NDArray[np.float32]:
    x = rng.standard_normal(size)
    match shape:
        case "narrow":
            x = x * 0.01 - 3
        case "wide":
            x = x * 12
        case "rounded":
            x = np.round(2 * x)
        case "two values":
            x = np.where(x > 1, 4.0, 1.0)
        case "flat":
            x = np.full(size, 1.25)
        case "one":
            x = np.where(np.arange(size) == rng.integers(size), 30.0, x)
        case "steep":
            x = -0.05 * np.arange(size)
        case "huge":
            x = x * 1e30
        case "zeros":
            x = np.where(x > 0, 0.0, -0.0)
    return x.astype(np.float32)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    rng, size = np.random.default_rng(draw(st.integers(0, 2**32))), draw(SIZES)
    lines = [draw_logits(rng, draw(st.sampled_from(SHAPES)), size) for _ in range(draw(st.integers(1, 3)))]
    logits, missing = np.stack(lines), draw(st.sampled_from([0, 0, 0, 0.1, 0.9, 1]))
    kept = rng.integers(size)
    logits[(rng.random(logits.shape) < missing) & (np.arange(size) != kept)] = -np.inf
    histories = [rng.integers(0, size, rng.integers(0, 100)).tolist() for _ in lines]
    return Case(logits, histories, rng.integers(0, 200_000, len(lines)).tolist())


SAMPLINGS = st.builds(
    Sampling,
    temperature=st.sampled_from([0, 0.7, 0.8, 1, 1.5, 100, 1e-3, 1e-300, 1e30]),
    top_k=st.one_of(st.sampled_from([0, 0, 1, 2, 40, 303, 10_000, 2**70]), st.integers(1, 100)),
    top_p=st.one_of(
        st.sampled_from([1.0, 1.0, 0.95, 0.5, 1e-9, 1 - 1e-4, 1 - 1e-7, 1 - 2**-53]), st.floats(0.001, 0.999)
    ),
    min_p=st.sampled_from([0, 0, 0.05, 0.5, 0.999, 1e-30]),
    repeat_penalty=st.sampled_from([1, 1.1, 1.3, 0.8, 5]),
    seed=st.integers(0, 2**64 - 1),
)


@EVERY_ISA
@settings(deadline=None, max_examples=250)
@given(case=cases(), sampling=SAMPLINGS, shuffle=st.none() | st.integers(0, 999), top=st.sampled_from([0, 0, 4]))
def test_chooses_what_the_definition_chooses(
    isa: str, case: Case, sampling: Sampling, shuffle: int | None, top: int
) -> None:
    found = run_scores(isa, case, Want(sampling, top=top), shuffle)
    assert found.tokens.tolist() == case.expected(sampling)


@EVERY_ISA
@settings(deadline=None, max_examples=100)
@given(case=cases(), top=st.sampled_from([1, 2, 5, 20, 300, 400, 30_000]), shuffle=st.none() | st.integers(0, 999))
def test_likeliest_tokens(isa: str, case: Case, top: int, shuffle: int | None) -> None:
    """Ids exactly; log-probabilities to 5e-6, or as near as float32 is."""
    found = run_scores(isa, case, Want(Sampling(repeat_penalty=1.5), top=top), shuffle)
    for row, line in enumerate(case.logits):
        order = np.argsort(-line, kind="stable")[:top]
        assert found.top_tokens[row].tolist() == order.tolist()
        below = line.astype(np.float64) - float(line.max())
        logs = below - math.log(np.exp(below).sum())
        np.testing.assert_allclose(found.top_logprobs[row], logs[order], rtol=1e-6, atol=5e-6)
        np.testing.assert_allclose(found.logprobs[row], logs[found.tokens[row]], rtol=1e-6, atol=5e-6)


@settings(deadline=None, max_examples=40)
@given(case=cases(), sampling=SAMPLINGS)
def test_all_instruction_sets_agree_in_every_bit(case: Case, sampling: Sampling) -> None:
    want = Want(sampling, top=7, logits=True)
    first, *others = (run_scores(isa, case, want) for isa in AVAILABLE)
    for other in others:
        assert other.tokens.tolist() == first.tokens.tolist()
        assert other.top_tokens.tolist() == first.top_tokens.tolist()
        assert other.logprobs.tobytes() == first.logprobs.tobytes()
        assert other.top_logprobs.tobytes() == first.top_logprobs.tobytes()


@EVERY_ISA
@pytest.mark.parametrize("shape", ["normal", "steep", "one", "flat"])
def test_a_real_vocabulary(isa: str, shape: str) -> None:
    """Several kinds of choice at full width: many spans, weights that sum beyond 2^44, every shape of the floor."""
    rng = np.random.default_rng(5)
    logits = np.stack([draw_logits(rng, shape, 151_936) * np.float32(scale) for scale in (1, 3)])
    case = Case(logits, [rng.integers(0, 151_936, 64).tolist()] * 2, [7, 8])
    for sampling in (
        Sampling(temperature=0.8, seed=1),
        Sampling(temperature=0.8, top_k=40, top_p=0.95, min_p=0.05, repeat_penalty=1.1, seed=2),
        Sampling(temperature=1.0, top_p=0.9, seed=3),
        Sampling(temperature=1.0, top_k=5000, top_p=0.99, seed=4),
    ):
        assert run_scores(isa, case, Want(sampling, top=5)).tokens.tolist() == case.expected(sampling)


def test_penalty_without_temperature_is_argmax_of_the_penalised() -> None:
    logits = np.array([[3.0, 2.9, -1.0], [-1.0, -1.1, -2.0], [0.2, 0.19, -1.0]], np.float32)
    case = Case(logits, [[0, 0, 0], [0], [0]], [3, 1, 1])
    assert run_scores(AVAILABLE[0], case, Want(Sampling(repeat_penalty=1.2))).tokens.tolist() == [1, 1, 1]


def test_history_is_cut_to_the_window() -> None:
    case = Case(np.array([[3.0, 2.9]], np.float32), [[0] + [1] * PENALTY_WINDOW], [65])
    assert run_scores(AVAILABLE[0], case, Want(Sampling(repeat_penalty=2.0))).tokens.tolist() == [0]


@EVERY_ISA
def test_rare_noise_wins(isa: str) -> None:
    """Seed 0 has noise of 19.578 for token 3312 at position 5048, and of -0.804 for token 0."""
    logits = np.full((1, 9000), -60, np.float32)
    logits[0, [0, 3312]] = 0, -20
    case, sampling = Case(logits, [[]], [5048]), Sampling(temperature=1.0)
    assert run_scores(isa, case, Want(sampling)).tokens.tolist() == case.expected(sampling) == [3312]


@EVERY_ISA
@pytest.mark.parametrize("missing", [1e-4, 3e-5, 1.5e-6, 5e-7])
@pytest.mark.parametrize("below", [-14, -19.6, -20.4])
def test_top_p_that_ends_among_tiny_weights(isa: str, missing: float, below: float) -> None:
    """The temperature makes all survivors about equally likely, so that the draws show where top-p ends."""
    tail = below + np.random.default_rng(1).random(9000) * 0.4
    logits = np.tile(np.append(tail, 0).astype(np.float32), (40, 1))
    case, sampling = Case(logits, [[]] * 40, range(40)), Sampling(temperature=1e4, top_p=1 - missing)
    assert run_scores(isa, case, Want(sampling)).tokens.tolist() == case.expected(sampling)


def test_a_scorer_forgets_what_it_was_asked_before() -> None:
    """The same memory for one want after another, as in a session."""
    rng = np.random.default_rng(3)
    logits = rng.standard_normal((2, 9000)).astype(np.float32)
    case = Case(logits, [rng.integers(0, 9000, 30).tolist() for _ in range(2)], [50, 60])
    scorer, _ = make_scorer(logits)
    samplings = [Sampling(0.8, 40, 0.9, 0.1, 1.2, 5), GREEDY, Sampling(1.0), Sampling(0.0, repeat_penalty=1.1)]
    for sampling in [*samplings, *samplings[::-1]]:
        for top in (0, 3, 40, 1):
            want = Want(sampling, top=top)
            need = prepare(scorer, want, case)
            run_operations(AVAILABLE[0], scorer, 2, need)
            found = scorer.read(2, want)
            assert found.tokens.tolist() == case.expected(sampling)
            assert found.top_tokens.shape == (2, top)


def test_without_rows() -> None:
    scorer, _ = make_scorer(np.zeros((1, 20), np.float32))
    want = Want(Sampling(0.8, repeat_penalty=1.1), top=2, logits=True)
    scorer.prepare(want)
    found = scorer.read(0, want)
    assert found.tokens.shape == found.logprobs.shape == (0,)
    assert found.top_tokens.shape == (0, 2)
    assert found.logits is not None
    assert found.logits.shape == (0, 20)


def test_only_what_is_asked_for_is_needed() -> None:
    assert needs(Want()) == Need.TOKEN | Need.LARGEST
    assert needs(Want(top=1)) == Need.TOKEN | Need.TOP
    assert needs(Want(Sampling(0.8))) == Need.TOKEN | Need.LARGEST | Need.DRAW
    assert needs(Want(Sampling(top_k=5, top_p=0.5, min_p=0.1))) == Need.TOKEN | Need.LARGEST
    everything = Want(Sampling(0.8, top_p=0.5, repeat_penalty=2.0), top=1)
    assert needs(everything) == Need.TOKEN | Need.TOP | Need.PENALTY | Need.LARGEST | Need.CUT | Need.DRAW


def apply(isa: str, source: NDArray[np.generic], functions: Sequence[Callable[[Fn, object], object]]) -> list[NDArray]:
    """Each function of a vector of 32-bit lanes, compiled, over an array."""
    element = F32 if source.dtype == np.float32 else I32

    def build(module: ir.Module, target: ISA) -> None:
        fn = Fn(module, target, "apply", [PTR, PTR, I64])
        given_at, result, size = fn.args
        with fn.range(0, size, 16) as i:
            x = given_at.load(vector(element), i * 4)
            for k, function in enumerate(functions):
                result.store(function(fn, x), (size * k + i) * 4)
        fn.finish()

    compiled = Library("apply", ("apply",), instruction_sets.ALL[isa], build, None)
    assert len(source) % 16 == 0
    out = np.zeros((len(functions), len(source)), np.uint32)
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(compiled["apply"])
    call(source.ctypes.data, out.ctypes.data, len(source))
    return list(out)


@EVERY_ISA
def test_noise_has_the_reference_bits_and_stays_below_its_bound(isa: str) -> None:
    ends = np.arange(2**16, dtype=np.uint32)
    powers = np.array([2**k + d for k in range(9, 31) for d in range(-8, 8)], np.uint32)
    middle = np.random.default_rng(1).integers(0, 2**32, 2**18, dtype=np.uint32)
    bits = np.concatenate(
        [ends, ~ends, powers, noise_reference.NEAR - ends[:64], ends[:64] + noise_reference.NEAR, middle]
    )
    bits = bits.astype(np.uint32)
    found, bound = (a.view(np.float32) for a in apply(isa, bits, [exact.noise, exact.noise_bound]))
    expected = -noise_reference.log(noise_reference.exponential(bits))
    assert found.tobytes() == expected.tobytes()
    assert (bound - found).min() > exact.SLACK / 2
    assert (bound - found)[(expected > 2) & (bits > 2**14)].max() < 0.2  # else it would be of little use


@EVERY_ISA
def test_exponentials_and_weights_have_the_reference_bits(isa: str) -> None:
    x = -np.concatenate([np.linspace(0, 45, 2**16), np.geomspace(1e-40, 1e38, 2**12)]).astype(np.float32)
    x[-1] = -np.inf
    exponentials, weights = apply(isa, x, [exact.exp, exact.weights])
    assert exponentials.tobytes() == warpers.exp(x).tobytes()
    assert weights.view(np.int32).tolist() == warpers.weights(x).tolist()


@pytest.mark.parametrize(
    ("sampling", "survivors"),
    [
        (Sampling(temperature=0.8, seed=12), 24),
        (Sampling(temperature=1.3, top_k=14, top_p=0.98, min_p=0.02, repeat_penalty=1.5, seed=34), 13),
    ],
    ids=["plain", "everything"],
)
def test_goodness_of_fit(sampling: Sampling, survivors: int) -> None:
    """10^6 draws, each at a position of its own, against the exact probabilities; a right sampler fails with 1e-7 each.

    The seeds are fixed, so that what passes once passes always.
    """
    logits = np.linspace(3, -3, 24).astype(np.float32)
    history, batch, batches = [0, 3, 23], 4000, 250
    scorer, _ = make_scorer(np.tile(logits, (batch, 1)))
    want, counts = Want(sampling), np.zeros(24, np.int64)
    scorer.set_histories([history] * batch)
    for number in range(batches):
        need = scorer.prepare(want)
        scorer.set_positions(range(number * batch, (number + 1) * batch))
        run_operations(AVAILABLE[0], scorer, batch, need)
        counts += np.bincount(scorer.read(batch, want).tokens, minlength=24)
    penalised = warpers.penalise(logits, history, sampling.repeat_penalty)
    kept = warpers.survivors(penalised, sampling)
    assert len(kept) == survivors
    share = np.exp(penalised[kept].astype(np.float64) / sampling.temperature)
    expected = share / share.sum() * batch * batches
    assert expected.min() > 100  # so that the statistic is close to chi-square far out in the tail
    assert counts.sum() == counts[kept].sum() == batch * batches
    assert stats.chisquare(counts[kept], expected).pvalue > 1e-7
