"""When to try again what did not pay: ever more rarely."""

from typing import Final

FIRST: Final = 10  # rounds: about as many tokens as it takes to see that a text has changed
MOST: Final = 40  # so that a text that changes is followed soon enough


class Backoff:
    """Counts rounds without something, and says when it is due.

    >>> backoff = Backoff()
    >>> [backoff.tick() for _ in range(FIRST)][-2:]
    [False, True]
    >>> backoff.failed()
    >>> backoff.wait
    20
    """

    __slots__ = ("idle", "wait")

    def __init__(self) -> None:
        self.idle, self.wait = 0, FIRST

    def tick(self) -> bool:
        """A round goes by without it. Whether it is due."""
        self.idle += 1
        return self.idle >= self.wait

    def failed(self) -> None:
        """It was tried in vain: the next wait is twice as long."""
        self.idle, self.wait = 0, min(2 * self.wait, MOST)

    def used(self) -> None:
        """It is in use."""
        self.idle, self.wait = 0, FIRST
