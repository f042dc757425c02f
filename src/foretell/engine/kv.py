"""The key-value cache: pages of PAGE positions with all layers in them, shared between sequences until one writes.

A committed position p of a sequence lies in slot p % PAGE of its page p // PAGE. Rows of a pass that are on the
sequence's trunk (the chain of first children) are written there too, beyond the committed length; other rows go to
side pages and are copied when they are committed.
"""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

from foretell.engine.layout import PAGE, page_layer_bytes


class Page:
    """PAGE positions of all layers. `users`: sequences that hold it."""

    __slots__ = ("address", "data", "keys", "users", "values")

    def __init__(self, layers: int, kv_heads: int, head_size: int) -> None:
        self.data: NDArray[np.float16] = np.zeros(layers * page_layer_bytes(kv_heads, head_size) // 2, np.float16)
        self.address = int(self.data.ctypes.data)
        halves = self.data.reshape(layers, 2, -1)
        self.keys = halves[:, 0].reshape(layers, kv_heads, PAGE // 16, head_size, 16)
        self.values = halves[:, 1].reshape(layers, kv_heads, PAGE, head_size)
        self.users = 1

    def copy_slot(self, to: int, source: Page, slot: int) -> None:
        """Copy one position of all layers from another page."""
        self.keys[:, :, to >> 4, :, to & 15] = source.keys[:, :, slot >> 4, :, slot & 15]
        self.values[:, :, to] = source.values[:, :, slot]


class Cache:
    """Makes pages and keeps those given back."""

    def __init__(self, layers: int, kv_heads: int, head_size: int) -> None:
        self._shape = layers, kv_heads, head_size
        self._free: list[Page] = []
        self.side: list[Page] = []
        self.side_table = np.zeros(0, np.int64)

    def page(self) -> Page:
        """A page for one user; its contents are finite but arbitrary."""
        if self._free:
            page = self._free.pop()
            page.users = 1
            return page
        return Page(*self._shape)

    def release(self, page: Page) -> None:
        """One user less."""
        page.users -= 1
        if page.users == 0:
            self._free.append(page)

    def own(self, pages: list[Page], index: int) -> None:
        """Make a page of a sequence writable: copy it if others hold it."""
        page = pages[index]
        if page.users == 1:
            return
        mine = self.page()
        mine.data[:] = page.data
        pages[index] = mine  # first: interrupted here, the old page is held too long rather than too short
        page.users -= 1

    def side_pages(self, slots: int) -> int:
        """Address of the table of side pages, with room for so many slots."""
        while len(self.side) * PAGE < slots:
            self.side.append(self.page())
            self.side_table = np.array([p.address for p in self.side], np.int64)
        return int(self.side_table.ctypes.data)


class Sequence:
    """One sequence's committed tokens and its pages. table: address of the pages' addresses, for native code."""

    __slots__ = ("_table", "pages", "table", "tokens")

    def __init__(self) -> None:
        self.tokens = array("q")
        self.pages: list[Page] = []
        self.table = 0  # out of date
        self._table = np.zeros(0, np.int64)

    def reserve(self, cache: Cache, length: int) -> None:
        """Pages for `length` positions, writable from the committed length on, and their table."""
        pages, shared = self.pages, False
        for page in pages[len(self.tokens) // PAGE :]:
            shared = shared or page.users > 1
        if shared or len(pages) * PAGE < length:
            self.table = 0  # first: an interrupt may come amid the changes
            for index in range(len(self.tokens) // PAGE, len(pages)):
                cache.own(pages, index)
            while len(pages) * PAGE < length:
                pages.append(cache.page())
        if not self.table:
            self._table = np.array([p.address for p in pages], np.int64)
            self.table = int(self._table.ctypes.data)

    def fork(self) -> Sequence:
        """A sequence with the same tokens, sharing the pages that hold them."""
        twin = Sequence()
        twin.tokens = self.tokens[:]
        twin.pages = self.pages[: -(-len(self.tokens) // PAGE)]
        for page in twin.pages:
            page.users += 1
        return twin

    def cut(self, cache: Cache, length: int) -> None:
        """Forget what lies beyond `length`."""
        del self.tokens[length:]
        keep = -(-length // PAGE)
        dropped = self.pages[keep:]
        if dropped:
            self.table = 0
        del self.pages[keep:]
        for page in dropped:
            cache.release(page)
