"""Block verification (Sun et al., arXiv 2403.10444, algorithm 2): a chain is judged as a whole, from its end.

With x_1 ... x_n drawn from q, and p_i, q_i the distributions behind i guesses:

    w_0 = 1,   w_i = min(1, w_{i-1} p_{i-1}(x_i) / q_{i-1}(x_i))
    S_i = Σ max(w_i p_i - q_i, 0),   h_n = w_n,   h_i = S_i / (S_i + 1 - w_i)

Each i, from n down, is taken with probability h_i until one is, at the latest 0; i guesses are kept, and the token
behind them is drawn from max(w_i p_i - q_i, 0), or from p_n behind all.

Why it is right: at least i guesses are kept, given x_1 ... x_i, with probability w_i. This holds at n; and when it
holds at i + 1, more than i are kept with probability Σ q_i min(1, w_i p_i / q_i) = w_i - S_i, and exactly i with
probability (1 - w_i + S_i) h_i = S_i. So a token y follows the i kept ones with probability

    min(q_i(y), w_i p_i(y)) + max(w_i p_i(y) - q_i(y), 0) = w_i p_i(y),

as the target would have it. Keeps at least as many guesses as `reject` in expectation, and no rule keeps more.

For chains of law `sampled`; guesses of other laws are read as `point`. Later rounds need fresh draws: all guesses,
those behind the kept ones too, had a part in the decision.
"""

import numpy as np

from foretell.accept.proposal import Proposal, Weights
from foretell.accept.rejection import drawn_from
from foretell.accept.rule import Chance, Target, Verdict


def accept(proposal: Proposal, target: Target, chance: Chance) -> Verdict:
    """Verify a chain as a block."""
    kept = len(proposal)
    p = [target.p(node) for node in range(-1, kept)]  # p[i], q[i], reach[i]: behind i guesses
    q = [drawn_from(guess, p[i]) for i, guess in enumerate(proposal.guesses)]
    reach: list[float] = [1]
    for i, token in enumerate(proposal.tokens):
        reach.append(min(1, reach[i] * p[i][token] / q[i][token]))
    weights, probability = p[kept], reach[kept]
    while kept and not chance.coin("accept", kept - 1, probability):
        kept -= 1
        weights, probability = _behind(reach[kept] * p[kept], q[kept], 1 - reach[kept])
    return Verdict(tuple(range(kept)), chance.draw("bonus", kept - 1, weights))


def _behind(p: Weights, q: Weights, lost: float) -> tuple[Weights, float]:
    """The weights that the token behind a place follows when no more is kept, and h; p comes times w, lost = 1 - w."""
    over: Weights = np.maximum(p - q, 0)
    rest = over.sum()
    if not rest > 0:  # then more is kept for certain, unless rounding has it otherwise
        return p, 0 if lost else 1
    return over, rest / (rest + lost)
