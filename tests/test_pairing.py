"""A draft model with other tokens is refused before anything is packed."""

from pathlib import Path

import pytest

import foretell
import synthetic
from foretell.errors import ForetellError
from foretell.models.gguf import GGUF
from foretell.models.pairing import check_pair
from foretell.models.tokenizer import Tokenizer
from foretell.models.vocabulary import digest
from tiny import MODELS


def write(path: Path, monkeypatch: pytest.MonkeyPatch | None = None) -> Path:
    """A model; with `monkeypatch`, one whose bytes have other ids."""
    shape, formats = MODELS["qwen2"]
    if monkeypatch is None:
        return synthetic.write(path, shape, formats)
    with monkeypatch.context() as patch:
        characters = synthetic.byte_characters()
        patch.setattr(synthetic, "byte_characters", lambda: characters[::-1])
        return synthetic.write(path, shape, formats)


def test_equal_vocabularies_are_known_by_their_digests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs, cache = write(tmp_path / "a.gguf"), write(tmp_path / "b.gguf"), tmp_path / "cache"
    assert digest(ours, cache) is None
    check_pair(ours, theirs, cache)
    assert digest(ours, cache) == digest(theirs, cache) is not None
    monkeypatch.setattr(GGUF, "open", lambda *_: pytest.fail("opened"))
    check_pair(ours, theirs, cache)


def test_other_tokens_are_refused_without_packing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs, cache = write(tmp_path / "a.gguf"), write(tmp_path / "b.gguf", monkeypatch), tmp_path / "cache"
    for _ in range(2):  # the second time from the cache
        with pytest.raises(ForetellError) as caught:
            foretell.load(ours, draft=theirs, cache_dir=cache)
        said = str(caught.value)
        assert said.startswith("b.gguf cannot draft for a.gguf: token 0 is ")
        assert said.endswith("choose a draft of the same family")
    assert not (cache / "packed").exists()
    for path in (ours, theirs):
        with GGUF.open(path) as gguf:
            assert repr(Tokenizer.from_gguf(gguf).decode([0])) in said


def test_a_cache_that_is_damaged_is_no_proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs, cache = write(tmp_path / "a.gguf"), write(tmp_path / "b.gguf", monkeypatch), tmp_path / "cache"
    cache.mkdir()
    with pytest.raises(ForetellError):
        check_pair(ours, theirs, cache)
    for file in cache.iterdir():
        file.write_bytes(b"something else\n")
        assert digest(ours, cache) is None or digest(theirs, cache) is None
    assert digest(ours, cache) is digest(theirs, cache) is None
    with pytest.raises(ForetellError):
        check_pair(ours, theirs, cache)
