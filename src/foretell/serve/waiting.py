"""Requests that wait: a bounded queue that serves its clients in turn, however many requests each has sent."""

from collections import OrderedDict, deque
from collections.abc import Hashable
from threading import Condition
from typing import Generic, TypeVar

from foretell.errors import ForetellError

Item = TypeVar("Item")


class FullError(ForetellError):
    """There is no room."""


class ClosedError(ForetellError):
    """Nothing is taken in any more."""


class Waiting(Generic[Item]):
    """What waits, by client. For any threads.

    Whoever computes calls `take` when it has room for one more: one at a time today, several in a pass one day.

    >>> waiting = Waiting[str](3)
    >>> for client, item in [("a", "a1"), ("a", "a2"), ("b", "b1")]:
    ...     assert waiting.put(client, item) is None
    >>> waiting.take(), waiting.take(), waiting.take()
    ('a1', 'b1', 'a2')

    Args:
        most: items that may wait.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._clients: OrderedDict[Hashable, deque[Item]] = OrderedDict()  # whose turn it is first; none is empty
        self._size = 0
        self._closed = False
        self._changed = Condition()

    def __len__(self) -> int:
        return self._size

    def put(self, client: Hashable, item: Item) -> Item | None:
        """Wait. When there is no room, the newest item of the client with the most has to go, and is returned.

        Raises:
            FullError: that would be this very item. ClosedError: after `close`.
        """
        with self._changed:
            if self._closed:
                raise ClosedError("the queue is closed")
            dropped = None
            if self._size >= self._most:
                dropped = self._make_room(len(self._clients.get(client, ())))
            self._clients.setdefault(client, deque()).append(item)
            self._size += 1
            self._changed.notify()
            return dropped

    def take(self) -> Item | None:
        """The oldest item of the client whose turn it is; waits for one. None once closed."""
        with self._changed:
            while not self._clients:
                if self._closed:
                    return None
                self._changed.wait()
            client, items = self._clients.popitem(last=False)
            if len(items) > 1:
                self._clients[client] = items  # at the end
            self._size -= 1
            return items.popleft()

    def remove(self, item: Item) -> bool:
        """Do not wait any more; false when it does not wait."""
        with self._changed:
            for client, items in self._clients.items():
                if item in items:
                    items.remove(item)
                    self._tidy(client)
                    return True
            return False

    def close(self) -> list[Item]:
        """Take nothing in any more. What waited."""
        with self._changed:
            self._closed = True
            left = [item for items in self._clients.values() for item in items]
            self._clients.clear()
            self._size = 0
            self._changed.notify_all()
            return left

    def _make_room(self, own: int) -> Item:
        """Drop an item of the client that has the most, if it has more than a client with one item more than `own`."""
        client, most = max(self._clients.items(), key=lambda pair: len(pair[1]), default=(None, deque[Item]()))
        if len(most) <= own + 1:
            raise FullError(f"{self._size} requests are waiting already")
        dropped = most.pop()
        self._tidy(client)
        return dropped

    def _tidy(self, client: Hashable) -> None:
        self._size -= 1
        if not self._clients[client]:
            del self._clients[client]
