"""The page's plots, as inline SVG. Colours are classes, so that the page's style decides them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

from foretell.lab.explain.choices import expected, kind
from foretell.lab.explain.explanation import Explanation
from foretell.lab.explain.words import ms_text, plural, speed
from foretell.lab.page.svg import Markup, Scale, picture, tag, ticks, x_axis, y_axis
from foretell.runtime.trace import Round

WIDE: Final = 1000.0
HALF: Final = 480.0
LINE: Final = 36.0  # height of a bar and the gap to the next
WINDOW: Final = 8  # rounds that a speed is an average of
# Sources by the colour that is theirs on every page; others take what is left.
COLOURS: Final = {"plain": "c0", "lookup": "c1", "copy": "c2", "recycled": "c3", "draft": "c4", "grammar": "c5"}


def colours(said: Explanation) -> dict[str, str]:
    """The class of each kind of round."""
    out = dict(COLOURS)
    spare = iter(["c6", "c7"])
    for each in (*(k.name for k in said.kinds), *(a.source for a in said.acceptance)):
        if each not in out:
            out[each] = next(spare, "c7")
    return out


def ledger_bar(said: Explanation) -> Markup:
    """All time as one bar."""
    parts = [(part.name, part.share, f"{ms_text(part.ms)}, {part.share:.1%}\n{part.what}") for part in said.ledger]
    return share_bar(parts, "Shares of the run's time")


def share_bar(shown: Sequence[tuple[str, float, str]], title: str) -> Markup:
    """Parts of a whole as one bar: name, share, and what is said of it."""
    x, parts = 0.0, []
    for i, (name, share, says) in enumerate(shown):
        width = WIDE * share
        if width > 0:
            tip = f"{name}: {says}"
            parts.append(tag("rect", x=x, y=0, width=width, height=44, class_=f"part l{i}", data_tip=tip))
            if width > LABEL * len(name):
                parts.append(tag("text", name, x=x + 8, y=27, class_="inbar"))
        x += width
    return picture(WIDE, 44, parts, title)


LABEL: Final = 9.0  # width of a letter in a bar, with room to spare


def timeline(said: Explanation) -> Markup:
    """Rounds over time: as wide as they took, as high as they gave tokens; below, the speed."""
    run, classes = said.run, colours(said)
    whole_ms = 1000 * run.totals.whole_s
    x = Scale(0, whole_ms, 40, WIDE - 8)
    most = max((_tokens(each) for each in run.rounds), default=1)
    y = Scale(0, most, 190, 14)
    parts = [tag("text", "tokens of a round", x=40, y=8, class_="title")]
    parts += y_axis(y, [t for t in ticks(most) if t == int(t)], 40, WIDE - 8)
    if run.rounds:
        first = 1000 * run.rounds[0].start_s
        tip = f"before the first round: {ms_text(first)}\nprompt {ms_text(1000 * run.totals.prompt_s)}"
        parts.append(
            tag("rect", x=x(0), y=14, width=max(0.5, x(first) - x(0)), height=176, class_="prompt", data_tip=tip)
        )
        if x(first) - x(0) > LABEL * 8:
            parts.append(tag("text", "prompt", x=x(0) + 8, y=30, class_="axis"))
    foretold = expected(run, said.basis)
    for turn, each in enumerate(run.rounds):
        start, width = x(1000 * each.start_s), x(1000 * each.round_s) - x(0)
        gap = min(1.0, width * 0.15)
        top = y(_tokens(each))
        tip = _tip(turn, each, foretold[turn])
        box = {"x": start, "y": top, "width": max(0.4, width - gap), "height": 190 - top}
        parts.append(tag("rect", **box, class_=f"round {classes[kind(each)]}", data_tip=tip))
    parts += _speeds(said, x)
    parts += x_axis(x, ticks(whole_ms / 1000, 10), 294, "s", 1000)
    return picture(WIDE, 316, parts, "Rounds over time")


def _speeds(said: Explanation, x: Scale) -> list[Markup]:
    """Tokens per second over the last rounds, and of the target alone."""
    rounds = said.run.rounds
    points = []
    for end in range(1, len(rounds) + 1):
        some = rounds[max(0, end - WINDOW) : end]
        seconds = sum(each.round_s - each.reader_s for each in some)
        if seconds > 0:
            last = some[-1]
            points.append((1000 * (last.start_s + last.round_s), sum(map(_tokens, some)) / seconds))
    if not points:
        return []
    plain = 1000 / said.basis.plain_ms if said.basis.plain_ms else 0.0
    high = max(plain, *(rate for _, rate in points)) * 1.05
    y = Scale(0, high, 290, 222)
    parts = [
        tag(
            "text",
            f"tokens/s, over {WINDOW} rounds; dashed: the target alone, {speed(plain)}",
            x=40,
            y=214,
            class_="title",
        )
    ]
    parts += y_axis(y, ticks(high, 3), 40, WIDE - 8)
    line = " ".join(f"{x(at):.1f},{y(rate):.1f}" for at, rate in points)
    parts.append(tag("polyline", points=line, class_="line"))
    parts.append(tag("line", x1=40, x2=WIDE - 8, y1=y(plain), y2=y(plain), class_="limit"))
    return parts


def curve(said: Explanation) -> Markup:
    """T(n): as measured before and scaled to the run's speed, and the run's own passes."""
    base = said.basis
    passes: dict[int, list[float]] = defaultdict(list)
    for each in said.run.rounds:
        if each.rows:
            passes[each.rows].append(1000 * each.verify_s)
    most_rows = max(base.most + 1, *passes, 2) if passes else max(base.most + 1, 2)
    middles = {n: median(values) for n, values in passes.items()}
    high = max(base.target(most_rows), *middles.values(), 0.0) * 1.1 if middles else base.target(most_rows) * 1.1
    x, y = Scale(0.5, most_rows + 0.5, 44, HALF - 10), Scale(0, high, 236, 20)
    free = base.free_rows
    parts = [tag("rect", x=x(0.5), y=20, width=x(free + 0.5) - x(0.5), height=216, class_="free")]
    parts.append(tag("text", plural(free, "free row"), x=x(0.5) + 8, y=36, class_="axis"))
    parts += y_axis(y, ticks(high, 5), 44, HALF - 10)
    limit = 1.1 * base.target(1)
    parts.append(tag("line", x1=44, x2=HALF - 10, y1=y(limit), y2=y(limit), class_="limit"))
    parts.append(tag("text", "1.1 T(1)", x=HALF - 12, y=y(limit) + 14, class_="axis end"))
    points = [(n, base.target(n)) for n in range(1, most_rows + 1)]
    parts.append(tag("polyline", points=" ".join(f"{x(n):.1f},{y(ms):.1f}" for n, ms in points), class_="line"))
    for n, ms in sorted(middles.items()):
        count = len(passes[n])
        tip = f"{n} rows: {ms_text(ms)} (median of {count})\nT({n}) scaled: {ms_text(base.target(n))}"
        parts.append(tag("circle", cx=x(n), cy=y(ms), r=min(9.0, 3 + count**0.5 / 2), class_="dot", data_tip=tip))
    parts += x_axis(x, [n for n in (1, 2, 4, 6, 8, 10, 12, 14, 16, 24, 32) if n <= most_rows], 240, "rows")
    parts.append(tag("text", "ms of a pass", x=44, y=10, class_="title"))
    return picture(HALF, 272, parts, "Time of a pass by rows")


def places(said: Explanation) -> Markup:
    """How often guesses were right, by place; dashed, what they must be."""
    classes = colours(said)
    most = min(MOST_PLACES, max((len(each.places) for each in said.acceptance), default=1))
    x, y = Scale(0.5, most + 0.5, 44, HALF - 10), Scale(0, 1, 236, 20)
    parts = [tag("text", "right, of guesses whose forerunners were", x=44, y=10, class_="title")]
    parts += y_axis(y, [0.0, 0.25, 0.5, 0.75, 1.0], 44, HALF - 10, percent=True)
    needs = {each.source: each.needed for each in said.break_even}
    for each in said.acceptance:
        shown = [(n, c) for n, c in enumerate(each.places[:most], 1) if c.right is not None]
        line = " ".join(f"{x(n):.1f},{y(c.right or 0.0):.1f}" for n, c in shown)
        colour = classes[each.source]
        need = needs.get(each.source)
        if need:
            tip = f"{each.source} pays from {need:.0%} on"
            at = y(need)
            parts.append(tag("line", x1=44, x2=HALF - 10, y1=at, y2=at, class_=f"need s{colour}", data_tip=tip))
        parts.append(tag("polyline", points=line, class_=f"series s{colour}"))
        for n, c in shown:
            tip = f"{each.source}, guess {n}: {c.right or 0.0:.0%} right\n{c.kept} of {c.reached}"
            r = min(9.0, 3 + c.reached**0.5 / 2)
            parts.append(tag("circle", cx=x(n), cy=y(c.right or 0.0), r=r, class_=f"dot {colour}", data_tip=tip))
    parts += x_axis(x, list(range(1, most + 1)), 240, "place")
    return picture(HALF, 272, parts, "Acceptance by place")


MOST_PLACES: Final = 16


def calibration(said: Explanation) -> Markup:
    """What sources thought of their guesses, and how often these were right."""
    classes = colours(said)
    x, y = Scale(0, 1, 44, HALF - 10), Scale(0, 1, 236, 20)
    parts = [tag("text", "right", x=44, y=10, class_="title")]
    parts += y_axis(y, [0.0, 0.25, 0.5, 0.75, 1.0], 44, HALF - 10, percent=True)
    parts.append(tag("line", x1=x(0), y1=y(0), x2=x(1), y2=y(1), class_="limit"))
    for each in said.acceptance:
        for c in each.thoughts:
            if c.right is None:
                continue
            tip = f"{each.source} thought {c.thought:.0%}: {c.right:.0%} right\n{c.kept} of {c.reached}"
            r = min(9.0, 3 + c.reached**0.5 / 2)
            parts.append(
                tag("circle", cx=x(c.thought), cy=y(c.right), r=r, class_=f"dot {classes[each.source]}", data_tip=tip)
            )
    parts += x_axis(x, [0.0, 0.25, 0.5, 0.75, 1.0], 240, "what the source thought", percent=True)
    return picture(HALF, 272, parts, "Calibration")


def foretold(said: Explanation) -> Markup:
    """Rounds: what they were expected to take, and what they took."""
    classes = colours(said)
    pairs = [
        (ms, 1000 * (each.round_s - each.reader_s), turn, each)
        for turn, (ms, each) in enumerate(zip(expected(said.run, said.basis), said.run.rounds, strict=True))
    ]
    high = 1.05 * max((max(a, b) for a, b, _, _ in pairs), default=1.0)
    x, y = Scale(0, high, 44, HALF - 10), Scale(0, high, 236, 20)
    parts = [tag("text", "ms of a round, measured", x=44, y=10, class_="title")]
    parts += y_axis(y, ticks(high, 5), 44, HALF - 10)
    parts.append(tag("line", x1=x(0), y1=y(0), x2=x(high), y2=y(high), class_="limit"))
    for ms, took, turn, each in pairs:
        name = classes[kind(each)]
        parts.append(
            tag("circle", cx=x(ms), cy=y(took), r=3.2, class_=f"dot faint {name}", data_tip=_tip(turn, each, ms))
        )
    parts += x_axis(x, ticks(high, 5), 240, "ms expected")
    return picture(HALF, 272, parts, "Expected and measured")


def bars(rows: Sequence[tuple[str, float, str, str]], width: float = HALF, *, name: float = 190.0) -> Markup:
    """Horizontal bars: (name, value, label, class); negative ones to the left."""
    low, high = min((v for _, v, _, _ in rows), default=0.0), max((v for _, v, _, _ in rows), default=0.0)
    low, high = min(0.0, low), max(0.0, high) or 1.0
    x = Scale(low, high, name + (64 if low < 0 else 0), width - 76)
    parts = []
    for i, (label, value, says, style) in enumerate(rows):
        top = LINE * i
        left, right = sorted((x(0), x(value)))
        parts.append(tag("text", label, x=0, y=top + 22, class_="label"))
        parts.append(
            tag("rect", x=left, y=top + 7, width=max(1.0, right - left), height=20, rx=3, class_=f"bar {style}")
        )
        anchor = {"x": right + 6, "class_": "value"} if value >= 0 else {"x": left - 6, "class_": "value end"}
        parts.append(tag("text", says, y=top + 22, **anchor))  # type: ignore[arg-type]  # numbers and texts
    if low < 0:
        parts.append(tag("line", x1=x(0), x2=x(0), y1=0, y2=LINE * len(rows), class_="zero"))
    return picture(width, LINE * max(1, len(rows)), parts, "Bars")


def _tip(turn: int, each: Round, foretold_ms: float) -> str:
    sources = ", ".join(f"{count} of {name}" for name, count in _counts(each).items()) or "none"
    took, thought = ms_text(1000 * each.round_s), ms_text(foretold_ms)
    lines = [
        f"round {turn + 1}: {plural(_tokens(each), 'token')} in {took}, expected {thought}",
        f"guesses: {sources}, {len(each.kept)} kept",
        f"verify {ms_text(1000 * each.verify_s)} ({plural(each.rows, 'row')})"
        + (
            f", draft {ms_text(1000 * each.draft_s)} ({plural(each.draft_passes, 'pass', 'passes')})"
            if each.draft_passes
            else ""
        ),
    ]
    if each.decision is not None and each.decision.reason:
        lines.append(f"why: {each.decision.reason}")
    return "\n".join(lines)


def _counts(each: Round) -> Mapping[str, int]:
    out: dict[str, int] = {}
    for _, _, source, _ in each.tried:
        out[source] = out.get(source, 0) + 1
    return out


def _tokens(each: Round) -> int:
    return len(each.kept) + (each.bonus is not None)
