"""Draft sources of a running generation, watched: one that fails is dropped, and the text goes on without it.

Guesses only ever save passes, so an error in a source is no reason to lose an answer. What a person can act on
(`ForetellError`) is no such error: it ends the generation as everywhere else.

Sources that are paced together ask one another, so the one that was called need not be the one that failed: that is the
last one on the way to where the error was raised.
"""

from collections.abc import Callable, Collection, Sequence
from traceback import walk_tb
from typing import Any, Final

from foretell.accept.proposal import Proposal
from foretell.draft.source import Source
from foretell.errors import ForetellError

_NONE: Final = Proposal()

OnFailed = Callable[[str, Exception], None]  # the name of the source that was called, and what was raised


class Watched:
    """A source that cannot fail.

    Args:
        source: what may.
        on_failed: told when it does, or another one that it asked: see `culprit`. Whoever is told sets `dropped`.

    dropped: it is not asked any more.
    """

    __slots__ = ("_on_failed", "_source", "dropped")

    def __init__(self, source: Source, on_failed: OnFailed) -> None:
        self._source, self._on_failed = source, on_failed
        self.dropped = False

    @property
    def name(self) -> str:
        """As the source's."""
        return self._source.name

    def extend(self, tokens: Sequence[int]) -> None:
        """Committed tokens."""
        if not self.dropped:
            self._call(self._source.extend, tokens)

    def propose(self, limit: int) -> Proposal:
        """Its guesses; none once it was dropped."""
        if self.dropped:
            return _NONE
        try:
            return self._source.propose(limit)
        except ForetellError:
            raise
        except Exception as error:  # noqa: BLE001 — whatever it is, the text does not depend on it
            self._on_failed(self.name, error)
            return _NONE

    def close(self) -> None:
        """Close the source."""
        self._call(self._source.close)

    def _call(self, method: Callable[..., None], *arguments: Any) -> None:
        try:
            method(*arguments)
        except ForetellError:
            raise
        except Exception as error:  # noqa: BLE001 — as in `propose`
            self._on_failed(self.name, error)


def culprit(error: Exception, called: str, names: Collection[str]) -> str:
    """Which of these sources raised this: the last one on the way there, or the one that was called."""
    found = called
    for frame, _ in walk_tb(error.__traceback__):
        owner: Any = frame.f_locals.get("self")
        if hasattr(owner, "propose") and hasattr(owner, "extend") and owner.name in names:
            found = owner.name
    return found
