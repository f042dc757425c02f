"""The target's passes of a generation: over what it has not read yet and the guesses behind it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.accept.distribution import distribution
from foretell.accept.grammar import Walk
from foretell.accept.limited import Limited
from foretell.accept.proposal import ROOT, Proposal, Weights
from foretell.accept.rule import Target, Verdict
from foretell.accept.sampling import PENALTY_WINDOW, Sampling
from foretell.backend.protocol import Rows, Scores, Session, Want
from foretell.errors import ForetellError
from foretell.runtime.context import Context
from foretell.runtime.events import Alternative


@dataclass(frozen=True, slots=True)
class Checked:
    """What a pass said about each node of a proposal (`foretell.accept.rule.Target`).

    scores: of the newest token, then of each guess. history: the last tokens up to the newest.
    """

    proposal: Proposal
    scores: Scores
    history: tuple[int, ...]
    sampling: Sampling

    def choice(self, node: int) -> int:
        """The target's own token behind a node."""
        return self.scores.chosen[node + 1]

    def p(self, node: int) -> Weights:
        """Its distribution behind a node, after warpers."""
        path = [self.proposal.guesses[i].token for i in self.proposal.path(node)]
        return distribution(self.logits(node), [*self.history, *path], self.sampling)

    def said(self, node: int, token: int) -> tuple[float, tuple[Alternative, ...]]:
        """A token's log-probability behind a node under the unmodified distribution, and the likeliest tokens."""
        scores = self.scores
        top = zip(scores.top_tokens[node + 1].tolist(), scores.top_logprobs[node + 1].tolist(), strict=True)
        if token == self.choice(node):
            return float(scores.logprobs[node + 1]), tuple(top)
        logits = self.logits(node).astype(np.float64)
        return float(logits[token] - logits.max() - np.log(np.exp(logits - logits.max()).sum())), tuple(top)

    def logits(self, node: int) -> NDArray[np.float32]:
        """float32 [vocabulary] behind a node, unmodified."""
        if self.scores.logits is None:
            raise ForetellError("this pass was not asked for distributions")
        row: NDArray[np.float32] = self.scores.logits[node + 1]
        return row


class Verifier:
    """Passes over a context (`foretell.codegen.round.Verifier`).

    owed: tokens of the text that the target has not read, the newest last: one, and more after rounds in which it was
    not asked. distributions: whether rules need them, not only the target's choices. walk: the text under its grammar,
    if it has one.
    """

    def __init__(
        self,
        context: Context,
        session: Session,
        sampling: Sampling,
        *,
        top: int = 0,
        distributions: bool = False,
        piece_rows: int = 128,
        walk: Walk | None = None,
    ) -> None:
        self.owed: list[int] = []
        self.checked: Checked | None = None  # of this round's pass, if there was one
        self.want = Want(sampling, top, distributions or walk is not None)
        self._context, self._session, self._sampling = context, session, sampling
        self._piece_rows, self._walk = piece_rows, walk
        self._nothing = Want()

    def start(self, scores: Scores) -> int:
        """The first token, from what the prompt's pass gave."""
        self.checked = checked = Checked(Proposal(), scores, self._history(), self._sampling)
        target: Target = checked if self._walk is None else self._limited(Proposal(), self._walk, lambda: checked)
        token = target.choice(ROOT)
        self._follow([token])
        self.owed = [token]
        return token

    def verify(self, proposal: Proposal, *, constrained: bool = False) -> Target:
        """One pass over the owed tokens and the guesses; more before it when very many are owed.

        constrained: under the grammar, and only when it leaves a choice, or log-probabilities were asked for.
        """
        if not constrained:
            return self._pass(proposal)
        if self._walk is None:
            raise ForetellError("no grammar is set: give --schema, --regex or --grammar")
        checked = self._pass(proposal) if self.want.top else None
        return self._limited(proposal, self._walk, lambda: checked or self._pass(proposal))

    def _pass(self, proposal: Proposal) -> Checked:
        while len(self.owed) > self._piece_rows:
            self._read(self.owed[: self._piece_rows])
        context, owed, count = self._context, len(self.owed), len(proposal)
        parents: range | list[int] = range(-1, owed + count - 1)
        if not proposal.is_chain:
            behind = (owed - 1 if parent == ROOT else owed + parent for parent in proposal.parents)
            parents = [*range(-1, owed - 1), *behind]
        tokens = [*self.owed, *proposal.tokens]
        rows = Rows(tokens, parents, [context.sequence] * len(tokens), range(owed - 1, len(tokens)))
        scores = self._session.step(rows, self.want)
        self.checked = Checked(proposal, scores, self._history() if self.want.logits else (), self._sampling)
        return self.checked

    def _limited(self, proposal: Proposal, walk: Walk, ask: Callable[[], Checked]) -> Limited:
        length, vocabulary = len(self._context) + len(self.owed), self._session.vocabulary
        return Limited(proposal, walk, self._history(), length, self._sampling, vocabulary, ask)

    def _history(self) -> tuple[int, ...]:
        return (*self._context.tokens[-PENALTY_WINDOW:], *self.owed)

    def keep(self, proposal: Proposal, verdict: Verdict) -> list[int]:
        """Commit what a round decided; its tokens. Without a pass they are owed."""
        tokens = [proposal.guesses[i].token for i in verdict.path]
        new = tokens if verdict.bonus is None else [*tokens, verdict.bonus]
        self._follow(new)
        if self.checked is None or verdict.bonus is None:
            self.owed += new
            return new
        owed = len(self.owed)
        self._context.commit([*self.owed, *tokens], [*range(owed), *(owed + i for i in verdict.path)])
        self.owed = [verdict.bonus]
        return new

    def begin(self) -> None:
        """A round begins: nothing was asked yet."""
        self.checked = None

    def _follow(self, tokens: list[int]) -> None:
        if self._walk is not None:
            self._walk.extend(tokens)

    def _read(self, tokens: list[int]) -> None:
        self._session.step(Rows.chain(tokens, self._context.sequence, ()), self._nothing)
        self._context.commit(tokens)
        del self.owed[: len(tokens)]
