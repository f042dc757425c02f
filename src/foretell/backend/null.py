"""The null backend: models that follow a script, and a clock that only their passes move.

Everything above the Session contract runs as it does with real models (pipelines, pacing, guards), but the times are
given ones and the same in every run. A pass over rows that the script knows nothing about still costs its time; what it
says of them is UNKNOWN, and reading that back raises ForetellError, because nobody knows how a real model would go on.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from foretell.backend.protocol import ROOT, Rows, Scores, Want, draft_by_steps
from foretell.backend.script import UNKNOWN, Node, Script
from foretell.errors import ForetellError

PassMs = Callable[[int, int], float]  # milliseconds of a pass over so many rows, behind so many tokens

_NEVER: Final = -1e9  # log-probability of what a script does not name


class VirtualClock:
    """Time that passes only when somebody spends it.

    >>> clock = VirtualClock()
    >>> clock.spend(12.5)
    >>> clock(), clock.ms
    (0.0125, 12.5)
    """

    __slots__ = ("ms",)

    def __init__(self) -> None:
        self.ms = 0.0

    def __call__(self) -> float:
        """Seconds so far: what `Request.clock` wants."""
        return self.ms / 1000

    def spend(self, ms: float) -> None:
        """So many milliseconds go by."""
        self.ms += ms


def flat(ms: float, row_ms: float = 0.0) -> PassMs:
    """A machine on which a pass takes this, and `row_ms` more for each row behind the first, wherever it stands."""
    return lambda rows, _: ms + row_ms * (rows - 1)


class NullSession:
    """Sequences that follow a script (`foretell.backend.protocol.Session`).

    Args:
        script: of the model.
        clock: moved by each pass.
        pass_ms: by how much.
        round_ms: more for each pass behind the prompt whose scores are wanted: what a round costs besides its passes.
        vocabulary, context: as of a real session.
    """

    def __init__(
        self,
        script: Script,
        clock: VirtualClock,
        pass_ms: PassMs,
        *,
        round_ms: float = 0.0,
        vocabulary: int,
        context: int,
    ) -> None:
        self._script, self._clock, self._pass_ms, self._round_ms = script, clock, pass_ms, round_ms
        self._vocabulary, self._context = vocabulary, context
        self._sequences: dict[int, list[tuple[int, Node | None]]] = {}  # tokens, and where the model stands behind them
        self._rows: Rows | None = None
        self._nodes: list[Node | None] = []  # of the last pass
        self.passes: list[tuple[int, int]] = []  # rows and context of each, for tests and reports

    @property
    def vocabulary(self) -> int:
        """Number of token ids."""
        return self._vocabulary

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
        """What the script says behind the wanted rows. Takes its time even where it says nothing."""
        self._rows, self._nodes = None, []
        self._check(want)
        depths: list[int] = []
        for i, (token, parent, sequence) in enumerate(zip(rows.tokens, rows.parents, rows.sequences, strict=True)):
            self._check_token(token)
            if not ROOT <= parent < i or (parent >= 0 and rows.sequences[parent] != sequence):
                raise ForetellError(f"row {i} has parent {parent}: must be ROOT or an earlier row of the same sequence")
            held = self._sequences[self._known(sequence)]
            depths.append(len(held) if parent == ROOT else depths[parent] + 1)
            if depths[-1] >= self._context:
                raise ForetellError(f"row {i} is at position {depths[-1]}: the context holds {self._context} tokens")
            end = held[-1][1] if held else Node(0)
            self._nodes.append(self._script.follow(end if parent == ROOT else self._nodes[parent], token))
        if not all(0 <= row < len(depths) for row in rows.wanted):
            raise ForetellError(
                f"scores are wanted of rows {list(rows.wanted)}; the pass has rows 0 to {len(depths) - 1}"
            )
        self._rows = rows
        self._spend(rows, min(depths, default=0))
        return self._scores([self._nodes[row] for row in rows.wanted], want)

    def draft(
        self, sequence: int, tokens: Sequence[int], steps: int, want: Want, stop: float = 0.0, reach: float = 0.0
    ) -> Scores:
        """Steps one by one, each with its time."""
        return draft_by_steps(self, sequence, tokens, steps, want, stop, reach)

    def commit(self, sequence: int, path: Sequence[int]) -> None:
        """Keep a chain of rows of the last step."""
        held, parent, rows = self._sequences[self._known(sequence)], ROOT, self._rows
        if rows is None and path:
            raise ForetellError("there is no step whose rows could be committed")
        for row in path:
            if rows is None or rows.parents[row] != parent or rows.sequences[row] != sequence:
                raise ForetellError(
                    f"rows {list(path)} are not a chain of sequence {sequence} from its committed context"
                )
            parent = row
        if rows is not None:
            held.extend((rows.tokens[row], self._nodes[row]) for row in path)

    def rewind(self, sequence: int, length: int) -> None:
        """Cut to `length` tokens."""
        held = self._sequences[self._known(sequence)]
        if not 0 <= length <= len(held):
            raise ForetellError(f"cannot rewind to {length}: sequence {sequence} has {len(held)} tokens")
        del held[length:]

    def _spend(self, rows: Rows, context: int) -> None:
        count = len(rows.tokens)
        self.passes.append((count, context))
        self._clock.spend(self._pass_ms(count, context))
        if rows.wanted and context >= self._script.prompt:
            self._clock.spend(self._round_ms)

    def _check(self, want: Want) -> None:
        if want.logits:
            raise ForetellError("a script has no distributions: rules that look at p or q cannot be played from it")

    def _check_token(self, token: int) -> None:
        if token == UNKNOWN:
            raise ForetellError(f"a script has chains of at most {self._script.steps} guesses: play shorter ones")
        if not 0 <= token < self._vocabulary:
            raise ForetellError(f"token {token} is not between 0 and {self._vocabulary - 1}")

    def _scores(self, nodes: Sequence[Node | None], want: Want) -> Scores:
        said = [self._script.says(node) for node in nodes]
        chosen = [UNKNOWN if each is None else each.token for each in said]
        if not want.top:
            return Scores(chosen, None)
        logprobs = np.array([_NEVER if each is None else each.logprob for each in said], np.float32)
        ids = np.full((len(said), want.top), UNKNOWN, np.int32)
        likely = np.full((len(said), want.top), _NEVER, np.float32)
        for row, each in enumerate(said):
            if each is None:
                continue
            top = each.top or ((each.token, each.logprob),)
            if want.top > len(top) and want.top > 1:
                raise ForetellError(
                    f"a script has the {len(top)} likeliest tokens of a place, and {want.top} are wanted: play a "
                    "pipeline with fewer siblings"
                )
            for column, (token, logprob) in enumerate(top[: want.top]):
                ids[row, column], likely[row, column] = token, logprob
        return Scores(chosen, None, (logprobs, ids, likely))

    def _place(self, tokens: list[tuple[int, Node | None]]) -> int:
        sequence = next(i for i in range(len(self._sequences) + 1) if i not in self._sequences)
        self._sequences[sequence] = tokens
        return sequence

    def _known(self, sequence: int) -> int:
        if sequence not in self._sequences:
            raise ForetellError(f"sequence {sequence} is not open")
        return sequence


class NullDetokeniser:
    """Tokens have no text."""

    def push(self, token: int) -> str:  # noqa: ARG002 — the protocol
        """Nothing."""
        return ""


@dataclass(frozen=True, slots=True)
class NullCodec:
    """Whatever is asked, the prompt is the script's."""

    prompt: tuple[int, ...]
    vocabulary: int
    end_ids: frozenset[int] = frozenset()

    def with_bos(self, ids: Sequence[int]) -> list[int]:
        """The same ids."""
        return list(ids)

    def encode(self, text: str, special: bool = False) -> list[int]:  # noqa: ARG002 — the protocol
        """The script's prompt."""
        return list(self.prompt)

    def protect(self, text: str) -> str:
        """The same text."""
        return text

    def encode_protected(self, text: str) -> list[int]:
        """The script's prompt."""
        return self.encode(text)

    def text_bytes(self, token: int) -> bytes:  # noqa: ARG002 — the protocol
        """None."""
        return b""

    def decode(self, ids: Iterable[int]) -> str:
        """The ids as numbers: what a person can tell apart."""
        return " ".join(map(str, ids))


class NullTemplate:
    """The messages one after the other."""

    def render(self, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = True) -> str:  # noqa: ARG002
        """Their texts."""
        return "\n".join(message["content"] for message in messages)


@dataclass(frozen=True)
class NullBackend:
    """A script as a loaded model.

    pass_ms, round_ms: see NullSession. pass_costs: what it says of its own passes, by rows; they need not be true.
    """

    script: Script
    clock: VirtualClock
    pass_ms: PassMs
    round_ms: float = 0.0
    pass_costs: Mapping[int, float] | None = None
    vocabulary: int = 1000
    context: int = 32768
    end_ids: frozenset[int] = frozenset()
    piece_rows: int = 512
    name: str = "null"
    key: str = "null"
    template: NullTemplate = field(default_factory=NullTemplate)

    @property
    def codec(self) -> NullCodec:
        """Its tokenizer."""
        return NullCodec(self.script.text[: self.script.prompt], self.vocabulary, self.end_ids)

    def detokeniser(self) -> NullDetokeniser:
        """A new stream of text."""
        return NullDetokeniser()

    def session(self) -> NullSession:
        """A new session. All sessions of a backend move the same clock."""
        return NullSession(
            self.script,
            self.clock,
            self.pass_ms,
            round_ms=self.round_ms,
            vocabulary=self.vocabulary,
            context=self.context,
        )

    def close(self) -> None:
        """Nothing to give back."""
