"""A draft model whose output matrix is cut to the content's tokens: built in the background, used between guards."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from foretell.accept.proposal import ROOT
from foretell.backend.protocol import Cutter
from foretell.codegen.round import Outcome
from foretell.cost.facts import Facts
from foretell.runtime.backoff import MOST, Backoff
from foretell.runtime.tiers.build import Build, Work
from foretell.runtime.tiers.content import Content
from foretell.runtime.tiers.profit import BUILD_MS, LATER, MARGIN, Times, gain, kept

SIZES: Final = (8192, 16384)  # tokens of a matrix; docs/adr/0009-tiers.md has what these and others keep
WARM: Final = 4  # rounds with its guesses before anything is specialised on it
FADE: Final = 0.9  # of what is known of its rounds, per round
BAND: Final = 0.2  # that the share of right guesses may fall below what it was on entering
SURE: Final = 16  # tokens of the answer after which guards look at shares of them

Note = Callable[[str, str, str], None]  # whose, what, why
Start = Callable[[Work], Build]


@dataclass(slots=True)
class Usual:
    """What rounds with the model's guesses are like lately.

    right: chance of a guess when those before it were right. steps: guesses. share: of rounds that have some.
    rounds: how many.
    """

    right: float = 0.5
    steps: float = 4.0
    share: float = 1.0
    rounds: int = 0

    def learn(self, guessed: int, kept: int) -> None:
        """A round with so many guesses, of which these first ones were right."""
        self.share += (1 - FADE) * ((guessed > 0) - self.share)
        if not guessed:
            return
        self.rounds += 1
        tried = min(guessed, kept + 1)
        self.right += (1 - FADE**tried) * (kept / tried - self.right)
        self.steps += (1 - FADE) * (guessed - self.steps)


@dataclass(slots=True)
class Narrow:
    """The matrix of one statement's model, and whether it is in use.

    name: what the model's guesses are labelled with. cutter: its session. facts: what passes of the target take.
    sizes: that the matrix may have: the content, and what passes of the model take. note: told of every change.
    price: told what is left of the time of its passes.
    start: of work in the background.

    entered, fell: how often it came into use and a guard failed.
    """

    name: str
    cutter: Cutter[Any]
    facts: Facts
    sizes: Sequence[tuple[Content, Times]]
    note: Note
    price: Callable[[float], None]
    start: Start = Build
    entered: int = 0
    fell: int = 0
    on: bool = False
    _usual: Usual = field(default_factory=Usual)
    _backoff: Backoff = field(default_factory=Backoff)
    _build: Build | None = None
    _size: int = 0  # which of them
    _ids: list[int] = field(default_factory=list)
    _tokens: int = 0  # of the answer since it is in use
    _right: float = 0.0  # of guesses, on entering
    _until: int = 0  # tokens of context that costs are good for
    _served: int = 0  # rounds in use

    def tick(self, length: int, left: int) -> None:
        """Between two rounds. length: tokens of text. left: tokens that may still come."""
        if self.on:
            self._guard(length)
        elif self._build is not None:
            self._enter(length)
        elif (not self.fell or self._backoff.tick()) and self._pays(length, left):
            self._ids = ids = self._content.chosen()
            cut = self.cutter.cut(self._content.size)
            self._build = self.start(lambda going: cut.fill(ids, going))

    def learn(self, outcome: Outcome, new: Sequence[int]) -> None:
        """A round gave these tokens."""
        guesses = outcome.proposal.guesses
        mine = [i for i, each in enumerate(guesses) if each.source == self.name]
        for content, _ in self.sizes:
            content.add(guesses[i].token for i in mine)
            content.answer(new)
        self._tokens += len(new)
        chain, node = 0, ROOT
        for i in mine:
            if guesses[i].parent == node:
                chain, node = chain + 1, i
        self._usual.learn(chain, sum(i in outcome.verdict.path for i in mine))

    @property
    def _content(self) -> Content:
        return self.sizes[self._size][0]

    @property
    def _times(self) -> Times:
        return self.sizes[self._size][1]

    def begin(self, tokens: Sequence[int]) -> None:
        """The prompt."""
        for content, _ in self.sizes:
            content.add(tokens)

    def close(self) -> None:
        """The generation is over: the model says all again."""
        build, self._build = self._build, None
        if build is not None:
            build.cancel()
        if self.on:
            self._leave()

    def _pays(self, length: int, left: int) -> bool:
        """Whether what is left of the answer gains more than building takes.

        rounds to come * share of them with its guesses * gain * ms of such a round  >  ms of building
        """
        usual = self._usual
        if usual.rounds < WARM:
            return False
        self._size = max(range(len(self.sizes)), key=lambda size: self._gain(length, size))
        target, draft = self.facts.behind(length)(1 + round(usual.steps)), self._times.usual_ms
        rounds = min(left, self.facts.answer_tokens) / (1 + usual.right * usual.steps)
        saved = self._gain(length) * (target + usual.steps * draft) * rounds * usual.share
        return self._gain(length) > MARGIN and saved > BUILD_MS

    def _gain(self, length: int, size: int | None = None) -> float:
        content, times = self.sizes[self._size if size is None else size]
        usual = self._usual
        target = self.facts.behind(length)(1 + round(usual.steps))
        still = kept(content.lost, usual.right)
        return gain(usual.right, usual.steps, target, times.usual_ms, times.factor(length), still)

    def _enter(self, length: int) -> None:
        build = self._build
        if build is None or not build.done:
            return
        self._build = None
        if build.error is not None or not build.made:
            why = "it was given up" if build.error is None else " ".join(f"{build.error}".split())
            self._fail("not built", f"the matrix of {self._content.size:,} tokens could not be made: {why}")
            return
        gained, factor = self._gain(length), self._times.factor(length)
        self.cutter.narrow(self.cutter.cut(self._content.size))
        self._content.made(self._ids)
        self.price(factor)
        self.on, self.entered = True, self.entered + 1
        self._tokens = self._served = 0
        self._right, self._until = self._usual.right, max(2 * length, length + LATER)
        what = f"says {self._content.size:,} tokens of this content: {1 - factor:.0%} less time for a guess"
        self.note(self.name, "tier 1", f"{what}, {gained:.1%} more speed expected")

    def _guard(self, length: int) -> None:
        """Whether what it was specialised on still holds."""
        self._served += 1
        if self._served == MOST:
            self._backoff.used()
        if length > self._until:
            self._fall("context", f"the text has {length:,} tokens, and costs were looked at for {self._until:,}")
        elif self._tokens < SURE:
            return
        elif self._gain(length) < 0:
            lost = f"{self._content.lost:.0%} of the answer's tokens are not in the matrix"
            self._fall("vocabulary", f"{lost}, which costs more than it saves")
        elif self._usual.right < self._right - BAND:
            self._fall("acceptance", f"{self._usual.right:.0%} of its guesses are right, {self._right:.0%} on entering")

    def _fall(self, guard: str, why: str) -> None:
        self._leave()
        self._fail(f"guard {guard}", why)

    def _fail(self, what: str, why: str) -> None:
        self.fell += 1
        self._backoff.failed()
        self.note(self.name, what, f"{why}; tier 0 for {self._backoff.wait} rounds at least")

    def _leave(self) -> None:
        self.on = False
        self.cutter.narrow(None)
        self._content.made(None)
        self.price(1.0)
