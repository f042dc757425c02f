"""The vocabulary of a GGUF file: tokens, their types and merges, parsed once and then kept on disk.

Decoding 300,000 strings out of the file takes longer than everything else in opening a model, so the parsed form is
written to the cache directory, under a name made from the file's identity. A cache that is damaged, of another layout
or not readable is as good as none: the vocabulary is parsed again.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from foretell.errors import ForetellError
from foretell.models.gguf import GGUF

_LAYOUT = b"foretell vocabulary 1"


class Kind(IntEnum):
    """A token's type, as `tokenizer.ggml.token_type` numbers them."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a byte-level BPE tokenizer is made of.

    tokens: text by id; ordinary tokens are written in GPT-2's alphabet, where each byte is a printable character.
    kinds: id → type, of the tokens that are not ordinary.
    left, right: the pairs of tokens that are merged, the first to be applied first; none makes a control token. Ids and
        not texts: this way the strings are made once when the cache is read, which is a third of the time.
    """

    tokens: list[str]
    kinds: dict[int, Kind]
    left: list[int]
    right: list[int]


def read_vocabulary(gguf: GGUF, cache_dir: Path | None) -> Vocabulary:
    """The file's vocabulary, from the folder of parsed vocabularies when it is there; None keeps nothing.

    Raises:
        ForetellError: the file has no vocabulary, or one that contradicts itself.
    """
    path: Path | None = None
    if cache_dir is not None:
        with suppress(OSError):  # the file was removed while it is open
            path = _place(gguf.path, cache_dir)
    cached = None if path is None else _load(path)
    if cached is not None:
        return cached
    vocabulary = _parse(gguf)
    if path is not None:
        with suppress(OSError):  # a cache that cannot be written costs time, not the answer
            _save(path, vocabulary)
    return vocabulary


def digest(gguf: Path, cache_dir: Path) -> str | None:
    """What the parsed vocabulary of a file is known by: equal ones have the same; None when it is not in the folder."""
    try:
        with _place(gguf, cache_dir).open("rb") as file:
            head = file.readline(256).split()
    except OSError:
        return None
    return head[-1].decode("ascii", "replace") if b" ".join(head[:-1]) == _LAYOUT else None


def _place(gguf: Path, cache_dir: Path) -> Path:
    return cache_dir / f"vocabulary-{_identity(gguf)}.json"


def _parse(gguf: GGUF) -> Vocabulary:
    tokens = _strings(gguf, "tokenizer.ggml.tokens")
    merges = _strings(gguf, "tokenizer.ggml.merges")
    numbers = [int(number) for number in gguf.metadata.get("tokenizer.ggml.token_type", ())]
    if numbers and len(numbers) != len(tokens):
        raise ForetellError(
            f"{gguf.path} is damaged: it has {len(tokens)} tokens but {len(numbers)} token types; fetch the file again"
        )
    if len(set(tokens)) != len(tokens):
        raise ForetellError(f"{gguf.path} is damaged: its vocabulary has a token twice; convert the model again")
    known = {kind.value for kind in Kind}
    kinds = {i: Kind(n) if n in known else Kind.UNUSED for i, n in enumerate(numbers) if n != Kind.NORMAL}
    left, right = _merges(gguf.path, merges, tokens, kinds)
    return Vocabulary(tokens, kinds, left, right)


def _strings(gguf: GGUF, key: str) -> list[str]:
    value = gguf.metadata.get(key)
    if value is None or len(value) == 0:
        raise ForetellError(f"{gguf.path} has no tokenizer ({key} is missing); use a GGUF file that contains one")
    if not isinstance(value, list):
        raise ForetellError(f"{gguf.path} is damaged: {key} is not a list of strings; convert the model again")
    return value


def _merges(
    path: Path, merges: Sequence[str], tokens: Sequence[str], kinds: dict[int, Kind]
) -> tuple[list[int], list[int]]:
    """The merges as pairs of ids, no repetitions (the first counts) and none that touches a control token."""
    ids = {token: i for i, token in enumerate(tokens)}
    control = {i for i, kind in kinds.items() if kind in {Kind.CONTROL, Kind.UNKNOWN}}
    left: list[int] = []
    right: list[int] = []
    for merge in dict.fromkeys(merges):
        first, _, second = merge.partition(" ")
        try:
            involved = ids[first], ids[second], ids[first + second]
        except KeyError as error:
            raise ForetellError(
                f"{path} is damaged: the merge {merge[:60]!r} needs a token that the vocabulary lacks; "
                "convert the model again"
            ) from error
        if control.isdisjoint(involved):
            left.append(involved[0])
            right.append(involved[1])
    return left, right


def _identity(path: Path) -> str:
    """A name for the file's content that needs no reading of it."""
    status = path.stat()
    facts = (str(path.resolve()), status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev)
    return hashlib.blake2b(repr(facts).encode(), digest_size=12).hexdigest()


def _digest(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=16).hexdigest().encode()


def _load(path: Path) -> Vocabulary | None:
    try:
        head, _, payload = path.read_bytes().partition(b"\n")
        if head != _LAYOUT + b" " + _digest(payload):
            return None
        parsed: dict[str, Any] = json.loads(payload)
    except (OSError, ValueError):
        return None
    kinds = {i: Kind(number) for i, number in parsed["kinds"]}
    return Vocabulary(parsed["tokens"], kinds, parsed["left"], parsed["right"])


def _save(path: Path, vocabulary: Vocabulary) -> None:
    """Write beside the goal, then rename: a reader sees the whole file or none."""
    content = {**asdict(vocabulary), "kinds": list(vocabulary.kinds.items())}
    payload = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=path.name, suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_LAYOUT + b" " + _digest(payload) + b"\n" + payload)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
