"""The table at the end of `foretell lab run`, and what is to be said beside it."""

from collections.abc import Mapping
from typing import Any

from foretell.cli.render import number


def print_figures(found: Mapping[str, Any]) -> None:
    """A row per suite and configuration, then what is missing or wrong, and how to get the report."""
    from rich.console import Console

    from foretell.cli.tables import table_of

    console = Console(highlight=False, soft_wrap=True)
    table = table_of("suite", "who", "answers", "tok/s", "all s", "cpu s", "J", "kept", "score")
    table.columns[1].justify = "left"
    before = None
    for its in found["figures"]:
        table.add_row(
            its["suite"] if its["suite"] != before else "",
            its["configuration"] + ("" if its["promise"] == "exact" else f" ({its['promise']})"),
            str(its["answers"]),
            number(its["tokens_per_s"], "{:.1f}"),
            number(its["response_s"]),
            number(its["processor_s"]),
            number(its["joules"], "{:.1f}" if its["joules_kind"] == "measured" else "~{:.1f}"),
            number(its["acceptance"], "{:.0%}"),
            number(its["score"], "{:.0%}"),
        )
        before = its["suite"]
    console.print(f"{found['plan']}, {found['answers']} of {found['planned']} answers, {found['machine']}")
    if found["figures"]:
        console.print(table)
        if any(its["joules_kind"] == "modelled" for its in found["figures"]):
            console.print("~: modelled, see docs/energy.md. Means per answer, of questions that all have answered.")
    else:
        console.print("There is no question yet that all configurations have answered.")
    if found["answers"] < found["planned"]:
        console.print("The time was up before all was asked: the same command goes on, --minutes gives it longer.")
    for its in found["unequal"]:
        console.print(f"{its['configuration']} is exact but gave other tokens than O0 to {its['id']} of {its['suite']}")
    console.print(f"The report: {found['report']}")
