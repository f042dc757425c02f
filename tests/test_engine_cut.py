"""A cut of the output matrix that is filled while a model is in use."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from foretell.backend.protocol import Cutter, Rows, Want
from foretell.engine.cut import ROWS, Cut
from foretell.engine.dequantise import FORMATS
from foretell.engine.gather import lanes, move
from foretell.engine.layout import LAYOUTS
from foretell.engine.native import NativeModel
from foretell.engine.pack import pack_matrix
from foretell.engine.session import NativeSession
from foretell.errors import ForetellError
from tiny import LOGITS, MODELS, Zoo, committed, tokens

SIZE = 40  # a multiple neither of 16 nor of the pieces that are moved


def some(vocabulary: int, seed: int = 0, size: int = SIZE) -> list[int]:
    ids: list[int] = np.random.default_rng(seed).permutation(vocabulary)[:size].tolist()
    return ids


def always() -> bool:
    return True


@pytest.mark.parametrize("name", LAYOUTS)
def test_outputs_move_with_all_that_belongs_to_them(name: str) -> None:
    rng, layout, inputs = np.random.default_rng(1), LAYOUTS[name], 512
    data = rng.integers(0, 256, (50, FORMATS[name].row_bytes(inputs)), np.uint8)
    ids, places = rng.permutation(50)[:37], rng.permutation(37)
    chosen = np.empty((37, data.shape[1]), np.uint8)
    chosen[places] = data[ids]
    out = np.zeros(layout.bytes(37, inputs), np.uint8)
    whole = pack_matrix(name, data.reshape(-1), 50, inputs).reshape(-1)
    move(lanes(whole, layout, inputs), ids, lanes(out, layout, inputs), places)
    assert out.tobytes() == pack_matrix(name, chosen.reshape(-1), 37, inputs).tobytes()


@pytest.fixture
def kept(zoo: Zoo, cache_dir: Path) -> Iterator[NativeModel]:
    """A model that was loaded with some tokens in fewer bits, so that a cut has some that it has not."""
    model = NativeModel.load(zoo.path("qwen2"), threads=1, cache_dir=cache_dir, keep=range(0, 301, 3), precision="Q4_0")
    yield model
    model.close()


def logits(session: NativeSession, sequence: int, text: list[int]) -> np.ndarray:
    found = session.step(Rows.chain(text, sequence), LOGITS).logits
    assert found is not None
    return found


@pytest.mark.parametrize("name", MODELS)
def test_what_is_said_of_the_tokens_that_stay_is_the_same(zoo: Zoo, name: str) -> None:
    model = zoo.load(name)
    session = model.session()
    sequence, text = committed(session, tokens(1, 20)), tokens(2, 5)
    whole = logits(session, sequence, text)
    cut = session.cut(SIZE)
    for seed in (3, 4):  # the second time in the same memory
        ids = some(model.hyper.vocabulary, seed)
        session.narrow(None)
        assert cut.fill(ids, always)
        session.narrow(cut)
        got = logits(session, sequence, text)
        expected = np.full_like(whole, -np.inf)
        expected[:, ids] = whole[:, ids]
        assert got.tobytes() == expected.tobytes()
        assert sorted(ids) == cut.ids.tolist()
    session.narrow(None)
    assert logits(session, sequence, text).tobytes() == whole.tobytes()


def test_tokens_that_were_left_out_when_it_was_loaded_come_back(zoo: Zoo, cache_dir: Path, kept: NativeModel) -> None:
    session, text = kept.session(), tokens(5, 6)
    assert isinstance(session, Cutter)
    assert session.says.tolist() == list(range(0, 301, 3))
    sequence, cut = session.open(), session.cut(SIZE)
    ids = some(301)
    assert cut.fill(ids, always)
    session.narrow(cut)
    whole = NativeModel.load(zoo.path("qwen2"), threads=1, cache_dir=cache_dir, precision="Q4_0")
    other = whole.session()
    expected = logits(other, other.open(), text)
    assert other.says.tolist() == list(range(301))
    got = logits(session, sequence, text)
    assert got[:, ids].tobytes() == expected[:, ids].tobytes()
    assert np.isfinite(got).sum() == len(text) * SIZE
    whole.close()


def test_drafts_and_text_go_on_across_the_change(zoo: Zoo) -> None:
    """Keys and values are the same, so a sequence may change between two passes; a large pass says all tokens."""
    model = zoo.load("llama")
    session, plain = model.session(), model.session()
    text = tokens(6, 3 * ROWS)
    mine, theirs = session.open(), plain.open()
    cut, want = session.cut(SIZE), Want(top=1)
    expected = plain.draft(theirs, text, 9, want).chosen
    kept = {*expected, *range(SIZE)}
    cut.fill(sorted(kept, key=lambda token: token not in expected)[:SIZE], always)
    session.narrow(cut)
    first = session.draft(mine, text, 4, want).chosen
    assert first == expected[:4]
    assert [*first, *session.draft(mine, first[-1:], 5, want).chosen] == expected
    session.rewind(mine, 0)
    assert logits(session, mine, text).shape[0] == len(text) > ROWS
    assert np.isfinite(logits(session, mine, text)).all()


def test_a_fill_that_is_given_up_leaves_it_empty(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foretell.engine.cut.PIECE", 16)
    session = zoo.load("llama").session()
    cut, looks = session.cut(SIZE), iter((True, False))
    assert not cut.fill(some(277), lambda: next(looks))
    assert next(looks, None) is None, "it was asked between pieces"
    with pytest.raises(ForetellError, match="is not filled"):
        session.narrow(cut)
    assert cut.fill(some(277), always)
    assert session.cut(SIZE) is cut
    session.narrow(cut)


@pytest.mark.parametrize("ids", [[1, 2, 3], [*range(SIZE - 1), 0], [*range(SIZE - 1), 277], [*range(SIZE - 1), -1]])
def test_ids_that_do_not_fit_are_refused(zoo: Zoo, ids: list[int]) -> None:
    cut = zoo.load("llama").session().cut(SIZE)
    with pytest.raises(ForetellError, match=f"a cut of {SIZE}"):
        cut.fill(ids, always)


def test_a_cut_is_smaller_than_the_matrix(zoo: Zoo) -> None:
    session = zoo.load("llama").session()
    for size in (0, 277, 300):
        with pytest.raises(ForetellError, match="give fewer"):
            Cut(session._model, size)
