"""The generation loop: prompt pass, then rounds of propose → verify → accept → commit, over any Session.

What a round does is said by a pipeline (`foretell.ir`). In an exact one the target chooses the token after every row
itself, by argmax or with noise keyed by position, and a guess is kept when it is the token that the target chose there.
So the text depends on the target, the prompt and the seed alone; guesses change how many passes it takes.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from math import isinf
from threading import Event as Flag
from time import perf_counter

from foretell.accept.chance import KeyedChance
from foretell.accept.proposal import ROOT, Proposal
from foretell.accept.rule import Verdict
from foretell.accept.sampling import GREEDY, Sampling
from foretell.backend.model import Detokeniser
from foretell.backend.protocol import Rows, Scores
from foretell.codegen.round import Parts
from foretell.errors import ForetellError, UsageError
from foretell.runtime.bill import Bill
from foretell.runtime.bind import Bound
from foretell.runtime.clock import Clock, steady
from foretell.runtime.context import Context
from foretell.runtime.events import AnsweredBy, Event, Finish, Result
from foretell.runtime.meter import Metered
from foretell.runtime.stops import StopStrings
from foretell.runtime.trace import Recorder
from foretell.runtime.verifier import Checked, Verifier
from foretell.runtime.watched import Watched, culprit

OnPrompt = Callable[[int, int], None]  # tokens of the prompt read so far, and in all


@dataclass(frozen=True, slots=True)
class Request:
    """What to generate.

    prompt: ids, at least one. max_tokens: None means until the context is full. end_ids, stop: what ends the text.
    top: how many alternatives an event carries (0: no log-probabilities). piece_rows: most prompt rows in one pass.
    seed, load_s, answered_by: only passed on into the result. started_s: when the request came, by `clock` (None: now).
    clock: seconds since any moment, for all times of the generation.
    """

    prompt: Sequence[int]
    max_tokens: int | None = None
    sampling: Sampling = GREEDY
    end_ids: frozenset[int] = frozenset()
    stop: tuple[str, ...] = ()
    top: int = 0
    piece_rows: int = 512
    seed: int = 0
    load_s: float = 0.0
    started_s: float | None = None
    clock: Clock = perf_counter
    answered_by: AnsweredBy = "target"


class Stream(Iterator[Event]):
    """The events of one generation, made as they are asked for; `result` is there when they have ended.

    Ctrl-C inside a pass ends the stream like `cancel`: the result holds what was generated so far, finish "cancelled".
    Whoever catches KeyboardInterrupt between events should call `cancel` and go on reading.

    A draft source that raises is dropped, and the text goes on without it; `Result.notes` says so.
    """

    def __init__(
        self,
        request: Request,
        context: Context,
        detokeniser: Detokeniser,
        bound: Bound,
        *,
        on_prompt: OnPrompt | None = None,
        on_end: Callable[[], None] | None = None,
        recorder: Recorder | None = None,
        bill: Bill | None = None,
    ) -> None:
        room = context.session.context - len(request.prompt)
        if room < 1:
            raise ForetellError(
                f"the prompt has {len(request.prompt)} tokens and the context holds {context.session.context}: "
                "shorten the prompt or choose a larger context"
            )
        _check_bias(request.sampling, context.session.vocabulary)
        self.bound = bound
        self._request, self._context, self._detokeniser = request, context, detokeniser
        self._session = context.session
        if bill is not None:
            self._session = Metered(context.session, bill.target, bill.counter)
        elif recorder is not None:
            self._session = Metered(context.session, recorder.target)
        self._verifier = Verifier(
            context,
            self._session,
            request.sampling,
            top=request.top,
            distributions=bound.distributions,
            piece_rows=request.piece_rows,
            walk=bound.walk,
        )
        self._limit = room if request.max_tokens is None else min(room, request.max_tokens)
        self._on_prompt, self._on_end = on_prompt, on_end
        self._cancelled = Flag()
        self._ended = False
        self._stops = StopStrings(request.stop)
        self._result: Result | None = None
        self._tokens: list[int] = []  # shown
        self._texts: list[str] = []
        self._reused = 0  # tokens of the prompt that need not be read
        self._chosen = 0  # tokens that the model chose, an end token included
        self._rounds = self._guessed = self._kept = 0
        self._passes_before = self._draft_passes()
        self._finish: Finish | None = None
        self._first_s: float | None = None
        self._last_s = 0.0
        self._clock = steady(request.clock)
        now = self._clock()
        self._started = now if request.started_s is None else min(now, request.started_s)
        self._sources = {name: Watched(source, self._failed) for name, source in bound.sources.items()}
        self._notes: list[str] = []
        self._recorder, self._bill = recorder, bill
        if recorder is not None:
            recorder.begin(self._clock, self._started)
        self._events = self._run()

    def __iter__(self) -> "Stream":
        return self

    def __next__(self) -> Event:
        recorder = self._recorder
        if recorder is None:
            return next(self._events)
        recorder.back()
        event = next(self._events)
        recorder.leave()
        return event

    @property
    def result(self) -> Result:
        """The finished generation; reads the remaining events first."""
        for _ in self:
            pass
        if self._result is None:
            raise ForetellError("the generation failed before it gave a result: see the first error")
        return self._result

    @property
    def prompt(self) -> Sequence[int]:
        """Ids of the prompt."""
        return self._request.prompt

    @property
    def finished(self) -> bool:
        """Whether the result is there."""
        return self._result is not None

    def cancel(self) -> None:
        """End soon, with what there is. May be called from another thread or a signal handler."""
        self._cancelled.set()

    def close(self) -> None:
        """Stop now; events not yet read are lost, the result holds what was read."""
        self._events.close()
        self._end()
        if self._result is None:
            self._finish = "cancelled"
            self._result = self._summary()

    def _run(self) -> Generator[Event, None, None]:
        try:
            try:
                yield from self._generate()
            except KeyboardInterrupt:
                self._finish = "cancelled"
            yield from self._show(self._stops.flush())
        finally:
            self._end()
        self._result = self._summary()

    def _end(self) -> None:
        """Cut the cache to what was shown and let go of it, once."""
        on_end, self._on_end = self._on_end, None
        if not self._ended:
            self._ended = True
            if self._bill is not None:
                self._bill.end()
            if self._recorder is not None:
                self._recorder.end(self._chosen, self._notes, self.bound.pace)
            self._context.cut(len(self._request.prompt) + len(self._tokens))
            if self.bound.tiers is not None:
                self.bound.tiers.close()
            for source in self._sources.values():
                source.close()
        if on_end is not None:
            on_end()

    def _generate(self) -> Generator[Event, None, None]:
        scores = self._read_prompt()
        if scores is None:
            return
        request, verifier, bound, recorder = self._request, self._verifier, self.bound, self._recorder
        first = verifier.start(scores)
        if bound.pace is not None:
            bound.pace.read(len(request.prompt) - self._reused)
        if recorder is not None:
            recorder.prompt_read(self._reused, first)
        yield from self._emit(verifier.checked, Proposal(), Verdict((), first))
        if self._finish is not None:
            return
        sources = list(self._sources.values())
        for source in sources:
            source.extend((*request.prompt, *verifier.owed))
        if bound.tiers is not None:
            told = None if recorder is None else recorder.proposed
            bound.tiers.begin((*request.prompt, *verifier.owed), self._failed, self._clock, told)
        parts = Parts(self._sources, bound.rules, bound.defers, verifier)
        if recorder is not None:
            parts = recorder.timed(parts)
        turn = 0
        while self._finish is None:
            if self._cancelled.is_set():
                self._finish = "cancelled"
                return
            verifier.begin()
            if recorder is not None:
                recorder.round_begins(len(self._context))
            limit = self._limit - self._chosen - 1
            outcome = bound.play(parts, limit, KeyedChance(request.sampling.seed, turn))
            turn += 1
            since = 0.0 if recorder is None else self._clock()
            new = verifier.keep(outcome.proposal, outcome.verdict)
            if recorder is not None:
                recorder.accepted(since, outcome, bound.pace)
            for source in sources:
                source.extend(new)
            if bound.tiers is not None:
                bound.tiers.learn(outcome, new)
            self._rounds += verifier.checked is not None
            self._guessed += len(outcome.proposal)
            yield from self._emit(verifier.checked, outcome.proposal, outcome.verdict)

    def _read_prompt(self) -> Scores | None:
        """The prompt's passes. None when cancelled."""
        prompt, context = self._request.prompt, self._context
        done, scores, want = context.reuse(prompt), None, self._verifier.want
        self._reused = done
        while done < len(prompt):
            if self._cancelled.is_set():
                self._finish = "cancelled"
                return None
            piece = prompt[done : done + self._request.piece_rows]
            done += len(piece)
            wanted = (len(piece) - 1,) if done == len(prompt) else ()
            scores = self._session.step(Rows.chain(piece, context.sequence, wanted), want)
            context.commit(piece)
            if self._on_prompt is not None:
                self._on_prompt(done, len(prompt))
        return scores

    def _emit(self, checked: Checked | None, proposal: Proposal, verdict: Verdict) -> Generator[Event, None, None]:
        """Show the tokens of a round until one ends the text."""
        self._last_s = self._clock() - self._started
        if self._first_s is None:
            self._first_s = self._last_s
        guesses = proposal.guesses
        drawn = [(guesses[i].token, guesses[i].source, guesses[i].parent) for i in verdict.path]
        if verdict.bonus is not None:
            drawn.append((verdict.bonus, "target", verdict.path[-1] if verdict.path else ROOT))
        for token, source, node in drawn:
            self._chosen += 1
            self._kept += source != "target"
            if token in self._request.end_ids:
                self._finish = "stop"
                return
            yield from self._show(self._stops.push(self._event(token, source, checked, node)))
            if self._stops.stopped or self._chosen == self._limit:
                self._finish = "stop" if self._stops.stopped else "length"
                return

    def _event(self, token: int, source: str, checked: Checked | None, node: int) -> Event:
        text = self._detokeniser.push(token)
        if not self._request.top or checked is None:
            return Event(token, text, source)
        return Event(token, text, source, *checked.said(node, token))

    def _show(self, events: Sequence[Event]) -> Generator[Event, None, None]:
        for event in events:
            self._tokens.append(event.token)
            self._texts.append(event.text)
            yield event

    def _summary(self) -> Result:
        first, last, rounds = self._first_s, self._last_s, self._rounds
        later = self._chosen - 1  # tokens after the first
        return Result(
            text="".join(self._texts),
            tokens=tuple(self._tokens),
            prompt_tokens=len(self._request.prompt),
            tokens_per_s=later / (last - first) if first is not None and later > 0 and last > first else None,
            first_token_s=first,
            response_s=self._clock() - self._started if first is None else last,
            load_s=self._request.load_s,
            rounds=rounds,
            tokens_per_round=later / rounds if rounds else None,
            acceptance=self._kept / self._guessed if self._guessed else None,
            guessed=self._guessed,
            finish=self._finish or "cancelled",
            seed=self._request.seed,
            draft_passes=self._draft_passes() - self._passes_before,
            notes=tuple(self._notes),
            processor_s=None if self._bill is None else self._bill.processor_s,
            energy=None if self._bill is None else self._bill.energy,
            answered_by=self._request.answered_by,
        )

    def _failed(self, called: str, error: Exception) -> None:
        """A source failed: drop it."""
        name = culprit(error, called, {each.name for each in self._sources.values() if not each.dropped})
        for source in self._sources.values():
            source.dropped = source.dropped or source.name == name
        if self.bound.pace is not None:
            self.bound.pace.drop(name)
        what = " ".join(f"{type(error).__name__}: {error}".split())
        self._notes.append(f"the source {name} failed and was dropped in round {self._rounds + 1} ({what})")

    def _draft_passes(self) -> int:
        """So far, by sequences that may be older than this generation."""
        return sum(getattr(source, "passes", 0) for source in self.bound.sources.values())


def _check_bias(sampling: Sampling, vocabulary: int) -> None:
    """Raise UsageError when a bias is for a token that the model does not have, or bans all that it has."""
    bias = sampling.logit_bias
    if bias and bias[-1][0] >= vocabulary:
        raise UsageError(f"logit-bias is for token {bias[-1][0]}: the model has tokens 0 to {vocabulary - 1}")
    if sum(isinf(each) for _, each in bias) == vocabulary:
        raise UsageError(f"logit-bias bans all {vocabulary} tokens: leave one")
