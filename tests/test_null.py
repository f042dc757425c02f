"""The null backend: scripts are followed, passes move the clock by exactly their time, and nothing is made up."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.backend.null import NullBackend, NullSession, VirtualClock, flat
from foretell.backend.protocol import Rows, Session, Want
from foretell.backend.script import (
    UNKNOWN,
    Node,
    Said,
    Script,
    always,
    classes,
    cut,
    drafted,
    hopeless,
    novel,
    repeated,
    spoken,
)
from foretell.errors import ForetellError

TEXT = (1, 2, 3, 4, 5, 6)
# Right about 4 and 6. In place of 5 it says 9 and would go on with 8, 7; behind the end it says 2, then 3, 4.
DRAFT = Script(
    TEXT,
    2,
    {3: Said(4, -0.1), 4: Said(9, -0.5, ((9, -0.5), (5, -1.5))), 5: Said(6, -0.2), 6: Said(2, -1.0)},
    {4: (Said(8, -0.6), Said(7, -0.7)), 6: (Said(3, -0.1), Said(4, -0.1))},
)


def opened(script: Script, ms: float = 10.0, row_ms: float = 1.0) -> tuple[NullSession, VirtualClock]:
    clock = VirtualClock()
    session = NullBackend(script, clock, flat(ms, row_ms), vocabulary=50, context=64).session()
    return session, clock


def read(session: Session, tokens: Sequence[int]) -> int:
    sequence = session.open()
    session.step(Rows.chain(tokens, sequence, ()), Want())
    session.commit(sequence, range(len(tokens)))
    return sequence


def test_it_is_a_session() -> None:
    session, _ = opened(DRAFT)
    assert isinstance(session, Session)
    assert (session.vocabulary, session.context) == (50, 64)


def test_the_target_says_its_text_behind_the_text_and_nothing_elsewhere() -> None:
    session, _ = opened(spoken(TEXT[:2], TEXT[2:]))
    sequence = read(session, TEXT[:2])
    scores = session.step(Rows([3, 4, 7, 5], [-1, 0, 0, 1], [sequence] * 4, range(4)), Want())
    assert scores.chosen == [4, 5, UNKNOWN, 6]


def test_a_draft_goes_on_beside_the_text_as_written_down() -> None:
    session, _ = opened(DRAFT)
    sequence = read(session, TEXT[:2])
    scores = session.draft(sequence, [3], 4, Want(top=1))
    assert scores.chosen == [4, 9, 8, 7]
    assert scores.logprobs == pytest.approx([-0.1, -0.5, -0.6, -0.7])
    assert session.length(sequence) == 2 + 1 + 3
    session.rewind(sequence, 4)
    assert session.draft(sequence, [5], 4, Want(top=1)).chosen == [6, 2, 3, 4]


def test_a_chain_longer_than_its_script_is_refused_where_it_would_be_read() -> None:
    session, _ = opened(DRAFT)
    sequence = read(session, TEXT[:4])
    with pytest.raises(ForetellError, match="chains of at most 3 guesses"):
        session.draft(sequence, [5], 6, Want(top=1))


def test_the_likeliest_tokens_are_those_written_down() -> None:
    session, _ = opened(DRAFT)
    sequence = read(session, TEXT[:3])
    scores = session.step(Rows.chain([4], sequence), Want(top=2))
    assert scores.top_tokens.tolist() == [[9, 5]]
    assert scores.top_logprobs[0] == pytest.approx([-0.5, -1.5])
    with pytest.raises(ForetellError, match="1 likeliest tokens of a place, and 3 are wanted"):
        session.step(Rows.chain([4, 5], sequence, (1,)), Want(top=3))


def test_distributions_are_refused() -> None:
    session, _ = opened(DRAFT)
    with pytest.raises(ForetellError, match="has no distributions"):
        session.step(Rows.chain([1], session.open()), Want(logits=True))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (Rows([99], [-1], [0], []), "token 99 is not between 0 and 49"),
        (Rows([1], [0], [0], []), "row 0 has parent 0"),
        (Rows([1], [-1], [3], []), "sequence 3 is not open"),
        (Rows([1], [-1], [0], [1]), "the pass has rows 0 to 0"),
        (Rows([1] * 70, range(-1, 69), [0] * 70, []), "row 64 is at position 64"),
    ],
)
def test_misuse_is_refused(rows: Rows, message: str) -> None:
    session, _ = opened(DRAFT)
    session.open()
    with pytest.raises(ForetellError, match=message):
        session.step(rows, Want())


def test_what_was_not_committed_is_forgotten() -> None:
    session, _ = opened(DRAFT)
    sequence = read(session, TEXT[:3])
    session.step(Rows.chain([4, 5], sequence), Want())
    session.commit(sequence, (0,))
    copy = session.fork(sequence)
    assert session.length(copy) == 4
    assert session.step(Rows.chain([5], copy), Want()).chosen == [6]
    with pytest.raises(ForetellError, match="not a chain"):
        session.commit(sequence, (0,))
    session.close(copy)
    assert session.open() == copy


@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.integers(0, 3))
@settings(max_examples=50, deadline=None)
def test_the_clock_moves_by_each_pass_and_by_nothing_else(sizes: list[int], round_ms: int) -> None:
    clock = VirtualClock()
    text = novel(80, vocabulary=100)
    backend = NullBackend(
        spoken(text[:4], text[4:]), clock, lambda rows, before: 7 * rows + before, float(round_ms), vocabulary=100
    )
    session, expected, place = backend.session(), 0, 0
    sequence = session.open()
    for size in sizes:
        rows = text[place : place + size]
        session.step(Rows.chain(rows, sequence, (size - 1,)), Want())
        expected += 7 * size + place + (round_ms if place >= 4 else 0)
        session.commit(sequence, range(size))
        place += size
        assert clock.ms == expected
        assert clock() == expected / 1000
    assert session.passes == [(size, sum(sizes[:i])) for i, size in enumerate(sizes)]


def test_scripts_without_a_beginning_stand_elsewhere_but_say_the_same() -> None:
    short = cut(DRAFT, 1)
    assert (short.text, short.prompt) == (TEXT[1:], 1)
    for place in range(3, 7):
        assert short.says(Node(place - 1)) == DRAFT.says(Node(place))
    assert short.tails == {3: DRAFT.tails[4], 5: DRAFT.tails[6]}
    assert cut(DRAFT, 0) is DRAFT


@pytest.mark.parametrize("right", [0.0, 0.3, 0.9, 1.0])
def test_drafts_are_right_as_often_as_they_are_told(right: float) -> None:
    text = novel(3000, vocabulary=5000)
    script = drafted(text, 100, always(max(right, 1e-6)) if right else hopeless(), seed=4, vocabulary=5000)
    hits = sum(script.said[place].token == text[place] for place in range(100, 3000))
    # Of 2900 draws, 4 standard errors: wrong by chance once in 16000.
    assert abs(hits / 2900 - right) <= 4 * math.sqrt(right * (1 - right) / 2900) + 1e-4
    wrong = {place for place in range(100, 3000) if script.said[place].token != text[place]}
    assert set(script.tails) == {*wrong, 3000}
    assert script.steps == 8
    assert drafted(text, 100, always(0.5), seed=4) == drafted(text, 100, always(0.5), seed=4)


def test_a_calibrated_draft_is_right_by_its_classes() -> None:
    text = novel(8000, vocabulary=10000)
    script = drafted(text, 1, classes([(0.5, 0.2, 0.5), (1.0, 0.9, 0.5)]), seed=1, vocabulary=10000)
    by_class: dict[bool, list[bool]] = {True: [], False: []}
    for place in range(1, 8000):
        by_class[script.said[place].logprob == 0].append(script.said[place].token == text[place])
    assert sum(by_class[False]) / len(by_class[False]) == pytest.approx(0.2, abs=0.03)
    assert sum(by_class[True]) / len(by_class[True]) == pytest.approx(0.9, abs=0.03)


def test_texts_repeat_themselves_or_not() -> None:
    assert len(set(novel(500))) == 500
    assert len(novel(30, vocabulary=10)) == 30
    text = repeated(400, period=20, slips=0.0)
    assert text[20:] == text[:-20]
    assert repeated(400, slips=0.1, seed=1) != repeated(400, slips=0.0, seed=1)


def test_a_backend_answers_with_its_own_prompt() -> None:
    backend = NullBackend(spoken([5, 6], [7, 8]), VirtualClock(), flat(1.0))
    codec = backend.codec
    assert codec.encode("anything") == codec.encode_protected("else") == [5, 6]
    assert codec.decode([1, 2]) == "1 2"
    assert (codec.with_bos([3]), codec.text_bytes(3), codec.protect("<|x|>")) == ([3], b"", "<|x|>")
    assert backend.template.render([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]) == "a\nb"
    assert backend.detokeniser().push(7) == ""
    backend.close()
