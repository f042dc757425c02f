"""Pictures of how speculative sampling works, as SVG whose looks are in `foretell.lab.page.marks`."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from foretell.lab.page.svg import Markup, Scale, number, picture, tag, ticks, x_axis, y_axis
from foretell.lab.reproduce.speculation import (
    CHANCES,
    LENGTHS,
    WORDS,
    Coupled,
    Example,
    Mean,
    Weighted,
    expected_tokens,
    speed_up,
)

WIDTH: Final = 460.0
LEFT: Final = 42.0
TOP: Final = 24.0
BOTTOM: Final = 232.0
_COLOURS: Final = (1, 2, 3, 4)  # of lines
GAINS: Final = (0.5, 0.7, 0.8, 0.9)
LONGEST: Final = 12


def overlap(its: Example) -> Markup:
    """For each word: what p and q share, what p has beyond it, what q has beyond it."""
    x, y = _columns(), Scale(0, 0.5, BOTTOM, TOP)
    parts = [
        tag("text", "probability", x=LEFT, y=12, class_="axis"),
        *y_axis(y, [0.1, 0.2, 0.3, 0.4, 0.5], LEFT, WIDTH),
    ]
    for place, word in enumerate(WORDS):
        p, q, both = its.p[place], its.q[place], its.common[place]
        middle = x(place + 0.5)
        tip = f"{word}: p {p:.3f}, q {q:.3f}\nkept {both:.3f}"
        parts.append(_column(middle, y, 0.0, both, "b2", tip))
        parts.append(_column(middle, y, both, max(p, q), "b1" if p > q else "b3", tip))
        parts.append(tag("text", word, x=middle, y=BOTTOM + 16, class_="name middle"))
    return picture(WIDTH, BOTTOM + 26, parts, "What p and q have in common")


def leftover(its: Example) -> Markup:
    """What is drawn from when the guess was not kept."""
    x, y = _columns(), Scale(0, 0.75, BOTTOM, TOP)
    parts = [tag("text", "max(p − q, 0), made to sum to 1", x=LEFT, y=12, class_="axis")]
    parts += y_axis(y, [0.0, 0.25, 0.5, 0.75], LEFT, WIDTH)
    for place, word in enumerate(WORDS):
        value = float(its.rest[place])
        middle = x(place + 0.5)
        parts.append(_column(middle, y, 0.0, value, "b1", f"{word}: {value:.3f}"))
        parts.append(tag("text", word, x=middle, y=BOTTOM + 16, class_="name middle"))
    return picture(WIDTH, BOTTOM + 26, parts, "The residual")


def outcome(its: Example) -> Markup:
    """Columns of p; dots: how often each word came out, with two standard errors."""
    x, y = _columns(), Scale(0, 0.5, BOTTOM, TOP)
    parts = [
        tag("text", "share of tokens", x=LEFT, y=12, class_="axis"),
        *y_axis(y, [0.1, 0.2, 0.3, 0.4, 0.5], LEFT, WIDTH),
    ]
    for place, word in enumerate(WORDS):
        p, share = float(its.p[place]), float(its.counted[place]) / its.rounds
        error = 2 * (p * (1 - p) / its.rounds) ** 0.5
        middle = x(place + 0.5)
        tip = f"{word}: p {p:.4f}, came out {share:.4f}\n{its.off[place]:+.1f} standard deviations"
        parts.append(_column(middle, y, 0.0, p, "b0", tip))
        parts.append(tag("line", x1=middle, x2=middle, y1=y(share - error), y2=y(share + error), class_="error"))
        parts.append(tag("circle", cx=middle, cy=y(share), r=3.5, class_="k4", data_tip=tip))
        parts.append(tag("text", word, x=middle, y=BOTTOM + 16, class_="name middle"))
    return picture(WIDTH, BOTTOM + 26, parts, "What comes out")


def tokens(found: Sequence[Mean]) -> Markup:
    """Tokens per round by acceptance: lines by the formula, dots of rounds that were run."""
    x, y = Scale(0, 1, LEFT, WIDTH - 14), Scale(0, 9, BOTTOM, TOP)
    parts = [
        tag("text", "tokens per round", x=LEFT, y=12, class_="axis"),
        *y_axis(y, [1, 3, 5, 7, 9], LEFT, WIDTH - 14),
    ]
    for colour, length in zip(_COLOURS, LENGTHS, strict=True):
        steps = [i / 50 for i in range(51)]
        line = " ".join(f"{x(a):.1f},{y(expected_tokens(a, length)):.1f}" for a in steps)
        parts.append(tag("polyline", points=line, class_=f"sc{colour}"))
    for each in found:
        colour = _COLOURS[LENGTHS.index(each.length)]
        tip = (
            f"{each.length} guesses, acceptance {each.chance:g}\nformula {each.formula:.2f}, measured {each.tokens:.2f}"
        )
        at = x(each.chance)
        low, high = y(each.tokens - 2 * each.error), y(each.tokens + 2 * each.error)
        parts.append(tag("line", x1=at, x2=at, y1=low, y2=high, class_="error"))
        parts.append(tag("circle", cx=at, cy=y(each.tokens), r=4, class_=f"k{colour}", data_tip=tip))
    parts += x_axis(x, [0.0, *CHANCES, 1.0], BOTTOM + 4, "chance that a guess is kept")
    return picture(WIDTH, BOTTOM + 42, parts, "Tokens per round")


def gain(cost: float) -> Markup:
    """Times as fast as the target alone, by the number of guesses; the best of each is filled."""
    high = max(speed_up(a, n, cost) for a in GAINS for n in range(LONGEST + 1)) * 1.1
    x, y = Scale(0, LONGEST, LEFT, WIDTH - 52), Scale(0, high, BOTTOM, TOP)
    parts = [tag("text", "times as fast", x=LEFT, y=12, class_="axis"), *y_axis(y, ticks(high, 4), LEFT, WIDTH - 52)]
    parts.append(tag("line", x1=LEFT, x2=WIDTH - 52, y1=y(1), y2=y(1), class_="zero"))
    for colour, chance in zip(_COLOURS, GAINS, strict=True):
        values = [speed_up(chance, n, cost) for n in range(LONGEST + 1)]
        best = int(np.argmax(values))
        line = " ".join(f"{x(n):.1f},{y(v):.1f}" for n, v in enumerate(values))
        parts.append(tag("polyline", points=line, class_=f"sc{colour}"))
        tip = f"acceptance {chance:g}: best with {best} guesses, {values[best]:.2f} times as fast"
        parts.append(tag("circle", cx=x(best), cy=y(values[best]), r=5, class_=f"k{colour}", data_tip=tip))
        parts.append(tag("text", number(chance), x=WIDTH - 46, y=y(values[-1]) + 4, class_="name"))
    parts += x_axis(x, [0, 2, 4, 6, 8, 10, 12], BOTTOM + 4, "guesses of a round")
    return picture(WIDTH, BOTTOM + 42, parts, f"Gain at a cost of {cost:g}")


def race(mine: Weighted, theirs: Weighted, name: str) -> Markup:
    """Log probability plus shared noise, of target and draft; the highest of each is the token."""
    values = [*mine, *theirs]
    low, high = float(min(values)) - 0.6, float(max(values)) + 0.6
    x, y = _columns(), Scale(low, high, 170.0, TOP)
    parts = [tag("text", f"{name}: log probability + noise", x=LEFT, y=12, class_="axis")]
    parts.append(tag("line", x1=LEFT, x2=WIDTH, y1=170, y2=170, class_="zero"))
    winners = int(np.argmax(mine)), int(np.argmax(theirs))
    for place, word in enumerate(WORDS):
        middle = x(place + 0.5)
        parts.append(tag("line", x1=middle, x2=middle, y1=TOP, y2=170, class_="rule"))
        for shift, value, colour, won in ((-5, mine[place], 1, winners[0]), (5, theirs[place], 3, winners[1])):
            style = f"{'k' if won == place else 'o'}{colour}"
            tip = f"{word}: {'p' if colour == 1 else 'q'}, {float(value):.2f}{', the highest' if won == place else ''}"
            parts.append(tag("circle", cx=middle + shift, cy=y(float(value)), r=5, class_=style, data_tip=tip))
        parts.append(tag("text", word, x=middle, y=186, class_="name middle"))
    return picture(WIDTH, 196, parts, f"A draw with shared noise, {name}")


def agreement(found: Sequence[Coupled]) -> Markup:
    """Chance of keeping a guess by rejection (right) against shared noise (up): formula and count."""
    x, y = Scale(0.2, 1, LEFT, WIDTH - 14), Scale(0.2, 1, BOTTOM, TOP)
    at = [0.2, 0.4, 0.6, 0.8, 1.0]
    parts = [tag("text", "kept with shared noise", x=LEFT, y=12, class_="axis"), *y_axis(y, at, LEFT, WIDTH - 14)]
    parts.append(tag("line", x1=x(0.2), y1=y(0.2), x2=x(1), y2=y(1), class_="zero"))
    for each in found:
        tip = f"rejection {each.rejection:.3f}\nshared noise: formula {each.formula:.3f}, counted {each.counted:.3f}"
        parts.append(tag("circle", cx=x(each.rejection), cy=y(each.formula), r=6, class_="o4", data_tip=tip))
        parts.append(tag("circle", cx=x(each.rejection), cy=y(each.counted), r=2, class_="k3", data_tip=tip))
    parts += x_axis(x, at, BOTTOM + 4, "kept by rejection, Σ min(p, q)")
    return picture(WIDTH, BOTTOM + 42, parts, "Rejection and shared noise")


def _columns() -> Scale:
    return Scale(0, len(WORDS), LEFT, WIDTH)


def _column(middle: float, y: Scale, low: float, high: float, style: str, tip: str) -> Markup:
    box = {"x": middle - 15, "y": y(high), "width": 30.0, "height": max(0.0, y(low) - y(high))}
    return tag("rect", **box, class_=style, data_tip=tip)
