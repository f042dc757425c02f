"""A draft model that a Pace paces: when it reads the text, and how many steps it makes."""

from collections.abc import Sequence
from math import exp
from typing import Final

from foretell.accept.proposal import Proposal, chain
from foretell.backend.protocol import Want
from foretell.cost.choice import NO_STEPS, Steps, steps
from foretell.cost.curve import Curve
from foretell.draft.model import ModelSource
from foretell.draft.reader import Reader
from foretell.runtime.chances import Doubts
from foretell.runtime.pace import Pace

_NONE: Final = Proposal()

# A draft model that is off has unread text. Reading it is like buying what was rented so far: it is done when the
# tokens that the model would have gained since are worth so many times the time that reading takes. Once, and what was
# missed plus the reading costs at most twice what the best decision in hindsight would have; the rest is because gains
# are only expected ones, and answers that begin doubtfully often go on as copies.
WORTH: Final = 1.5
MISSED_FADE: Final = 0.95  # of the missed gains, per round
HOPE_FADE: Final = 0.8  # of the usual gain, per round
HOPES: Final = 2.0  # times the same that what is still to come must be expected to gain
AHEAD: Final = 8  # rounds for which reading on pays, when the prompt is read already; the whole answer when it isn't
# What a model that doesn't pay may cost: this share of the time, and so many ms at once.
SHARE: Final = 0.01
GRACE_MS: Final = 30.0
LOSS: Final = 1.6  # tokens' time that its steps may lose against the target alone; then it rests, whatever is expected
PATIENCE: Final = 24  # rounds until it is tried again; doubled each time that this was in vain
MOST_PATIENCE: Final = 384
TEACH: Final = 3  # tokens of the answer that are worth comparing with what the model would have said
UNTRIED: Final = 8  # guesses until the first of which its chain is short, however sure it is
SHORT: Final = 4
PIECE: Final = 64  # rows of a pass that compares
PASSES_FADE: Final = 0.1  # of passes per guess, per round


class PacedModel:
    """A draft model; it makes as many steps as are expected to pay, and reads the text when that is.

    Args:
        source, reader: the model. The text that it need not know yet is kept back from them.
        pace: who decides.
        doubts: how often its guesses are right.
        want: what tells its own choice at a place, to compare it with text that came without it; None where that
            cannot be told, because its guesses are drawn.
        pass_ms: of its passes. prompt_ms: of one token of a long text.
        width: most guesses.
    """

    def __init__(
        self,
        source: ModelSource,
        reader: Reader,
        pace: Pace,
        doubts: Doubts,
        *,
        want: Want | None,
        pass_ms: Curve,
        prompt_ms: float,
        width: int,
    ) -> None:
        self.doubts = doubts
        self._source, self._reader, self._pace, self._want = source, reader, pace, want
        self._pass_ms, self._prompt_ms, self._width = pass_ms, prompt_ms, width
        self._text: list[int] = []  # that it was not told yet
        self._started = self._begun = False
        self._proposal: Proposal | None = None
        self._missed = self._hope = 0.0
        self._lost_ms = 0.0  # spent on it, less what it gained
        self._losses = 0.0  # the same of its steps alone, as tokens
        self._idle, self._patience = 0, PATIENCE
        self._per_guess = 1.0  # passes; fewer than 1 with an inner source

    @property
    def name(self) -> str:
        """As the source's."""
        return self._source.name

    @property
    def passes(self) -> int:
        """The source's."""
        return self._source.passes

    def extend(self, tokens: Sequence[int]) -> None:
        """Learn from the last round, and go on."""
        self._pace.settle(len(tokens))
        if self._proposal is not None:
            self._learn(self._proposal, tokens)
        if self._proposal is not None or not self._started:
            self._source.extend(tokens)
        else:
            self._text += tokens
        self._proposal, self._started = None, True

    def _learn(self, proposal: Proposal, tokens: Sequence[int]) -> None:
        """From what became of its guesses."""
        kept = 0
        for guess, token in zip(proposal.guesses, tokens, strict=False):
            right = guess.token == token
            self.doubts.score(guess.chance, right)
            if not right:
                break
            kept += 1
        self._lost_ms -= kept * self._pace.costs[0]
        self._losses = max(-LOSS, self._losses - kept)

    @property
    def _unread(self) -> int:
        """Tokens that it has to read.

        What an earlier generation read does not count where drawn guesses make the text: only its seed may.
        """
        fresh = self._want is None and not self._begun
        return (len(self._reader.text) if fresh else self._reader.unread) + len(self._text)

    def offer(self, limit: int, costs: Sequence[float], rate: float, best: float, left: int) -> Steps:
        """See `pace.Drafter`."""
        wish = self._wish(limit, costs, rate)
        scored = self.doubts.scored
        if not self._ready(wish, wish.value - best, rate, left):
            return NO_STEPS
        return wish if self.doubts.scored == scored else self._wish(limit, costs, rate)

    def _wish(self, limit: int, costs: Sequence[float], rate: float) -> Steps:
        """What it would do this round, had it read the text."""
        most = min(limit, self._width, self._width if self.doubts.scored >= UNTRIED else SHORT)
        draft_ms = self._read_ms(min(self._unread, 2)), self._pass_ms(1) * self._per_guess
        return steps(self.doubts.right, self.doubts.share, costs, rate, draft_ms, most)

    def _ready(self, wish: Steps, gain: float, rate: float, left: int) -> bool:
        """Whether reading what it has not read is worth it. gain: tokens of this round beyond the best other option."""
        self._missed *= MISSED_FADE
        self._hope += (1 - HOPE_FADE) * (max(0.0, gain) - self._hope) if self._hope else max(0.0, gain)
        self._idle += 1
        reading = self._read_ms(self._unread)
        if gain <= 0 or self._losses > LOSS:
            return self._probe(reading)
        extra = rate * (reading - self._read_ms(min(self._unread, 2)))  # as tokens
        self._missed += gain
        rounds = left / (1 + wish.tokens)
        hopes = self._hope * (min(rounds, AHEAD) if self._begun else rounds)
        if self._missed < WORTH * extra or hopes < HOPES * extra:
            return False
        if self._begun and len(self._text) < PATIENCE:
            return True
        return self._look() or True

    def _probe(self, reading: float) -> bool:
        """Read on now and then, to see whether it would be right by now."""
        if self._idle < self._patience or self._lost_ms + reading > SHARE * self._pace.ms + GRACE_MS:
            return False
        self._patience = min(2 * self._patience, MOST_PATIENCE)
        self._idle, self._losses = 0, 0.0
        return self._look()

    def _look(self) -> bool:
        """Read what is unread, and compare what it would have said with what came. Whether it did."""
        reading, text, self._text = self._read_ms(self._unread), self._text, []
        if self._want is None or len(text) < TEACH or not self._reader.catch_up() or not self._reader.takes(text):
            self._source.extend(text)
            return False
        self._begun = True
        self._spend(reading, 0)
        for i in range(0, len(text), PIECE):
            piece = text[i : i + PIECE]
            scores = self._reader.step((), chain(piece, self.name), self._want)
            self._reader.keep(range(len(piece) - 1))  # the newest is read again: its scores are what comes next
            self._source.extend(piece)
            for token, said, logprob in zip(piece, scores.tokens.tolist(), scores.logprobs.tolist(), strict=False):
                self.doubts.score(exp(logprob), said == token)
        return True

    def propose(self, limit: int) -> Proposal:
        """The steps that the round takes."""
        granted = self._pace.stepped(self, limit)
        if granted is NO_STEPS or limit < 1:
            return _NONE
        if self._text:
            self._source.extend(self._text)
            self._text = []
        self._source.stop = self.doubts.stop(granted.kinds) if self._want is not None else 0.0
        before, reading = self._source.passes, self._read_ms(self._unread)
        proposal = self._proposal = self._source.propose(min(limit, granted.most))
        count, passes = len(proposal), self._source.passes - before
        if not count:  # its context is full, or it does not know a token of the text
            self._width, self._proposal = 0, None
            return proposal
        later = self._pass_ms(1) * (passes - 1)
        self._spend(reading + later, count)
        costs = self._pace.costs
        self._losses += (self._pass_ms(1) + later + costs[min(count, len(costs) - 1)]) / costs[0] - 1
        self._per_guess += PASSES_FADE * (min(1.0, passes / count) - self._per_guess)
        self._begun, self._missed, self._idle, self._patience = True, 0.0, 0, PATIENCE
        return proposal

    def _spend(self, ms: float, guesses: int) -> None:
        self._pace.spend(ms, guesses)
        self._lost_ms += ms

    def _read_ms(self, rows: int) -> float:
        """Of one pass over few rows, or of as many as a long text takes."""
        most = self._pass_ms.points[-1][0]
        return self._pass_ms(min(rows, most)) + max(0, rows - most) * self._prompt_ms

    def close(self) -> None:
        """Close the source."""
        self._source.close()
