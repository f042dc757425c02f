"""What a person or a caller may do wrong: one line that says what happened, and nothing half-done."""

import errno
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from foretell.backend.protocol import ROOT, Rows, Want
from foretell.engine import builders, jit
from foretell.engine.isa import choose
from foretell.engine.kernels import Kernels
from foretell.engine.layout import PAGE
from foretell.engine.native import NativeModel
from foretell.engine.session import NativeSession
from foretell.errors import ForetellError, UsageError
from foretell.models.gguf import GGUF
from synthetic import Shape, write
from tiny import LOGITS, Zoo, committed, tokens


@pytest.fixture
def session(zoo: Zoo) -> NativeSession:
    return zoo.load("qwen2").session()


WRONG_ROWS = {
    "a pass needs at least one row": Rows([], [], [], []),
    "a pass needs at least one row, and a parent and a sequence for each": Rows([1, 2], [ROOT], [0, 0], []),
    "and a sequence for each": Rows([1, 2], [ROOT, 0], [0], []),
    "there is no sequence 7; open one first": Rows([1], [ROOT], [7], []),
    "row 1 has parent 1": Rows([1, 2], [ROOT, 1], [0, 0], []),
    "row 0 has parent 1": Rows([1, 2], [1, ROOT], [0, 0], []),
    "row 1 has parent -2": Rows([1, 2], [ROOT, -2], [0, 0], []),
    "row 1 has parent 0: it must be -1 or an earlier row of the same sequence": Rows([1, 2], [ROOT, 0], [0, 1], []),
    "row 0 has token 301; the vocabulary has 301": Rows([301], [ROOT], [0], []),
    "row 0 has token -1": Rows([-1], [ROOT], [0], []),
    "scores are wanted of rows [1]; the pass has rows 0 to 0": Rows([1], [ROOT], [0], [1]),
    "scores are wanted of rows [-1]": Rows([1], [ROOT], [0], [-1]),
}


@pytest.mark.parametrize("message", WRONG_ROWS)
def test_wrong_rows(session: NativeSession, message: str) -> None:
    session.open()
    session.open()
    with pytest.raises(ForetellError, match=re.escape(message)):
        session.step(WRONG_ROWS[message], Want())
    assert session.length(0) == session.length(1) == 0
    session.step(Rows.chain([1], 0), Want())


def test_wrong_commits(session: NativeSession) -> None:
    one, two = committed(session, [1, 2]), session.open()
    with pytest.raises(ForetellError, match="row 0 does not continue the committed path of sequence 1"):
        session.commit(two, [0])  # of the other's step
    session.step(Rows([1, 2, 3, 4], [ROOT, 0, ROOT, 0], [one, one, two, one], []), Want())
    for sequence, path in (
        (one, [1]),
        (one, [0, 2]),
        (one, [1, 0]),
        (one, [0, 0]),
        (one, [4]),
        (one, [-1]),
        (two, [0]),
    ):
        with pytest.raises(ForetellError, match=r"row -?\d does not continue the committed path"):
            session.commit(sequence, path)
    assert (session.length(one), session.length(two)) == (2, 0)
    session.commit(one, [])
    session.commit(one, [0, 3])
    with pytest.raises(ForetellError, match="sequence 0 was committed to, rewound or closed since this step"):
        session.commit(one, [0, 1])
    session.commit(two, [2])
    assert (session.length(one), session.length(two)) == (4, 1)


def test_rows_do_not_outlive_what_they_stood_on(session: NativeSession) -> None:
    """Not even where a sequence of the same length and number takes the place."""
    one, two = session.open(), committed(session, [5])
    rows = Rows([1, 2, 3], [ROOT, 0, ROOT], [one, one, two], [])
    session.step(rows, Want())
    session.close(one)
    assert session.open() == one
    with pytest.raises(ForetellError, match="closed since this step"):
        session.commit(one, [0])
    session.commit(two, [2])  # the other is not concerned
    session.step(rows, Want())
    session.rewind(two, 1)
    with pytest.raises(ForetellError, match="rewound"):
        session.commit(two, [2])
    session.commit(one, [0, 1])
    assert (session.length(one), session.length(two)) == (2, 1)


def test_a_closed_sequence_is_gone(session: NativeSession) -> None:
    sequence = session.open()
    session.close(sequence)
    for use in (session.close, session.fork, session.length):
        with pytest.raises(ForetellError, match="there is no sequence 0; open one first"):
            use(sequence)
    with pytest.raises(ForetellError, match="there is no sequence 0"):
        session.rewind(sequence, 0)
    with pytest.raises(ForetellError, match="there is no sequence 0"):
        session.commit(sequence, [])


def test_wrong_rewinds(session: NativeSession) -> None:
    sequence = committed(session, [1, 2, 3])
    for length in (-1, 4):
        with pytest.raises(ForetellError, match=f"cannot rewind sequence 0 to {length}: it holds 3 tokens"):
            session.rewind(sequence, length)


def test_the_context_is_a_limit(zoo: Zoo, cache_dir: Path) -> None:
    model = NativeModel.load(zoo.path("qwen2"), threads=1, context=PAGE + 2, cache_dir=cache_dir, digest="tiny-qwen2")
    session, text = model.session(), tokens(0, PAGE + 2)
    assert session.context == PAGE + 2
    sequence = committed(session, text[:PAGE])
    too_long = f"the text would be {PAGE + 3} tokens long; this model was loaded with room for {PAGE + 2}"
    with pytest.raises(ForetellError, match=too_long):
        session.step(Rows.chain([1, 2, 3], sequence), Want())
    scores = session.step(Rows([1, 2, *text[-2:]], [ROOT, 0, ROOT, 2], [sequence] * 4, [3]), LOGITS)
    session.commit(sequence, [2, 3])
    assert scores.logits is not None
    assert scores.logits[0].tobytes() == zoo.truth("qwen2").of(text)
    with pytest.raises(ForetellError, match=too_long):
        session.step(Rows.chain([1], sequence), Want())
    model.close()


@pytest.mark.parametrize("context", [0, -5, 2049])
def test_a_context_out_of_range(zoo: Zoo, context: int) -> None:
    with pytest.raises(
        UsageError, match=f"context is {context}, must be between 1 and 2048, what this model was trained for"
    ):
        NativeModel.load(zoo.path("qwen2"), context=context)


def test_shapes_that_the_kernels_cannot_do(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gguf", Shape(width=64, heads=8, head_size=24, vocabulary=259))
    with pytest.raises(
        ForetellError, match="heads of 24 are not supported; they must be a multiple of 16 and at most 256"
    ):
        NativeModel.load(path)
    path = write(tmp_path / "b.gguf", Shape(width=72, heads=2, head_size=32, vocabulary=259))
    with pytest.raises(ForetellError, match="a width of 72 is not supported; it must be a multiple of 16"):
        NativeModel.load(path)


def test_a_failed_load_lets_go_of_the_file(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[GGUF] = []
    close = GGUF.close
    monkeypatch.setattr(GGUF, "close", lambda gguf: (closed.append(gguf), close(gguf)))
    with pytest.raises(UsageError):
        NativeModel.load(zoo.path("qwen2"), isa="mmx")
    assert len(closed) == 1


def test_a_cache_that_cannot_be_written(zoo: Zoo, tmp_path: Path) -> None:
    (tmp_path / "code").write_text("in the way")
    with pytest.raises(
        ForetellError, match=r"cannot write to .*code: .*; make it writable or set FORETELL_CACHE"
    ) as error:
        NativeModel.load(zoo.path("qwen2"), cache_dir=tmp_path)
    assert "\n" not in str(error.value)


def test_a_full_disk_while_kernels_are_kept(zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(builders.sys, "executable", "")  # no processes that would keep them
    monkeypatch.setattr(jit, "os", SimpleNamespace(fdopen=full, getpid=os.getpid))
    with pytest.raises(ForetellError, match=r"the disk of .* is full"):
        NativeModel.load(zoo.path("qwen2"), cache_dir=tmp_path)
    assert list((tmp_path / "code").iterdir()) == []


@pytest.mark.parametrize("kind", ["empty", "half", "a bit"])
def test_damaged_code_is_compiled_again(tmp_path: Path, kind: str) -> None:
    def load() -> list[Path]:
        Kernels(choose("portable"), (), (), tmp_path)
        return sorted(tmp_path.glob("*.o"))

    paths = load()
    good = [path.read_bytes() for path in paths]
    for path, image in zip(paths, good, strict=True):
        middle = len(image) // 2
        flipped = image[:middle] + bytes([image[middle] ^ 1]) + image[middle + 1 :]
        path.write_bytes({"empty": b"", "half": image[:middle], "a bit": flipped}[kind])
    assert [path.read_bytes() for path in load()] == good
