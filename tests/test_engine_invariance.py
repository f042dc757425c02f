"""The engine's promise, bit for bit: a row's scores depend on the row and its ancestors alone.

Every pass here is compared with one row at a time on one thread (`tiny.Truth`), all logits by their bytes.
"""

from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foretell.backend.protocol import ROOT, Rows, Want
from foretell.engine.layout import PAGE
from foretell.engine.session import NativeSession
from foretell.engine.team import choose_threads
from tiny import ISAS, LOGITS, MODELS, Zoo, committed, tokens

THREADS = sorted({1, min(2, choose_threads(None))})
TEXT = tokens(0, 300)  # what sequences have committed is a beginning of this
TOKEN = st.integers(0, 255)
# Anywhere, but most often where a pass crosses from one page to the next.
LENGTH = st.one_of(st.integers(0, 20), st.integers(PAGE - 12, PAGE + 2), st.integers(2 * PAGE - 12, 300))
everywhere = pytest.mark.parametrize(
    ("name", "instructions"), [(name, each) for name in MODELS for each in ISAS], ids=lambda value: value
)
few = settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors, HealthCheck.too_slow],
)


@dataclass(frozen=True)
class Forest:
    """Rows of a pass. before: how much of TEXT each sequence holds. rows: (token, parent, number of the sequence)."""

    before: list[int]
    rows: list[tuple[int, int, int]]

    def path(self, row: int) -> list[int]:
        """All tokens up to a row."""
        above, at = [], row
        while at != ROOT:
            above.append(self.rows[at][0])
            at = self.rows[at][1]
        return TEXT[: self.before[self.rows[row][2]]] + above[::-1]

    def pass_over(self, sequences: list[int], wanted: list[int]) -> Rows:
        """The pass, given the sequences' ids."""
        columns = list(zip(*self.rows, strict=True))
        return Rows(columns[0], columns[1], [sequences[k] for k in columns[2]], wanted)


@st.composite
def forests(draw: st.DrawFn, most_rows: int = 40) -> Forest:
    """Trees of up to three sequences, their rows in any order that has parents first."""
    before = draw(st.lists(LENGTH, min_size=1, max_size=3))
    rows: list[tuple[int, int, int]] = []
    long = draw(st.booleans())  # chains with a few branches, or bushes
    for row in range(draw(st.integers(1, most_rows))):
        sequence = draw(st.integers(0, len(before) - 1))
        mine = [ROOT, *(k for k in range(row) if rows[k][2] == sequence)]
        parent = mine[-1] if long and draw(st.integers(0, 4)) else draw(st.sampled_from(mine))
        rows.append((draw(TOKEN), parent, sequence))
    return Forest(before, rows)


def check(session: NativeSession, zoo: Zoo, name: str, instructions: str, forest: Forest, wanted: list[int]) -> None:
    """Run the pass of a forest and compare the wanted rows with the truth."""
    sequences = [committed(session, TEXT[:length]) for length in forest.before]
    scores = session.step(forest.pass_over(sequences, wanted), LOGITS)
    assert scores.logits is not None
    truth = zoo.truth(name, instructions)
    wrong = [row for k, row in enumerate(wanted) if scores.logits[k].tobytes() != truth.of(forest.path(row))]
    assert not wrong
    for sequence in sequences:
        session.close(sequence)


@everywhere
def test_truth_does_not_depend_on_its_rewinding(zoo: Zoo, name: str, instructions: str) -> None:
    text = tokens(1, PAGE + 5)
    session = zoo.load(name, instructions).session()
    sequence = session.open()
    for token in text:
        scores = session.step(Rows([token], [ROOT], [sequence], [0]), LOGITS)
        session.commit(sequence, [0])
    assert scores.logits is not None
    truth = zoo.truth(name, instructions)
    for other in ([*text[:50], *tokens(2, 10)], [*text[:PAGE], 1], [*text[:-1], 2]):
        truth.of(other)
    assert truth.of(text) == scores.logits[0].tobytes()


@everywhere
@few
@given(forest=forests(), threads=st.sampled_from(THREADS), data=st.data())
def test_trees_of_mixed_sequences(
    zoo: Zoo, name: str, instructions: str, forest: Forest, threads: int, data: st.DataObject
) -> None:
    count = len(forest.rows)
    wanted = data.draw(st.one_of(st.just(range(count)), st.lists(st.integers(0, count - 1), unique=True).map(sorted)))
    check(zoo.load(name, instructions, threads).session(), zoo, name, instructions, forest, list(wanted))


@everywhere
@pytest.mark.parametrize("before", [PAGE - 30, 0])
def test_more_rows_off_the_trunk_than_a_page_holds(zoo: Zoo, name: str, instructions: str, before: int) -> None:
    rows = [(token, max(ROOT, row - 7 if row % 3 else row - 4), 0) for row, token in enumerate(tokens(3, 2 * PAGE))]
    forest = Forest([before], rows)
    check(zoo.load(name, instructions).session(), zoo, name, instructions, forest, list(range(0, 2 * PAGE, 17)))


@everywhere
@few
@given(data=st.data(), length=st.integers(100, 300), threads=st.sampled_from(THREADS))
def test_cuts_of_a_prompt(
    zoo: Zoo, name: str, instructions: str, data: st.DataObject, length: int, threads: int
) -> None:
    cuts = sorted({0, length, *data.draw(st.lists(st.integers(1, length - 1), max_size=6))})
    session = zoo.load(name, instructions, threads).session()
    sequence, truth = session.open(), zoo.truth(name, instructions)
    for start, end in pairwise(cuts):
        piece = TEXT[start:end]
        scores = session.step(Rows.chain(piece, sequence, [len(piece) // 2, len(piece) - 1][-len(piece) :]), LOGITS)
        session.commit(sequence, range(len(piece)))
        assert scores.logits is not None
        assert scores.logits[-1].tobytes() == truth.of(TEXT[:end])
        assert scores.logits[0].tobytes() == truth.of(TEXT[: start + len(piece) // 2 + 1][:end])


@everywhere
@few
@given(data=st.data(), threads=st.sampled_from(THREADS))
def test_histories(zoo: Zoo, name: str, instructions: str, data: st.DataObject, threads: int) -> None:
    """Commits of branches, rejections, rewinds, forks, closing and reopening: only the tokens that are left count."""
    session = zoo.load(name, instructions, threads).session()
    length = data.draw(LENGTH)
    held = {committed(session, TEXT[:length]): TEXT[:length]}
    truth = zoo.truth(name, instructions)
    for _ in range(data.draw(st.integers(1, 12))):
        sequence = data.draw(st.sampled_from(sorted(held)))
        match data.draw(st.sampled_from(["step", "step", "step", "rewind", "fork", "close"])):
            case "rewind":
                length = data.draw(st.integers(max(0, len(held[sequence]) - 15), len(held[sequence])))
                session.rewind(sequence, length)
                held[sequence] = held[sequence][:length]
            case "fork" if len(held) < 4:
                held[session.fork(sequence)] = list(held[sequence])
            case "close" if len(held) > 1:
                session.close(sequence)
                del held[sequence]
                held[committed(session, TEXT[:PAGE])] = TEXT[:PAGE]
            case _:
                _step_and_commit(session, held, data)
        assert all(session.length(each) == len(path) for each, path in held.items())
    last = Rows([9] * len(held), [ROOT] * len(held), list(held), range(len(held)))
    scores = session.step(last, LOGITS)
    assert scores.logits is not None
    for k, path in enumerate(held.values()):
        assert scores.logits[k].tobytes() == truth.of([*path, 9])


def _step_and_commit(session: NativeSession, held: dict[int, list[int]], data: st.DataObject) -> None:
    """One pass over small trees of some sequences; a path of each may be committed, in any order of sequences."""
    some = data.draw(st.lists(st.sampled_from(sorted(held)), min_size=1, unique=True))
    size = data.draw(st.integers(1, 5)) * len(some)
    owners = [data.draw(st.sampled_from(some)) for _ in range(size)]
    parents = [
        data.draw(st.sampled_from([ROOT, *(k for k in range(row) if owners[k] == owners[row])])) for row in range(size)
    ]
    texts = [data.draw(TOKEN) for _ in range(size)]
    session.step(Rows(texts, parents, owners, [size - 1]), Want())
    for sequence in some:
        row = data.draw(st.sampled_from([ROOT, *(k for k in range(size) if owners[k] == sequence)]))
        path: list[int] = []
        while row != ROOT:
            path.insert(0, row)
            row = parents[row]
        session.commit(sequence, path)
        held[sequence] = held[sequence] + [texts[k] for k in path]
