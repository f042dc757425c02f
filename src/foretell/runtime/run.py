"""A recorded generation ("run") as data: of what, its totals, each round, and why it went as it did."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from foretell.errors import ForetellError
from foretell.runtime.events import Result
from foretell.runtime.spent import Spent
from foretell.runtime.trace import Recorder, Round


@dataclass(frozen=True, slots=True)
class Known:
    """A model. key: its digest, threads and build (`foretell.backend.model.Backend.key`).

    pass_ms: of its passes by rows, as measured before the run. prompt_ms: of one token of a prompt pass.
    bits: of storage for one weight, 0 where that is not known.
    cheaper: of a draft model, what lower precision was found to do: (factor on the time, factor on right guesses).
    """

    name: str
    key: str
    pass_ms: Mapping[int, float]
    prompt_ms: float
    bits: float = 0.0
    cheaper: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class About:
    """What ran where.

    made_s: when, since the epoch. pipeline: its text. level: O0 to O3, "" where a pipeline was given. overhead_ms: what
    a round was expected to take besides passes. origin: where the times and chances come from that decisions went by.
    settings: of the generation, by name.
    """

    made_s: float
    foretell: str
    machine: str
    target: Known
    draft: Known | None
    pipeline: str
    level: str
    overhead_ms: float
    origin: str
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Totals:
    """Seconds and counts of the whole run.

    whole_s: from the request to the end. setup_s: until there was a stream: template, tokens, sources. prompt_s: of the
    target's passes over the prompt. propose_s to reader_s: see `foretell.runtime.trace.Round`; of all rounds, one that
    was interrupted included. first_token_s, response_s, load_s, tokens, finish: see `foretell.runtime.events.Result`.
    tokens: that the model chose.
    """

    whole_s: float
    setup_s: float
    prompt_s: float
    propose_s: float
    draft_s: float
    verify_s: float
    accept_s: float
    reader_s: float
    first_token_s: float | None
    response_s: float
    load_s: float
    tokens_per_s: float | None
    prompt_tokens: int
    reused_tokens: int
    tokens: int
    finish: str


@dataclass(frozen=True, slots=True)
class Change:
    """A change of mind (`foretell.runtime.pace.Change`), or what shows in the rounds. round: 1 for the first."""

    round: int
    source: str
    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Text:
    """What was said. prompt: ids. answer: ids of all tokens that the model chose. shown: the answer as text."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    shown: str


@dataclass(frozen=True, slots=True)
class Run:
    """A recorded generation.

    notes: what went wrong. text: None unless the person wanted it kept. spent: what its joules follow from; None where
    that is not known.
    """

    about: About
    totals: Totals
    rounds: tuple[Round, ...]
    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()
    text: Text | None = None
    spent: Spent | None = None


def totals(recorder: Recorder, result: Result) -> Totals:
    """Of a generation that has ended."""
    begun, prompt, end = recorder.begun, recorder.prompt, recorder.final
    if begun is None or end is None:
        raise ForetellError("this generation has not ended: read its events first")
    read = end if prompt is None else prompt
    return Totals(
        whole_s=max(0.0, end.now - recorder.started),
        setup_s=max(0.0, begun.now - recorder.started),
        prompt_s=read.verify_s - begun.verify_s,
        propose_s=end.propose_s - begun.propose_s,
        draft_s=end.draft_s - begun.draft_s,
        verify_s=end.verify_s - read.verify_s,
        accept_s=end.accept_s - begun.accept_s,
        reader_s=end.reader_s - begun.reader_s,
        first_token_s=result.first_token_s,
        response_s=result.response_s,
        load_s=result.load_s,
        tokens_per_s=result.tokens_per_s,
        prompt_tokens=result.prompt_tokens,
        reused_tokens=recorder.reused,
        tokens=recorder.chosen,
        finish=result.finish,
    )


def made(
    about: About,
    recorder: Recorder,
    result: Result,
    prompt: Sequence[int] | None = None,
    spent: Spent | None = None,
) -> Run:
    """The run of a generation that has ended. prompt: its ids, when the text is to be kept too."""
    text = None
    if prompt is not None:
        text = Text(tuple(prompt), tuple(_answer(recorder)), result.text)
    return Run(
        about,
        totals(recorder, result),
        tuple(recorder.rounds),
        tuple(Change(*each) for each in recorder.log),
        tuple(recorder.notes),
        text,
        spent,
    )


def _answer(recorder: Recorder) -> list[int]:
    """All tokens that the model chose."""
    out = [] if recorder.first is None else [recorder.first]
    for each in recorder.rounds:
        out += [each.tried[i][0] for i in each.kept]
        out += [] if each.bonus is None else [each.bonus]
    return out[: recorder.chosen]
