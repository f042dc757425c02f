"""Tables of what `foretell replay` and `foretell bench policies` found out about policies."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from foretell.cli.render import number
from foretell.cli.tables import Figures, halves_table, table_of

SHORT = 5  # letters of a class in a heading


def print_policies(report: Figures) -> None:
    """Speeds, one row per policy and one column per class; all figures over all classes; the best fixed ones."""
    policies: Mapping[str, Figures] = report["policies"]
    classes = list(next(iter(policies.values()))["classes"])
    speeds, over_all = (
        table_of("policy", *map(_short, classes)),
        table_of("policy", "speed", "answer", "of oracle", "/round", "kept", "slower", "worst s", "late s"),
    )
    for name, its in policies.items():
        overall = its["classes"]["overall"]
        speeds.add_row(name, *(number(its["classes"][klass]["ratio"]) for klass in classes))
        over_all.add_row(
            name,
            number(overall["ratio"]),
            number(overall["response_ratio"]),
            number(its["of_oracle"], "{:.0%}"),
            number(overall["tokens_per_round"]),
            number(its["acceptance"], "{:.0%}"),
            str(its["slower"]),
            number(its["worst_s"], "{:+.2f}"),
            number(its.get("late_s"), "{:+.2f}"),
        )
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"Speed by that of plain, {report['texts']} texts:")
    console.print(speeds)
    console.print(
        "\nOver all classes. answer: as speed, of response times. slower: answers beyond 1.02 times plain's time and "
        "60 ms; worst s: the most that one is; late s: as if answers could have ended at any token."
    )
    console.print(over_all)
    _print_best(console, report)


def print_texts(report: Figures) -> None:
    """Speeds, one row per text and one column per policy."""
    policies: Mapping[str, Figures] = report["policies"]
    table = table_of("text", *policies)
    for text in next(iter(policies.values()))["classes"]:
        table.add_row(text, *(number(its["classes"][text]["ratio"]) for its in policies.values()))
    console = Console(highlight=False, soft_wrap=True)
    console.print("Speed by that of plain:")
    console.print(table)


def _print_best(console: Console, report: Figures) -> None:
    """The best fixed policy of each class, chosen on one half and timed on the other, and what adapts by it."""
    best: Mapping[str, Figures] = report["best_fixed"]
    console.print(f"\nBest fixed policy, chosen on half of a class's texts; best of all: {report['best_single']}.")
    console.print(halves_table(best, {}))
    if any(its["ratio"] is None for its in best.values()):
        console.print("A class with a single text has no halves.")
        return
    others = table_of("by the best fixed", *map(_short, best))
    for name, its in report["against_best"].items():
        others.add_row(name, *(number(its[klass]) for klass in best))
    console.print()
    console.print(others)


def print_changes(changes: Mapping[str, Figures]) -> None:
    """One row per policy."""
    table = table_of(
        "policy", "changes", "median rounds", "most", "within 5", "within 60", "in time", "never", "of best"
    )
    for name, its in changes.items():
        table.add_row(
            name,
            str(its["changes"]),
            number(its["median_rounds"], "{:g}"),
            number(its["most_rounds"], "{:g}"),
            str(its["within_5"]),
            str(its["within_60"]),
            str(its["in_time"]),
            str(its["never"]),
            number(its["share"]),
        )
    console = Console(highlight=False, soft_wrap=True)
    console.print("Rounds behind a change of text until the rest comes at 90 % of the best fixed speed:")
    console.print(table)


def print_checked(checked: Mapping[str, Figures]) -> None:
    """One row per policy."""
    table = table_of("policy", "texts", "other rounds", "real s", "replay s", "off", "off by plain")
    for name, its in checked.items():
        table.add_row(
            name,
            str(its["texts"]),
            str(its["differing"]),
            number(its["real_s"]),
            number(its["replay_s"]),
            number(its["off"], "{:+.1%}"),
            number(its["off_relative"], "{:+.1%}"),
        )
    Console(highlight=False, soft_wrap=True).print(table)


def print_refused(refused: Mapping[str, Any]) -> None:
    """One line per policy."""
    console = Console(highlight=False, soft_wrap=True)
    for name, why in refused.items():
        console.print(f"not scored: {name} ({why})", markup=False)


def _short(klass: str) -> str:
    """A class as a heading.

    >>> _short("translation"), _short("overall")
    ('trans', 'all')
    """
    return "all" if klass == "overall" else klass[:SHORT]
