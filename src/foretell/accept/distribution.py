"""The distribution that a token is drawn from: what `warpers.choose` draws, as numbers."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from foretell.accept.sampling import Sampling
from foretell.accept.warpers import INVERSE_MOST, adjusted, survivors


def distribution(logits: NDArray[np.float32], history: Sequence[int], sampling: Sampling) -> NDArray[np.float64]:
    """A row's probabilities after all warpers, of the target's p and a draft's q alike.

    exp((l - m) / T) over the survivors of top-k, top-p and min-p (`foretell.accept.warpers`, steps 0 to 6), summing to
    1; 0 elsewhere. At temperature 0 all is on the argmax.

    Args:
        logits: float32 [vocabulary], unmodified.
        history: the tokens before the one that is drawn, on its own path of a tree; the last 64 count.
        sampling: the settings; the seed does not matter.

    Returns:
        float64 [vocabulary].
    """
    changed = adjusted(logits, history, sampling)
    out = np.zeros(logits.size)
    if sampling.temperature == 0:
        out[np.argmax(changed)] = 1.0
        return out
    kept = survivors(changed, sampling)
    below = (changed[kept] - changed[kept].max()).astype(np.float64)
    weights = np.exp(below * min(1 / sampling.temperature, INVERSE_MOST))
    out[kept] = weights / weights.sum()
    return out
