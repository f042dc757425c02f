"""A draft model that a Pace paces: when it reads the text, and how many steps it makes."""

from collections.abc import Sequence
from math import exp, inf
from typing import Final

from foretell.accept.proposal import Proposal, chain
from foretell.backend.protocol import Want
from foretell.cost.choice import NO_STEPS, Steps, steps
from foretell.cost.curve import Curve
from foretell.cost.forest import Offer
from foretell.draft.model import ModelSource
from foretell.draft.reader import Reader
from foretell.runtime.backoff import Backoff
from foretell.runtime.chances import Doubts
from foretell.runtime.pace import Pace, Terms

_NONE: Final = Proposal()

# A draft model that is off has unread text. Reading it is like buying what was rented so far: it is done when the
# tokens that the model would have gained since are worth so many times the time that reading takes. Once, and what was
# missed plus the reading costs at most twice what the best decision in hindsight would have. It is less, because what
# is missed while waiting is certain, and answers that begin doubtfully and go on as copies show that soon.
WORTH: Final = 0.5
MISSED_FADE: Final = 0.95  # of the missed gains, per round
HOPE_FADE: Final = 0.8  # of the usual gain, per round
HOPES: Final = 2.0  # times the same that what is still to come must be expected to gain
AHEAD: Final = 8  # rounds for which reading on pays, when the prompt is read already; the whole answer when it isn't
TEACH: Final = 3  # tokens of the answer that are worth comparing with what the model would have said
UNTRIED: Final = 8  # guesses until the first of which its chain is short, however sure it is
SHORT: Final = 4
PIECE: Final = 64  # rows of a pass that compares
PASSES_FADE: Final = 0.1  # of passes per guess, per round
RESERVE_MS: Final = 8.0  # that may be lost by its first steps, after reading the prompt
DOUBTFUL: Final = 3  # rounds without a guess that is expected to pay until it counts as off
BEHIND: Final = 8  # tokens that a model in use may have to read


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
        ahead: most guesses of an inner source that one of its passes checks.
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
        ahead: int = 0,
    ) -> None:
        self.doubts = doubts
        self._source, self._reader, self._pace, self._want = source, reader, pace, want
        self._pass_ms, self._prompt_ms, self._width = pass_ms, prompt_ms, width
        self._usual_ms = pass_ms
        self._text: list[int] = []  # that it was not told yet
        self._started = self._begun = False
        self._proposal: Proposal | None = None
        self._missed = self._hope = 0.0
        self._backoff = Backoff()
        self._on = self._held = False
        self._gated: bool | None = None
        self._ahead = ahead
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
        for guess, token in zip(proposal.guesses, tokens, strict=False):
            right = guess.token == token
            self.doubts.score(guess.chance, right)
            if not right:
                break

    @property
    def begun(self) -> bool:
        """Whether it has read the prompt in this generation."""
        return self._begun

    @property
    def reading_ms(self) -> float:
        """Of what it has not read; of the prompt, with its first steps behind that."""
        return self._read_ms(self._unread) + (0.0 if self._begun else RESERVE_MS)

    def price(self, factor: float) -> None:
        """Its passes take so many times what they usually do, from now on."""
        self._pass_ms = self._usual_ms if factor == 1 else self._usual_ms.scaled(factor)

    @property
    def _unread(self) -> int:
        """Tokens that it has to read.

        What an earlier generation read does not count where drawn guesses make the text: only its seed may.
        """
        fresh = self._want is None and not self._begun
        return (len(self._reader.text) if fresh else self._reader.unread) + len(self._text)

    def offer(self, terms: Terms, best: float) -> Steps:
        """See `pace.Drafter`."""
        if self._is_gated(terms):
            return NO_STEPS
        wish = self.wish(terms)
        if not self._ready(wish, wish.value - best, self._extra_ms, terms):
            return NO_STEPS
        return self.wish(terms, self._pace.room_ms - self._extra_ms)  # of what the comparison left unread

    def at_once(self, terms: Terms) -> Steps:
        """The steps that it would make now, behind a prompt that it was kept from reading until now."""
        if self._is_gated(terms) or self.reading_ms > terms.room_ms:
            return NO_STEPS
        steps = self.wish(terms, terms.room_ms - self._extra_ms)
        if steps.value > 0:
            self._switch(True, f"{self._extra_ms:.0f} ms of reading were saved")
        return steps

    @property
    def _extra_ms(self) -> float:
        """Of reading, before its chain."""
        return self._read_ms(self._unread) - self._read_ms(min(self._unread, 2))

    def wish(self, terms: Terms, room_ms: float = inf) -> Steps:
        """What it would do this round, had it read the text; as far as a loss of so many ms allows."""
        most = min(terms.limit, self._width, self._width if self.doubts.scored >= UNTRIED else SHORT)
        first_ms, later_ms = self._read_ms(min(self._unread, 2)), self._pass_ms(1) * self._per_guess
        costs = terms.costs
        most = min(most, len(costs) - 1)
        worst_ms = self._pass_ms(1 + self._ahead)
        while most > 0 and first_ms + most * worst_ms - self._pass_ms(1) + costs[most] - costs[0] > room_ms:
            most -= 1
        return steps(self.doubts.right, self.doubts.share, costs, terms.rate, (first_ms, later_ms), most)

    def _is_gated(self, terms: Terms) -> bool:
        if self._gated is None:
            self._gated = not self._can_pay(terms)
        return self._gated

    def _can_pay(self, terms: Terms) -> bool:
        """Whether its chains would pay on this machine if every guess were right and nothing had to be read."""
        step_ms, costs = self._pass_ms(1) * self._per_guess, terms.costs
        most = min(self._width, len(costs) - 1)
        each = [costs[k] - costs[0] + k * step_ms for k in range(1, most + 1)]
        if any(ms < k * costs[0] for k, ms in enumerate(each, 1)):
            return True
        self._pace.note(self.name, "gated", f"a guess takes {step_ms:.1f} ms: it cannot pay even when it is right")
        return False

    def _ready(self, wish: Steps, gain: float, reading: float, terms: Terms) -> bool:
        """Whether it is to guess, after reading what it has not read.

        gain: tokens of this round beyond the best other option. reading: ms.
        """
        self._missed *= MISSED_FADE
        self._hope += (1 - HOPE_FADE) * (max(0.0, gain) - self._hope) if self._hope else max(0.0, gain)
        due = self._backoff.tick()
        if gain <= 0:
            if self._on and self._backoff.idle >= DOUBTFUL:
                right = sum(r * s for r, s in zip(self.doubts.right, self.doubts.share, strict=True))
                self._switch(False, f"{right:.0%} of its guesses are right lately, which is not worth their time")
            return due and self._begun and self._probe(terms)
        extra = terms.rate * reading  # as tokens
        self._missed += gain
        rounds = terms.left / (1 + wish.tokens)
        hopes = self._hope * (min(rounds, AHEAD) if self._begun else rounds)
        if self._missed < WORTH * extra or hopes < HOPES * extra:
            return False
        if self.reading_ms > terms.room_ms:
            self._hold(f"reading takes {reading:.0f} ms, and {terms.room_ms:.0f} ms may be lost")
            return False
        self._switch(True, f"gains {self._hope:.2f} tokens a round for {reading:.0f} ms of reading")
        if self._begun and len(self._text) < BEHIND:
            return True
        return self._look() or True

    def _probe(self, terms: Terms) -> bool:
        """Read on, to see whether it would be right by now."""
        if self._read_ms(self._unread) > terms.room_ms / 2:
            return False
        self._backoff.failed()
        if self._want is None:  # nothing can be compared: only another attempt tells
            self.doubts.forget()
            return False
        before, unread = self.doubts.hits, len(self._text)
        looked = self._look()
        if looked:
            right = self.doubts.hits - before
            self._pace.note(self.name, "probe", f"{right} of {unread} tokens were what it would have said")
        return looked

    def _switch(self, on: bool, why: str) -> None:
        if self._on is not on:
            self._on, self._held = on, False
            self._pace.note(self.name, "on" if on else "off", why)

    def _hold(self, why: str) -> None:
        if not self._held:
            self._held = True
            self._pace.note(self.name, "held", why)

    def _look(self) -> bool:
        """Read what is unread, and compare what it would have said with what came. Whether it did."""
        reading, text, self._text = self._read_ms(self._unread), self._text, []
        if self._want is None or len(text) < TEACH or not self._reader.catch_up() or not self._reader.takes(text):
            self._source.extend(text)
            return False
        self._begun = True
        self._pace.spend(reading)
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
        return self.step(self._pace.stepped(self, limit), limit)

    def step(self, granted: Steps, limit: int) -> Proposal:
        """These steps."""
        if granted is NO_STEPS or limit < 1:
            return _NONE
        if self._text:
            self._source.extend(self._text)
            self._text = []
        self._source.stop = self.doubts.stop(granted.kinds) if self._want is not None else 0.0
        before, unread, rows = self._source.passes, self._unread, self._reader.rows
        proposal = self._proposal = self._source.propose(min(limit, granted.most))
        count, passes = len(proposal), self._source.passes - before
        if not count:  # its context is full, or it does not know a token of the text
            self._gated, self._proposal = True, None
            self._pace.note(self.name, "gated", "its context is full, or it lacks a token of the text")
            return proposal
        tried = max(0, self._reader.rows - rows - unread - (passes - 1)) / passes  # of the inner source, in each pass
        self._pace.spend(self._read_ms(unread + tried) + self._pass_ms(1 + tried) * (passes - 1), count)
        chances = [self.doubts.chance(each.chance) for each in proposal.guesses]
        self._pace.join(Offer(proposal.guesses, chances), limit)
        self._per_guess += PASSES_FADE * (min(1.0, passes / count) - self._per_guess)
        self._begun, self._missed = True, 0.0
        self._backoff.used()
        return proposal

    def _read_ms(self, rows: float) -> float:
        """Of one pass over few rows, or of as many as a long text takes."""
        most = self._pass_ms.points[-1][0]
        few = self._pass_ms(min(rows, most))
        return few if rows <= most else max(few, rows * self._prompt_ms)

    def close(self) -> None:
        """Close the source."""
        self._source.close()
