"""Counter-based Gumbel noise, keyed by (seed, position, token): the same key gives the same bits on every machine.

A token is drawn as argmax(score + Gumbel noise). Because the noise of a token at a position is a pure function of its
key, a guess can be checked by asking whether the target, with the same noise, draws the same token.

Every operation below is an unsigned 32-bit or 64-bit integer operation or one correctly rounded float32 operation
(no fused multiply-add, no library logarithm), in the order written, so generated code can repeat the bits. Per row:

    z = mix64(mix64(seed) + (position + 1) * 0x9E3779B97F4A7C15)      mod 2^64
    k0, k1 = z >> 32, z mod 2^32
and per token id t:
    b = mix32(mix32(t + k0) ^ k1)                                      mod 2^32
    E = -log(1 - v)  with  v = (b + 1/2) / 2^32;    g = -log(E)

`position` is the position of the token that is being drawn: the number of tokens before it.

E is exponentially distributed. The winner of a draw has a small E, so v near 0 must keep its relative precision: where
v < 1 - sqrt(1/2) the logarithm is taken of 1 + f with f = -v directly; elsewhere of (not b + 1/2) / 2^32, which equals
1 - v without cancellation. All 32 bits count: tokens with a probability of 2^-32 of the likeliest are still drawn
about as often as they should be, and the noise lies between NOISE_MIN and NOISE_MAX, so a token whose score is more
than NOISE_MAX - NOISE_MIN below the best one's cannot win and its noise need not be computed.

Sources: `mix32` is lowbias32 of C. Wellons' hash-prospector (public domain), used twice with a key before each round;
`mix64` is the SplitMix64 finaliser (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014,
with D. Stafford's variant 13 constants). The logarithm's coefficients were fitted for this file (minimax relative
error, degree 6 in Q; worst relative error in float32 about 1.0e-7).
"""

from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

NOISE_MIN: Final = -3.14  # -log(33 log 2) = -3.1298..., rounded outwards
NOISE_MAX: Final = 22.88  # 33 log 2 = 22.8738..., rounded outwards
MASK64: Final = 2**64 - 1
STRIDE: Final = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: SplitMix64's increment
MIX64: Final = (30, 0xBF58476D1CE4E5B9, 27, 0x94D049BB133111EB, 31)
MIX32: Final = (16, 0x7FEB352D, 15, 0x846CA68B, 16)
NEAR: Final = 1257966796  # floor((1 - sqrt(1/2)) * 2^32): below it, 1 - v needs no exponent
SQRT_HALF_BITS: Final = 0x3F3504F3  # the float32 nearest to sqrt(1/2)
LN2: Final = np.float32(0.6931472)
# log(1 + f) = f - f^2/2 + f^3 Q(f) on [sqrt(1/2) - 1, sqrt(2) - 1]; Q's coefficients, constant first
LOG_Q: Final = tuple(
    np.float32(c) for c in (0.3333391, -0.25001338, 0.19963063, -0.16577585, 0.14914769, -0.14267486, 0.087004304)
)


def row_key(seed: int, position: int) -> tuple[int, int]:
    """The two 32-bit keys (k0, k1) of the row that draws the token at `position` (0 or more); seed below 2^64."""
    z = _mix64((_mix64(seed) + (position + 1) * STRIDE) & MASK64)
    return z >> 32, z & 0xFFFFFFFF


def mixed(seed: int) -> int:
    """What `row_key` makes of the seed first: the same for all rows."""
    return _mix64(seed)


def shifted(seed: int, by: int) -> int:
    """The seed whose noise at any position is that of `seed` at the position `by` further on.

    >>> row_key(shifted(7, 100), 5) == row_key(7, 105)
    True
    """
    return _unmix64((_mix64(seed) + by * STRIDE) & MASK64)


def bits(key: tuple[int, int], tokens: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """32 uniform bits per token id; a permutation of the ids for each key."""
    return _mix32(_mix32(tokens + np.uint32(key[0])) ^ np.uint32(key[1]))


def exponential(b: NDArray[np.uint32]) -> NDArray[np.float32]:
    """-log(1 - (b + 1/2) / 2^32), float32, relative error about 1e-7 at both ends."""
    unit, half = np.float32(2.0**-32), np.float32(0.5)
    v = (b.astype(np.float32) + half) * unit
    w = (np.invert(b).astype(np.float32) + half) * unit
    return np.where(b < NEAR, -_log1p(-v), -log(w))


def gumbel(seed: int, position: int, tokens: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Standard Gumbel noise of each token id for the draw at `position`. Same shape as `tokens`.

    >>> gumbel(7, 0, np.arange(3, dtype=np.uint32)).shape
    (3,)
    """
    return -log(exponential(bits(row_key(seed, position), tokens)))


def log(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Natural logarithm of positive normal float32 numbers: split into e and f by integer arithmetic, then _log1p.

    The result is _log1p(f) + e * LN2.
    i = bits(x) - SQRT_HALF_BITS; e = i >> 23 (arithmetic); 1 + f = float with bits ((i & 0x7FFFFF) + SQRT_HALF_BITS).
    """
    i = x.view(np.int32) - np.int32(SQRT_HALF_BITS)
    e = (i >> np.int32(23)).astype(np.float32)
    f = ((i & np.int32(0x7FFFFF)) + np.int32(SQRT_HALF_BITS)).view(np.float32) - np.float32(1)
    return _log1p(f) + e * LN2


def _log1p(f: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of |f| < 1/2: f + (f2 * (q * f) - f2 / 2), q by Horner's rule from the highest coefficient, f2 = f * f."""
    q = np.full_like(f, LOG_Q[-1])
    for coefficient in reversed(LOG_Q[:-1]):
        q = q * f + coefficient
    f2 = f * f
    return cast("NDArray[np.float32]", f + (f2 * (q * f) - f2 * np.float32(0.5)))


def _mix32(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    a, m, b, n, c = (np.uint32(value) for value in MIX32)
    x = (x ^ (x >> a)) * m
    x = (x ^ (x >> b)) * n
    return x ^ (x >> c)


def _mix64(x: int) -> int:
    a, m, b, n, c = MIX64
    x = ((x ^ (x >> a)) * m) & MASK64
    x = ((x ^ (x >> b)) * n) & MASK64
    return x ^ (x >> c)


def _unmix64(x: int) -> int:
    """The inverse of _mix64; every one of its steps is a permutation."""
    a, m, b, n, c = MIX64
    x = ((x ^ (x >> c) ^ (x >> 2 * c)) * pow(n, -1, 2**64)) & MASK64
    x = ((x ^ (x >> b) ^ (x >> 2 * b)) * pow(m, -1, 2**64)) & MASK64
    return x ^ (x >> a) ^ (x >> 2 * a)
