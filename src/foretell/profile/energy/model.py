"""The energy model: what work takes, from prices for its parts.

    joules = idle watts · wall seconds + core watts · processor seconds + joules a byte · bytes
             + joules a multiply-add · multiply-adds

Prices are ranges, so every result is one. Two pieces of work on one machine have the same unknown prices, so they are
compared over these and not by their own ranges, which overlap although one of them takes less whatever the prices are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Final, NamedTuple

from foretell.profile.energy.joules import Joules, Range
from foretell.profile.energy.work import Work

PRICES: Final = ("idle_w", "core_w", "byte_j", "mac_j")


class Exact(NamedTuple):
    """Prices without ranges."""

    idle_w: float
    core_w: float
    byte_j: float
    mac_j: float

    def joules(self, work: Work) -> float:
        """What it takes at these."""
        return sum(price * amount for price, amount in zip(self, amounts(work), strict=True))


@dataclass(frozen=True, slots=True)
class Model:
    """Watts and joules for the parts of work.

    source: what the prices are of, for people. reasons: of each price, why it is that.
    """

    idle_w: Range
    core_w: Range
    byte_j: Range
    mac_j: Range
    source: str
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def prices(self) -> tuple[Range, Range, Range, Range]:
        """In the order of `amounts`."""
        return self.idle_w, self.core_w, self.byte_j, self.mac_j

    @property
    def likeliest(self) -> Exact:
        """What the prices most likely are."""
        return Exact(*(each.value for each in self.prices))

    @property
    def ends(self) -> tuple[Exact, ...]:
        """Every choice of one end of each range: where what is linear in each price is least and greatest."""
        return tuple(Exact(*each) for each in product(*((each.low, each.high) for each in self.prices)))

    def joules(self, work: Work) -> Joules:
        """What it takes."""
        parts = [price * amount for price, amount in zip(self.prices, amounts(work), strict=True)]
        total = parts[0] + parts[1] + parts[2] + parts[3]
        return Joules(total.value, total.low, total.high, self.source, "modelled")

    def parts(self, work: Work) -> dict[str, Range]:
        """What it takes by price."""
        return {name: price * amount for name, price, amount in zip(PRICES, self.prices, amounts(work), strict=True)}

    def ratio(self, work: Work, to: Work) -> Range:
        """Joules of `work` as a multiple of those of `to`, over all prices within their ranges.

        Below 1 in all of its range, the first takes less whatever this machine's prices are. A ratio of two sums that
        are linear in each price is monotonous in each, so it is least and greatest at ends of the ranges.
        """
        ends = [_ratio(prices, work, to) for prices in self.ends]
        middle = _ratio(self.likeliest, work, to)
        return Range(middle, min(*ends, middle), max(*ends, middle))


def amounts(work: Work) -> tuple[float, float, float, float]:
    """What the prices are for."""
    return work.wall_s, work.cpu_s, work.bytes, work.macs


def _ratio(prices: Exact, mine: Work, its: Work) -> float:
    top, bottom = prices.joules(mine), prices.joules(its)
    if not bottom:
        raise ValueError("work that takes nothing has no multiple")
    return top / bottom


class Modelled:
    """The model as a meter."""

    def __init__(self, model: Model) -> None:
        self.name, self.about, self.model = "model", model.source, model

    def begin(self) -> ModelledWindow:
        """A window."""
        return ModelledWindow(self.model)


@dataclass(frozen=True, slots=True)
class ModelledWindow:
    """Prices the work that it is told of."""

    model: Model

    def end(self, work: Work) -> Joules:
        """What it takes."""
        return self.model.joules(work)
