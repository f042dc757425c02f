"""Drafts that run in one native call: what these are, where they end, and what they leave."""

from __future__ import annotations

import math
from collections.abc import Sequence as Items
from typing import Final

import numpy as np

from foretell.backend.protocol import Doubt, Scores, Want
from foretell.engine.frame import Bounds
from foretell.engine.scoring import logprob

# Native code takes logarithms in float32. So that it never ends a draft too soon, it is given bounds that are lower by
# far more than the rounding; a step too many is dropped afterwards.
_SLACK: Final = 0.002


def is_native(want: Want, steps: int, stop: float, reach: float) -> bool:
    """Whether native code can go from one pass to the next: nothing is looked at but the token and its probability."""
    simple = want.top < 2 and not want.logits
    return simple and steps > 0 and (want.top == 1 or not (stop or reach))


def bounds(steps: int, stop: float, reach: float) -> Bounds:
    """What a frame is given."""
    return steps, _log(stop), _log(reach)


def _log(chance: float) -> float:
    return math.log(chance) - _SLACK if chance > 0 else -math.inf


def scores(notes: Items[tuple[int, int, float, float, float]], want: Want, stop: float, reach: float) -> Scores:
    """Scores of the steps that count, from notes on passes (`kernels.frame.NOTE`)."""
    tokens = [note[0] for note in notes]
    if not want.top:
        return Scores(tokens, None)
    doubt, count = Doubt(stop, reach), 0
    chosen = np.array([logprob(logit, largest, total) for _, _, logit, largest, total in notes], np.float32)
    for chance in chosen.tolist():
        count += 1
        if doubt.ends(math.exp(chance)):
            break
    likeliest = [[logprob(largest, largest, total)] for _, _, _, largest, total in notes[:count]]
    top_tokens = np.array([[note[1]] for note in notes[:count]], np.int32)
    return Scores(tokens[:count], None, (chosen[:count], top_tokens, np.array(likeliest, np.float32)))
