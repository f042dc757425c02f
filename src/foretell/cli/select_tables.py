"""Tables of `foretell select`. They fit 80 columns, unless names are long."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Final

from rich.console import Console
from rich.markup import escape

from foretell.cli.render import number
from foretell.cli.tables import table_of

SHORT: Final = 5  # letters of a class in a heading
_TITLES: Final = {"none": "none: target alone", "lookup": "no draft model"}
_PLACES: Final = 3  # of a chain, whose shares of right guesses are shown

Figures = Mapping[str, Any]


def print_ranking(report: Figures) -> None:
    """What was predicted of each way, by class, what that goes by, what was refused, and which to take."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"Predicted for {escape(report['target'])} on {report['prompts']} prompts with {report['tokens']} tokens of "
        "answers, against the target alone.\n"
        "times: how many times as fast answers are complete; range: of 95 % over other prompts and timings;\n"
        "tok/s: the same behind the first token; best: share of samples in which it is the fastest; joules: modelled."
    )
    ways = report["ways"]
    table = table_of("draft model", "times", "range", "tok/s", "best", "joules", "between")
    for way in ways:
        energy = way["energy"]
        table.add_row(
            title(way["name"]),
            number(way["speed_up"]["value"]),
            _range(way["speed_up"]),
            number(way["decode"]["value"]),
            number(way["best"], "{:.0%}"),
            number(energy and energy["value"]),
            "-" if energy is None else _range(energy),
        )
    console.print(table)
    if len(report["classes"]) > 1:
        _print_classes(console, report)
    if any(way["draft"] for way in ways):
        _print_drafts(console, ways)
    for way in ways:
        if way["draft"] and way["flaw"]:
            console.print(f"[bold]doubtful[/]: the profile of {title(way['name'])}: {escape(way['flaw'])}")
    for name, why in report["refused"].items():
        console.print(f"[bold]refused[/]: {title(name)}: {escape(why)}")
    console.print(f"\n[bold]choice: {title(report['choice'])}[/], because {escape(report['reason'])}")


def print_verified(report: Figures) -> None:
    """Predicted beside measured."""
    console = Console(highlight=False, soft_wrap=True)
    table = table_of("draft model", "times", "range", "measured", "range ", "off", "diff")
    for way in report["ways"]:
        table.add_row(
            title(way["name"]),
            number(way["predicted"]["value"]),
            _range(way["predicted"]),
            number(way["measured"]["value"]),
            _range(way["measured"]),
            f"{way['off']:+.1%}",
            str(way["mismatches"]),
        )
    console.print("\nPredicted, and run for real, taking turns; diff: answers that differ from the target's alone:")
    console.print(table)
    for each in report["inversions"]:
        excuse = "beyond the ranges" if each["beyond"] else "within the ranges"
        console.print(f"{title(each['faster'])} was predicted to beat {title(each['slower'])} and did not ({excuse})")


def title(name: str) -> str:
    """Of a way, for a table: of a path, the file's name."""
    return escape(_TITLES.get(name) or PurePath(name).name)


def _print_classes(console: Console, report: Figures) -> None:
    classes = report["classes"]
    table = table_of("draft model", *(each[:SHORT] for each in classes))
    for way in report["ways"]:
        table.add_row(title(way["name"]), *(number(way["classes"][klass]["value"]) for klass in classes))
    console.print("\ntimes, by class:")
    console.print(table)


def _print_drafts(console: Console, ways: list[Figures]) -> None:
    table = table_of("draft model", "right", "x2", "x3", "pass ms", "of", "form", "verdict")
    for way in ways:
        said = way["draft"]
        if said:
            shares = [number(said["by_place"][place], "{:.0%}") for place in range(_PLACES)]
            table.add_row(
                title(way["name"]),
                *shares,
                number(way["pass_ms"], "{:.1f}"),
                number(way["target_pass_ms"], "{:.1f}"),
                "unused" if way["form"] is None else way["form"],
                way["verdict"],
            )
    console.print(
        "\nright: how often the draft's choice is the target's; x2, x3: two, three in a row; pass ms, of: a pass over "
        "one\nrow, and the target's; form: what -O2 makes of it; verdict: whether -O2 is faster with it than without."
    )
    console.print(table)


def _range(each: Mapping[str, float]) -> str:
    return f"{each['low']:.2f}-{each['high']:.2f}"
