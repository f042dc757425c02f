"""How one token is chosen from one row's logits, in NumPy float32: what the engine's generated code must reproduce.

In this order; each step sees what the one before left over (l: logits, m: the largest of them after steps 0 and 1):

0. Logit bias: float32(b) is added to the logit of each token that has one. Should that ban (b = minus infinity) all
   tokens that may be chosen, none counts as banned.
1. Repeat penalty r: the logits of the tokens among the last 64 of the row's history become l / r where l > 0, else l *
   r. The history of a row is the committed tokens and the row's ancestors, the row's own token included. A token that
   occurs several times is penalised once.
2. Temperature 0: the answer is argmax (steps 3 to 5 never remove it).
3. Top-k: the k tokens that come first in *rank order*: larger logit first, equal logits by lower id.
4. Top-p: with integer weights c = trunc(exp(l - m) * 2^30) of the survivors and their total C, the shortest prefix in
   rank order whose weights sum to at least ceil(p * C) (p as a double). Integers make the sum independent of its order,
   so an engine may add in any number of threads and find the boundary by bisection. Weights below 2^-30 of the largest
   are 0.
5. Min-p: survivors with l - m >= float32(log(min_p)), the difference rounded to float32.
6. Temperature T and noise: argmax of (l - m) * inverse + g, ties to the lowest id; g is `noise.gumbel` and inverse is
   float32(min(1 / T, 3e38)), so that the product is never 0 times infinity (it may be minus infinity).

Every float operation is one rounded float32 operation; `exp` is the polynomial below. Logits must not be NaN;
-0.0 and 0.0 are equal. The largest logit always survives.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from foretell.accept.noise import gumbel
from foretell.accept.sampling import PENALTY_WINDOW, Sampling

INVERSE_MOST: Final = 3e38
WEIGHT_SCALE: Final = np.float32(2.0**30)
LOG2_E: Final = np.float32(1.442695)
LN2_HIGH: Final = np.float32(0.693359375)  # 10 bits, so that n * LN2_HIGH is exact (the split used by Cephes)
LN2_LOW: Final = np.float32(-2.1219444e-4)
EXP_LOWEST: Final = np.float32(-40)  # clamps the argument; weights are 0 long before
# exp(r) = 1 + r + r^2 Q(r) for |r| <= log(2) / 2; Q's coefficients, constant first; fitted for this file, error 1e-7
EXP_Q: Final = tuple(np.float32(c) for c in (0.4999923, 0.16667114, 0.041890115, 0.008312525))


def choose(logits: NDArray[np.float32], history: Sequence[int], position: int, sampling: Sampling) -> int:
    """The token chosen from a row's logits.

    Args:
        logits: float32 [vocabulary], unmodified.
        history: the tokens before the one that is drawn; only the last 64 are looked at.
        position: position of the token that is drawn (the number of tokens before it).
        sampling: the settings.
    """
    changed = adjusted(logits, history, sampling)
    if sampling.temperature == 0:
        return int(np.argmax(changed))
    kept = survivors(changed, sampling)
    return int(kept[np.argmax(scores(changed, kept, position, sampling))])


def adjusted(
    logits: NDArray[np.float32],
    history: Sequence[int],
    sampling: Sampling,
    allowed: NDArray[np.int64] | None = None,
) -> NDArray[np.float32]:
    """Steps 0 and 1, float32 [vocabulary], the same array when there is nothing to do. allowed: what may be chosen."""
    return penalise(biased(logits, sampling.logit_bias, allowed), history, sampling.repeat_penalty)


def biased(
    logits: NDArray[np.float32], bias: tuple[tuple[int, float], ...], allowed: NDArray[np.int64] | None = None
) -> NDArray[np.float32]:
    """Step 0: a copy with the bias added, or the same array when there is none. allowed: what may be chosen."""
    if not bias:
        return logits
    ids, values, bans = _columns(bias, logits.size)
    out = logits.copy()
    out[ids] += values
    if bans and (out if allowed is None else out[allowed]).max() == -np.inf:
        return logits
    return out


@lru_cache(maxsize=16)
def _columns(
    bias: tuple[tuple[int, float], ...], vocabulary: int
) -> tuple[NDArray[np.int64], NDArray[np.float32], bool]:
    """Ids within the vocabulary, what is added to their logits, and whether any is banned."""
    known = [pair for pair in bias if pair[0] < vocabulary]
    values = np.array([value for _, value in known], np.float32)
    return np.array([token for token, _ in known], np.int64), values, bool(np.isneginf(values).any())


def penalise(logits: NDArray[np.float32], history: Sequence[int], penalty: float) -> NDArray[np.float32]:
    """Step 1: a copy with the recent tokens' logits lowered, or the same array when the penalty is 1."""
    if penalty == 1 or not history:
        return logits
    recent = np.unique(np.asarray(history[-PENALTY_WINDOW:], np.int64))
    factor, values, out = np.float32(penalty), logits[recent], logits.copy()
    out[recent] = np.where(values > 0, values / factor, values * factor)
    return out


def survivors(logits: NDArray[np.float32], sampling: Sampling) -> NDArray[np.int64]:
    """Steps 3 to 5: ids that may be drawn, ascending."""
    if sampling.top_k == 0 and sampling.top_p == 1 and sampling.min_p == 0:
        return np.arange(logits.size)
    order = np.argsort(-logits, kind="stable")
    if sampling.top_k:
        order = order[: sampling.top_k]
    below = logits[order] - logits[order[0]]
    if sampling.top_p < 1:
        total = np.cumsum(weights(below), dtype=np.int64)
        needed = math.ceil(sampling.top_p * float(total[-1]))
        size = int(np.searchsorted(total, needed)) + 1
        order, below = order[:size], below[:size]
    if sampling.min_p > 0:
        order = order[below >= np.float32(math.log(sampling.min_p))]
    return np.sort(order)


def scores(
    logits: NDArray[np.float32], kept: NDArray[np.int64], position: int, sampling: Sampling
) -> NDArray[np.float32]:
    """Step 6: what the survivors are compared by, float32 [len(kept)]."""
    inverse = np.float32(min(1 / sampling.temperature, INVERSE_MOST))
    noise = gumbel(sampling.seed, position, kept.astype(np.uint32))
    with np.errstate(over="ignore"):
        result: NDArray[np.float32] = (logits[kept] - logits[kept].max()) * inverse + noise
    return result


def weights(below: NDArray[np.float32]) -> NDArray[np.int32]:
    """trunc(exp(below) * 2^30) for below <= 0; an integer between 0 and 2^30."""
    return (exp(below) * WEIGHT_SCALE).astype(np.int32)


def exp(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """e^x for x <= 0, clamped at EXP_LOWEST.

    n = trunc(x * LOG2_E - 1/2); r = (x - n * LN2_HIGH) - n * LN2_LOW; ((r * r) * q + r) + 1, q by Horner's rule from
    the highest coefficient; times the float with bits (n + 127) << 23.
    """
    x = np.maximum(x, EXP_LOWEST)
    n = (x * LOG2_E - np.float32(0.5)).astype(np.int32)
    whole = n.astype(np.float32)
    r = (x - whole * LN2_HIGH) - whole * LN2_LOW
    q = np.full_like(r, EXP_Q[-1])
    for coefficient in reversed(EXP_Q[:-1]):
        q = q * r + coefficient
    power = ((n + np.int32(127)) << np.int32(23)).view(np.float32)
    result: NDArray[np.float32] = (((r * r) * q + r) + np.float32(1)) * power
    return result
