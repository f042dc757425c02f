"""Conversations that take turns with one draft model: none is read again, and not all are kept."""

from collections.abc import Sequence

import pytest

from foretell.accept.proposal import Proposal
from foretell.accept.sampling import GREEDY
from foretell.api import Model
from foretell.backend.protocol import Rows, Scores, Want
from foretell.backend.toy import ToyBackend, ToyModel, ToySession
from foretell.draft.reader import Reader
from foretell.draft.shelf import Held, Shelf
from foretell.ir import presets
from foretell.ir.ops import Draft
from foretell.runtime.drafter import Drafter
from foretell.runtime.loop import Stream
from foretell.runtime.settings import Settings
from foretell.serve.pool import Pool

WANT = Want(GREEDY, top=1)


class Counting(ToySession):
    """A toy that counts the rows that it read, and the most sequences that it had open."""

    def __init__(self) -> None:
        super().__init__(ToyModel(), 512)
        self.rows = self.most = 0

    def step(self, rows: Rows, want: Want) -> Scores:
        self.rows += len(rows.tokens)
        self.most = max(self.most, self.open_ones)
        return super().step(rows, want)

    @property
    def open_ones(self) -> int:
        return len(self._sequences)


def text(seed: int, count: int) -> list[int]:
    return [(seed * 37 + 5 * i) % 97 for i in range(count)]


def read(reader: Reader, tokens: Sequence[int]) -> list[int]:
    """What the model goes on with behind a text, in three guesses that are not settled."""
    reader.begin(tokens)
    assert reader.catch_up()
    chosen: list[int] = []
    for _ in range(3):
        chosen += reader.step(chosen, Proposal(), WANT).chosen
        reader.keep(())
    return chosen


def rows_for(session: Counting, reader: Reader, tokens: Sequence[int]) -> int:
    before = session.rows
    fresh = Reader(ToySession(ToyModel(), 512))
    assert read(reader, tokens) == read(fresh, tokens)
    return session.rows - before - 2  # rows of the guesses


def test_texts_that_take_turns_are_read_once() -> None:
    session = Counting()
    reader = Reader(session, texts=2)
    first, second = text(1, 60), text(2, 50)
    assert rows_for(session, reader, first) == 60
    assert rows_for(session, reader, second) == 50
    assert rows_for(session, reader, [*first, 3, 4, 5]) == 3
    assert rows_for(session, reader, [*second, 6]) == 1
    assert session.open_ones == 2


def test_the_least_recently_used_goes() -> None:
    session = Counting()
    reader = Reader(session, texts=2)
    texts = [text(seed, 40) for seed in (1, 2, 3)]
    for each in texts:
        rows_for(session, reader, each)
    assert session.most == 2
    assert rows_for(session, reader, [*texts[1], 7]) == 1
    assert rows_for(session, reader, [*texts[0], 7]) == 41, "gone"


def test_one_text_is_held_when_no_more_may_be() -> None:
    session = Counting()
    reader = Reader(session)
    rows_for(session, reader, text(1, 30))
    assert rows_for(session, reader, [*text(1, 10), *text(2, 10)]) == 10
    assert session.most == 1


def test_what_two_texts_begin_with_is_shared() -> None:
    session = Counting()
    reader = Reader(session, texts=3)
    system, one, two = text(1, 50), text(2, 20), text(3, 20)
    rows_for(session, reader, [*system, *one])
    assert rows_for(session, reader, [*system, *two]) == 20
    assert rows_for(session, reader, [*system, *one, 9]) == 1, "it stayed"
    assert rows_for(session, reader, [*system, *two, 9]) == 1


def test_no_more_tokens_are_kept_than_may_be() -> None:
    session = Counting()
    reader = Reader(session, texts=8, tokens=100)
    for seed in range(6):
        rows_for(session, reader, text(seed, 45))
    assert session.open_ones == 3, "two of 45 and a few guesses, and the one in use"
    assert rows_for(session, reader, [*text(4, 45), 1]) == 1


def test_forgetting_leaves_nothing_but_the_reader() -> None:
    session = Counting()
    reader = Reader(session, texts=4)
    for seed in range(3):
        rows_for(session, reader, text(seed, 30))
    reader.forget()
    assert session.open_ones == 1
    assert rows_for(session, reader, text(1, 30)) == 30
    reader.close()
    assert session.open_ones == 0


def test_a_sequence_that_holds_less_than_was_noted_is_no_mistake() -> None:
    """As an interrupt may leave it."""
    session = Counting()
    shelf = Shelf(session, 3)
    held = Held(session.open(), text(1, 20), text=20)
    session.step(Rows.chain(text(1, 12), held.sequence, ()), Want())
    session.commit(held.sequence, range(12))
    taken = shelf.swap(held, text(1, 15))
    assert taken.tokens == text(1, 12)
    assert session.length(taken.sequence) == 12


@pytest.mark.parametrize("conversations", [2, 3])
def test_the_server_s_conversations_keep_what_the_draft_model_read(conversations: int) -> None:
    """Turns of several conversations in a ring: each reads its new tokens, whatever came between."""
    session = Counting()

    class Backend(ToyBackend):
        def session(self) -> ToySession:
            return session

    drafter = Drafter(lambda _: Backend(ToyModel()), lambda _: {1: 0.1})
    model = Model(ToyBackend(ToyModel()), {1: 1.0, 8: 1.0}, drafter=drafter)
    pool, settings = Pool(model, 10_000), Settings(pipeline=presets.load("chain"), max_tokens=8)
    talks = [model.encode(f"{'abcdef'[i] * 80} tell me") for i in range(conversations)]
    used: list[list[int]] = [[] for _ in talks]
    for turn in range(3):
        for i, talk in enumerate(talks):
            seat = pool.take(talk)
            before = session.rows
            request = model.request(talk, settings, 0.0)
            bound = model.bound(settings, request.sampling, seat.pace)
            stream = Stream(request, seat.context, model.backend.detokeniser(), bound)
            talk += [*stream.result.tokens, *model.encode(f"and {turn}?")]
            pool.give(seat)
            used[i].append(session.rows - before)
    for rows in used:
        assert rows[0] > 80
        assert max(rows[1:]) < 80, "what it had read is not read again"
    drafter.forget()
    assert session.open_ones == 1


def test_a_reader_stays_with_its_statement() -> None:
    drafter = Drafter(lambda _: ToyBackend(), lambda _: {1: 1.0})
    statement = Draft("g", "model", of="draft")
    reader = drafter.reader(statement)
    assert drafter.reader(statement) is reader
    assert drafter.cutter(statement) is None, "the toy cuts nothing"
    drafter.forget()
    assert drafter.reader(statement) is reader
