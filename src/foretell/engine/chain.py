"""The commonest pass: rows of one sequence, each behind the one before, scores wanted of the last ones.

Native code works out all that there is to know of its rows (`foretell.engine.kernels.frame`), so Python only checks
the tokens and says where the sequence stands.
"""

from __future__ import annotations

from collections.abc import Sequence as Items
from operator import eq
from typing import TYPE_CHECKING

from foretell.backend.protocol import Rows
from foretell.engine.frame import ONCE, Bounds
from foretell.engine.kernels.frame import TILE_ROWS
from foretell.engine.layout import PAGE
from foretell.errors import ForetellError

if TYPE_CHECKING:
    from foretell.engine.frame import Frame
    from foretell.engine.kv import Cache, Sequence
    from foretell.engine.scoring import Need


class Chain:
    """Rows behind the committed tokens of a sequence. count, wanted: rows, and those of them that are scored."""

    __slots__ = ("_base", "_held", "_sequence", "count", "tokens", "wanted")

    def __init__(self, tokens: Items[int], wanted: int, sequence: int, held: Sequence) -> None:
        self.tokens, self.count, self.wanted = tokens, len(tokens), wanted
        self._sequence, self._held, self._base = sequence, held, len(held.tokens)

    def fill(self, frame: Frame, cache: Cache, need: Need, bounds: Bounds = ONCE) -> None:
        """Write the frame of the pass, or of the draft that begins with it, with room in the sequence's pages."""
        length = self._base + self.count + max(0, bounds[0] - 1)
        self._held.reserve(cache, length)
        tiles, spans = -(-self.count // TILE_ROWS), -(-length // PAGE)
        chain = self._base, self._held.table, self._held.tokens.buffer_info()[0]
        frame.give(self.tokens, self.wanted, need, tiles, spans, chain=chain, bounds=bounds)

    def check(self, sequence: int, path: Items[int]) -> None:
        """Raise ForetellError when these rows are no chain from the committed context of that sequence."""
        straight = path == range(len(path)) or all(map(eq, path, range(len(path))))
        if sequence != self._sequence or len(path) > self.count or not straight:
            wrong = (row for at, row in enumerate(path) if (sequence, row) != (self._sequence, at) or at >= self.count)
            raise ForetellError(f"row {next(wrong)} does not continue the committed path of sequence {sequence}")

    def base(self, sequence: int) -> int:
        """How many committed tokens the rows of a sequence stand on; -1 once they cannot be committed any more."""
        return self._base if sequence == self._sequence else -1

    def forget(self, sequence: int) -> None:
        """What the rows of this sequence stood on is gone."""
        if sequence == self._sequence:
            self._base = -1

    def keep(self, path: Items[int], _: Cache) -> list[int]:
        """The tokens of a path, whose keys and values are already where committed ones belong."""
        return list(self.tokens[: len(path)])


def chain_of(rows: Rows, sequences: dict[int, Sequence], vocabulary: int, context: int) -> Chain | None:
    """The rows as a chain; None when they are none, or are wrong in some way."""
    tokens, parents, wanted = rows.tokens, rows.parents, rows.wanted
    count, scored = len(tokens), len(wanted)
    if not count or parents != range(-1, count - 1) or len(rows.sequences) != count:
        return None
    number = rows.sequences[0]
    held = sequences.get(number)
    if held is None or len(held.tokens) + count > context or rows.sequences.count(number) != count:
        return None
    last = range(count - scored, count)
    if wanted != last and tuple(wanted) != tuple(last):
        return None
    if min(tokens) < 0 or max(tokens) >= vocabulary:
        return None
    return Chain(tokens, scored, number, held)
