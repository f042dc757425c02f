"""What every Session must do (foretell.backend.protocol). Subclass `SessionContract` and give it a session.

Scores are compared bit for bit with those of one row at a time in a fresh sequence.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foretell.accept.sampling import GREEDY, Sampling
from foretell.accept.warpers import choose
from foretell.backend.protocol import ROOT, Rows, Scores, Session, Want, draft_by_steps
from foretell.errors import ForetellError

SAMPLED = Sampling(temperature=0.9, top_k=40, top_p=0.95, min_p=0.01, repeat_penalty=1.1, seed=11)
ALL = Want(top=3, logits=True)
SEED = st.integers(0, 2**32 - 1)
few = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)


@contextmanager
def sequence_of(session: Session, tokens: Sequence[int] = ()) -> Iterator[int]:
    """A sequence with these tokens, closed afterwards."""
    sequence = session.open()
    try:
        if tokens:
            session.step(Rows.chain(tokens, sequence, ()), Want())
            session.commit(sequence, range(len(tokens)))
        yield sequence
    finally:
        session.close(sequence)


def alone(session: Session, tokens: Sequence[int], want: Want = ALL) -> Scores:
    """Scores after these tokens, one row per pass."""
    with sequence_of(session) as sequence:
        for token in tokens[:-1]:
            session.step(Rows([token], [ROOT], [sequence], []), Want())
            session.commit(sequence, [0])
        return session.step(Rows.chain(tokens[-1:], sequence), want)


def assert_row(scores: Scores, row: int, expected: Scores) -> None:
    """Row of a pass against a pass of one row."""
    assert scores.tokens[row] == expected.tokens[0]
    if scores.logits is not None and expected.logits is not None:
        assert scores.logits[row].tobytes() == expected.logits[0].tobytes()
    if len(expected.logprobs):
        assert scores.logprobs[row] == expected.logprobs[0]
        assert scores.top_tokens[row].tolist() == expected.top_tokens[0].tolist()
        assert scores.top_logprobs[row].tobytes() == expected.top_logprobs[0].tobytes()


class SessionContract:
    """Subclasses override the fixture `session`."""

    @pytest.fixture
    def session(self) -> Session:
        raise NotImplementedError

    def tokens(self, session: Session, seed: int, count: int) -> list[int]:
        """Some token ids."""
        return np.random.default_rng(seed).integers(0, min(session.vocabulary, 256), count).tolist()

    def test_is_a_session(self, session: Session) -> None:
        assert isinstance(session, Session)
        assert session.vocabulary > 1
        assert session.context > 1

    @few
    @given(seed=SEED)
    def test_random_trees_of_mixed_sequences(self, session: Session, seed: int) -> None:
        rng = np.random.default_rng(seed)
        prefixes = [self.tokens(session, seed + i, int(rng.integers(0, 9))) for i in range(3)]
        with (
            sequence_of(session, prefixes[0]) as a,
            sequence_of(session, prefixes[1]) as b,
            sequence_of(session, prefixes[2]) as c,
        ):
            opened = [a, b, c]
            which = rng.integers(0, 3, 14).tolist()
            tokens = self.tokens(session, seed + 9, 14)
            earlier = [[ROOT, *[j for j in range(i) if which[j] == which[i]]] for i in range(14)]
            parents = [int(rng.choice(each)) for each in earlier]
            wanted = sorted(rng.choice(14, 6, replace=False).tolist())
            paths = [prefixes[which[row]] + _path(tokens, parents, row) for row in wanted]
            for want in (ALL, Want(SAMPLED)):
                scores = session.step(Rows(tokens, parents, [opened[i] for i in which], wanted), want)
                assert scores.tokens.shape == (6,)
                for k, path in enumerate(paths):
                    assert_row(scores, k, alone(session, path, want))

    @few
    @given(seed=SEED)
    def test_prompt_cuts_do_not_matter(self, session: Session, seed: int) -> None:
        rng = np.random.default_rng(seed)
        prompt = self.tokens(session, seed, 24)
        expected = alone(session, prompt)
        with sequence_of(session) as sequence:
            done = 0
            while done < len(prompt):
                piece = prompt[done : done + int(rng.integers(1, 12))]
                scores = session.step(Rows.chain(piece, sequence, [len(piece) - 1]), ALL)
                session.commit(sequence, range(len(piece)))
                done += len(piece)
            assert_row(scores, 0, expected)
            assert session.length(sequence) == len(prompt)

    @few
    @given(seed=SEED)
    def test_commit_histories_do_not_matter(self, session: Session, seed: int) -> None:
        """Random steps, commits of a branch, rewinds and forks; then scores are those of the tokens that are left."""
        rng = np.random.default_rng(seed)
        first = session.open()
        opened, held = [first], {first: list[int]()}
        for round_ in range(10):
            sequence = int(rng.choice(opened))
            match int(rng.integers(0, 5)):
                case 0:
                    length = int(rng.integers(0, len(held[sequence]) + 1))
                    session.rewind(sequence, length)
                    del held[sequence][length:]
                case 1 if len(opened) < 4:
                    copy = session.fork(sequence)
                    assert copy not in opened
                    opened.append(copy)
                    held[copy] = list(held[sequence])
                case _:
                    tokens = self.tokens(session, seed + round_, 7)
                    parents = [int(rng.integers(-1, i)) for i in range(7)]
                    session.step(Rows(tokens, parents, [sequence] * 7, [6]), Want())
                    row = int(rng.integers(0, 7))
                    path = [i for i in range(7) if i in _rows(parents, row)]
                    if rng.random() < 0.8:
                        session.commit(sequence, path)
                        held[sequence] += [tokens[i] for i in path]
            assert all(session.length(each) == len(held[each]) for each in opened)
        probe = self.tokens(session, seed + 99, 1)
        for sequence in opened:
            scores = session.step(Rows.chain(probe, sequence), ALL)
            expected = alone(session, held[sequence] + probe)
            assert_row(scores, 0, expected)
        for sequence in opened:
            session.close(sequence)

    def test_several_sequences_commit_one_step(self, session: Session) -> None:
        tokens = self.tokens(session, 5, 4)
        with sequence_of(session) as a, sequence_of(session) as b:
            session.step(Rows(tokens, [ROOT, ROOT, 0, 1], [a, b, a, b], []), Want())
            session.commit(a, [0, 2])
            session.commit(b, [1])
            assert (session.length(a), session.length(b)) == (2, 1)
            scores = session.step(Rows([7, 7], [ROOT, ROOT], [a, b], [0, 1]), ALL)
        assert_row(scores, 0, alone(session, [tokens[0], tokens[2], 7]))
        assert_row(scores, 1, alone(session, [tokens[1], 7]))

    def test_an_uncommitted_step_changes_nothing(self, session: Session) -> None:
        with sequence_of(session, [1, 2, 3]) as sequence:
            session.step(Rows.chain([9, 9, 9], sequence), Want())
            assert session.length(sequence) == 3
            scores = session.step(Rows.chain([4], sequence), ALL)
        assert_row(scores, 0, alone(session, [1, 2, 3, 4]))

    def test_a_fork_is_independent(self, session: Session) -> None:
        with sequence_of(session, [1, 2, 3]) as sequence:
            copy = session.fork(sequence)
            session.rewind(sequence, 1)
            session.step(Rows.chain([5, 6], sequence), Want())
            session.commit(sequence, [0, 1])
            scores = session.step(Rows.chain([4], copy), ALL)
            session.close(copy)
        assert_row(scores, 0, alone(session, [1, 2, 3, 4]))

    def test_lowest_free_id_is_given_out(self, session: Session) -> None:
        with sequence_of(session) as a:
            b = session.open()
            assert (a, b) == (0, 1)
            session.close(a)
            assert session.open() == 0
            session.close(b)

    def test_scores_agree_with_the_logits(self, session: Session) -> None:
        tokens = self.tokens(session, 3, 6)
        with sequence_of(session) as sequence:
            rows = Rows.chain(tokens, sequence)
            full = session.step(rows, Want(top=5, logits=True))
            sampled = session.step(rows, Want(SAMPLED)).tokens.tolist()
        assert full.logits is not None
        assert full.logits.shape == (6, session.vocabulary)
        assert full.tokens.tolist() == np.argmax(full.logits, axis=1).tolist()
        assert sampled == [choose(full.logits[i], tokens[: i + 1], i + 1, SAMPLED) for i in range(6)]
        wide = full.logits.astype(np.float64)
        logprobs = wide - np.log(np.exp(wide - wide.max(1, keepdims=True)).sum(1, keepdims=True)) - wide.max(1)[:, None]
        for i in range(6):
            order = np.argsort(-full.logits[i], kind="stable")[:5]
            assert full.top_tokens[i].tolist() == order.tolist()
            assert np.allclose(full.top_logprobs[i], logprobs[i, order], atol=1e-4)
            assert np.isclose(full.logprobs[i], logprobs[i, full.tokens[i]], atol=1e-4)

    @few
    @given(seed=SEED, steps=st.integers(1, 6), stop=st.sampled_from([0.0, 0.05]), reach=st.sampled_from([0.0, 0.01]))
    def test_a_draft_is_its_steps(self, session: Session, seed: int, steps: int, stop: float, reach: float) -> None:
        prompt = self.tokens(session, seed, 9)
        want = Want(replace(SAMPLED, repeat_penalty=1.0, seed=seed), top=1)
        with sequence_of(session, prompt[:6]) as one, sequence_of(session, prompt[:6]) as other:
            expected = draft_by_steps(session, other, prompt[6:], steps, want, stop, reach)
            found = session.draft(one, prompt[6:], steps, want, stop, reach)
            for row in range(len(expected.tokens)):
                alone_here = alone(session, [*prompt, *expected.tokens[:row].tolist()], want)
                assert_row(expected, row, alone_here)
                assert_row(found, row, alone_here)
            assert found.tokens.shape == expected.tokens.shape
            assert session.length(one) == session.length(other) == len(prompt) + len(found.tokens) - 1
            scores = session.step(Rows.chain(found.tokens[-1:].tolist(), one), ALL)
        assert_row(scores, 0, alone(session, [*prompt, *found.tokens.tolist()]))

    def test_no_scores_wanted(self, session: Session) -> None:
        with sequence_of(session) as sequence:
            scores = session.step(Rows.chain([1, 2], sequence, ()), Want(GREEDY))
            assert scores.tokens.shape == (0,)
            assert scores.logits is None

    def test_the_context_is_a_limit(self, session: Session) -> None:
        with sequence_of(session) as sequence:
            fits = [1] * session.context
            for start in range(0, len(fits), 128):
                piece = fits[start : start + 128]
                session.step(Rows.chain(piece, sequence, ()), Want())
                session.commit(sequence, range(len(piece)))
            assert session.length(sequence) == session.context
            with pytest.raises(ForetellError):
                session.step(Rows.chain([1], sequence), Want())
            session.rewind(sequence, session.context - 1)
            with pytest.raises(ForetellError):
                session.step(Rows.chain([1, 1], sequence), Want())
            assert session.step(Rows.chain([1], sequence), Want()).tokens.shape == (1,)

    def test_misuse_is_refused(self, session: Session) -> None:
        with sequence_of(session, [1, 2]) as sequence:
            with pytest.raises(ForetellError):
                session.rewind(sequence, 3)
            with pytest.raises(ForetellError):
                session.rewind(sequence, -1)
            with pytest.raises(ForetellError):
                session.length(sequence + 50)
            with pytest.raises(ForetellError):
                session.step(Rows([session.vocabulary], [ROOT], [sequence], [0]), Want())
            for beyond in (-1, 1):
                with pytest.raises(ForetellError):
                    session.step(Rows([1], [ROOT], [sequence], [beyond]), Want())
            session.step(Rows([1, 2, 3], [ROOT, 0, ROOT], [sequence] * 3, [2]), Want())
            with pytest.raises(ForetellError):
                session.commit(sequence, [1])
            with pytest.raises(ForetellError):
                session.commit(sequence, [0, 2])
            assert session.length(sequence) == 2


def _rows(parents: Sequence[int], row: int) -> set[int]:
    """The row and its ancestors."""
    found = set()
    while row != ROOT:
        found.add(row)
        row = parents[row]
    return found


def _path(tokens: Sequence[int], parents: Sequence[int], row: int) -> list[int]:
    return [tokens[i] for i in sorted(_rows(parents, row))]
