"""Who guesses in a round, and how many tokens: decided each round for all paced sources of a pipeline together.

A round's options are the target alone, some guesses of its free sources (`foretell.cost.forest`: one tree of all that
they offer), or some steps of one draft model (`foretell.cost.choice`). The one with the largest value is taken: tokens
that it is expected to give, less what its time is worth at the recent rate. Once a draft model's guesses are there,
free ones stand beside and behind them where that pays. Whatever is tried, a generation can lose only so much against
the target alone, even when every guess is wrong: `room_ms`. Chances are learned (`chances`); costs were measured before
and stay as they are, so what a pipeline of class `distribution` says depends on its seed alone. What the clock says
only scales what is predicted for people.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from math import inf
from typing import Final, Literal, NamedTuple, Protocol

from foretell.cost.choice import NO_STEPS, ROW_MARGIN, Steps, best_rate, charged, copies
from foretell.cost.facts import Facts
from foretell.cost.forest import NONE, Offer, beside, forest
from foretell.runtime.chances import LOOKUP, Doubts, Kinds, Matches

RATE_FADE: Final = 0.85  # per round: a memory of about 6
# What a generation may lose against the target alone, when all guesses are wrong: so many ms, and this share of what
# the target alone takes for the tokens that are there. Below the 60 ms and 0.02 that are promised of every answer, as
# passes usually take some percent longer than measured, and short answers should not lose much of their time.
GRACE_MS: Final = 46.0
SHARE: Final = 0.0195
LOG: Final = 200  # changes of mind of a generation that are kept: the newest
DRIFT_STEP: Final = 0.1  # per round, of the log
ODD: Final = 3.0  # times as long as expected, or as short: more says nothing about the machine
PIECE: Final = 64  # tokens of text after which costs are looked up again


class Decision(NamedTuple):
    """What a round does, and why.

    source: whose guesses were chosen, several joined with "+", "" for the target alone. guesses: granted, at most; free
    ones beside a draft model's are not counted.
    expected_tokens: that the round gives, the target's own included. expected_ms: that it takes, guesses included.
    reason: for people, a few words.
    """

    kind: Literal["plain", "copy", "model"]
    source: str
    guesses: int
    expected_tokens: float
    expected_ms: float
    reason: str


class Change(NamedTuple):
    """A change of mind. round: 1 for the first. source: whose. what: a word. why: for people."""

    round: int
    source: str
    what: str
    why: str


class Terms(NamedTuple):
    """What the options of a round are weighed by.

    limit: most guesses. costs: ms of the target's pass over 1, 2, ... rows. rate: tokens per ms that time is worth.
    left: tokens to come. room_ms: that the round may lose when all its guesses are wrong.
    """

    limit: int
    costs: Sequence[float]
    rate: float
    left: int
    room_ms: float


class Copier(Protocol):
    """A paced source whose guesses cost nothing but rows."""

    @property
    def name(self) -> str:
        """What its guesses are labelled with."""
        ...

    @property
    def rank(self) -> int:
        """Of sources that guess the same, the one of the highest rank has most to go by."""
        ...

    def offer(self, limit: int) -> Offer:
        """The guesses that it has now, at most `limit`."""
        ...


class Drafter(Protocol):
    """A paced draft model."""

    @property
    def name(self) -> str:
        """What its guesses are labelled with."""
        ...

    def wish(self, terms: Terms) -> Steps:
        """The steps that it would make if it had read the text."""
        ...

    def offer(self, terms: Terms, best: float) -> Steps:
        """The steps that it would make now, or NO_STEPS when it is not worth its while.

        best: the value of the best option without it.
        """
        ...


class Pace:
    """Decides, and learns from what came. For one generation, or for all turns of a conversation.

    Args:
        facts: times of the target's passes, and the usual length of an answer.
        rows: most rows of a pass that it may plan.

    Attributes:
        costs: ms of a round's pass over 1, 2, ... rows, as decisions charge it. ms, tokens: of all rounds so far, at
        these costs. rounds: how many. plain_rounds: those of the target alone, although there were guesses to try.
        decision: of the present or last round. log: the newest changes of mind in this generation, at most LOG.
        forgotten: how many came before these.
        drift: how much slower than measured the machine is at present; for predictions only.
    """

    def __init__(self, facts: Facts, rows: int) -> None:
        self._facts, self._rows = facts, max(1, rows)
        self.costs = charged(facts.target, self._rows, facts.overhead_ms)
        self.ms = self.tokens = 0.0
        self.rounds = self.plain_rounds = 0
        self.decision: Decision | None = None
        self.log: deque[Change] = deque(maxlen=LOG)
        self.forgotten = 0
        self._earlier = 0  # rounds of earlier generations
        self.drift = 1.0
        self._matches: dict[str, Matches] = {}
        self._doubts: dict[str, Doubts] = {}
        self._copiers: list[Copier] = []
        self._drafters: list[Drafter] = []
        self._recent = 1.0, self.costs[0]  # tokens, ms
        self._saved_ms = 0.0  # against the target alone, in this generation
        self._plain_ms = 0.0  # that the target alone would have taken for it so far
        self._length = self._costs_from = 0  # tokens of text; where costs were looked up
        self._planned = False
        self._offers: dict[Copier, Offer] = {}  # of free sources that were not asked yet in this round
        self._taken: dict[Copier, Sequence[int]] = {}  # of free sources, which of the guesses that they offered
        self._rows_taken = 0  # guesses of free sources in the pass
        self._chosen: Drafter | None = None
        self._steps = NO_STEPS
        self._round_ms, self._guesses = 0.0, 0
        self._expected_ms = self.costs[0]
        self._rate = 1 / self.costs[0]  # tokens per ms that the round's time is worth
        self._margin_ms = ROW_MARGIN * facts.target(1)  # per guess, in `costs` beside what is measured

    @property
    def rate(self) -> float:
        """Tokens per ms that time is worth: the recent ones, never below those of the target alone."""
        tokens, ms = self._recent
        return max(1 / self.costs[0], tokens / ms)

    @property
    def room_ms(self) -> float:
        """Ms that may be lost now, so that the generation stays within what it may lose; less than 0 when too late."""
        return GRACE_MS + SHARE * self._plain_ms + self._saved_ms - self._round_ms

    def matches(self, name: str, measured: Sequence[tuple[int, float, float]] = (), kinds: Kinds = LOOKUP) -> Matches:
        """What was learned of the free source of this name; at first, what was measured of its kinds of guesses."""
        if name not in self._matches:
            self._matches[name] = Matches(measured, kinds)
        return self._matches[name]

    def doubts(self, name: str, prior: Sequence[tuple[float, float, float]]) -> Doubts:
        """What was learned of the draft model of this name."""
        if name not in self._doubts:
            self._doubts[name] = Doubts(prior)
        return self._doubts[name]

    def begin(self, copiers: Sequence[Copier], drafters: Sequence[Drafter]) -> None:
        """A generation begins, with these sources."""
        self._copiers, self._drafters = sorted(copiers, key=lambda each: each.rank), list(drafters)
        self._planned, self._chosen, self._rows_taken = False, None, 0
        self._offers, self._taken = {}, {}
        self._saved_ms = self._plain_ms = self._round_ms = 0.0
        self._guesses = 0
        self._length = 0
        self.log.clear()
        self.forgotten, self._earlier = 0, self.rounds

    def drop(self, name: str) -> None:
        """A source failed: sources of this name are not asked any more in this generation."""
        self._copiers = [each for each in self._copiers if each.name != name]
        self._drafters = [each for each in self._drafters if each.name != name]
        self.note(name, "dropped", "it failed")

    def read(self, tokens: int) -> None:
        """The target read so many tokens of the prompt: time that counts in what may be lost."""
        self._plain_ms += tokens * self._facts.prompt_ms

    def note(self, source: str, what: str, why: str) -> None:
        """A source changed its mind."""
        self.forgotten += len(self.log) == LOG
        self.log.append(Change(self.rounds - self._earlier + 1, source, what, why))

    def plan(self, limit: int) -> Decision:
        """What the coming round does, of at most so many guesses; asked once more it says the same."""
        self._plan(limit)
        if self.decision is None:
            raise RuntimeError("a source failed while the round was planned")
        return self.decision

    def copied(self, source: Copier, limit: int) -> Sequence[int]:
        """Which of the guesses that a free source offered this round takes, parents first."""
        self._plan(limit)
        self._offers.pop(source, None)
        return self._taken.get(source, NONE)

    def stepped(self, source: Drafter, limit: int) -> Steps:
        """What a draft model does this round."""
        self._plan(limit)
        return self._steps if self._chosen is source else NO_STEPS

    def spend(self, ms: float, guesses: int = 0) -> None:
        """A draft model's own time in this round, and how many guesses it gave for that."""
        self._round_ms += ms
        self._guesses += guesses

    def join(self, chain: Offer, limit: int) -> None:
        """A draft model made these guesses: of the free sources that were not asked yet, what pays joins them."""
        offers, made = self._offers, len(chain.guesses)
        if self.decision is None or not any(offer.guesses for offer in offers.values()):
            return
        grown = beside(chain, list(offers.values()))
        affordable = bisect_right(self.costs, self.costs[0] + max(0.0, self.room_ms))  # rows
        costs = self.costs[made:affordable]
        count = copies(grown.reach[: limit - made], costs, self._rate)[0] if costs else 0
        if not count:
            return
        self._rows_taken = count
        self._taken = dict(zip(offers, grown.taken(count), strict=True))
        names = [self.decision.source, *(copier.name for copier in offers if self._taken[copier])]
        ms = costs[count] - costs[0] - self._margin_ms * count
        self._expected_ms += ms
        self.decision = self.decision._replace(
            source="+".join(names),
            expected_tokens=self.decision.expected_tokens + sum(grown.reach[:count]),
            expected_ms=self.decision.expected_ms + ms * self.drift,
        )

    def settle(self, tokens: int) -> None:
        """The round is over and gave so many tokens; at first, the prompt. Only the first call in a round counts."""
        if not self._planned:
            self._length = self._length or tokens
            return
        self._planned = False
        guesses = self._rows_taken + self._guesses
        ms = self._round_ms + self.costs[min(guesses, len(self.costs) - 1)]
        plain = self.costs[0] * tokens
        self.ms += ms
        self.tokens += tokens
        self.rounds += 1
        self._plain_ms += plain
        self._saved_ms += plain - ms + self._margin_ms * guesses
        self._length += tokens
        self._round_ms, self._guesses = 0.0, 0
        then_tokens, then_ms = self._recent
        self._recent = then_tokens * RATE_FADE + tokens, then_ms * RATE_FADE + ms

    def took(self, ms: float) -> None:
        """The round took so long by the clock. Decisions do not depend on it; predictions for people follow."""
        ratio = min(max(ms / self._expected_ms, 1 / ODD), ODD)
        self.drift *= (ratio / self.drift) ** DRIFT_STEP

    def _worth(self, limit: int, reach: Sequence[float]) -> float:
        """Tokens per ms that time is worth in this round.

        The recent rate; but no more than what can be had now. Else, when a copy has just ended, slow rounds would look
        like the quickest way to the next fast ones, as if these came with time and not with the text.
        """
        costs, rate = self.costs, self.rate
        plain = now = 1 / costs[0]
        if rate <= plain:
            return rate
        if reach:
            now = max(now, best_rate(reach, costs))
        for drafter in self._drafters:
            steps = drafter.wish(Terms(limit, costs, plain, limit, inf))
            now = max(now, plain * (1 + steps.value / (1 + steps.tokens - steps.value)))
        return min(rate, now)

    def _plan(self, limit: int) -> None:
        if self._planned:
            return
        self._planned = True
        if abs(self._length - self._costs_from) >= PIECE and len(self._facts.contexts) > 1:
            self._costs_from = self._length
            self.costs = charged(self._facts.behind(self._length), self._rows, self._facts.overhead_ms)
        costs = self.costs
        self._chosen, self._steps, best = None, NO_STEPS, 0.0
        tokens, guesses = 1.0, 0.0
        kind: Literal["plain", "copy", "model"] = "plain"
        affordable = bisect_right(costs, costs[0] + max(0.0, self.room_ms))  # rows
        self._offers = {copier: copier.offer(limit) for copier in self._copiers}
        grown = forest(list(self._offers.values()))
        rate = self._rate = self._worth(limit, grown.reach)
        count, value = copies(grown.reach[:limit], costs[:affordable], rate)
        if count:
            best, kind, tokens, guesses = value, "copy", 1 + sum(grown.reach[:count]), count
        for drafter in self._drafters:
            left = min(limit, self._facts.answer_tokens)
            steps = drafter.offer(Terms(limit, costs, rate, left, self.room_ms), best)
            if steps.value > best:
                self._chosen, self._steps, best = drafter, steps, steps.value
                kind, tokens, guesses = "model", 1 + steps.tokens, steps.guesses
        if kind == "model":
            count = 0
        self.plain_rounds += len(grown.reach) > 0 and kind == "plain"
        self._rows_taken = count
        self._taken = dict(zip(self._copiers, grown.taken(count), strict=True))
        ms = costs[0] + (tokens - 1 - best) / rate - self._margin_ms * guesses
        name, reason = "", "no guess is worth its time"
        if kind != "plain":
            names = [copier.name for copier in self._copiers if self._taken[copier]]
            name = "+".join(names) if self._chosen is None else self._chosen.name
            reason = f"worth {best:.2f} tokens more than the target alone"
        self._expected_ms = ms
        self.decision = Decision(kind, name, count or self._steps.most, tokens, ms * self.drift, reason)
