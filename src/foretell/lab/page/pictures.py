"""Plots of pages as PNG: the same SVG, drawn by matplotlib.

It draws what our own plots consist of and no more: line, polyline, rect, circle and text, with the looks of `marks`.
"""

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from foretell.errors import ForetellError, why
from foretell.lab.page.marks import MARKS, colours

_INCH: Final = 96.0  # SVG's units in an inch
_DPI: Final = 2 * _INCH
_POINT: Final = 72 / _INCH
_MARGIN: Final = 12.0
_ANCHORS: Final = {"end": "right", "middle": "center"}


def write_png(path: Path, svg: str) -> None:
    """Draw a plot. ForetellError where matplotlib is not installed, or the file cannot be written."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 — an extra, seldom needed
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        raise ForetellError("pictures need matplotlib: pip install 'foretell[lab]'; the page has all plots") from None
    root = ET.fromstring(svg)  # noqa: S314 — our own
    _, _, width, height = (float(each) for each in root.attrib["viewBox"].split())
    wide, high = width + 2 * _MARGIN, height + 2 * _MARGIN
    figure = Figure(figsize=(wide / _INCH, high / _INCH), dpi=_DPI, facecolor=colours()["--card"])
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(-_MARGIN, width + _MARGIN)
    axes.set_ylim(height + _MARGIN, -_MARGIN)
    axes.axis("off")
    for order, each in enumerate(root):
        _draw(axes, each, order)
    try:
        figure.savefig(path)
    except OSError as error:
        raise ForetellError(f"cannot write {path}: {why(error)}; give another --out") from error


def _draw(axes: Any, each: ET.Element, order: int) -> None:
    from matplotlib.lines import Line2D  # noqa: PLC0415
    from matplotlib.patches import Ellipse, Rectangle  # noqa: PLC0415

    its, look = each.attrib, _look(each)
    at = {name: float(value) for name, value in its.items() if name in _NUMBERS}
    stroke = {
        "color": look.get("stroke", "none"),
        "linewidth": float(look.get("stroke-width", 1)) * _POINT,
        "alpha": float(look.get("stroke-opacity", 1)),
        "zorder": order,
    }
    if "stroke-dasharray" in look:
        width = float(look.get("stroke-width", 1))
        stroke["linestyle"] = (0, tuple(float(n) / width for n in str(look["stroke-dasharray"]).split()))
    surface = {
        "facecolor": look.get("fill", "none"),
        "edgecolor": look.get("stroke", "none"),
        "linewidth": float(look.get("stroke-width", 0)) * _POINT,
        "alpha": float(its.get("fill-opacity", 1)),
        "zorder": order,
    }
    match each.tag:
        case "line":
            axes.add_line(Line2D([at["x1"], at["x2"]], [at["y1"], at["y2"]], **stroke))
        case "polyline":
            pairs = [tuple(map(float, pair.split(","))) for pair in its["points"].split()]
            axes.add_line(Line2D([x for x, _ in pairs], [y for _, y in pairs], **stroke))
        case "rect":
            axes.add_patch(Rectangle((at["x"], at["y"]), at["width"], at["height"], **surface))
        case "circle":
            axes.add_patch(Ellipse((at["cx"], at["cy"]), 2 * at["r"], 2 * at["r"], **surface))
        case "text":
            axes.text(at["x"], at["y"], each.text or "", zorder=order, parse_math=False, **_text(each, look))
        case other:
            raise ValueError(f"no way to draw {other}")


_NUMBERS: Final = frozenset({"x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "width", "height"})


def _text(each: ET.Element, look: Mapping[str, Any]) -> dict[str, Any]:
    from matplotlib.patheffects import withStroke  # noqa: PLC0415

    classes = each.attrib.get("class", "").split()
    anchor = next((name for key, name in _ANCHORS.items() if key in classes), "left")
    halo = [withStroke(linewidth=3 * _POINT, foreground=colours()["--card"])]
    weight = "bold" if float(look.get("font-weight", 400)) >= 600 else "normal"
    size = float(look.get("font-size", 11)) * _POINT * 0.94  # DejaVu is wider than what browsers take
    return {
        "color": look["fill"],
        "fontsize": size,
        "ha": anchor,
        "va": "baseline",
        "weight": weight,
        "path_effects": [] if "cell" in classes else halo,
    }


def _look(each: ET.Element) -> dict[str, Any]:
    """The properties of its classes, with colours as they are on a light page."""
    palette = colours()
    out: dict[str, Any] = {}
    for name in each.attrib.get("class", "").split():
        out |= MARKS.get(name, {})
    return {key: palette.get(value, value) if isinstance(value, str) else value for key, value in out.items()}
