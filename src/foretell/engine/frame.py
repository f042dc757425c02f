"""The numbers of the present pass, as Python writes and reads them: see `foretell.engine.kernels.frame`."""

from __future__ import annotations

from collections.abc import Sequence as Items
from functools import cache
from struct import Struct, iter_unpack

import numpy as np
from numpy.typing import NDArray

from foretell.engine.kernels import frame as fields
from foretell.engine.team import i64

Bounds = tuple[int, float, float]  # of a draft: most passes, and the logarithms of the probabilities that end it
ONCE: Bounds = (0, 0.0, 0.0)  # no draft


class Frame:
    """Numbers at fixed addresses, and tables by row: a chain leaves them to native code, other passes fill them.

    positions, key_at, slots, wanted_rows: int64 [rows]. row_table, tile_table: int64 [rows, fields].
    partial_floats: of attention's partial result of a row and a span.
    """

    def __init__(self, rows: int, kv_heads: int, threads: int, partial_floats: int) -> None:
        self._kv_heads, self._threads, self._partial_floats = kv_heads, threads, partial_floats
        self._header = i64(fields.TOKENS + rows)
        self._numbers = self._header.data
        self.address = int(self._header.ctypes.data)
        self.positions, self.key_at, self.slots, self.wanted_rows = (i64(rows) for _ in range(4))
        self.row_table = i64(rows * fields.ROW_FIELDS).reshape(rows, fields.ROW_FIELDS)
        self.tile_table = i64(rows * fields.TILE_FIELDS).reshape(rows, fields.TILE_FIELDS)
        self._header[fields.KV_HEADS] = kv_heads
        self._partials, self._notes, self._partial_spans = i64(8), i64(0), 0
        tables = {
            fields.POSITIONS: self.positions,
            fields.KEY_AT: self.key_at,
            fields.SLOTS: self.slots,
            fields.WANTED_ROWS: self.wanted_rows,
            fields.ROW_TABLE: self.row_table,
            fields.TILE_TABLE: self.tile_table,
            fields.PARTIALS: self._partials,
        }
        for field, table in tables.items():
            self.point(field, table)

    def at(self, field: int) -> int:
        """The address of a number."""
        return self.address + 8 * field

    def point(self, field: int, table: NDArray[np.int64]) -> None:
        """Say where something is, which must stay alive."""
        self._header[field] = table.ctypes.data

    def give(
        self,
        tokens: Items[int],
        wanted: int,
        need: int,
        tiles: int,
        spans: int,
        *,
        chain: tuple[int, int, int] = (0, 0, 0),
        side: tuple[int, int] = (0, 0),
        bounds: Bounds = ONCE,
    ) -> None:
        """The numbers of the coming pass, in one go, because each access to an array takes its time.

        Args:
            tokens: of the rows.
            wanted: rows that are scored; a chain's last ones.
            need: of the operations on logits.
            tiles: of attention.
            spans: the most of any of its rows; of a draft, of any of its passes.
            chain: committed tokens, the address of the page table, that of these tokens; for other passes zeros.
            side: addresses of the side pages' addresses and of the slots in them that rows see.
            bounds: of a draft.
        """
        count = len(tokens)
        if count * spans > self._partial_spans:
            self._room_for_partials(count * spans if fields.is_split(tiles, self._kv_heads, self._threads) else spans)
        if bounds[0]:
            self._room_for_notes(bounds[0])
            self._numbers[fields.REACHED] = 0
        self._numbers[fields.STEPS_DONE] = 0
        place = 8 * fields.ROWS
        _given(count).pack_into(
            self._numbers, place, count, wanted, need, *chain, tiles, spans, *side, *bounds, *tokens
        )

    def _room_for_partials(self, spans: int) -> None:
        """Room for partial results of so many rows and spans; of a draft's later passes at least, over one row."""
        if spans > self._partial_spans:
            self._partial_spans = 2 * spans
            self._partials = i64(self._partial_spans * self._partial_floats // 2 + 1)
            self.point(fields.PARTIALS, self._partials)

    def _room_for_notes(self, steps: int) -> None:
        if 8 * len(self._notes) < steps * fields.NOTE_BYTES:
            self._notes = i64(2 * steps * fields.NOTE_BYTES // 8)
            self.point(fields.NOTES, self._notes)

    def notes(self) -> list[tuple[int, int, float, float, float]]:
        """Of each pass of the draft what `kernels.frame.NOTE` says."""
        size = self._numbers[fields.STEPS_DONE] * fields.NOTE_BYTES
        return list(iter_unpack(fields.NOTE, self._notes.view(np.uint8).data[:size]))


@cache
def _given(rows: int) -> Struct:
    return Struct(f"11q2d{rows}q")
