"""Names beside points of a plot, placed so that they don't cover each other or the points."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

LETTER: Final = 6.7  # width of one, on average, at the size of names, in the widest of the page's fonts
HEIGHT: Final = 14.0
DOT: Final = 7.0  # from a point's middle to where others may be
_STEPS: Final = (0.0, 9.0, 18.0, 29.0, 41.0, 54.0, 68.0, 82.0, 96.0, 110.0, 124.0)
_WAYS: Final = ((1, -1), (-1, -1), (1, 1), (-1, 1), (0, -1), (0, 1), (1, 0), (-1, 0))

Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True, slots=True)
class Label:
    """Where a name goes: left end and baseline. far: so far from its point that a line should lead there."""

    x: float
    y: float
    far: bool
    box: Box


def place(points: Sequence[tuple[float, float, str]], frame: Box) -> list[Label]:
    """A label for each point (x, y, name), within the frame. Where nothing is free, the first place is taken."""
    dots = [(x - DOT, y - DOT, x + DOT, y + DOT) for x, y, _ in points]
    taken: list[Box] = []
    out: dict[int, Label] = {}
    for which in sorted(range(len(points)), key=lambda i: (points[i][1], points[i][0])):
        x, y, name = points[which]
        others = dots[:which] + dots[which + 1 :] + taken
        tries = [_box(x, y, LETTER * len(name), way, step) for step in _STEPS for way in _WAYS]
        inside = [(box, far) for box, far in tries if _inside(box, frame)] or tries
        box, far = next((each for each in inside if not any(_overlap(each[0], other) for other in others)), inside[0])
        taken.append(box)
        out[which] = Label(box[0], box[3] - 3.5, far, box)
    return [out[i] for i in range(len(points))]


def _box(x: float, y: float, width: float, way: tuple[int, int], step: float) -> tuple[Box, bool]:
    across, down = way
    beside = DOT + 2 + width / 2 + step if not down else width / 2 - 2 + step / 2
    middle_x = x + across * beside
    middle_y = y + down * (DOT + HEIGHT / 2 + step - 2)
    box = middle_x - width / 2, middle_y - HEIGHT / 2, middle_x + width / 2, middle_y + HEIGHT / 2
    return box, step > 0


def _inside(box: Box, frame: Box) -> bool:
    return box[0] >= frame[0] and box[1] >= frame[1] and box[2] <= frame[2] and box[3] <= frame[3]


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
