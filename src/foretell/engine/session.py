"""Sequences and passes of the native engine: `foretell.backend.protocol.Session`."""

from __future__ import annotations

from collections.abc import Sequence as Items
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from foretell.accept.sampling import PENALTY_WINDOW
from foretell.backend.protocol import Rows, Scores, Want, draft_by_steps
from foretell.engine import drafts
from foretell.engine.chain import Chain, chain_of
from foretell.engine.cut import Cut
from foretell.engine.forest import Forest
from foretell.engine.kv import Cache, Sequence
from foretell.engine.layout import PAGE
from foretell.errors import ForetellError

if TYPE_CHECKING:
    from foretell.engine.native import NativeModel
    from foretell.engine.program import Program


class NativeSession:
    """Sequences of one loaded model. One thread at a time.

    vocabulary: number of token ids. context: most tokens that a sequence may hold.
    """

    def __init__(self, model: NativeModel) -> None:
        self._model = model
        h = model.hyper
        self.vocabulary, self.context = h.vocabulary, model.context
        self._cache = Cache(h.layers, h.kv_heads, h.head_size)
        self._sequences: dict[int, Sequence] = {}
        self._pass: Chain | Forest | None = None
        self._cuts: dict[int, Cut] = {}
        self._narrow: Cut | None = None

    def open(self) -> int:
        """A new empty sequence's id."""
        return self._add(Sequence())

    def _add(self, sequence: Sequence) -> int:
        number = next(n for n in range(len(self._sequences) + 1) if n not in self._sequences)
        self._sequences[number] = sequence
        return number

    def close(self, sequence: int) -> None:
        """Forget a sequence."""
        self._get(sequence).cut(self._cache, 0)
        del self._sequences[sequence]
        self._forget_rows(sequence)

    def fork(self, sequence: int) -> int:
        """A new sequence with the same committed tokens."""
        return self._add(self._get(sequence).fork())

    def length(self, sequence: int) -> int:
        """Committed tokens."""
        return len(self._get(sequence).tokens)

    def rewind(self, sequence: int, length: int) -> None:
        """Cut the committed tokens to `length`."""
        held = self._get(sequence)
        if not 0 <= length <= len(held.tokens):
            raise ForetellError(f"cannot rewind sequence {sequence} to {length}: it holds {len(held.tokens)} tokens")
        held.cut(self._cache, length)
        self._forget_rows(sequence)

    def pretend(self, sequence: int, tokens: int) -> None:
        """Hold so many more tokens whose keys and values are zeros: `foretell.backend.protocol.Pretender`."""
        held = self._get(sequence)
        first, length = len(held.tokens), len(held.tokens) + tokens
        if length > self.context:
            raise ForetellError(f"{length} tokens are beyond the context of {self.context}")
        held.reserve(self._cache, length)
        for page in held.pages[first // PAGE :]:
            page.data.fill(0)  # memory of its own: pages never written to are all one page of zeros
        held.tokens.extend([0] * tokens)

    def _forget_rows(self, sequence: int) -> None:
        """A sequence's rows of the last step cannot be committed any more: what they stood on is gone."""
        if self._pass is not None:
            self._pass.forget(sequence)

    def _get(self, sequence: int) -> Sequence:
        try:
            return self._sequences[sequence]
        except KeyError:
            raise ForetellError(f"there is no sequence {sequence}; open one first") from None

    def step(self, rows: Rows, want: Want) -> Scores:
        """One pass over the rows. A later step discards what was not committed."""
        model = self._model
        self._pass = None
        now = chain_of(rows, self._sequences, self.vocabulary, self.context) or self._forest(rows)
        program = self._program(now.count, now.wanted)
        scorer = program.scorer
        need = scorer.prepare(want)
        now.fill(program.frame, self._cache, need)
        if isinstance(now, Forest):
            scorer.set_positions(now.positions)
            if want.sampling.repeat_penalty != 1:
                scorer.set_histories(now.histories(PENALTY_WINDOW))
        model.team.run(program.stages, len(program.stages), now.count, program.plain)
        self._pass = now
        return scorer.read(now.wanted, want)

    def draft(
        self, sequence: int, tokens: Items[int], steps: int, want: Want, stop: float = 0.0, reach: float = 0.0
    ) -> Scores:
        """All passes in one native call, but for wants that need Python between them."""
        if not drafts.is_native(want, steps, stop, reach):
            return draft_by_steps(self, sequence, tokens, steps, want, stop, reach)
        model, held = self._model, self._get(sequence)
        self._pass = None
        rows = Rows.chain(tokens, sequence, (len(tokens) - 1,))
        first = chain_of(rows, self._sequences, self.vocabulary, self.context - steps + 1)
        if first is None:
            self._forest(rows)  # which says what is wrong
            raise ForetellError(f"a draft of {steps} steps goes beyond the {self.context} tokens of the context")
        program = self._program(first.count, 1)
        need, bounds = program.scorer.prepare(want), drafts.bounds(steps, stop, reach)
        first.fill(program.frame, self._cache, need, bounds)
        model.team.run(program.stages, len(program.stages), first.count, program.drafting)
        scores = drafts.scores(program.frame.notes(), want, stop, reach)
        held.tokens.extend([*tokens, *scores.chosen[:-1]])
        return scores

    @property
    def says(self) -> NDArray[np.int32]:
        """int32 [tokens], ascending: what can be said when it is not narrow (`foretell.backend.protocol.Cutter`)."""
        keep = self._model.keep
        return np.arange(self.vocabulary, dtype=np.int32) if keep is None else keep

    def cut(self, size: int) -> Cut:
        """An output matrix of so many tokens, fewer than it can say; always the same one."""
        if size not in self._cuts:
            self._cuts[size] = Cut(self._model, size)
        return self._cuts[size]

    def narrow(self, cut: Cut | None) -> None:
        """Passes over few rows say only what a filled cut of this session has; None: all again."""
        if cut is not None and not cut.full:
            raise ForetellError("this cut of the output matrix is not filled: fill it first")
        self._narrow = cut

    def _program(self, rows: int, wanted: int) -> Program:
        cut = self._narrow
        if cut is not None and cut.fits(rows, wanted):
            return cut.program
        return self._model.program(rows, wanted)

    def _forest(self, rows: Rows) -> Forest:
        return Forest(rows, {each: self._get(each) for each in set(rows.sequences)}, self.vocabulary, self.context)

    def commit(self, sequence: int, path: Items[int]) -> None:
        """Keep these rows of the last step."""
        now, held = self._pass, self._sequences.get(sequence) or self._get(sequence)
        if not path:
            return
        if now is None:
            raise ForetellError("nothing to commit: run a step first")
        now.check(sequence, path)
        if now.base(sequence) != len(held.tokens):
            raise ForetellError(f"sequence {sequence} was committed to, rewound or closed since this step: run another")
        # At once: an interrupt leaves all of the path or nothing.
        held.tokens.extend(now.keep(path, self._cache))


def rope_table(frequencies: NDArray[np.float32], context: int, magnitude: float) -> NDArray[np.float32]:
    """float32 [2, context, pairs]: cosines and sines of position times frequency, times the magnitude."""
    angles = np.arange(context, dtype=np.float32)[:, None] * frequencies[None, :]
    return np.stack([np.cos(angles), np.sin(angles)]).astype(np.float32) * np.float32(magnitude)
