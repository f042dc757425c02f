"""How marks in plots look: one table, of which the style of pages and the colours of pictures are made."""

import re
from collections.abc import Mapping
from typing import Final

from foretell.lab.page.parts import resource

Look = Mapping[str, str | float]

# Class → properties of SVG. Colours are names of the page's variables, so that they follow light and dark.
MARKS: Final[Mapping[str, Look]] = {
    "axis": {"fill": "--soft", "font-size": 11.5},
    "name": {"fill": "--ink", "font-size": 12},
    "head": {"fill": "--ink", "font-size": 12.5, "font-weight": 600},
    "cell": {"fill": "--ink", "font-size": 12},
    "none": {"fill": "--soft", "font-size": 12},
    "rule": {"stroke": "--hair", "stroke-width": 1},
    "zero": {"stroke": "--soft", "stroke-width": 1},
    "leader": {"stroke": "--soft", "stroke-width": 0.7},
    "whisker": {"stroke": "--soft", "stroke-width": 1.2, "stroke-opacity": 0.4},
    "error": {"stroke": "--ink", "stroke-width": 1.3},
    "front": {"stroke": "--ink", "stroke-width": 1.3, "stroke-dasharray": "2 4", "fill": "none"},
    "steps": {"stroke": "--c1", "stroke-width": 1.4, "stroke-opacity": 0.45, "fill": "none"},
    "blank": {"fill": "--back"},
    "heat": {"fill": "--c1"},
    **{f"k{i}": {"fill": f"--c{i}", "stroke": f"--c{i}", "stroke-width": 2} for i in range(8)},
    **{f"o{i}": {"fill": "--card", "stroke": f"--c{i}", "stroke-width": 2} for i in range(8)},
    **{f"b{i}": {"fill": f"--c{i}"} for i in range(8)},
}


def style() -> str:
    """The table as a style sheet; `i.k1` and the like are for keys."""
    rules = [f"svg .{name} {{ {_declared(look)} }}" for name, look in MARKS.items()]
    keys = [f"i.b{i} {{ background: var(--c{i}); }}" for i in range(8)]
    return "\n".join((*rules, *keys))


def colours() -> dict[str, str]:
    """Variable → colour on a light page."""
    light = resource("foretell.lab.page", "page.css").split("}", 1)[0]
    return dict(re.findall(r"(--[a-z0-9]+): (#[0-9a-f]{6})", light))


def _declared(look: Look) -> str:
    return "; ".join(
        f"{name}: {f'var({value})' if isinstance(value, str) and value.startswith('--') else value}"
        + ("px" if name == "font-size" else "")
        for name, value in look.items()
    )
