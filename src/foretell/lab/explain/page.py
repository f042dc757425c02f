"""An explanation as one HTML page that needs nothing else: plots as inline SVG, style and a little script inside."""

from datetime import datetime
from pathlib import Path

from foretell.errors import ForetellError, why
from foretell.lab.explain import plots
from foretell.lab.explain.energy_card import energy_card, tile
from foretell.lab.explain.explanation import Explanation
from foretell.lab.explain.words import ms_text, speed, times
from foretell.lab.page.parts import card, document, key, resource, table
from foretell.lab.page.svg import Markup, joined, tag


def write_page(path: Path, said: Explanation) -> None:
    """Write the page. ForetellError when that is not possible."""
    try:
        path.write_text(page(said), encoding="utf-8")
    except OSError as error:
        raise ForetellError(f"cannot write the page {path}: {why(error)}; give another file") from error


def page(said: Explanation) -> str:
    """The whole page; well-formed as XML too."""
    about = said.run.about
    title = about.target.name if about.draft is None else f"{about.target.name} with {about.draft.name}"
    cards = [_ledger(said), _timeline(said), _curve(said), _ceiling(said)]
    if said.acceptance:
        cards += [_places(said), _calibration(said), _earned(said)]
    if said.run.rounds:
        cards += [_decisions(said), _foretold(said)]
    if said.energy is not None:
        cards.append(energy_card(said, said.energy))
    cards.append(_advice(said))
    body = tag(
        "main",
        _header(said, title),
        _tiles(said),
        *(tag("p", note, class_="note") for note in said.run.notes),
        tag("div", *cards, class_="grid"),
        _footer(said),
    )
    return document(f"{title}: a run explained", body, resource("foretell.lab.explain", "explain.css"))


def _header(said: Explanation, title: str) -> Markup:
    about = said.run.about
    when = datetime.fromtimestamp(about.made_s).astimezone().strftime("%d %B %Y, %H:%M")
    how = f"level {about.level}" if about.level else about.pipeline.split("\n", 1)[0]
    return tag("header", tag("h1", title), tag("p", f"{how} · {when} · {about.machine}"))


def _tiles(said: Explanation) -> Markup:
    totals, rounds = said.run.totals, len(said.run.rounds)
    tried = sum(len(each.tried) for each in said.run.rounds)
    kept = sum(len(each.kept) for each in said.run.rounds)
    shown = [
        (speed(totals.tokens_per_s) if totals.tokens_per_s else "–", "tokens per second"),
        (
            times(said.speed_up).replace(" times", "×") if said.speed_up else "–",
            "the target alone, estimated",
        ),
        (f"{said.balance.tokens / rounds:.2f}" if rounds else "–", "tokens per round"),
        (f"{kept / tried:.0%}" if tried else "–", f"of {tried:,} guesses accepted"),
        (ms_text(1000 * totals.first_token_s) if totals.first_token_s is not None else "–", "to the first token"),
        (ms_text(1000 * totals.whole_s), f"for {totals.prompt_tokens:,} + {totals.tokens:,} tokens"),
    ]
    if said.energy is not None:
        shown.append(tile(said.energy))
    return tag(
        "div", *(tag("div", tag("b", big), tag("span", small), class_="tile") for big, small in shown), class_="tiles"
    )


def _ledger(said: Explanation) -> Markup:
    rows = [
        [
            joined([tag("i", "", class_=f"l{i}"), part.name]),
            ms_text(part.ms),
            f"{part.share:.1%}",
            joined([tag("span", part.what)]),
        ]
        for i, part in enumerate(said.ledger)
        if part.ms > 0
    ]
    return card(
        "Where the time went",
        "The parts add up to the time from the request to the last token. Red is what rejected guesses cost.",
        tag("div", plots.ledger_bar(said), class_="plot"),
        table(("part", "time", "share", ""), rows, soft=(3,)),
        wide=True,
    )


def _timeline(said: Explanation) -> Markup:
    classes = plots.colours(said)
    names = {kind.name: "target alone" if kind.name == "plain" else kind.name for kind in said.kinds}
    return card(
        "Rounds",
        "Each block is a round: as wide as it took, as high as it gave tokens, coloured by who guessed.",
        tag("div", plots.timeline(said), class_="plot"),
        key((classes[kind], name) for kind, name in names.items()),
        wide=True,
    )


def _curve(said: Explanation) -> Markup:
    base = said.basis
    return card(
        "A pass over n rows",
        f"Line: measured before, times {base.drift:.2f}, this run's speed. Dots: medians of this run. "
        f"Passes had {said.mean_rows:.1f} rows, {said.filled:.0%} of the free ones.",
        plots.curve(said),
    )


def _ceiling(said: Explanation) -> Markup:
    rows = [(name, value, speed(value), style) for name, value, style in ceiling(said)]
    return card(
        "What is possible here",
        "Tokens per second behind the prompt, modelled from T(n). In brackets: guesses of a round.",
        plots.bars(rows),
    )


def ceiling(said: Explanation) -> list[tuple[str, float, str]]:
    """(what, tokens/s, class of its bar)."""
    base, balance = said.basis, said.balance
    out = [("target alone", 1000 / base.plain_ms if base.plain_ms else 0.0, "plain")]
    if balance.actual_ms:
        out.append(("this run", 1000 * balance.tokens / balance.actual_ms, "now"))
    for need in said.break_even:
        name = f"{need.source}, where it guesses ({need.chain.guesses})"
        out.append((name, need.chain.tokens_per_s, plots.colours(said)[need.source]))
    if said.perfect_draft is not None:
        out.append((f"a draft always right ({said.perfect_draft.guesses})", said.perfect_draft.tokens_per_s, "limit"))
    out.append((f"always right and free ({said.perfect.guesses})", said.perfect.tokens_per_s, "limit"))
    return out


def _places(said: Explanation) -> Markup:
    classes = plots.colours(said)
    needs = {each.source: each.needed for each in said.break_even}
    names = [
        (classes[each.source], f"{each.source} (pays from {_share(needs[each.source])} on)") for each in said.acceptance
    ]
    return card(
        "Acceptance by place",
        "Larger dots stand for more guesses; dotted lines are where a source breaks even.",
        plots.places(said),
        key(names),
    )


def _calibration(said: Explanation) -> Markup:
    classes = plots.colours(said)
    return card(
        "Were sources as right as they thought?",
        "On the diagonal they were; above it they were right more often.",
        plots.calibration(said),
        key((classes[each.source], each.source) for each in said.acceptance),
    )


def _earned(said: Explanation) -> Markup:
    needs = {each.source: each for each in said.break_even}
    right = {each.source: each.whole.right for each in said.acceptance}
    rows = []
    for its in said.balance.sources:
        need = needs.get(its.source)
        style = "gain" if its.ms >= 0 else "loss"
        rows.append(
            [
                joined([tag("i", "", class_=plots.colours(said).get(its.source, "c7")), its.source]),
                f"{its.kept:,}",
                _share(right.get(its.source)),
                "–" if need is None else "never" if need.needed is None else f"{need.needed:.0%}",
                "–" if need is None or need.least is None else f"{need.least:.0%} at {need.best}",
                ms_text(its.saved_ms),
                ms_text(its.rows_ms),
                ms_text(its.draft_ms),
                tag("span", ms_text(its.ms), class_=style),
            ]
        )
    balance = said.balance
    head = ("source", "kept", "right", "must be", "at best", "saved", "rows", "draft", "earned")
    return card(
        "What each source earned",
        f"The target alone would have taken {ms_text(balance.plain_ms)} for these {balance.tokens:,} tokens, the "
        f"rounds took {ms_text(balance.actual_ms)}. Saved: rounds that kept guesses stand for; rows and draft: what "
        "they cost.",
        table(head, rows),
        wide=True,
    )


def _decisions(said: Explanation) -> Markup:
    rows = [
        [
            joined(
                [
                    tag("i", "", class_=plots.colours(said)[kind.name]),
                    "target alone" if kind.name == "plain" else kind.name,
                ]
            ),
            f"{kind.rounds:,}",
            f"{kind.tokens:,}",
            speed(1000 * kind.tokens / kind.ms) if kind.ms else "–",
            "; ".join(f"{why} ({count})" for why, count in kind.reasons[:4]),
        ]
        for kind in said.kinds
    ]
    parts = [table(("who guessed", "rounds", "tokens", "tokens/s", "why"), rows, left=(4,), soft=(4,))]
    if said.changes:
        changes = [[f"{each.round:,}", each.source, each.what, each.why] for each in said.changes]
        listed = table(("round", "source", "what", "why"), changes, left=(1, 2, 3), soft=(3,))
        parts.append(tag("div", listed, class_="scroll"))
    took = said.deciding
    says = "Who guessed in a round, and what changed when and why."
    if took is not None:
        says += f" Deciding took {took.median_ms:.3f} ms of a round (median; 99 of 100 below {took.p99_ms:.3f} ms)."
    return card("Decisions", says, *parts)


def _foretold(said: Explanation) -> Markup:
    says = "; ".join(
        f"{'decisions' if each.by == 'decisions' else 'T(n)'}: off by {each.error:.1%} (median), "
        f"measured / expected {each.ratio:.2f}"
        for each in said.predictions
    )
    return card("Expected and measured", f"Each dot is a round. By {says}.", plots.foretold(said))


def _advice(said: Explanation) -> Markup:
    most = max((each.saves_ms for each in said.advice), default=0.0) or 1.0
    items = []
    for each in said.advice:
        bar = tag("i", "", style=f"width: {100 * each.saves_ms / most:.0f}%")
        worth = (
            tag("div", f"{ms_text(each.saves_ms)}, {each.share:.1%}", bar, class_="worth")
            if each.saves_ms > 0
            else tag("div", "nothing", class_="worth none")
        )
        items.append(tag("li", worth, tag("div", tag("b", each.what), tag("span", each.why))))
    return card(
        "What would have helped",
        "Time that each would have saved in this run by itself: modelled, from what the run measured.",
        tag("ul", *items, class_="advice"),
        wide=True,
    )


def _footer(said: Explanation) -> Markup:
    about = said.run.about
    settings = ", ".join(f"{name} {value}" for name, value in about.settings.items())
    text = "without its text" if said.run.text is None else "with its text"
    details = tag("details", tag("summary", "Pipeline and settings"), tag("pre", about.pipeline), tag("p", settings))
    keys = f"target {about.target.key}" + ("" if about.draft is None else f"; draft {about.draft.key}")
    return tag(
        "footer",
        details,
        tag(
            "p", f"Foretell {about.foretell}, recorded {text}; times and chances known before the run: {about.origin}."
        ),
        tag("p", keys),
    )


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"
