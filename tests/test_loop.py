"""The loop: speculation changes only the number of passes, and every end leaves text and cache in step."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.accept.sampling import GREEDY, Sampling
from foretell.backend.protocol import Rows, Scores, Want
from foretell.backend.toy import END, ToyDetokeniser, ToyModel, ToySession
from foretell.cost.curve import Curve
from foretell.cost.facts import Facts
from foretell.draft.lookup import LookupSource
from foretell.draft.source import Source
from foretell.errors import ForetellError
from foretell.ir import presets
from foretell.ir.ops import Draft
from foretell.runtime.bind import Bound, bind
from foretell.runtime.context import Context
from foretell.runtime.events import Event, Result
from foretell.runtime.loop import Request, Stream
from foretell.runtime.pace import Pace
from foretell.runtime.paced import PacedCopy

FLAT = Facts(Curve.of({1: 1.0, 8: 1.0}), prompt_ms=1.0)
ECHO, PLAIN_TOY, BYTES = ToyModel(echo=5.0), ToyModel(), ToyModel(readable=False, echo=3.0)
PROMPT = list(b"one two three. one two three. one")
SAMPLINGS = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.5, 1.0]),
    top_k=st.sampled_from([0, 5]),
    top_p=st.sampled_from([0.7, 1.0]),
    min_p=st.sampled_from([0.0, 0.1]),
    repeat_penalty=st.sampled_from([1.0, 1.2]),
    seed=st.integers(0, 2**64 - 1),
)


def bound(width: int | None, sampling: Sampling = GREEDY) -> Bound:
    """Paced lookup of at most this width, or the target alone."""
    if width is None:
        return bind(presets.load("plain"), no_source, sampling)
    pace = Pace(FLAT, width + 1)
    source = PacedCopy(LookupSource("lookup", width), pace, pace.matches("g"), width)
    pace.begin([source], [])
    return bind(presets.load("lookup"), lambda _: source, sampling)


def no_source(statement: Draft) -> Source:
    raise AssertionError(statement)


def run(
    model: ToyModel, request: Request, width: int | None, context: int = 256, held: Context | None = None
) -> tuple[Result, list[Event], Context]:
    """A generation with all its events, checked for consistency."""
    held = Context(ToySession(model, context)) if held is None else held
    stream = Stream(request, held, ToyDetokeniser(), bound(width, request.sampling))
    events = list(stream)
    result = stream.result
    assert result.text == "".join(event.text for event in events)
    assert result.tokens == tuple(event.token for event in events)
    assert held.tokens == held.session._sequences[held.sequence]  # type: ignore[attr-defined]
    whole = [*request.prompt, *result.tokens]
    assert held.tokens == whole[: len(held.tokens)]
    assert len(whole) - len(held.tokens) in {0, 1}  # the newest token may not have been fed yet
    return result, events, held


@given(
    model=st.sampled_from([ECHO, PLAIN_TOY, BYTES]),
    prompt=st.lists(st.integers(0, 259), min_size=1, max_size=40),
    sampling=SAMPLINGS,
    stop=st.lists(st.sampled_from(["a", "th", "e ", "ne t", ". o", "\n"]), max_size=2),
    max_tokens=st.one_of(st.none(), st.integers(1, 60)),
    context=st.integers(41, 100),
    limit=st.integers(1, 12),
    piece=st.integers(1, 50),
    top=st.integers(0, 2),
)
@settings(deadline=None, max_examples=150)
def test_speculation_changes_nothing(
    *,
    model: ToyModel,
    prompt: list[int],
    sampling: Sampling,
    stop: list[str],
    max_tokens: int | None,
    context: int,
    limit: int,
    piece: int,
    top: int,
) -> None:
    request = Request(prompt, max_tokens, sampling, frozenset({END}), tuple(stop), top, piece)
    plain, plain_events, plain_held = run(model, request, None, context)
    lookup, events, held = run(model, request, limit, context)
    assert (lookup.text, lookup.tokens, lookup.finish) == (plain.text, plain.tokens, plain.finish)
    assert [(e.token, e.text, e.logprob, e.top) for e in events] == [
        (e.token, e.text, e.logprob, e.top) for e in plain_events
    ]
    assert held.tokens[: len(plain_held.tokens)] == plain_held.tokens
    assert lookup.rounds <= plain.rounds
    assert plain.tokens_per_round in {None, 1.0}
    assert plain.acceptance is None
    if plain.finish == "length":
        assert len(plain.tokens) == min(max_tokens or context, context - len(prompt))


def test_plain_generation_is_the_model_itself() -> None:
    history = list(PROMPT)
    for _ in range(30):
        history.append(int(np.argmax(ECHO.logits(history))))
    result, _, _ = run(ECHO, Request(PROMPT, 30), None)
    assert list(result.tokens) == history[len(PROMPT) :]


def test_lookup_pays_and_is_named() -> None:
    result, events, _ = run(ECHO, Request(PROMPT, 60), 7)
    assert result.tokens_per_round is not None
    assert result.tokens_per_round > 3
    assert result.acceptance is not None
    accepted = sum(event.source == "lookup" for event in events)
    assert accepted == round(result.acceptance * result.guessed)
    assert len(events) == 1 + result.rounds + accepted
    assert {event.source for event in events} == {"target", "lookup"}


@dataclass
class Script:
    """A session whose target says what a script says, and notes what it is asked."""

    script: Sequence[int]
    start: int
    context: int = 1000
    vocabulary: int = 1000
    held: list[int] = field(default_factory=list)
    passes: list[int] = field(default_factory=list)
    interrupt_at: int = -1
    rows: Sequence[int] = ()

    def open(self) -> int:
        return 0

    def close(self, sequence: int) -> None:
        self.held.clear()

    def fork(self, sequence: int) -> int:
        raise NotImplementedError

    def length(self, sequence: int) -> int:
        return len(self.held)

    def step(self, rows: Rows, want: Want) -> Scores:
        if len(self.passes) == self.interrupt_at:
            raise KeyboardInterrupt
        self.passes.append(len(rows.tokens))
        self.rows = rows.tokens
        at = [len(self.held) + row + 1 - self.start for row in rows.wanted]
        return Scores([self.script[i % len(self.script)] for i in at], None)

    def commit(self, sequence: int, path: Sequence[int]) -> None:
        self.held += [self.rows[row] for row in path]

    def rewind(self, sequence: int, length: int) -> None:
        del self.held[length:]


def scripted(script: Sequence[int], prompt: Sequence[int], **more: int) -> tuple[Script, Context]:
    session = Script(script, len(prompt), **more)
    return session, Context(session)


def test_an_end_token_inside_accepted_guesses_cuts_text_and_cache() -> None:
    prompt = [*b"abcdefgh", END, *b"xyz abc"]
    session, held = scripted([*b"defgh", END, *b"xyz abc"], prompt)
    stream = Stream(Request(prompt, end_ids=frozenset({END})), held, ToyDetokeniser(), bound(10))
    result = stream.result
    assert result.text == "defgh"
    assert result.finish == "stop"
    assert session.held == prompt + list(b"defgh")
    assert held.tokens == session.held
    assert len(session.passes) <= 3


def test_a_stop_string_inside_accepted_guesses_cuts_text_and_cache() -> None:
    prompt = list(b"abcdefgh...... abc")
    session, held = scripted(list(b"defgh...... abc"), prompt)
    stream = Stream(Request(prompt, stop=("gh.",)), held, ToyDetokeniser(), bound(10))
    result = stream.result
    assert (result.text, result.finish) == ("def", "stop")
    assert session.held == prompt + list(b"def")


def test_rounds_near_the_limit_shrink() -> None:
    prompt = list(b"abcdefgh abc")
    for max_tokens in range(1, 12):
        session, held = scripted(list(b"defgh abc"), prompt)
        result = Stream(Request(prompt, max_tokens), held, ToyDetokeniser(), bound(10)).result
        assert len(result.tokens) == max_tokens
        assert len(session.held) <= len(prompt) + max_tokens - 1
        assert result.finish == "length"


def test_a_full_context_ends_with_length() -> None:
    prompt = list(b"abcdefgh abc")
    session, held = scripted(list(b"defgh abc"), prompt, context=20)
    result = Stream(Request(prompt), held, ToyDetokeniser(), bound(10)).result
    assert (len(result.tokens), result.finish) == (8, "length")
    assert len(session.held) <= 20


@pytest.mark.parametrize("length", [20, 21, 500])
def test_a_prompt_that_leaves_no_room_is_an_error(length: int) -> None:
    _, held = scripted([1], [0] * length, context=20)
    with pytest.raises(ForetellError, match=f"{length} tokens and the context holds 20"):
        Stream(Request([0] * length), held, ToyDetokeniser(), bound(None))


@pytest.mark.parametrize("at", [0, 1, 2, 5])
def test_ctrl_c_in_a_pass_keeps_what_there_is(at: int) -> None:
    prompt = [1] * 20
    session, held = scripted(list(b"text "), prompt, interrupt_at=at)
    stream = Stream(Request(prompt, piece_rows=10), held, ToyDetokeniser(), bound(None))
    shown = [event.text for event in stream]
    result = stream.result
    assert result.finish == "cancelled"
    assert result.text == "".join(shown) == ("text " * 3)[: max(0, at - 1)]
    assert held.tokens == session.held
    assert result.first_token_s is None or at >= 2
    assert result.response_s >= 0


def test_cancel_between_tokens_and_from_another_thread() -> None:
    _, held = scripted(list(b"text "), [1])
    stream = Stream(Request([1]), held, ToyDetokeniser(), bound(None))
    assert next(stream).text == "t"
    threading.Thread(target=stream.cancel).run()
    assert [event.text for event in stream] == []
    assert (stream.result.text, stream.result.finish) == ("t", "cancelled")


def test_cancel_in_the_prompt() -> None:
    session, held = scripted(list(b"text "), [1] * 30)
    stream = Stream(
        Request([1] * 30, piece_rows=10), held, ToyDetokeniser(), bound(None), on_prompt=lambda done, _: cancel(done)
    )

    def cancel(done: int) -> None:
        if done == 20:
            stream.cancel()

    result = stream.result
    assert (result.finish, result.tokens, result.first_token_s) == ("cancelled", (), None)
    assert len(session.held) == 20


def test_held_text_comes_out_when_cancelled() -> None:
    _, held = scripted(list(b"text "), [1])
    stream = Stream(Request([1], stop=("tex!",)), held, ToyDetokeniser(), bound(None))
    stream.cancel()
    assert stream.result.text == ""
    _, held = scripted(list(b"text "), [1], interrupt_at=3)
    stream = Stream(Request([1], stop=("tex!",)), held, ToyDetokeniser(), bound(None))
    assert stream.result.text == "tex"


def test_closing_early_gives_a_result_and_cuts_the_cache() -> None:
    prompt = list(b"abcdefgh abc")
    session, held = scripted(list(b"defgh abc"), prompt)
    ended = []
    stream = Stream(Request(prompt), held, ToyDetokeniser(), bound(10), on_end=lambda: ended.append(1))
    shown = [next(stream).text for _ in range(3)]
    stream.close()
    stream.close()
    assert ended == [1]
    assert stream.result.text == "".join(shown) == "def"
    assert len(session.held) <= len(prompt) + 3


def test_an_error_in_a_pass_is_passed_on_and_the_cache_is_given_back() -> None:
    _, held = scripted([1], [1])
    ended = []

    def fail(*_: object) -> Scores:
        raise ForetellError("broken")

    held.session.step = fail  # type: ignore[method-assign]
    stream = Stream(Request([1]), held, ToyDetokeniser(), bound(None), on_end=lambda: ended.append(1))
    with pytest.raises(ForetellError, match="broken"):
        list(stream)
    assert ended == [1]
    with pytest.raises(ForetellError, match="failed"):
        _ = stream.result


def test_half_a_character_is_never_shown() -> None:
    text = "naïve → 🙂"
    data = list(text.encode())
    for cut in range(1, len(data) + 1):
        _, held = scripted(data, [1])
        stream = Stream(Request([1], cut), held, ToyDetokeniser(), bound(None))
        assert text.startswith("".join(event.text for event in stream))
        assert len(stream.result.tokens) == cut
    assert stream.result.text == text


def test_a_prompt_that_begins_alike_is_not_read_again() -> None:
    session = ToySession(ECHO, 200)
    held = Context(session)
    first, _, _ = run(ECHO, Request(PROMPT, 10), 7, held=held)
    again = [*PROMPT, *first.tokens, *b" and then"]
    fresh, _, _ = run(ECHO, Request(again, 10), None)
    steps, reused = session.steps, len(held.tokens)
    second, _, _ = run(ECHO, Request(again, 10, piece_rows=1), None, held=held)
    assert second.text == fresh.text
    assert session.steps - steps == len(again) - reused + 9
    same, _, _ = run(ECHO, Request(again, 10), None, held=held)
    assert same.text == fresh.text
    other, _, _ = run(ECHO, Request(list(b"other"), 10), None, held=held)
    assert other.text == run(ECHO, Request(list(b"other"), 10), None)[0].text


def test_an_interrupt_amid_a_commit_is_mended() -> None:
    session, held = scripted(list(b"abc"), [1])

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    session.commit = interrupted  # type: ignore[method-assign]
    result = Stream(Request([1]), held, ToyDetokeniser(), bound(None)).result
    assert result.finish == "cancelled"
    assert held.tokens == session.held == []


def test_times_are_those_of_the_definitions() -> None:
    _, held = scripted(list(b"abc"), [1])
    result = Stream(Request([1], 11, started_s=perf_counter() - 5), held, ToyDetokeniser(), bound(None)).result
    assert result.first_token_s is not None
    assert 5 < result.first_token_s < result.response_s < 7
    assert result.tokens_per_s == pytest.approx(10 / (result.response_s - result.first_token_s))
    assert (result.rounds, result.tokens_per_round, result.acceptance, result.guessed) == (10, 1.0, None, 0)


def test_one_token_has_no_rate() -> None:
    _, held = scripted(list(b"abc"), [1])
    result = Stream(Request([1], 1), held, ToyDetokeniser(), bound(None)).result
    assert (result.tokens_per_s, result.tokens_per_round, result.rounds) == (None, None, 0)
