"""The texts that guesses are judged by: the target's own answers, several written at a time.

A pass over one row of each of several sequences costs little more than one of them alone, and a row's scores don't
depend on what else is in the pass. So these are the tokens that the target gives by itself, at the price of a few.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final

from foretell.backend.model import Backend
from foretell.backend.protocol import ROOT, Rows, Session, Want
from foretell.errors import ForetellError
from foretell.profile.prompts import Prompt
from foretell.profile.spread import Spread

_TIMED_ROWS: Final = 64  # shorter passes over a prompt cost more per token: they are timed only when there is no other
_LEAST, _LEAST_TOKENS = 4, 24  # answers of a group, and tokens of each, that are written however late it is
_READ_BY, _WRITTEN_BY = 0.35, 0.55  # shares of the time by which prompts are read, and answers written


@dataclass(frozen=True, slots=True)
class Text:
    """A prompt and its answer, as ids. limit: most tokens that the answer could have; an end token is part of it."""

    kind: str
    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    limit: int


@dataclass(slots=True)
class PromptTimes:
    """Milliseconds per token of passes over prompts."""

    _long: list[float] = field(default_factory=list)
    _short: list[float] = field(default_factory=list)

    def add(self, tokens: int, seconds: float) -> None:
        """One pass."""
        (self._long if tokens >= _TIMED_ROWS else self._short).append(1000 * seconds / tokens)

    @property
    def spread(self) -> Spread | None:
        """Of all passes, the long ones if there are any."""
        values = self._long or self._short
        return Spread.of(values) if values else None


def encoded(backend: Backend, text: str) -> list[int]:
    """The ids of a question under the model's chat template; of the text as it is when there is none."""
    codec = backend.codec
    try:
        rendered = backend.template.render([{"role": "user", "content": codec.protect(text)}])
    except ForetellError:
        return codec.with_bos(codec.encode(text))
    return codec.with_bos(codec.encode_protected(rendered))


def write(
    backend: Backend,
    prompts: Sequence[Prompt],
    *,
    tokens: int,
    together: int,
    times: PromptTimes,
    tick: Callable[[int], None] = lambda _: None,
    late: Callable[[float], bool] = lambda _: False,
) -> list[Text]:
    """The target's greedy answers.

    Args:
        backend: the target.
        prompts: those that the context has no room for, answer included, are left out.
        tokens: most tokens of an answer.
        together: most sequences in a pass.
        times: gets those of the prompts' passes.
        tick: told how many answers are written together, for each of their tokens.
        late: whether a share of the time is up: then prompts are left out, or answers end here.
    """
    session = backend.session()
    asked = [(each, encoded(backend, each.text)) for each in prompts]
    fitting = [(each, ids) for each, ids in asked if ids and len(ids) + tokens <= session.context]
    out: list[Text] = []
    for start in range(0, len(fitting), together):
        group = fitting[start : start + together]
        answers = _group(session, backend, [ids for _, ids in group], tokens, times, tick, late)
        for (prompt, ids), answer in zip(group, answers, strict=False):
            out.append(Text(prompt.kind, tuple(ids), tuple(answer), tokens))
    return out


def _group(
    session: Session,
    backend: Backend,
    prompts: Sequence[Sequence[int]],
    tokens: int,
    times: PromptTimes,
    tick: Callable[[int], None],
    late: Callable[[float], bool],
) -> list[list[int]]:
    """Answers to these prompts, or to the first of them."""
    answers: list[list[int]] = []
    sequences: list[int] = []
    ends = backend.codec.end_ids
    try:
        for prompt in prompts:
            if len(answers) >= _LEAST and late(_READ_BY):
                break
            sequences.append(session.open())
            answers.append([read(session, sequences[-1], prompt, backend.piece_rows, times)])
        tick(len(prompts))
        for length in range(1, tokens):
            going = [i for i, answer in enumerate(answers) if answer[-1] not in ends]
            if going and (length < _LEAST_TOKENS or not late(_WRITTEN_BY)):
                newest, places = [answers[i][-1] for i in going], [sequences[i] for i in going]
                scores = session.step(Rows(newest, [ROOT] * len(going), places, range(len(going))), Want())
                for row, i in enumerate(going):
                    session.commit(sequences[i], [row])
                    answers[i].append(int(scores.tokens[row]))
            tick(len(prompts))
    finally:
        for sequence in sequences:
            session.close(sequence)
    return answers


def read(session: Session, sequence: int, prompt: Sequence[int], piece_rows: int, times: PromptTimes) -> int:
    """Read a prompt; the token that the model says behind it."""
    said = -1
    for start in range(0, len(prompt), piece_rows):
        piece = prompt[start : start + piece_rows]
        started = perf_counter()
        scores = session.step(Rows.chain(piece, sequence, (len(piece) - 1,)), Want())
        times.add(len(piece), perf_counter() - started)
        session.commit(sequence, range(len(piece)))
        said = int(scores.tokens[0])
    return said
