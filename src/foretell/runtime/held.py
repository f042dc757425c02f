"""A stream that is read ahead before anybody sees it, so that it can be judged first."""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from foretell.runtime.events import Event, Result
from foretell.runtime.loop import Stream


class Held(Stream):
    """A `Stream` whose events may be looked at before they are handed out. Arguments as for `Stream`, and `top`.

    Attributes:
        top: how many alternatives events keep when they are handed out, for they may carry more than was asked for.
        why: noted in the result, if anything.
    """

    def __init__(self, *given: Any, top: int = 0, **named: Any) -> None:
        super().__init__(*given, **named)
        self.top, self.why = top, ""
        self._waiting: deque[Event] = deque()
        self._shown: tuple[float, int] | None = None  # seconds since the request, and how many events waited

    def __next__(self) -> Event:
        event = self._waiting.popleft() if self._waiting else super().__next__()
        return event._replace(logprob=event.logprob if self.top else None, top=event.top[: self.top])

    def ahead(self) -> Iterator[Event]:
        """Events as they come; each will be handed out too, after `show`."""
        for event in iter(super().__next__, None):
            self._waiting.append(event)
            yield event

    @property
    def interrupted(self) -> bool:
        """Whether it ended because somebody wanted so."""
        return self._result is not None and self._result.finish == "cancelled"

    def show(self) -> None:
        """From now on it is seen: the events that wait are those of this moment."""
        self._shown = self._clock() - self._started, len(self._waiting)

    @property
    def result(self) -> Result:
        """As a stream's, but the first token came when it was seen; the rate is that of what came afterwards."""
        found = super().result
        if self.why:
            found = replace(found, notes=(*found.notes, self.why))
        if self._shown is None or not self._shown[1]:
            return found
        shown_s, waited = self._shown
        response_s, later = max(shown_s, found.response_s), len(found.tokens) - waited
        rate = later / (response_s - shown_s) if later > 0 and response_s > shown_s else None
        return replace(found, first_token_s=shown_s, response_s=response_s, tokens_per_s=rate)
