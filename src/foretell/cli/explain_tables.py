"""An explanation of a run at a terminal. It fits 80 columns."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from foretell.cli.explain_energy import print_energy
from foretell.lab.explain.acceptance import Count
from foretell.lab.explain.bounds import BreakEven
from foretell.lab.explain.explanation import Explanation
from foretell.lab.explain.words import free, ms_text, speed, times

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

BAR: Final = 15  # cells
ROWS: Final = (1, 2, 4, 8, 12, 16)
PLACES: Final = 8  # of guesses in a round
LINES: Final = 12  # of changes that are shown
EIGHTHS: Final = " ▏▎▍▌▋▊▉"
TITLE: Final = "bold"
FAINT: Final = "dim"


def print_explanation(said: Explanation) -> None:
    """All of it."""
    from rich.console import Console

    console = Console(highlight=False)
    _head(console, said)
    _title(console, "Where the time went")
    console.print(_ledger(said))
    if said.acceptance:
        _title(console, "Guesses")
        console.print(_sources(said))
        _classes(console, said)
    _title(console, "What is possible here")
    _ceiling(console, said)
    if said.kinds:
        _title(console, "Decisions")
        _decisions(console, said)
    if said.energy is not None:
        _title(console, "Where the energy went")
        print_energy(console, said, said.energy)
    _title(console, "What would have helped")
    _advice(console, said)


def _head(console: "Console", said: Explanation) -> None:
    about, totals = said.run.about, said.run.totals
    when = datetime.fromtimestamp(about.made_s).astimezone().strftime("%d %b %Y, %H:%M")
    draft = "" if about.draft is None else f" with {about.draft.name}"
    how = f"-{about.level}" if about.level else about.pipeline.split("\n", 1)[0]
    console.print(f"[bold]{about.target.name}[/]{draft}, {how}, {when}", soft_wrap=True)
    console.print(about.machine, style=FAINT, soft_wrap=True)
    parts = [f"{totals.prompt_tokens} + {totals.tokens} tokens in {ms_text(1000 * totals.whole_s)}"]
    if totals.tokens_per_s is not None:
        parts.append(f"{totals.tokens_per_s:.1f} tokens/s")
    if said.run.rounds:
        parts.append(f"{said.balance.tokens / len(said.run.rounds):.2f} tokens per round")
    if said.speed_up is not None:
        parts.append(f"{times(said.speed_up)} as fast as the target alone")
    console.print(", ".join(parts))
    for note in said.run.notes:
        console.print(f"[yellow]{note}[/]")


def _ledger(said: Explanation) -> "Table":
    out = table("", "ms", "share", "", "")
    out.columns[3].justify = out.columns[4].justify = "left"
    most = max((part.share for part in said.ledger), default=0.0) or 1.0
    for part in said.ledger:
        if part.ms <= 0:
            continue
        style = "red" if part.wasted else "cyan"
        out.add_row(part.name, _ms(part.ms), f"{part.share:.1%}", _bar(part.share / most, style), part.what)
    whole = 1000 * said.run.totals.whole_s
    out.add_row("whole", _ms(whole), "100.0%", "", "request to last token", style=TITLE)
    out.columns[4].style = FAINT
    return out


def _sources(said: Explanation) -> "Table":
    out = table("source", "rounds", "guesses", "kept", "right", "must be", "saved", "cost", "earned")
    earned = {each.source: each for each in said.balance.sources}
    needs = {each.source: each for each in said.break_even}
    for each in said.acceptance:
        its = earned[each.source]
        style = "green" if its.ms >= 0 else "red"
        out.add_row(
            each.source,
            str(each.rounds),
            str(each.whole.tried),
            f"{each.whole.kept / each.whole.tried:.0%}",
            _share(each.whole.right),
            _needed(needs[each.source]),
            ms_text(its.saved_ms),
            ms_text(its.rows_ms + its.draft_ms),
            f"[{style}]{ms_text(its.ms)}[/]",
        )
    out.caption = "right: of guesses whose forerunners were right; must be: from which on such rounds pay"
    out.caption_justify = "left"
    return out


def _needed(need: BreakEven) -> str:
    return "never" if need.needed is None else f"{need.needed:.0%}"


def _classes(console: "Console", said: Explanation) -> None:
    """How often each source was right: by place, by its own estimate, by what became of the guesses before."""
    from rich.table import Table

    for each in said.acceptance:
        grid = Table.grid(padding=(0, 4, 0, 0))
        grid.add_row(
            _class_table("place", [place for place in each.places[:PLACES] if place.reached]),
            _class_table("it thought", [thought for thought in each.thoughts if thought.reached]),
            _class_table("round before", each.moods),
        )
        console.print(f"\nHow often [bold]{each.source}[/] was right, by")
        console.print(grid)


def _class_table(title: str, counts: Sequence[Count]) -> "Table":
    out = table(title, "right", "of")
    for each in counts:
        out.add_row(each.name.replace(" to ", "–"), _share(each.right), str(each.reached))
    return out


def _ceiling(console: "Console", said: Explanation) -> None:
    base = said.basis
    rows = [n for n in ROWS if n <= base.most + 1]
    out = table("a pass over", *(f"{n} rows" if n > 1 else "1 row" for n in rows))
    out.add_row("takes, ms", *(_ms(base.target(n)) for n in rows))
    out.add_row("of one row's", *(f"{base.target(n) / base.target(1):.2f}" for n in rows))
    console.print(out)
    console.print(
        f"{free(base.free_rows)}; passes had {said.mean_rows:.1f}, {said.filled:.0%} of these. "
        f"Passes took {base.drift:.2f} times what was measured before."
    )
    console.print()
    out = table("", "guesses", "tokens a round", "tokens/s")
    plain = said.perfect.__class__(0, 1.0, base.plain_ms)
    out.add_row("the target alone", "0", "1.00", speed(plain.tokens_per_s))
    if said.run.rounds and said.balance.actual_ms:
        rounds = len(said.run.rounds)
        guesses = sum(len(each.tried) for each in said.run.rounds) / rounds
        now = 1000 * said.balance.tokens / said.balance.actual_ms
        out.add_row("this run", f"{guesses:.1f}", f"{said.balance.tokens / rounds:.2f}", speed(now), style=TITLE)
    for need in said.break_even:
        chain = need.chain
        name = f"chains of {need.source}, where it guesses"
        out.add_row(name, str(chain.guesses), f"{chain.tokens:.2f}", speed(chain.tokens_per_s))
    if said.perfect_draft is not None:
        chain = said.perfect_draft
        out.add_row(
            "a draft that is always right", str(chain.guesses), f"{chain.tokens:.2f}", speed(chain.tokens_per_s)
        )
    chain = said.perfect
    out.add_row("always right, at no cost", str(chain.guesses), f"{chain.tokens:.2f}", speed(chain.tokens_per_s))
    console.print(out)


def _decisions(console: "Console", said: Explanation) -> None:
    out = table("guesses of", "rounds", "tokens", "tokens/s", "reasons")
    out.columns[4].justify, out.columns[4].no_wrap = "left", False
    for kind in said.kinds:
        reasons = "; ".join(f"{why} ({count})" for why, count in kind.reasons[:3])
        rate = speed(1000 * kind.tokens / kind.ms) if kind.ms else "-"
        out.add_row(kind.name if kind.name != "plain" else "nobody", str(kind.rounds), str(kind.tokens), rate, reasons)
    console.print(out)
    if said.changes:
        console.print()
        out = table("round", "source", "what", "why")
        out.columns[0].justify = "right"
        for column in out.columns[1:]:
            column.justify = "left"
        out.columns[3].no_wrap, out.columns[3].style = False, FAINT
        for each in said.changes[:LINES]:
            out.add_row(str(each.round), each.source, each.what, each.why)
        console.print(out)
        if len(said.changes) > LINES:
            console.print(f"and {len(said.changes) - LINES} more: --json has all", style=FAINT)
    if said.deciding is not None:
        took = said.deciding
        console.print(
            f"\nlooking for guesses and deciding takes {took.median_ms:.3f} ms of a round ({took.share:.2%}), "
            f"{took.p99_ms:.3f} ms in one of a hundred"
        )
    for found in said.predictions:
        by = "decisions expected" if found.by == "decisions" else "the measured T(n) says"
        console.print(
            f"\nwhat {by} of a round is off by {found.error:.1%} (median), {found.worst:.1%} in the worst tenth; "
            f"measured / expected {found.ratio:.2f}"
        )


def _advice(console: "Console", said: Explanation) -> None:
    from rich.padding import Padding

    for each in said.advice:
        worth = f"{ms_text(each.saves_ms)}, {each.share:.1%}" if each.saves_ms > 0 else "nothing"
        style = "bold green" if each.share >= 0.01 else FAINT
        console.print(f"[bold]{each.what}[/]: [{style}]{worth}[/]")
        console.print(Padding(each.why, (0, 0, 0, 2)), style=FAINT)
    console.print("\nmodelled, from what this run measured", style=FAINT)


def _title(console: "Console", text: str) -> None:
    from rich.rule import Rule

    console.print()
    console.print(Rule(f"[bold]{text}[/]", align="left", style=FAINT))


def _bar(share: float, style: str) -> "Text":
    from rich.text import Text

    eighths = round(8 * BAR * max(0.0, min(1.0, share)))
    return Text("█" * (eighths // 8) + EIGHTHS[eighths % 8].strip(), style)


def _ms(ms: float) -> str:
    return f"{ms:.1f}" if ms >= 10 else f"{ms:.2f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def table(*columns: str) -> "Table":
    """Columns without lines; all but the first to the right."""
    from rich.table import Table

    out = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for i, column in enumerate(columns):
        out.add_column(column, justify="right" if i else "left", no_wrap=True)
    return out
