"""What every meter offers, whoever reads it: a window that begins, ends, and says what was taken in it."""

from typing import Protocol

from foretell.profile.energy.joules import Joules
from foretell.profile.energy.work import Work


class Window(Protocol):
    """A measurement that has begun. To be ended exactly once."""

    def end(self, work: Work) -> Joules:
        """What was taken since it began. work: what was done meanwhile, for a meter that cannot measure."""
        ...


class Meter(Protocol):
    """Says what work takes. Never raises once it is made: what cannot be read any more is marked in the answer."""

    @property
    def name(self) -> str:
        """What a person calls it."""
        ...

    @property
    def about(self) -> str:
        """What it measures, or goes by."""
        ...

    def begin(self) -> Window:
        """A window; several may be open at a time."""
        ...
