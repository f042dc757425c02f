"""Tier 0 runs the general round with the models as they were loaded; tier 1 what was specialised on this generation.

As in an interpreter that specialises itself: guards stand before what was specialised, it falls back at once when one
fails, says so, and tries again after a wait that doubles up to 40 rounds (`foretell.runtime.backoff`). At exact levels
the text is that of the target whatever tier runs, so tiers are for these alone.
"""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Final

from foretell.accept.rule import Chance
from foretell.codegen.round import Outcome, Parts, Round
from foretell.errors import ForetellError
from foretell.runtime.clock import Clock
from foretell.runtime.tiers.narrow import Narrow
from foretell.runtime.tiers.rounds import Rounds

NAME: Final = "tiers"  # what notes call them when they fail


class Tiers:
    """The tiers of one generation.

    Args:
        rounds: general and specialised round functions. narrows: output matrices of its draft models.
    """

    def __init__(self, rounds: Rounds, narrows: Sequence[Narrow] = ()) -> None:
        self.rounds, self.narrows = rounds, tuple(narrows)
        self._length, self._over = 0, False
        self._on_failed: Callable[[str, Exception], None] | None = None
        self._clock: Clock = perf_counter
        self._decided: Callable[[float], None] | None = None

    def begin(
        self,
        tokens: Sequence[int],
        on_failed: Callable[[str, Exception], None],
        clock: Clock = perf_counter,
        decided: Callable[[float], None] | None = None,
    ) -> None:
        """A generation begins.

        Args:
            tokens: the prompt, and the token behind it.
            on_failed: told when choosing a tier raised something, see `foretell.runtime.watched`.
            clock: of the generation.
            decided: told how many seconds choosing what a round does has taken.
        """
        self._length, self._on_failed = len(tokens), on_failed
        self._clock, self._decided = clock, decided
        for each in self.narrows:
            each.begin(tokens)

    def play(self, parts: Parts, limit: int, chance: Chance) -> Outcome:
        """A round (`foretell.codegen.round.Round`), by the function of the tier that is reached."""
        return self._function(limit)(parts, limit, chance)

    def _function(self, limit: int) -> Round:
        if self._over:
            return self.rounds.general
        since = 0.0 if self._decided is None else self._clock()
        try:
            for each in self.narrows:
                each.tick(self._length, limit)
            return self.rounds.choose(limit)
        except ForetellError:
            raise
        except Exception as error:  # most likely a source's, which deciding looks at: the text goes on
            if self._on_failed is None:
                raise
            self.close()
            self._on_failed(NAME, error)
            return self.rounds.general
        finally:
            if self._decided is not None:
                self._decided(self._clock() - since)

    def learn(self, outcome: Outcome, new: Sequence[int]) -> None:
        """A round gave these tokens."""
        self._length += len(new)
        for each in self.narrows:
            each.learn(outcome, new)

    def close(self) -> None:
        """Tier 0 from now on: models are again as they were loaded, and nothing runs in the background."""
        self._over = True
        for each in self.narrows:
            each.close()
