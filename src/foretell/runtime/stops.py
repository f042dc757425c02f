"""Stop strings: text is released only once it cannot be the beginning of one, and cut where one begins."""

from collections.abc import Sequence

from foretell.runtime.events import Event


class StopStrings:
    """Holds events back while their text may belong to a stop string. `stopped` is set once one is complete.

    >>> stops = StopStrings(["END"])
    >>> [event.text for event in stops.push(Event(1, "so E", "target"))]
    []
    >>> [event.text for event in stops.push(Event(2, "asy", "target"))]
    ['so E', 'asy']
    >>> [event.text for event in stops.push(Event(3, ". END of", "target"))], stops.stopped
    (['. '], True)
    """

    __slots__ = ("_held", "_longest", "_stops", "_text", "stopped")

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._longest = max(map(len, self._stops), default=0)
        self._held: list[Event] = []
        self._text = ""  # of the held events
        self.stopped = False

    def push(self, event: Event) -> list[Event]:
        """Events that may be shown now, in order, the last one cut where a stop string begins in it."""
        if not self._stops:
            return [event]
        self._held.append(event)
        self._text += event.text
        found = min((at for stop in self._stops if (at := self._text.find(stop)) >= 0), default=-1)
        if found >= 0:
            self.stopped = True
            return self._release_before(found)
        return self._release_whole(len(self._text) - self._undecided())

    def flush(self) -> list[Event]:
        """What is still held, when generation ends for another reason."""
        held, self._held, self._text = self._held, [], ""
        return held

    def _undecided(self) -> int:
        """Length of the longest end of the text that begins a stop string."""
        for size in range(min(self._longest - 1, len(self._text)), 0, -1):
            if any(stop.startswith(self._text[-size:]) for stop in self._stops):
                return size
        return 0

    def _release_whole(self, end: int) -> list[Event]:
        """Release the events that end at or before `end` in the held text."""
        count = at = 0
        for event in self._held:
            if at + len(event.text) > end:
                break
            at += len(event.text)
            count += 1
        released, self._held, self._text = self._held[:count], self._held[count:], self._text[at:]
        return released

    def _release_before(self, end: int) -> list[Event]:
        """Release what comes before `end`; tokens without a character before it are dropped."""
        released = self._release_whole(end)
        if self._held and self._text and (rest := end - sum(len(event.text) for event in released)) > 0:
            released.append(self._held[0]._replace(text=self._text[:rest]))
        self._held, self._text = [], ""
        return released
