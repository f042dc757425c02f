"""A deterministic toy model, obviously right: the reference for the Session contract and for the loop.

Logits of a row are hashes of the last few tokens, so any mistake in ancestry, positions or rewinding changes the text.
With `echo` the token that followed the last place of the newest tokens is made likelier, so that the text repeats
itself. Tokens are bytes and four special tokens.
"""

import codecs
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from foretell.accept.noise import bits, row_key
from foretell.accept.warpers import choose
from foretell.backend.protocol import ROOT, Rows, Scores, Want, draft_by_steps
from foretell.errors import ForetellError

SPECIAL: Final = ("<|end|>", "<|user|>", "<|assistant|>", "<|system|>")
VOCABULARY: Final = 256 + len(SPECIAL)
END: Final = 256
MARK: Final = "\x1a"  # no text has it
READABLE: Final = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz  .,\n", np.uint8)


@dataclass(frozen=True, slots=True)
class ToyModel:
    """Logits from hashes.

    order: tokens of history that are hashed. echo: added to the logit of a repeated continuation. readable: favour
        letters.
    """

    order: int = 3
    echo: float = 0.0
    readable: bool = True
    vocabulary: int = VOCABULARY

    def logits(self, history: Sequence[int]) -> NDArray[np.float32]:
        """float32 [vocabulary] after these tokens, the row's own included; at least one."""
        recent = history[-self.order :]
        key = row_key(sum((token + 1) << (16 * i) for i, token in enumerate(recent)) % 2**64, len(recent))
        uniform = bits(key, np.arange(self.vocabulary, dtype=np.uint32)) >> np.uint32(8)
        out = uniform.astype(np.float32) * np.float32(6 * 2.0**-24)
        if self.readable:
            out -= 6
            out[READABLE] += 6
            out[END] += np.float32(5.7)  # a little behind the letters, so that texts end after some dozens of them
        if self.echo and (token := _continuation(history)) is not None:
            out[token] += np.float32(self.echo)
        return out


def _continuation(history: Sequence[int]) -> int | None:
    """What followed the last earlier place of the newest three tokens, or two, or one."""
    for size in (3, 2, 1):
        newest = history[-size:]
        for end in range(len(history) - 1, size - 1, -1):
            if history[end - 1] == newest[-1] and history[end - size : end] == newest:
                return history[end]
    return None


class ToySession:
    """The Session contract, one row at a time."""

    def __init__(self, model: ToyModel, context: int) -> None:
        self._model, self._context = model, context
        self._sequences: dict[int, list[int]] = {}
        self._rows: Rows | None = None
        self.steps = 0  # passes so far, for tests

    @property
    def vocabulary(self) -> int:
        """Number of token ids."""
        return self._model.vocabulary

    @property
    def context(self) -> int:
        """Most tokens of a sequence."""
        return self._context

    def open(self) -> int:
        """A new empty sequence."""
        return self._place([])

    def close(self, sequence: int) -> None:
        """Forget a sequence."""
        del self._sequences[self._known(sequence)]

    def fork(self, sequence: int) -> int:
        """A copy of a sequence."""
        return self._place(list(self._sequences[self._known(sequence)]))

    def length(self, sequence: int) -> int:
        """Committed tokens."""
        return len(self._sequences[self._known(sequence)])

    def step(self, rows: Rows, want: Want) -> Scores:
        """Scores of the wanted rows."""
        self._rows = None
        histories: list[list[int]] = []
        for i, (token, parent, sequence) in enumerate(zip(rows.tokens, rows.parents, rows.sequences, strict=True)):
            if not 0 <= token < self.vocabulary:
                raise ForetellError(f"token {token} is not between 0 and {self.vocabulary - 1}")
            if not ROOT <= parent < i or (parent >= 0 and rows.sequences[parent] != sequence):
                raise ForetellError(f"row {i} has parent {parent}: must be ROOT or an earlier row of the same sequence")
            before = self._sequences[self._known(sequence)] if parent == ROOT else histories[parent]
            if len(before) >= self._context:
                raise ForetellError(f"row {i} is at position {len(before)}: the context holds {self._context} tokens")
            histories.append([*before, token])
        if not all(0 <= row < len(histories) for row in rows.wanted):
            last = len(histories) - 1
            raise ForetellError(f"scores are wanted of rows {list(rows.wanted)}; the pass has rows 0 to {last}")
        self._rows = rows
        self.steps += 1
        return self._scores([histories[row] for row in rows.wanted], want)

    def draft(
        self, sequence: int, tokens: Sequence[int], steps: int, want: Want, stop: float = 0.0, reach: float = 0.0
    ) -> Scores:
        """Steps one by one."""
        return draft_by_steps(self, sequence, tokens, steps, want, stop, reach)

    def commit(self, sequence: int, path: Sequence[int]) -> None:
        """Keep a chain of rows of the last step."""
        committed, parent = self._sequences[self._known(sequence)], ROOT
        if self._rows is None and path:
            raise ForetellError("there is no step whose rows could be committed")
        for row in path:
            if self._rows is None or self._rows.parents[row] != parent or self._rows.sequences[row] != sequence:
                raise ForetellError(
                    f"rows {list(path)} are not a chain of sequence {sequence} from its committed context"
                )
            parent = row
        if self._rows is not None:
            committed.extend(self._rows.tokens[row] for row in path)

    def rewind(self, sequence: int, length: int) -> None:
        """Cut to `length` tokens."""
        committed = self._sequences[self._known(sequence)]
        if not 0 <= length <= len(committed):
            raise ForetellError(f"cannot rewind to {length}: sequence {sequence} has {len(committed)} tokens")
        del committed[length:]

    def _scores(self, histories: Sequence[list[int]], want: Want) -> Scores:
        logits = [self._model.logits(history) for history in histories]
        chosen = [choose(x, h, len(h), want.sampling) for x, h in zip(logits, histories, strict=True)]
        tokens = np.array(chosen, np.int64)
        all_logits = np.array(logits, np.float32).reshape(len(histories), self.vocabulary)
        given = all_logits if want.logits else None
        if not want.top:
            return Scores(chosen, given)
        logs = _log_softmax(all_logits)
        order = np.argsort(-logs, axis=1, kind="stable")[:, : want.top].astype(np.int32)
        likely = (
            np.take_along_axis(logs, tokens[:, None], 1)[:, 0],
            order,
            np.take_along_axis(logs, order.astype(np.int64), 1),
        )
        return Scores(chosen, given, likely)

    def _place(self, tokens: list[int]) -> int:
        sequence = next(i for i in range(len(self._sequences) + 1) if i not in self._sequences)
        self._sequences[sequence] = tokens
        return sequence

    def _known(self, sequence: int) -> int:
        if sequence not in self._sequences:
            raise ForetellError(f"sequence {sequence} is not open")
        return sequence


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    result: NDArray[np.float32] = (wide - np.log(np.exp(wide).sum(axis=1, keepdims=True))).astype(np.float32)
    return result


class ToyDetokeniser:
    """UTF-8 from bytes, character by character; special tokens have no text."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        """The text that this token completes."""
        return self._decoder.decode(bytes([token])) if token < 256 else ""


class ToyCodec:
    """Bytes as token ids, and the names of the special tokens."""

    vocabulary = VOCABULARY
    end_ids = frozenset({END})

    def encode(self, text: str, special: bool = False) -> list[int]:
        """UTF-8 bytes; with `special`, names of special tokens become these."""
        parts = re.split("(" + "|".join(map(re.escape, SPECIAL)) + ")", text) if special else [text]
        ids: list[int] = []
        for part in parts:
            ids += [256 + SPECIAL.index(part)] if special and part in SPECIAL else part.encode()
        return ids

    def text_bytes(self, token: int) -> bytes:
        """The byte; none for a special token."""
        return bytes([token]) if token < 256 else b""

    def decode(self, ids: Iterable[int]) -> str:
        """Text without special tokens; bytes that are no UTF-8 become U+FFFD."""
        return bytes(token for token in ids if token < 256).decode("utf-8", "replace")

    def protect(self, text: str) -> str:
        """The text with a mark after each "<|"."""
        return text.replace("<|", f"<|{MARK}")

    def encode_protected(self, text: str) -> list[int]:
        """As `encode` with `special`, without the marks."""
        mark = list(MARK.encode())
        return [token for token in self.encode(text, special=True) if token not in mark]

    def with_bos(self, ids: Sequence[int]) -> list[int]:
        """The same ids: there is no such token."""
        return list(ids)


class ToyTemplate:
    """Each message is its role's token, its text and the end token."""

    def render(self, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = True) -> str:
        """The prompt of a conversation."""
        turns = "".join(f"<|{message['role']}|>{message['content']}<|end|>" for message in messages)
        return turns + ("<|assistant|>" if add_generation_prompt else "")


@dataclass(frozen=True)
class ToyBackend:
    """The toy as a loaded model; `foretell.load("toy")`."""

    model: ToyModel = ToyModel(echo=5.0)
    context: int = 4096
    pass_costs: Mapping[int, float] | None = field(default_factory=lambda: {1: 1.0, 8: 1.0})
    piece_rows: int = 512
    name: str = "toy"
    key: str = "toy"
    codec: ToyCodec = field(default_factory=ToyCodec)
    template: ToyTemplate = field(default_factory=ToyTemplate)

    def detokeniser(self) -> ToyDetokeniser:
        """A new stream of text."""
        return ToyDetokeniser()

    def session(self) -> ToySession:
        """A new session."""
        return ToySession(self.model, self.context)

    def close(self) -> None:
        """Nothing to give back."""
