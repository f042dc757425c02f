"""A pass over any rows: trees, and several sequences. Their tables are worked out here, row by row."""

from __future__ import annotations

from collections.abc import Sequence as Items
from typing import TYPE_CHECKING

import numpy as np

from foretell.backend.protocol import ROOT, Rows
from foretell.engine.kernels.frame import TILE_ROWS
from foretell.engine.layout import PAGE
from foretell.errors import ForetellError

if TYPE_CHECKING:
    from foretell.engine.frame import Frame
    from foretell.engine.kv import Cache, Sequence
    from foretell.engine.scoring import Need


class Forest:
    """The rows of a pass, ordered so that those of a sequence stand together.

    Numbers of rows are the caller's where named `row`, those of the order where named `place`.
    count, wanted: rows, and those of them that are scored.
    """

    def __init__(self, rows: Rows, sequences: dict[int, Sequence], vocabulary: int, context: int) -> None:
        self._given, self._sequences = rows, sequences
        count = self.count = len(rows.tokens)
        if not count or not len(rows.parents) == len(rows.sequences) == count:
            raise ForetellError("a pass needs at least one row, and a parent and a sequence for each")
        self._order = sorted(range(count), key=rows.sequences.__getitem__)
        place_of = [0] * count
        for place, row in enumerate(self._order):
            place_of[row] = place
        if not all(0 <= row < count for row in rows.wanted):
            raise ForetellError(f"scores are wanted of rows {list(rows.wanted)}; the pass has rows 0 to {count - 1}")
        self._scored = [place_of[row] for row in rows.wanted]
        self.wanted = len(self._scored)
        self._based_on = {s: len(sequences[s].tokens) for s in set(rows.sequences)}
        self._walk(vocabulary, context)

    def _walk(self, vocabulary: int, context: int) -> None:
        """Positions, and who is on the trunk: the first child of the committed context, its first child, and so on."""
        rows, count = self._given, self.count
        self._position, trunk, self._side = [0] * count, [False] * count, [-1] * count
        position = self._position
        seen, above = [0] * count, [[] for _ in range(count)]  # type: tuple[list[int], list[list[int]]]
        taken: set[int] = set()
        self._side_count = 0
        for row in range(count):
            parent, sequence = rows.parents[row], rows.sequences[row]
            if not ROOT <= parent < row or (parent != ROOT and rows.sequences[parent] != sequence):
                raise ForetellError(
                    f"row {row} has parent {parent}: it must be {ROOT} or an earlier row of the same sequence"
                )
            if not 0 <= rows.tokens[row] < vocabulary:
                raise ForetellError(f"row {row} has token {rows.tokens[row]}; the vocabulary has {vocabulary}")
            key = parent if parent != ROOT else -1 - sequence
            trunk[row] = key not in taken and (parent == ROOT or trunk[parent])
            position[row] = self._based_on[sequence] if parent == ROOT else position[parent] + 1
            if trunk[row]:
                taken.add(key)
                seen[row] = position[row] + 1
                continue
            self._side[row] = self._side_count
            self._side_count += 1
            seen[row] = self._based_on[sequence] if parent == ROOT else seen[parent]
            above[row] = [*(above[parent] if parent != ROOT else []), self._side[row]]
        longest = max(position) + 1
        if longest > context:
            raise ForetellError(
                f"the text would be {longest} tokens long; this model was loaded with room for {context}"
            )
        self._positions = [position[row] for row in self._order]
        self._spans = [p // PAGE + 1 for p in self._positions]
        self._side_slots: list[int] = []
        self._table: list[tuple[int, int, int, int]] = []
        for place, row in enumerate(self._order):
            self._table.append((seen[row], len(self._side_slots), len(above[row]), self._spans[place]))
            self._side_slots += above[row]

    def fill(self, frame: Frame, cache: Cache, need: Need) -> None:
        """Write the frame of the pass, with room in the sequences' pages and in side pages."""
        for first, end, sequence in self._runs():
            self._sequences[sequence].reserve(cache, max(self._positions[first:end]) + 1)
        side = cache.side_pages(self._side_count)
        key_at, slots = [], []
        for place, row in enumerate(self._order):
            slot, position = self._side[row], self._positions[place]
            on_trunk = slot < 0
            pages = self._sequences[self._given.sequences[row]].pages if on_trunk else cache.side
            at = position if on_trunk else slot
            key_at.append(pages[at // PAGE].address)
            slots.append(at % PAGE)
        n, tiles = self.count, self._tiles()
        frame.positions[:n], frame.key_at[:n], frame.slots[:n] = self._positions, key_at, slots
        frame.row_table[:n], frame.tile_table[: len(tiles)] = self._table, tiles
        frame.wanted_rows[: self.wanted] = self._scored
        self._slots = np.array([*self._side_slots, 0], np.int64)
        tokens = [self._given.tokens[row] for row in self._order]
        frame.give(tokens, self.wanted, need, len(tiles), max(self._spans), side=(side, int(self._slots.ctypes.data)))

    def _runs(self) -> list[tuple[int, int, int]]:
        """(first, end, sequence) of each sequence's places."""
        out: list[tuple[int, int, int]] = []
        for place, row in enumerate(self._order):
            sequence = self._given.sequences[row]
            if out and out[-1][2] == sequence:
                out[-1] = (out[-1][0], place + 1, sequence)
            else:
                out.append((place, place + 1, sequence))
        return out

    def _tiles(self) -> list[tuple[int, int, int, int]]:
        """Records of `kernels.frame`: the rows of each sequence, some at a time."""
        out = []
        for first, end, sequence in self._runs():
            for at in range(first, end, TILE_ROWS):
                stop = min(at + TILE_ROWS, end)
                out.append((at, stop - at, self._sequences[sequence].table, max(self._spans[at:stop])))
        return out

    @property
    def positions(self) -> list[int]:
        """Of each scored row, how many tokens are before the one that is drawn behind it."""
        return [self._positions[place] + 1 for place in self._scored]

    def histories(self, window: int) -> list[list[int]]:
        """Of each scored row, the last `window` tokens up to its own: committed ones, then ancestors."""
        return [self._history(self._order[place], window) for place in self._scored]

    def _history(self, row: int, window: int) -> list[int]:
        held, chain = self._sequences[self._given.sequences[row]].tokens, list[int]()
        while row != ROOT and len(chain) < window:
            chain.append(self._given.tokens[row])
            row = self._given.parents[row]
        missing = window - len(chain)
        return [*held[max(0, len(held) - missing) :], *reversed(chain)]

    def check(self, sequence: int, path: Items[int]) -> None:
        """Raise ForetellError when these rows are no chain from the committed context of that sequence."""
        expected = ROOT
        for row in path:
            mine = 0 <= row < self.count and self._given.sequences[row] == sequence
            if not mine or self._given.parents[row] != expected:
                raise ForetellError(f"row {row} does not continue the committed path of sequence {sequence}")
            expected = row

    def base(self, sequence: int) -> int:
        """How many committed tokens the rows of a sequence stand on; -1 once they cannot be committed any more."""
        return self._based_on.get(sequence, -1)

    def forget(self, sequence: int) -> None:
        """What the rows of this sequence stood on is gone."""
        self._based_on.pop(sequence, None)

    def keep(self, path: Items[int], cache: Cache) -> list[int]:
        """Put the keys and values of a path where committed ones belong; its tokens."""
        for row in path:
            slot, position = self._side[row], self._position[row]
            if slot >= 0:
                page = self._sequences[self._given.sequences[row]].pages[position // PAGE]
                page.copy_slot(position % PAGE, cache.side[slot // PAGE], slot % PAGE)
        return [self._given.tokens[row] for row in path]
