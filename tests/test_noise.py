"""The noise: exact bits, accuracy, and goodness of fit.

Seeds are fixed, so a test that passes once passes always. The thresholds are such that a right generator with other
constants would fail one of the statistical tests with a probability below 1e-6 in all.
"""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from foretell.accept.noise import NEAR, NOISE_MAX, NOISE_MIN, bits, exponential, gumbel, log, row_key

ALARM = 1e-8  # each of the about 40 statistical checks
IDS = np.arange(1_000_000, dtype=np.uint32)


def uniform(seed: int, position: int, tokens: NDArray[np.uint32]) -> NDArray[np.float64]:
    return (bits(row_key(seed, position), tokens) + 0.5) / 2**32


def test_the_bits_are_these() -> None:
    """Golden values: another implementation must give the same; a change here changes every sampled text."""
    assert row_key(0, 0) == (3793791033, 2065550767)
    assert row_key(2**64 - 1, 10**6) == (928350206, 3051908179)
    ids = np.array([0, 1, 151_935], np.uint32)
    assert bits(row_key(42, 7), ids).tolist() == [2465525243, 1779920306, 3735682035]
    assert gumbel(42, 7, ids).view(np.uint32).tolist() == [1042434758, 1059065175, 3208008947]


def test_logarithms_are_accurate_over_the_whole_range() -> None:
    ends = np.arange(200_000, dtype=np.uint32)
    middle = (np.arange(-5000, 5000) + NEAR).astype(np.uint32)
    b = np.concatenate([ends, np.uint32(2**32 - 1) - ends, middle, bits(row_key(1, 1), IDS)])
    exact = -np.log1p(-(b + 0.5) / 2**32)
    assert np.abs(exponential(b) / exact - 1).max() < 3e-7
    noise = -log(exponential(b))
    assert np.abs(noise + np.log(exact)).max() < 2e-6
    assert noise.min() > NOISE_MIN
    assert noise.max() < NOISE_MAX
    assert noise.max() - noise.min() > NOISE_MAX - NOISE_MIN - 0.02  # the bounds are tight
    x = np.geomspace(1e-30, 1e30, 100_001).astype(np.float32)
    assert np.abs(log(x) - np.log(x.astype(np.float64))).max() < 1e-5


def test_each_key_permutes_the_tokens() -> None:
    assert len(np.unique(bits(row_key(3, 4), IDS))) == len(IDS)


@pytest.mark.parametrize(
    ("seed", "position", "axis"),
    [
        (0, 0, "token"),
        (1, 5, "token"),
        (2**63, 9, "token"),
        (0, 100, "position"),
        (77, 151_000, "position"),
        (5, 3, "seed"),
    ],
)
def test_uniform_along_tokens_positions_and_seeds(seed: int, position: int, axis: str) -> None:
    """Chi-squared over the high bits, the low bits, and pairs of neighbours, in 10^6 draws (10^5 of slow axes)."""
    one = np.array([position], np.uint32)
    match axis:
        case "token":
            b = bits(row_key(seed, position), IDS)
        case "position":
            b = np.array([bits(row_key(seed, p), one)[0] for p in range(100_000)])
        case _:
            b = np.array([bits(row_key(s, position), one)[0] for s in range(100_000)])
    pairs = (b[:-1] >> np.uint32(27)) * np.uint32(32) + (b[1:] >> np.uint32(27))
    for values, size in ((b >> np.uint32(22), 1024), (b & np.uint32(1023), 1024), (pairs, 1024)):
        assert stats.chisquare(np.bincount(values, minlength=size)).pvalue > ALARM
    assert abs(np.corrcoef(b[:-1], b[1:])[0, 1]) < 6 / np.sqrt(len(b))


@pytest.mark.parametrize(
    ("first", "second"),
    [((0, 0), (0, 1)), ((0, 1), (1, 0)), ((7, 9), (8, 9)), ((1, 2), (2**32 + 1, 2)), ((5, 5), (5, 261))],
)
def test_neighbouring_keys_are_independent(first: tuple[int, int], second: tuple[int, int]) -> None:
    a, b = uniform(*first, IDS), uniform(*second, IDS)
    joint = (a * 32).astype(int) * 32 + (b * 32).astype(int)
    assert stats.chisquare(np.bincount(joint, minlength=1024)).pvalue > ALARM
    flipped = np.bitwise_count(bits(row_key(*first), IDS) ^ bits(row_key(*second), IDS))
    assert abs(flipped.mean() - 16) < 6 * np.sqrt(8 / len(IDS))


def test_noise_is_gumbel() -> None:
    noise = gumbel(123, 45, IDS).astype(np.float64)
    assert stats.kstest(noise, stats.gumbel_r.cdf).pvalue > ALARM


def test_the_sampler_draws_from_its_distribution() -> None:
    """10^6 draws of argmax(logit + noise), each with noise of its own position, against the softmax."""
    logits = np.array([3.0, 2.9, 1.0, 0.0, -1.0, -3.0, -6.0, -9.0], np.float32)
    draws, ids = 1_000_000, np.arange(8, dtype=np.uint32)
    keys = np.array([row_key(2024, position) for position in range(draws // 8)], np.uint32)
    counts = np.zeros(8, np.int64)
    for block in range(8):  # other ids for each block: independent draws from the same keys
        noise = -log(exponential(_bits(keys, ids + np.uint32(1000 * block))))
        counts += np.bincount(np.argmax(logits + noise, axis=1), minlength=8)
    p = np.exp(logits.astype(np.float64))
    assert stats.chisquare(counts, p / p.sum() * draws).pvalue > 1e-6


def test_unlikely_tokens_are_drawn_as_often_as_they_should_be() -> None:
    """A token of probability 2^-20 wins against the rest by the shape of the noise near its upper end."""
    ids = np.array([3], np.uint32)
    keys = np.array([row_key(9, position) for position in range(400_000)], np.uint32)
    noise = -log(exponential(_bits(keys, ids)))[:, 0]
    for exponent in (6, 10, 13):
        p = 2.0**-exponent
        wins = int((noise > -np.log(-np.log1p(-p))).sum())  # P(g > x) = 1 - exp(-exp(-x)) = p
        assert stats.binomtest(wins, len(keys), p).pvalue > ALARM
    smallest = np.arange(4096, dtype=np.uint32)  # bits that give the largest noise
    exact = -np.log(-np.log1p(-(smallest + 0.5) / 2**32))
    assert np.abs(-log(exponential(smallest)) - exact).max() < 2e-6


def _bits(keys: NDArray[np.uint32], ids: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """`bits` for many keys at once: [keys, ids]."""
    from foretell.accept.noise import _mix32

    return _mix32(_mix32(ids[None, :] + keys[:, :1]) ^ keys[:, 1:])
