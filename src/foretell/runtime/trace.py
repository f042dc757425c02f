"""What a generation did, round by round: noted while it runs, in so few steps that it can always be on.

A `Recorder` is given to a `Stream`. It keeps times and what was guessed and kept; whatever takes thought is made of
that afterwards (`foretell.runtime.run`, `foretell.lab.explain`). Where none is given, nothing is noted.
"""

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import NamedTuple

from foretell.accept.proposal import Proposal
from foretell.accept.rule import Chance, Rule, Target, Verdict
from foretell.codegen.round import Outcome, Parts
from foretell.draft.source import Source
from foretell.runtime.clock import Clock
from foretell.runtime.meter import Meter
from foretell.runtime.pace import Change, Decision, Pace

Moved = tuple[int, int, int, int]  # bytes and multiply-adds of the target's passes, and of the draft model's
Tried = tuple[int, int, str, float]  # of a guess: token, parent (index of an earlier one, or ROOT), source, chance


class Round(NamedTuple):
    """A round.

    start_s: since the request. round_s: until the next one began, or the end.
    propose_s: of the sources, their draft passes included. draft_s: of these passes. verify_s: of the target's pass.
    accept_s: of the rule and of committing. reader_s: of whoever reads the events, while the round's were read.
    rows: of the target's passes; 0 when it was not asked. context: tokens committed before them.
    draft_passes, draft_rows: of the draft model, reading text included.
    tried: guesses, in the order of the pass. kept: their indices, from the first down. bonus: the target's token behind
    them, None when it was not asked. decision: of the pace, None without one.
    """

    start_s: float
    round_s: float
    propose_s: float
    draft_s: float
    verify_s: float
    accept_s: float
    reader_s: float
    rows: int
    context: int
    draft_passes: int
    draft_rows: int
    tried: tuple[Tried, ...]
    kept: tuple[int, ...]
    bonus: int | None
    decision: Decision | None


class Marks(NamedTuple):
    """What the meters say at one moment; the difference of two is a round."""

    now: float
    propose_s: float
    draft_s: float
    verify_s: float
    accept_s: float
    reader_s: float
    rows: int
    draft_passes: int
    draft_rows: int
    bytes: int
    macs: int
    draft_bytes: int
    draft_macs: int


class Recorder:
    """Notes of one generation.

    Args:
        draft: counts the draft model's passes, for all generations that use it; None without one.

    Attributes:
        clock: of the stream. target: counts the target's passes. started: when the request came, by the clock.
        begun, prompt, final: marks when there was a stream, when the prompt was read, and at the end.
        rounds: those that came as far as their tokens. moved: what their passes read and multiplied.
        reused: tokens of the prompt that did not have to be read.
        first: the token that the prompt's pass chose. chosen: how many the model chose in all.
        notes: what went wrong, in words. log: changes of mind (`foretell.runtime.pace.Change`).
    """

    def __init__(self, draft: Meter | None = None) -> None:
        self.clock: Clock = perf_counter
        self.target, self.draft = Meter(), draft or Meter()
        self.started = 0.0
        self.begun: Marks | None = None
        self.prompt: Marks | None = None
        self.final: Marks | None = None
        self.rounds: list[Round] = []
        self.moved: list[Moved] = []
        self.reused = self.chosen = 0
        self.first: int | None = None
        self.notes: Sequence[str] = ()
        self.log: Sequence[Change] = ()
        self._propose_s = self._accept_s = self._reader_s = 0.0
        self._left: float | None = None  # when an event was handed out
        self._before: Marks | None = None  # of the round that runs
        self._context = 0
        self._outcome: Outcome | None = None
        self._decision: Decision | None = None

    def restart(self) -> None:
        """Forget a stream that was given up: another one answers the request."""
        fresh = Recorder(self.draft)
        fresh.target = self.target
        vars(self).update(vars(fresh))

    def begin(self, clock: Clock, started: float) -> None:
        """A stream was made."""
        self.clock = self.target.clock = self.draft.clock = clock
        self.started = started
        self.begun = self._marks()

    def leave(self) -> None:
        """An event goes to the reader."""
        self._left = self.clock()

    def back(self) -> None:
        """The reader wants the next one."""
        if self._left is not None:
            self._reader_s += self.clock() - self._left
            self._left = None

    def prompt_read(self, reused: int, first: int) -> None:
        """The prompt's passes are over, and what they chose."""
        self.prompt = self._marks()
        self.reused, self.first = reused, first

    def round_begins(self, context: int) -> None:
        """The next round; the one before it is over."""
        marks = self._close()
        self._before, self._context = marks, context

    def accepted(self, since: float, outcome: Outcome, pace: Pace | None) -> None:
        """The round has its tokens. since: when committing them began."""
        now = self.clock()
        self._accept_s += now - since
        self._outcome = outcome
        if pace is not None and self._before is not None:
            self._decision = pace.decision
            pace.took(1000 * (now - self._before.now))

    def end(self, chosen: int, notes: Sequence[str], pace: Pace | None) -> None:
        """The generation is over."""
        self.back()
        self.chosen, self.notes = chosen, tuple(notes)
        self.log = () if pace is None else tuple(pace.log)
        if pace is not None and pace.forgotten:
            self.log = (Change(0, "", "left out", f"{pace.forgotten} earlier changes of mind"), *self.log)
        self.final = self._close()

    def timed(self, parts: Parts) -> Parts:
        """The same parts, with a clock at sources and rules."""
        sources = {name: _Timed(source, self) for name, source in parts.sources.items()}
        rules: Mapping[str, Rule] = {name: self._rule(rule) for name, rule in parts.rules.items()}
        return Parts(sources, rules, parts.defers, parts.verifier)

    def proposed(self, seconds: float) -> None:
        """A source was asked for so long."""
        self._propose_s += seconds

    def _rule(self, rule: Rule) -> Rule:
        def timed(proposal: Proposal, target: Target, chance: Chance) -> Verdict:
            passes = self.target.seconds
            since = self.clock()
            verdict = rule(proposal, target, chance)
            # Under a grammar the rule is who asks for the pass.
            self._accept_s += self.clock() - since - (self.target.seconds - passes)
            return verdict

        return timed

    def _marks(self) -> Marks:
        target, draft = self.target, self.draft
        return Marks(
            self.clock(),
            self._propose_s,
            draft.seconds,
            target.seconds,
            self._accept_s,
            self._reader_s,
            target.rows,
            draft.passes,
            draft.rows,
            target.bytes,
            target.macs,
            draft.bytes,
            draft.macs,
        )

    def _close(self) -> Marks:
        """End the round that runs, if one does and came as far as its tokens."""
        marks, before, outcome = self._marks(), self._before, self._outcome
        if before is not None and outcome is not None:
            proposal, verdict = outcome
            tried = tuple([(each.token, each.parent, each.source, each.chance) for each in proposal.guesses])
            self.rounds.append(
                Round(
                    before.now - self.started,
                    marks.now - before.now,
                    marks.propose_s - before.propose_s,
                    marks.draft_s - before.draft_s,
                    marks.verify_s - before.verify_s,
                    marks.accept_s - before.accept_s,
                    marks.reader_s - before.reader_s,
                    marks.rows - before.rows,
                    self._context,
                    marks.draft_passes - before.draft_passes,
                    marks.draft_rows - before.draft_rows,
                    tried,
                    verdict.path,
                    verdict.bonus,
                    self._decision,
                )
            )
            self.moved.append(
                (
                    marks.bytes - before.bytes,
                    marks.macs - before.macs,
                    marks.draft_bytes - before.draft_bytes,
                    marks.draft_macs - before.draft_macs,
                )
            )
        self._before = self._outcome = self._decision = None
        return marks


class _Timed:
    """A source with a clock."""

    __slots__ = ("_recorder", "_source", "close", "extend")

    def __init__(self, source: Source, recorder: Recorder) -> None:
        self._source, self._recorder = source, recorder
        self.extend: Callable[[Sequence[int]], None] = source.extend
        self.close: Callable[[], None] = source.close

    @property
    def name(self) -> str:
        """As the source's."""
        return self._source.name

    def propose(self, limit: int) -> Proposal:
        """Its guesses."""
        recorder = self._recorder
        since = recorder.clock()
        proposal = self._source.propose(limit)
        recorder.proposed(recorder.clock() - since)
        return proposal
