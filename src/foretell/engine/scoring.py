"""What the caller wants of the logits of a pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from foretell.accept.sampling import GREEDY, PENALTY_WINDOW
from foretell.accept.warpers import choose
from foretell.backend.protocol import Scores, Want

if TYPE_CHECKING:
    from foretell.engine.kv import Sequence
    from foretell.engine.native import NativeModel
    from foretell.engine.session import _Pass

_NO_FLOATS, _NO_TOKENS = np.zeros(0, np.float32), np.zeros((0, 0), np.int32)


def score(model: NativeModel, program: object, now: _Pass, sequences: dict[int, Sequence], want: Want) -> Scores:
    """Scores of the wanted rows, in the caller's order."""
    n, vocabulary = len(now.wanted), model.hyper.vocabulary
    logits: NDArray[np.float32] = program.logits[:n, :vocabulary]  # type: ignore[attr-defined]
    if want.sampling == GREEDY:
        tokens = program.tokens[:n].copy()  # type: ignore[attr-defined]
    else:
        tokens = np.zeros(n, np.int32)
        for k, place in enumerate(now.wanted):
            held = sequences[now.given.sequences[now.order[place]]].tokens
            history = now.history(place, held, PENALTY_WINDOW)
            tokens[k] = choose(logits[k], history, now.positions[place] + 1, want.sampling)
    logprobs, top_tokens, top_logprobs = _NO_FLOATS, _NO_TOKENS, np.zeros((n, 0), np.float32)
    if want.top:
        logprobs, top_tokens, top_logprobs = _likeliest(logits, tokens, min(want.top, vocabulary))
    return Scores(tokens, logprobs, top_tokens, top_logprobs, logits.copy() if want.logits else None)


def _likeliest(
    logits: NDArray[np.float32], tokens: NDArray[np.int32], top: int
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]:
    """Log-probability of the chosen tokens; ids and log-probabilities of the `top` likeliest, ties by id."""
    n = len(logits)
    highest = logits.max(axis=1, keepdims=True)
    total = np.exp((logits - highest).astype(np.float64)).sum(axis=1, keepdims=True)
    base = highest.astype(np.float64) + np.log(total)
    ids = np.zeros((n, top), np.int32)
    for k in range(n):
        least = np.partition(logits[k], -top)[-top]
        candidates = np.flatnonzero(logits[k] >= least)
        ids[k] = candidates[np.argsort(-logits[k][candidates], kind="stable")][:top]
    chosen = np.take_along_axis(logits, tokens[:, None].astype(np.int64), 1)
    values = np.take_along_axis(logits, ids.astype(np.int64), 1)
    return (chosen - base)[:, 0].astype(np.float32), ids, (values - base).astype(np.float32)
