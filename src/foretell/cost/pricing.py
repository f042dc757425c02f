"""What costs in joules are made of besides times: what passes read and multiply, and what the energy model charges."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from foretell.profile.energy.counter import PassCounter
from foretell.profile.energy.model import Model

FormCounter = Callable[[int, str], PassCounter]  # by vocabulary (0: all of it) and precision ("": as it is)


@dataclass(frozen=True, slots=True)
class Pricing:
    """Of a target and its draft models.

    prices: of the energy model. threads: that passes keep busy. target: counts its passes. drafts: by the names that
    pipelines call them, count those of their forms.
    """

    prices: Model
    threads: int
    target: PassCounter
    drafts: Mapping[str, FormCounter] = field(default_factory=dict)
