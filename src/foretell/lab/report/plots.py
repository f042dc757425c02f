"""The report's plots, as SVG whose looks are in `marks`."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from foretell.lab.page.svg import Markup, Scale, number, picture, tag, ticks
from foretell.lab.report.compare import Comparison
from foretell.lab.report.kinds import KINDS, kind
from foretell.lab.report.labels import place
from foretell.lab.report.standing import Point
from foretell.lab.report.study import Study

WIDE: Final = 1000.0
HALF: Final = 460.0
PANEL: Final = 330.0
_LINE: Final = 22.0  # height of a bar and the gap to the next
_NAME: Final = 128.0  # room for a side's name before its bar
_LETTERS: Final = 20  # that fit there


def trade_off(found: Sequence[Point], study: Study, unit: str) -> Markup:
    """Cost to the right, score upwards: levels joined, the Pareto front dashed, its points filled."""
    left, right, top, bottom = 46.0, HALF - 12, 28.0, 300.0
    x = Scale(*_range([v for p in found for v in (p.cost, p.cost_low, p.cost_high) if v is not None]), left, right)
    y = Scale(
        *_range([v for p in found for v in (p.score, p.score_low, p.score_high) if v is not None], 0.1), bottom, top
    )
    parts = [tag("text", "score, %", x=left, y=16, class_="axis")]
    for value in _inner_ticks(y.low, y.high):
        parts.append(tag("line", x1=left, x2=right, y1=y(value), y2=y(value), class_="rule"))
        parts.append(tag("text", number(round(100 * value, 6)), x=left - 7, y=y(value) + 4, class_="axis end"))
    for value in _inner_ticks(x.low, x.high):
        parts.append(tag("line", x1=x(value), x2=x(value), y1=bottom, y2=bottom + 4, class_="zero"))
        parts.append(tag("text", number(value), x=x(value), y=bottom + 18, class_="axis middle"))
    parts.append(tag("line", x1=left, x2=right, y1=bottom, y2=bottom, class_="zero"))
    parts.append(tag("text", unit, x=(left + right) / 2, y=bottom + 36, class_="axis middle"))
    parts += _front(found, x, y)
    levels = sorted((each for each in found if each.level and each.level != "Oe"), key=lambda each: each.level)
    if len(levels) > 1:
        line = " ".join(f"{x(each.cost):.1f},{y(each.score):.1f}" for each in levels)
        parts.append(tag("polyline", points=line, class_="steps"))
    for each in found:
        parts += _whiskers(each, x, y)
    kinds = {side.name: KINDS[kind(side, study)] for side in study.sides}
    for each in found:
        style = f"{'k' if each.front else 'o'}{kinds[each.side]}"
        parts.append(tag("circle", cx=x(each.cost), cy=y(each.score), r=5, class_=style, data_tip=_tip(each, unit)))
    spots = [(x(each.cost), y(each.score), each.side) for each in found]
    for (at_x, at_y, name), label in zip(spots, place(spots, (left, top - 8, right + 8, bottom - 2)), strict=True):
        if label.far:
            near_x = min(max(at_x, label.box[0]), label.box[2])
            near_y = label.box[1] if label.box[1] > at_y else label.box[3]
            near_y = at_y if label.box[1] < at_y < label.box[3] else near_y
            parts.append(tag("line", x1=at_x, y1=at_y, x2=near_x, y2=near_y, class_="leader"))
        parts.append(tag("text", name, x=label.x, y=label.y, class_="name"))
    return picture(HALF, bottom + 44, parts, f"{unit} against score")


def _front(found: Sequence[Point], x: Scale, y: Scale) -> list[Markup]:
    """Steps from point to point; nothing is known to the upper left of them."""
    on = sorted({(each.cost, each.score) for each in found if each.front})
    corners = [(x(cost), y(score)) for cost, score in on[:1]]
    for (_, before), (cost, score) in pairwise(on):
        corners += [(x(cost), y(before)), (x(cost), y(score))]
    return (
        []
        if len(on) < 2
        else [tag("polyline", points=" ".join(f"{a:.1f},{b:.1f}" for a, b in corners), class_="front")]
    )


def _whiskers(each: Point, x: Scale, y: Scale) -> list[Markup]:
    out = []
    if each.cost_low is not None and each.cost_high is not None:
        at = y(each.score)
        out.append(tag("line", x1=x(each.cost_low), x2=x(each.cost_high), y1=at, y2=at, class_="whisker"))
    if each.score_low is not None and each.score_high is not None:
        at = x(each.cost)
        out.append(tag("line", x1=at, x2=at, y1=y(each.score_low), y2=y(each.score_high), class_="whisker"))
    return out


def _tip(each: Point, unit: str) -> str:
    lines = [each.side + (", on the front" if each.front else "")]
    lines.append(f"{unit}: {_between(each.cost, each.cost_low, each.cost_high, '{:.2f}')}")
    score = [None if v is None else 100 * v for v in (each.score, each.score_low, each.score_high)]
    lines.append(f"score: {_between(score[0], score[1], score[2], '{:.1f}')} %")
    return "\n".join(lines)


def _between(value: float | None, low: float | None, high: float | None, form: str) -> str:
    if value is None:
        return "–"
    return form.format(value) + ("" if low is None or high is None else f" ({form.format(low)} to {form.format(high)})")


def class_bars(
    study: Study, found: Sequence[Comparison], klass: str, *, dx: float = 0.0, dy: float = 0.0
) -> list[Markup]:
    """One class: a bar for each side, as many times as fast as the reference; thin lines are 95 % intervals."""
    shown = {each.mine: each for each in found if each.klass == klass}
    sides = [side for side in study.sides if side.name in shown]
    x = Scale(0, most(found), dx + _NAME, dx + PANEL - 44)
    top = dy + 26
    height = _LINE * len(sides)
    prompts = len(study.classes[klass])
    parts = [
        tag("text", klass, x=dx, y=dy + 14, class_="head"),
        tag("text", f"{prompts} prompt{'s' * (prompts != 1)}", x=dx + PANEL, y=dy + 14, class_="axis end"),
    ]
    for place_, side in enumerate(sides):
        its, y = shown[side.name], top + _LINE * place_
        name = side.name if len(side.name) <= _LETTERS else side.name[: _LETTERS - 1] + "…"
        sure = "significant" if its.significant else "no significant difference"
        value = _between(its.value, its.low, its.high, "{:.2f}")
        tip = f"{side.name}, {klass}: {value} times {its.theirs}\n{sure}, {its.prompts} prompts"
        colour = KINDS[kind(side, study)]
        parts.append(tag("text", name, x=dx, y=y + 14, class_="name"))
        width = max(0.5, x(its.value) - x(0))
        parts.append(tag("rect", x=x(0), y=y + 3, width=width, height=14, class_=f"b{colour}", data_tip=tip))
        end = x(its.value)
        if its.low is not None and its.high is not None:
            parts.append(tag("line", x1=x(its.low), x2=x(its.high), y1=y + 10, y2=y + 10, class_="error"))
            end = x(its.high)
        parts.append(tag("text", f"{its.value:.2f}", x=end + 6, y=y + 14, class_="name"))
    parts.append(tag("line", x1=x(1), x2=x(1), y1=top - 2, y2=top + height, class_="zero"))
    return parts


def panel(study: Study, found: Sequence[Comparison], klass: str) -> Markup:
    """One class's bars as a picture of its own."""
    return picture(PANEL, panel_height(study), class_bars(study, found, klass), f"Speed in {klass}")


def panels(study: Study, found: Sequence[Comparison]) -> Markup:
    """All classes' bars in one picture."""
    across, gap = 3, 34.0
    wide, high = PANEL + gap, panel_height(study) + 8
    parts: list[Markup] = []
    for n, klass in enumerate(study.classes):
        parts += class_bars(study, found, klass, dx=wide * (n % across), dy=high * (n // across))
    rows = (len(study.classes) + across - 1) // across
    return picture(wide * min(across, max(1, len(study.classes))), high * rows, parts, "Speed by class")


def panel_height(study: Study) -> float:
    """Of one class's bars."""
    return 30 + _LINE * max(1, len(study.sides) - 1)


def most(found: Sequence[Comparison]) -> float:
    """Where the bars' scale ends: the same in all classes."""
    return max([1.0, *(max(each.value, each.high or 0.0) for each in found)])


def heat_map(rows: Mapping[str, Mapping[str, float]], classes: Sequence[str], name: str) -> Markup:
    """Acceptance: a row for each name, a column for each class; the fuller the colour the higher. Empty: no guesses."""
    left = 190.0
    width = min(130.0, (WIDE - left) / max(1, len(classes)))
    height, top = 30.0, 26.0
    parts = []
    for column, klass in enumerate(classes):
        letters = max(4, int(width / 6.6))
        text = klass if len(klass) <= letters else klass[: letters - 1] + "…"
        parts.append(tag("text", text, x=left + width * (column + 0.5), y=14, class_="axis middle"))
    for line, (row, values) in enumerate(rows.items()):
        y = top + height * line
        short = row if len(row) <= 28 else row[:27] + "…"
        parts.append(tag("text", short, x=0, y=y + 19, class_="name"))
        for column, klass in enumerate(classes):
            x = left + width * column
            box = {"x": x + 1, "y": y + 1, "width": width - 2, "height": height - 2}
            value = values.get(klass)
            if value is None:
                parts.append(tag("rect", **box, class_="blank"))
                parts.append(tag("text", "–", x=x + width / 2, y=y + 19, class_="none middle"))
                continue
            tip = f"{row}, {klass}: {value:.1%} of guesses accepted"
            shade = 0.04 + 0.6 * value
            parts.append(tag("rect", **box, class_="blank"))
            parts.append(tag("rect", **box, class_="heat", fill_opacity=shade, data_tip=tip))
            parts.append(tag("text", f"{100 * value:.0f}", x=x + width / 2, y=y + 19, class_="cell middle"))
    return picture(WIDE, top + height * len(rows) + 4, parts, name)


def _range(values: Sequence[float], least: float = 0.0) -> tuple[float, float]:
    """From a little below the lowest to a little above the highest; at least so wide, for values that are all equal."""
    low, high = min(values), max(values)
    room = max(0.08 * (high - low), (least - (high - low)) / 2, 0.02 * abs(high), 1e-6)
    return low - room, high + room


def _inner_ticks(low: float, high: float) -> list[float]:
    """Round numbers between two values."""
    steps = ticks(high - low, 5)
    step = steps[1] if len(steps) > 1 else high - low
    first = max(0, int(low / step + 0.999999))
    return [round(step * n, 10) for n in range(first, int(high / step + 1e-9) + 1)]
