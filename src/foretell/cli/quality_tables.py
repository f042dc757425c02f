"""The table of `foretell lab quality`, and what it allows to say."""

from collections.abc import Mapping
from typing import Any

from foretell.cli.render import number


def print_report(found: Mapping[str, Any]) -> None:
    """A row per configuration, then the comparisons in words."""
    from rich.console import Console

    from foretell.cli.tables import table_of
    from foretell.lab.quality.report import equality_in_words

    console = Console(highlight=False, soft_wrap=True)
    configurations: Mapping[str, Any] = found["configurations"]
    if not configurations:
        console.print("There is no question that all configurations have answered.")
        return
    names = [each["name"] for each in next(iter(configurations.values()))["estimates"]]
    table = table_of("who", *(column for name in names for column in (name, "95 %")), "tokens", "tok/s", "all s", "cut")
    for name, its in configurations.items():
        cells = [cell for each in its["estimates"] for cell in _estimate(each, its["right"], found["items"])]
        table.add_row(
            name,
            *cells,
            str(its["tokens"]),
            number(its["tokens_per_s"], "{:.1f}"),
            number(its["response_s"]),
            str(its["cut_off"]),
        )
    console.print(f"{found['task']}, {found['items']} items, {found['model']}")
    console.print(table)
    for each in found["same"]:
        console.print(equality_in_words(each, found["items"]))
    equal = {(each["mine"], each["theirs"]) for each in found["same"] if not each["unequal"]}
    for each in found["comparisons"]:
        if (each["mine"], each["theirs"]) not in equal:
            console.print(each["words"])


def _estimate(each: Mapping[str, Any], right: int | None, items: int) -> tuple[str, str]:
    value = f"{each['value']:.1f}" if right is None else f"{right}/{items} {each['value']:.1f} %"
    return value, f"{each['low']:.1f}-{each['high']:.1f}"
