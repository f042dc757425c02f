"""Figures against hand-made answers with known scores, statistics against scipy."""

import doctest
import math
from collections.abc import Sequence
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from foretell.lab.quality import gleu, intervals, reckoning, writing
from foretell.lab.quality.items import Item, Number, Texts, Verdict
from foretell.lab.quality.measures import BLEU, CHRF, GLEU, RIGHT, Comparison
from foretell.lab.quality.report import in_words


@given(st.integers(1, 400), st.data())
def test_wilson_is_scipys(of: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, of))
    known = stats.binomtest(right, of).proportion_ci(0.95, method="wilson")
    assert intervals.wilson(right, of) == pytest.approx((known.low, known.high), abs=1e-12)


@pytest.mark.parametrize("module", [gleu, intervals, reckoning, writing])
def test_examples_in_docstrings(module: ModuleType) -> None:
    outcome = doctest.testmod(module)
    assert outcome.attempted
    assert outcome.failed == 0


def test_of_nothing_nothing_is_known() -> None:
    assert intervals.wilson(0, 0) == (0.0, 1.0)
    assert intervals.paired_difference(0, 0, 0) == (-1.0, 1.0)


@given(st.integers(0, 120), st.integers(0, 120))
def test_mcnemar_is_the_binomial_test(mine: int, theirs: int) -> None:
    known = stats.binomtest(mine, mine + theirs).pvalue if mine + theirs else 1.0
    assert intervals.mcnemar(mine, theirs) == pytest.approx(known, rel=1e-9)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 100))
def test_the_interval_of_a_difference_turns_with_its_sides(mine: int, theirs: int, ties: int) -> None:
    of = mine + theirs + ties
    low, high = intervals.paired_difference(mine, theirs, of)
    assert intervals.paired_difference(theirs, mine, of) == pytest.approx((-high, -low))
    if of:
        assert -1 <= low < high <= 1
        assert low <= (mine - theirs) / of + 0.5 / of
        assert high >= (mine - theirs) / of - 0.5 / of


def test_the_interval_of_a_difference_has_the_difference_about_as_often_as_it_says() -> None:
    """Of 4,000 samples of 80 pairs; with 95 % exactly, 93.5 % or less would come up once in 10,000 tests."""
    random = np.random.default_rng(3)
    p = (0.2, 0.1)
    counts = random.multinomial(80, [*p, 1 - sum(p)], size=4000)
    inside = [low <= p[0] - p[1] <= high for low, high in (intervals.paired_difference(b, c, 80) for b, c, _ in counts)]
    assert np.mean(inside) > 0.935


def test_the_bootstrap_of_a_mean_is_scipys() -> None:
    values = np.random.default_rng(1).gamma(2.0, size=60)
    mine = intervals.percentiles(intervals.resampled(60, lambda weights: weights @ values / 60))
    known = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=4000, rng=2).confidence_interval
    width = known.high - known.low
    assert mine == pytest.approx((known.low, known.high), abs=0.1 * width)


def test_a_bootstrap_p_is_never_zero_and_one_for_no_difference() -> None:
    assert intervals.bootstrap_p(np.zeros(99)) == 1.0
    assert intervals.bootstrap_p(np.ones(99)) == pytest.approx(0.02)
    assert intervals.bootstrap_p(np.array([1.0, 1.0, 1.0, -1.0])) == pytest.approx(0.8)


def numbers(n: int) -> list[Item]:
    return [Item(str(i), "?", Number("1")) for i in range(n)]


def verdicts(right: str) -> list[Verdict]:
    return [Verdict(each == "+", "") for each in right]


def test_shares_of_right_answers() -> None:
    found = RIGHT.estimate(numbers(10), verdicts("+++-------"))
    assert (found.value, found.how) == (30.0, "Wilson")
    assert (found.low, found.high) == pytest.approx((10.779, 60.322), abs=0.001)
    mine, theirs = verdicts("++++++----"), verdicts("-----+----")
    known = RIGHT.compare(numbers(10), mine, theirs)
    assert (known.difference, known.p, known.significant) == (50.0, 0.0625, False)
    assert RIGHT.compare(numbers(12), verdicts("++++++++----"), verdicts("-" * 12)).significant


def test_a_significant_difference_is_named_and_no_other() -> None:
    words = in_words(Comparison("right", 50.0, -1.0, 80.0, 0.0625, "McNemar"), "O2", "O0")
    assert words == (
        "no significant difference in right between O2 and O0: +50.0, between -1.0 and +80.0 (McNemar, p = 0.062)"
    )
    words = in_words(Comparison("chrF", -4.0, None, None, 0.0001, "paired bootstrap"), "mix", "O0")
    assert words == "O0 is better than mix in chrF: -4.0 for mix (paired bootstrap, p < 0.001)"


def test_tokens_are_the_same_however_they_are_set() -> None:
    pairs = [
        ("It's good, isn't it?", "It 's good , is n't it ?"),
        ("He said: “I can’t.”", "He said : `` I ca n't . ''"),
        ("In 1,000 well-known cases", "In 1,000 well-known cases"),
        ("They'll (perhaps) go...", "They 'll ( perhaps ) go . . ."),
    ]
    for written, apart in pairs:
        assert gleu.tokens(written) == gleu.tokens(apart)
    assert gleu.tokens("It's, 3.5!") == ["It", "'s", ",", "3.5", "!"]


def test_gleu_by_hand() -> None:
    source, reference = "he go to school", "he goes to school"
    right = gleu.statistics(source, reference, reference)
    assert right.tolist() == [4, 4, 4, 4, 3, 3, 2, 2, 1, 1]
    kept = gleu.statistics(source, source, reference)
    # he, to, school are right and `go` should have gone: 3 - 1; `to school` is right, `he go` and `go to` are not.
    assert kept.tolist() == [4, 4, 2, 4, 0, 3, 0, 2, 0, 1]
    assert gleu.gleu([source], [reference], [[reference]]) == pytest.approx(100.0)
    assert gleu.gleu([source], [source], [[reference]]) == 0.0

    sources = ["a b c d e f", "the cat sit on the mat"]
    corrections = ["a b c d e f", "the cat sits on a mat"]
    references = [["a b c d e f"], ["the cat sits on the mat"]]
    # Sentence 2: the, cat, sits, on, mat right, and `a` not: 5 of 6; `the cat`, `cat sits`, `sits on`: 3 of 5;
    # `the cat sits`, `cat sits on`: 2 of 4; `the cat sits on`: 1 of 3. Nothing of the source was left wrongly.
    precision = (11 / 12) * (8 / 10) * (6 / 8) * (4 / 6)
    assert gleu.gleu(sources, corrections, references) == pytest.approx(100 * precision**0.25)


def test_gleu_punishes_what_is_too_short_and_never_what_is_too_long() -> None:
    source = reference = "a b c d e f g h"
    assert gleu.gleu([source], ["a b c d"], [[reference]]) == pytest.approx(100 * math.exp(1 - 8 / 4))
    assert gleu.gleu([source], [f"{reference} i"], [[reference]]) < 100
    assert gleu.gleu([source], [""], [[reference]]) == 0.0


def test_gleu_is_the_mean_over_references() -> None:
    one, other = "a b c d e", "a b c d f"
    both = gleu.gleu(["a b c d x"], [one], [[one, other]])
    low, high = gleu.gleu(["a b c d x"], [one], [[other]]), 100.0
    assert low < both < high
    assert both == pytest.approx((low + high) / 2, abs=8)


def texts(references: Sequence[tuple[str, ...]]) -> list[Item]:
    return [Item(str(i), "?", Texts("source", each)) for i, each in enumerate(references)]


def said(*answers: str) -> list[Verdict]:
    return [Verdict(None, each) for each in answers]


SENTENCES = (
    "The library opens at eight and closes at six.",
    "In the morning the lake was covered with ice.",
    "Nobody knew who had written the letter to the mayor.",
    "They walked along the river until it became dark.",
    "Every child in the village was given a book.",
    "The train from the north arrived two hours late.",
)


def test_scores_of_sacrebleu() -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    references = [*((each,) for each in SENTENCES[:-1]), (SENTENCES[-1], "The northern train was two hours late.")]
    answers = [each.replace("the", "a") for each in SENTENCES]
    items, mine = texts(references), said(*answers)
    streams = [[each[0] for each in references], [None] * 5 + [references[-1][1]]]
    for measure, known in (
        (CHRF, sacrebleu.corpus_chrf(answers, streams)),
        (BLEU, sacrebleu.corpus_bleu(answers, streams)),
    ):
        found = measure.estimate(items, mine)
        assert found.value == pytest.approx(known.score)
        assert found.low < found.value < found.high
        perfect = said(*SENTENCES)
        assert measure.estimate(items, perfect).value == pytest.approx(100.0)
        better = measure.compare(items, perfect, mine)
        assert better.difference == pytest.approx(100.0 - known.score)
        assert better.significant
        assert measure.compare(items, mine, perfect).difference == pytest.approx(known.score - 100.0)
        assert measure.compare(items, mine, mine).p == 1.0
        assert "version:" in found.how
        assert "bs:1000" in found.how


def test_gleu_with_its_interval_and_its_test() -> None:
    items = [Item(str(i), "?", Texts(each.replace("the", "teh"), (each,))) for i, each in enumerate(SENTENCES)]
    perfect, left = said(*SENTENCES), said(*(each.replace("the", "teh") for each in SENTENCES))
    best = GLEU.estimate(items, perfect)
    assert (best.value, best.low, best.high) == pytest.approx((100.0, 100.0, 100.0))
    worse = GLEU.estimate(items, left)
    assert worse.low <= worse.value <= worse.high < 100
    found = GLEU.compare(items, left, perfect)
    assert found.difference == pytest.approx(worse.value - 100)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.difference <= found.high < 0
    assert found.significant
    assert GLEU.compare(items, left, left).p == 1.0
