"""The little of SVG and HTML that plots on pages need: elements, scales, ticks, axes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10
from typing import Final


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(name: str, /, *children: str, **attributes: str | float) -> Markup:
    """An element. Children that are no Markup are escaped; `class_` is class, `stroke_width` is stroke-width.

    >>> tag("text", "a < b", x=1.50, class_="axis")
    '<text x="1.5" class="axis">a &lt; b</text>'
    >>> tag("g")
    '<g/>'
    """
    given = "".join(f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"' for key, value in attributes.items())
    if not children and name not in NOT_EMPTY:
        return Markup(f"<{name}{given}/>")
    return Markup(f"<{name}{given}>{joined(children)}</{name}>")


NOT_EMPTY = frozenset({"div", "span", "script", "td", "th", "p", "section", "table", "tbody", "ul"})  # HTML's own


def joined(children: Sequence[str]) -> Markup:
    """One after the other."""
    return Markup("".join(each if isinstance(each, Markup) else escape(each, quote=False) for each in children))


def _value(value: str | float) -> str:
    return escape(value).replace("\n", "&#10;") if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from `low` to `high`, drawn from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Where a value is drawn.

        >>> Scale(0, 10, 100, 0)(2.5)
        75.0
        """
        span = self.high - self.low
        return self.start + (self.end - self.start) * ((value - self.low) / span if span else 0.0)


def ticks(high: float, count: int = 5) -> list[float]:
    """Round numbers from 0 up to about `high`.

    >>> ticks(23.0), ticks(0.9)
    ([0.0, 5.0, 10.0, 15.0, 20.0], [0.0, 0.2, 0.4, 0.6, 0.8])
    """
    if high <= 0:
        return [0.0]
    rough = high / count
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return [round(n * step, 10) for n in range(int(high / step * 1.0001) + 1)]


def number(value: float) -> str:
    """As short as an axis wants it.

    >>> number(0.25), number(20.0), number(1500.0)
    ('0.25', '20', '1,500')
    """
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


UNIT: Final = 24.0  # room for the unit of an axis


def picture(width: float, height: float, parts: Iterable[Markup], name: str) -> Markup:
    """An SVG of this size, as wide as what it is in. name: for those who cannot see it."""
    return tag("svg", *parts, viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=name)


def y_axis(y: Scale, at: Iterable[float], left: float, right: float, *, percent: bool = False) -> list[Markup]:
    """A line across and a number to the left for each value."""
    out = []
    for value in at:
        where = y(value)
        out.append(tag("line", x1=left, x2=right, y1=where, y2=where, class_="grid"))
        text = f"{value:.0%}" if percent else number(value)
        out.append(tag("text", text, x=left - 6, y=where + 4, class_="axis end"))
    return out


def x_axis(
    x: Scale, at: Sequence[float], top: float, unit: str, factor: float = 1.0, *, percent: bool = False
) -> list[Markup]:
    """Numbers below, and the unit; values times `factor` are drawn."""
    out = []
    short = len(unit) == 1  # stands at the end of the axis, and no number there
    for value in at:
        text = f"{value:.0%}" if percent else number(value)
        if not short or x.end - x(value * factor) > UNIT:
            out.append(tag("text", text, x=x(value * factor), y=top + 12, class_="axis middle"))
    place = (x.end, top + 12, "axis end") if short else ((x.start + x.end) / 2, top + 28, "axis middle")
    out.append(tag("text", unit, x=place[0], y=place[1], class_=place[2]))
    return out
