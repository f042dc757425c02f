"""The engine's logit bias against its definition in NumPy, bit for bit, on all instruction sets; and in real passes."""

import math
from dataclasses import replace

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from foretell.accept.sampling import MOST_BIASES, Sampling
from foretell.accept.warpers import biased, choose
from foretell.backend.protocol import Rows, Want
from foretell.engine.scoring import Need, needs
from test_scores import AVAILABLE, EVERY_ISA, SAMPLINGS, Case, cases, make_scorer, prepare, run_operations, run_scores
from tiny import Zoo

VALUES = st.sampled_from([-math.inf, -100.0, -1.0, -0.001, 0.25, 3.7, 100.0]) | st.floats(-100, 100)


@st.composite
def biases(draw: st.DrawFn) -> tuple[tuple[int, float], ...]:
    """A few, or as many as there may be; some for tokens that do not exist."""
    found = draw(st.dictionaries(st.integers(0, 70) | st.integers(0, 2**31 - 1), VALUES, max_size=20))
    if draw(st.integers(0, 5)) == 5:
        rng = np.random.default_rng(draw(st.integers(0, 2**32)))
        ids = rng.permutation(20_000)[:MOST_BIASES]
        found = dict(zip(ids.tolist(), rng.uniform(-100, 100, MOST_BIASES).tolist(), strict=True))
    return tuple(sorted(found.items()))


def possible(case: Case, sampling: Sampling) -> bool:
    """Whether a token is left in every row. (The loop refuses to ban all; what a pass would choose then is open.)"""
    with np.errstate(over="ignore"):
        rows = [biased(line, sampling.logit_bias) for line in case.logits]
    return all(row is not line and row.max() > -np.inf for row, line in zip(rows, case.logits, strict=True))


@EVERY_ISA
@settings(deadline=None, max_examples=40)
@given(
    case=cases(),
    sampling=SAMPLINGS,
    bias=biases(),
    shuffle=st.none() | st.integers(0, 999),
    top=st.sampled_from([0, 0, 4]),
)
def test_chooses_what_the_definition_chooses(
    isa: str, case: Case, sampling: Sampling, bias: tuple[tuple[int, float], ...], shuffle: int | None, top: int
) -> None:
    sampling = replace(sampling, logit_bias=bias)
    assume(not bias or possible(case, sampling))
    found = run_scores(isa, case, Want(sampling, top=top), shuffle)
    assert found.tokens.tolist() == case.expected(sampling)
    if top:  # these are of the unmodified distribution
        plain = run_scores(isa, case, Want(top=top), shuffle)
        assert found.top_tokens.tolist() == plain.top_tokens.tolist()
        assert found.top_logprobs.tobytes() == plain.top_logprobs.tobytes()
        line = case.logits[0].astype(np.float64) - float(case.logits[0].max())
        expected = line[found.tokens[0]] - math.log(np.exp(line).sum())
        np.testing.assert_allclose(found.logprobs[0], expected, rtol=1e-6, atol=5e-6)


@EVERY_ISA
def test_a_real_vocabulary_with_as_many_as_there_may_be(isa: str) -> None:
    rng = np.random.default_rng(3)
    logits = (3 * rng.standard_normal((2, 151_936))).astype(np.float32)
    case = Case(logits, [rng.integers(0, 151_936, 64).tolist()] * 2, [7, 8])
    ids = np.sort(np.argsort(-logits[0])[:MOST_BIASES]).tolist()
    for number in (-math.inf, -100.0, 2.5):
        bias = tuple((token, number) for token in ids)
        for sampling in (
            Sampling(logit_bias=bias),
            Sampling(0.8, seed=1, logit_bias=bias),
            Sampling(0.8, 40, 0.95, 0.05, 1.1, 2, bias),
        ):
            assert run_scores(isa, case, Want(sampling, top=5)).tokens.tolist() == case.expected(sampling)


def test_only_a_bias_takes_its_operations() -> None:
    assert Need.BIAS not in needs(Want(Sampling(0.8, repeat_penalty=1.1), top=3))
    assert needs(Want(Sampling(logit_bias=((3, 1.0),)), top=3)) == Need.TOKEN | Need.TOP | Need.BIAS | Need.LARGEST


def test_a_scorer_forgets_the_bias_that_it_had() -> None:
    case = Case(np.array([[1.0, 2.0, 3.0, 0.0]], np.float32), [[0, 1]], [5])
    scorer, _ = make_scorer(case.logits)
    for bias in (((0, 9.0),), (), ((1, 9.0), (2, -math.inf)), ((2, -50.0),), ()):
        for top in (0, 2):
            want = Want(Sampling(logit_bias=bias), top=top)
            run_operations(AVAILABLE[0], scorer, 1, prepare(scorer, want, case))
            assert scorer.read(1, want).tokens.tolist() == case.expected(want.sampling)


def test_passes_of_a_model_choose_by_it_and_give_unmodified_logits(zoo: Zoo) -> None:
    session = zoo.load("qwen2").session()
    sequence, tokens = session.open(), [5, 9, 200, 7, 31]
    bias = ((3, -math.inf), (40, 2.0), (77, 5.5), (200, -4.0))
    for sampling in (
        Sampling(logit_bias=bias),
        Sampling(0.9, seed=4, logit_bias=bias),
        Sampling(0.9, 20, 0.9, 0.01, 1.3, 4, bias),
    ):
        rows = Rows.chain(tokens, sequence)
        plain = session.step(rows, Want(top=3, logits=True))
        found = session.step(rows, Want(sampling, top=3, logits=True))
        assert plain.logits is not None
        assert found.logits is not None
        assert found.logits.tobytes() == plain.logits.tobytes()
        assert found.top_logprobs.tobytes() == plain.top_logprobs.tobytes()
        chosen = [choose(line, tokens[: i + 1], i + 1, sampling) for i, line in enumerate(plain.logits)]
        assert found.tokens.tolist() == chosen
