"""Sequences and passes of the native engine: `foretell.backend.protocol.Session`."""

from __future__ import annotations

from collections.abc import Sequence as Items
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from foretell.backend.protocol import ROOT, Rows, Scores, Want
from foretell.engine.kernels import attention
from foretell.engine.kv import Cache, Sequence
from foretell.engine.layout import PAGE
from foretell.engine.scoring import prepare
from foretell.engine.team import i64
from foretell.errors import ForetellError

if TYPE_CHECKING:
    from foretell.engine.lower import Frame
    from foretell.engine.native import NativeModel
    from foretell.engine.program import Program


class NativeSession:
    """Sequences of one loaded model. One thread at a time."""

    def __init__(self, model: NativeModel) -> None:
        self._model = model
        h = model.hyper
        self._cache = Cache(h.layers, h.kv_heads, h.head_size)
        self._sequences: dict[int, Sequence] = {}
        self._pass: _Pass | None = None
        self._partials = i64(8)
        self._items = i64(attention.ITEM_FIELDS * 64).reshape(-1, attention.ITEM_FIELDS)
        self._side_slots = i64(64)

    @property
    def vocabulary(self) -> int:
        """Number of token ids."""
        return self._model.hyper.vocabulary

    @property
    def context(self) -> int:
        """Most tokens that a sequence may hold."""
        return self._model.context

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

    def _forget_rows(self, sequence: int) -> None:
        """A sequence's rows of the last step cannot be committed any more: what they stood on is gone."""
        if self._pass is not None:
            self._pass.based_on.pop(sequence, None)

    def _get(self, sequence: int) -> Sequence:
        try:
            return self._sequences[sequence]
        except KeyError:
            raise ForetellError(f"there is no sequence {sequence}; open one first") from None

    def step(self, rows: Rows, want: Want) -> Scores:
        """One pass over the rows. A later step discards what was not committed."""
        self._model.team.check()
        self._pass = None
        now = _Pass(self, rows)
        program = self._model.program(now.count, len(now.wanted))
        now.fill(program.frame, self._cache, self._sequences)
        program.residual[: now.count] = self._model.embed(now.tokens)
        merge = self._attention_items(now, program)
        need = prepare(program.scorer, now, self._sequences, want)
        program.set_counts(now.count, len(now.wanted), now.items, now.count if merge else 0, need)
        self._model.team.run(program.stages, len(program.stages), now.count)
        self._pass = now
        return program.scorer.read(len(now.wanted), want)

    def _attention_items(self, now: _Pass, program: Program) -> bool:
        """Work items for attention; True when spans are items of their own and results have to be merged."""
        h = self._model.hyper
        tiles = [
            (a, min(attention.TILE_ROWS, end - a), seq)
            for a, end, seq in now.runs()
            for a in range(a, end, attention.TILE_ROWS)
        ]
        split = len(tiles) * h.kv_heads < 4 * self._model.team.threads
        records: list[tuple[int, ...]] = []
        most = 0
        for first, count, sequence in tiles:
            spans = max(now.spans[first : first + count])
            most = max(most, spans)
            pages = int(self._sequences[sequence].table.ctypes.data)
            for head in range(h.kv_heads):
                if split:
                    records += [(first, count, pages, s, s + 1, head, 1, 0) for s in range(spans)]
                else:
                    records.append((first, count, pages, 0, spans, head, 0, 0))
        if len(records) > len(self._items):
            self._items = i64(attention.ITEM_FIELDS * 2 * len(records)).reshape(-1, attention.ITEM_FIELDS)
        self._items[: len(records)] = records
        if split:
            need = now.count * h.heads * most * attention.partial_floats(h.head_size) // 2 + 8
            if len(self._partials) < need:
                self._partials = i64(2 * need)
        if len(now.side_slots) > len(self._side_slots):
            self._side_slots = i64(2 * len(now.side_slots))
        self._side_slots[: len(now.side_slots)] = now.side_slots
        side = self._cache.side_pages(now.side_count)
        now.items = len(records)
        program.set_attention(
            int(self._items.ctypes.data), side, int(self._side_slots.ctypes.data), int(self._partials.ctypes.data), most
        )
        return split

    def commit(self, sequence: int, path: Items[int]) -> None:
        """Keep these rows of the last step."""
        now, held = self._pass, self._get(sequence)
        if not path:
            return
        if now is None:
            raise ForetellError("nothing to commit: run a step first")
        expected = ROOT
        for row in path:
            if now.owner(row) != sequence or now.given.parents[row] != expected:
                raise ForetellError(f"row {row} does not continue the committed path of sequence {sequence}")
            expected = row
        if now.based_on.get(sequence) != len(held.tokens):
            raise ForetellError(f"sequence {sequence} was committed to, rewound or closed since this step: run another")
        for position, row in enumerate(path, len(held.tokens)):
            slot = now.side_slot(row)
            if slot is not None:
                held.pages[position // PAGE].copy_slot(position % PAGE, self._cache.side[slot // PAGE], slot % PAGE)
        # At once: an interrupt leaves all of the path or nothing.
        held.tokens.extend([now.given.tokens[row] for row in path])


class _Pass:
    """The rows of a pass, ordered so that those of a sequence stand together.

    Numbers of rows are the caller's where named `row`, those of the order where named `place`.
    """

    def __init__(self, session: NativeSession, rows: Rows) -> None:
        self.given = rows
        count = self.count = len(rows.tokens)
        if not count or not len(rows.parents) == len(rows.sequences) == count:
            raise ForetellError("a pass needs at least one row, and a parent and a sequence for each")
        sequences = list(rows.sequences)
        first = sequences[0]
        if all(s == first for s in sequences):
            self.order = list(range(count))
        else:
            self.order = sorted(range(count), key=sequences.__getitem__)
        self._place = [0] * count
        for place, row in enumerate(self.order):
            self._place[row] = place
        self.tokens = [rows.tokens[row] for row in self.order]
        if not all(0 <= row < count for row in rows.wanted):
            raise ForetellError(f"scores are wanted of rows {list(rows.wanted)}; the pass has rows 0 to {count - 1}")
        self.wanted = [self._place[row] for row in rows.wanted]
        self.based_on = {s: session.length(s) for s in set(sequences)}
        self.items = 0
        self._walk(session)

    def _walk(self, session: NativeSession) -> None:
        """Positions, and who is on the trunk: the first child of the committed context, its first child, and so on."""
        rows, count = self.given, self.count
        position, trunk, self._side = [0] * count, [False] * count, [-1] * count
        seen, above = [0] * count, [[] for _ in range(count)]  # type: tuple[list[int], list[list[int]]]
        taken: set[int] = set()
        self.side_count = 0
        for row in range(count):
            parent, sequence = rows.parents[row], rows.sequences[row]
            if not ROOT <= parent < row or (parent != ROOT and rows.sequences[parent] != sequence):
                raise ForetellError(
                    f"row {row} has parent {parent}: it must be {ROOT} or an earlier row of the same sequence"
                )
            if not 0 <= rows.tokens[row] < session.vocabulary:
                raise ForetellError(f"row {row} has token {rows.tokens[row]}; the vocabulary has {session.vocabulary}")
            key = parent if parent != ROOT else -1 - sequence
            trunk[row] = key not in taken and (parent == ROOT or trunk[parent])
            position[row] = self.based_on[sequence] if parent == ROOT else position[parent] + 1
            if trunk[row]:
                taken.add(key)
                seen[row] = position[row] + 1
                continue
            self._side[row] = self.side_count
            self.side_count += 1
            seen[row] = self.based_on[sequence] if parent == ROOT else seen[parent]
            above[row] = [*(above[parent] if parent != ROOT else []), self._side[row]]
        longest = max(position) + 1
        if longest > session.context:
            raise ForetellError(
                f"the text would be {longest} tokens long; this model was loaded with room for {session.context}"
            )
        self.positions = [position[row] for row in self.order]
        self.spans = [p // PAGE + 1 for p in self.positions]
        self.side_slots: list[int] = []
        self._table: list[tuple[int, int, int, int]] = []
        for place, row in enumerate(self.order):
            self._table.append((seen[row], len(self.side_slots), len(above[row]), self.spans[place]))
            self.side_slots += above[row]

    def owner(self, row: int) -> int:
        """The sequence of a row."""
        return self.given.sequences[row] if 0 <= row < self.count else -1

    def side_slot(self, row: int) -> int | None:
        """Where an off-trunk row's keys lie; None for a row on the trunk."""
        return None if self._side[row] < 0 else self._side[row]

    def runs(self) -> list[tuple[int, int, int]]:
        """(first, end, sequence) of each sequence's places."""
        out: list[tuple[int, int, int]] = []
        for place, row in enumerate(self.order):
            sequence = self.given.sequences[row]
            if out and out[-1][2] == sequence:
                out[-1] = (out[-1][0], place + 1, sequence)
            else:
                out.append((place, place + 1, sequence))
        return out

    def fill(self, frame: Frame, cache: Cache, sequences: dict[int, Sequence]) -> None:
        """Write the frame of the pass: positions, where keys go, what each row sees."""
        for first, end, sequence in self.runs():
            sequences[sequence].reserve(cache, max(self.positions[first:end]) + 1)
        cache.side_pages(self.side_count)
        key_at, slots = [], []
        for place, row in enumerate(self.order):
            slot = self._side[row]
            if slot >= 0:
                key_at.append(cache.side[slot // PAGE].address)
                slots.append(slot % PAGE)
            else:
                position = self.positions[place]
                key_at.append(sequences[self.given.sequences[row]].pages[position // PAGE].address)
                slots.append(position % PAGE)
        n = self.count
        frame.positions[:n], frame.key_at[:n], frame.slots[:n] = self.positions, key_at, slots
        frame.row_table[:n] = self._table
        frame.wanted[: len(self.wanted)] = self.wanted

    def history(self, place: int, held: list[int], window: int) -> list[int]:
        """The last `window` tokens that end with the row at a place: committed ones, then ancestors, then its own."""
        chain: list[int] = []
        row = self.order[place]
        while row != ROOT and len(chain) < window:
            chain.append(self.given.tokens[row])
            row = self.given.parents[row]
        missing = window - len(chain)
        before = self.based_on[self.given.sequences[self.order[place]]]
        return [*held[max(0, before - missing) : before], *reversed(chain)]


def rope_table(frequencies: NDArray[np.float32], context: int, magnitude: float) -> NDArray[np.float32]:
    """float32 [2, context, pairs]: cosines and sines of position times frequency, times the magnitude."""
    angles = np.arange(context, dtype=np.float32)[:, None] * frequencies[None, :]
    return np.stack([np.cos(angles), np.sin(angles)]).astype(np.float32) * np.float32(magnitude)
