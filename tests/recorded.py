"""Generations of the toy on a clock that only its passes move, and runs that are put together by hand."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from foretell.accept.proposal import Proposal, chain
from foretell.accept.sampling import GREEDY, Sampling
from foretell.backend.null import VirtualClock
from foretell.backend.protocol import Rows, Scores, Want
from foretell.backend.toy import ToyDetokeniser, ToyModel, ToySession
from foretell.draft.source import Source
from foretell.ir import presets
from foretell.ir.ops import Draft
from foretell.runtime.bind import bind
from foretell.runtime.context import Context
from foretell.runtime.loop import Request, Stream
from foretell.runtime.meter import Meter, Metered
from foretell.runtime.pace import Decision
from foretell.runtime.run import About, Known, Run, Totals, made
from foretell.runtime.trace import Recorder, Round, Tried

PROMPT = list(b"one two three. one two three. one")
ECHO = ToyModel(echo=5.0)
TARGET_MS = {1: 8.0, 4: 8.0, 8: 16.0}  # powers of two: sums of them are exact
DRAFT_MS = 2.0


class SlowSession(ToySession):
    """The toy; a pass over n rows takes `ms` of them, or of the nearest larger number."""

    def __init__(self, clock: VirtualClock, ms: dict[int, float], model: ToyModel = ECHO) -> None:
        super().__init__(model, 512)
        self._clock, self._ms = clock, ms

    def step(self, rows: Rows, want: Want) -> Scores:
        self._clock.spend(self._ms[min((n for n in self._ms if n >= len(rows.tokens)), default=max(self._ms))])
        return super().step(rows, want)


@dataclass
class Guesser:
    """Guesses what the target will say, by asking the toy, but for each `wrong`-th one.

    Asking goes through a session, so that it counts and takes time; looking for the guess takes `own_ms`.
    """

    clock: VirtualClock
    session: Metered
    width: int
    wrong: int = 0
    own_ms: float = 0.0
    name: str = "draft"
    text: list[int] = field(default_factory=list)
    guessed: int = 0

    def extend(self, tokens: Sequence[int]) -> None:
        self.text += tokens

    def propose(self, limit: int) -> Proposal:
        self.clock.spend(self.own_ms)
        tokens: list[int] = []
        while len(tokens) < min(self.width, limit):
            sequence = self.session.open()
            scores = self.session.step(Rows.chain([*self.text, *tokens][-1:], sequence), Want())
            self.session.close(sequence)
            assert len(scores.chosen) == 1
            self.guessed += 1
            right = int(ECHO.logits([*self.text, *tokens]).argmax())
            tokens.append(right if not self.wrong or self.guessed % self.wrong else (right + 1) % 256)
        return chain(tokens, self.name, chances=[0.5] * len(tokens))

    def close(self) -> None:
        pass


def about(*, draft: bool = True, bits: float = 0.0) -> About:
    return About(
        made_s=1.75e9,
        foretell="0.0",
        machine="a virtual machine, 2 processors, Null",
        target=Known("toy", "toy-key", TARGET_MS, 1.0, bits),
        draft=Known("small", "small-key", {1: DRAFT_MS}, 0.25, 0.0, {"Q4_0": (0.5, 1.0)}) if draft else None,
        pipeline="pipeline chain\n",
        level="",
        overhead_ms=0.5,
        origin="measured",
        settings={"temperature": "0"},
    )


def generation(
    *, max_tokens: int = 40, width: int = 3, wrong: int = 0, own_ms: float = 0.0, sampling: Sampling = GREEDY
) -> tuple[Stream, Recorder, VirtualClock]:
    """A stream with a draft, not yet read."""
    clock = VirtualClock()
    meter = Meter()
    recorder = Recorder(meter)
    guesser = Guesser(clock, Metered(SlowSession(clock, {1: DRAFT_MS}), meter), width, wrong, own_ms)
    bound = bind(presets.load("lookup"), lambda _: guesser, sampling)
    request = Request(PROMPT, max_tokens, sampling, clock=clock)
    context = Context(SlowSession(clock, TARGET_MS))
    return Stream(request, context, ToyDetokeniser(), bound, recorder=recorder), recorder, clock


def finished(stream: Stream, recorder: Recorder, *, told: bool = False) -> Run:
    """The run of a stream, read to its end."""
    return made(about(), recorder, stream.result, stream.prompt if told else None)


def no_source(statement: Draft) -> Source:
    raise AssertionError(statement)


def round_(
    tried: Sequence[tuple[int, str]],
    kept: int,
    *,
    at: int = 0,
    verify_ms: float | None = None,
    draft_ms: float = 0.0,
    rest_ms: float = 0.0,
    decision: Decision | None = None,
) -> Round:
    """A round over a chain of guesses (token, source), so many of which were kept; the pass as T says."""
    rows = 1 + len(tried)
    pass_ms = verify_ms if verify_ms is not None else TARGET_MS[min(n for n in TARGET_MS if n >= rows)]
    drafted = sum(source == "draft" for _, source in tried)
    guesses: tuple[Tried, ...] = tuple((token, i - 1, source, 0.5) for i, (token, source) in enumerate(tried))
    return Round(
        start_s=at / 1000,
        round_s=(pass_ms + draft_ms + rest_ms) / 1000,
        propose_s=draft_ms / 1000,
        draft_s=draft_ms / 1000,
        verify_s=pass_ms / 1000,
        accept_s=0.0,
        reader_s=0.0,
        rows=rows,
        context=10,
        draft_passes=drafted,
        draft_rows=drafted,
        tried=guesses,
        kept=tuple(range(kept)),
        bonus=7,
        decision=decision,
    )


def run_of(rounds: Sequence[Round], *, draft: bool = True, bits: float = 0.0, prompt_ms: float = 0.0) -> Run:
    """A run of these rounds."""
    whole_s = sum(each.round_s for each in rounds) + prompt_ms / 1000
    tokens = 1 + sum(len(each.kept) + 1 for each in rounds)
    totals = Totals(
        whole_s=whole_s,
        setup_s=0.0,
        prompt_s=prompt_ms / 1000,
        propose_s=sum(each.propose_s for each in rounds),
        draft_s=sum(each.draft_s for each in rounds),
        verify_s=sum(each.verify_s for each in rounds),
        accept_s=0.0,
        reader_s=0.0,
        first_token_s=prompt_ms / 1000,
        response_s=whole_s,
        load_s=1.0,
        tokens_per_s=(tokens - 1) / (whole_s - prompt_ms / 1000) if whole_s > prompt_ms / 1000 else None,
        prompt_tokens=10,
        reused_tokens=0,
        tokens=tokens,
        finish="length",
    )
    return Run(about(draft=draft, bits=bits), totals, tuple(rounds))
