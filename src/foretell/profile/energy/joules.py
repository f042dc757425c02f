"""Joules with where they come from: measured, modelled or unavailable, and always with a range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, get_args

Kind = Literal["measured", "modelled", "unavailable"]
KINDS: Final = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Range:
    """A number that is not known exactly: what it most likely is, and between which two it lies.

    >>> Range(2.0, 1.0, 4.0) * 3 + Range(1.0, 1.0, 1.0)
    Range(value=7.0, low=4.0, high=13.0)
    """

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.value <= self.high:
            raise ValueError(f"{self.value} is not between {self.low} and {self.high}, or below 0")

    def __add__(self, other: Range) -> Range:
        return Range(self.value + other.value, self.low + other.low, self.high + other.high)

    def __mul__(self, by: float) -> Range:
        """By a number from 0 on."""
        return Range(self.value * by, self.low * by, self.high * by)


@dataclass(frozen=True, slots=True)
class Joules:
    """What something took.

    value: None when unavailable. low, high: between which the truth lies; high is None when it is not known above.
    source: who says so, or why nobody can. missing: domains that could not be read to the end; the value is that of
    the others, so at least so much was taken.
    """

    value: float | None
    low: float | None
    high: float | None
    source: str
    kind: Kind
    missing: tuple[str, ...] = ()

    @staticmethod
    def unavailable(why: str, missing: tuple[str, ...] = ()) -> Joules:
        """Nobody can say."""
        return Joules(None, None, None, why, "unavailable", missing)

    def per(self, count: float) -> Joules:
        """Each of so many's part.

        >>> str(Joules(8.0, 4.0, 12.0, "a model", "modelled").per(4))
        '2 J modelled (1 to 3)'
        """
        value, low, high = (None if each is None else each / count for each in (self.value, self.low, self.high))
        return replace(self, value=value, low=low, high=high)

    def to_json(self) -> dict[str, Any]:
        """Its fields as plain JSON values; `missing` only where something is."""
        values = {"value": self.value, "low": self.low, "high": self.high, "source": self.source, "kind": self.kind}
        return values | ({"missing": list(self.missing)} if self.missing else {})

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Joules:
        """What `to_json` wrote. Raises KeyError, TypeError or ValueError when that is something else."""
        kind: Any = values["kind"]
        if kind not in KINDS:
            raise ValueError(f"energy is {kind!r}, which is none of {', '.join(KINDS)}")
        value, low, high = (None if values[name] is None else float(values[name]) for name in ("value", "low", "high"))
        return Joules(value, low, high, str(values["source"]), kind, tuple(values.get("missing", ())))

    def said(self, unit: str = "J") -> str:
        """In words.

        >>> Joules(8.0, 4.0, 12.0, "a model", "modelled").said("J per token")
        '8 J per token modelled (4 to 12)'
        """
        if self.value is None or self.low is None:
            return f"energy unavailable: {self.source}"
        if self.high is None:
            return f"at least {self.low:.3g} {unit} {self.kind}, without {', '.join(self.missing)}"
        return f"{self.value:.3g} {unit} {self.kind} ({self.low:.3g} to {self.high:.3g})"

    def __str__(self) -> str:
        return self.said()
