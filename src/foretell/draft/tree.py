"""Siblings at doubtful places: guesses beside the draft model's own choice, for when the target takes another branch.

llama.cpp drafts such trees, and so does staged speculative decoding (arXiv 2308.04623). A sibling costs a row of the
target's pass and nothing else: the draft model goes on along its own choice only. Which tokens are siblings is decided
without any chance beyond the noise that the target shares.
"""

import math

import numpy as np
from numpy.typing import NDArray

from foretell.accept.noise import gumbel
from foretell.accept.sampling import Sampling
from foretell.accept.warpers import survivors


def runners_up(
    ids: NDArray[np.int32], logprobs: NDArray[np.float32], position: int, sampling: Sampling
) -> list[tuple[int, float]]:
    """(token, probability) of the candidates that the model would choose next, best first.

    At temperature 0 these are the likeliest. Else they are what comes next in the very draw that chose the token: the
    order of log p / T + noise. Repeat penalties are left out and the top-p cut is taken among the candidates: that
    changes which siblings there are, never the text.

    Args:
        ids: int32 [n], candidates other than the chosen token, likeliest first.
        logprobs: float32 [n], theirs, under the unmodified distribution.
        position: of the token that is drawn.
        sampling: how.
    """
    if not ids.size:
        return []
    if sampling.temperature > 0:
        kept = survivors(logprobs, sampling)
        ids, logprobs = ids[kept], logprobs[kept]
        noisy = logprobs / np.float32(sampling.temperature) + gumbel(sampling.seed, position, ids.astype(np.uint32))
        order = np.argsort(-noisy, kind="stable")
        ids, logprobs = ids[order], logprobs[order]
    return [(int(token), math.exp(logprob)) for token, logprob in zip(ids, logprobs, strict=True)]
