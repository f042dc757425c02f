"""Tables of speeds as they stand in the README."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from foretell.cli.render import number

Figures = Mapping[str, Any]


def speeds(found: Figures) -> str:
    """A table of what `foretell bench suite` or `pipelines` found, and a line that says what was measured where.

    Tokens per second of all configurations, and of ours in relation to each rival's best; without rivals, of the
    reference, and ratios to it.
    """
    configurations: dict[str, Mapping[str, Figures]] = dict(found["configurations"])
    rivals = [each["name"] for each in found.get("peers", ())]
    columns = _beside_rivals(configurations, rivals) if rivals else _ratios(configurations, found)
    classes = list(next(iter(configurations.values()), ()))
    rows = [[klass, *(cell[klass] for cell in columns.values())] for klass in classes]
    if rows:
        rows[-1][0] = f"**{rows[-1][0]}**"
    lines = [["class", *columns], ["---"] * (1 + len(columns)), *rows]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", _about(found)])


Column = dict[str, str]  # class → cell


def _beside_rivals(configurations: Mapping[str, Mapping[str, Figures]], rivals: Sequence[str]) -> dict[str, Column]:
    """Speeds of all; then, for each rival, ours by the fastest of its ways in each class, and by response times."""
    columns = {name: _column(its, "tokens_per_s", "{:.1f}") for name, its in configurations.items()}
    ours = [name for name in configurations if _rival(name, rivals) is None][-1]
    for rival in rivals:
        theirs = [its for name, its in configurations.items() if _rival(name, rivals) == rival]
        faster: Column = {}
        sooner: Column = {}
        for klass, mine in configurations[ours].items():
            rates = [each[klass]["tokens_per_s"] for each in theirs if each[klass]["tokens_per_s"]]
            times = [each[klass]["response_s"] for each in theirs if each[klass]["response_s"]]
            faster[klass] = number(mine["tokens_per_s"] / max(rates) if rates and mine["tokens_per_s"] else None)
            sooner[klass] = number(mine["response_s"] / min(times) if times else None)
        columns[f"{ours} / best {rival}"] = faster
        columns[f"response time, {ours} / best {rival}"] = sooner
    return columns


def _ratios(configurations: Mapping[str, Mapping[str, Figures]], found: Figures) -> dict[str, Column]:
    """The reference's speed, the others' ratios to it, and what levels reach of the best fixed pipeline."""
    first, *others = configurations
    columns = {first: _column(configurations[first], "tokens_per_s", "{:.1f}")}
    columns |= {name: _column(configurations[name], "ratio", "{:.2f}") for name in others}
    for name, its in found.get("levels_against_best", {}).items():
        columns[f"{name} / best fixed"] = {klass: number(each) for klass, each in its.items()}
    return columns


def _column(its: Mapping[str, Figures], name: str, form: str) -> Column:
    return {klass: number(figures[name], form) for klass, figures in its.items()}


def _rival(configuration: str, rivals: Sequence[str]) -> str | None:
    return next((rival for rival in rivals if configuration.startswith(f"{rival} ")), None)


def _about(found: Figures) -> str:
    draft = f" with {found['draft']}" if found["draft"] else ""
    prompts = max((each["prompts"] for its in found["configurations"].values() for each in its.values()), default=0)
    how = "greedy" if not found["temperature"] else f"temperature {found['temperature']}"
    versions = "".join(f"; {each['name']}: {each['version']}" for each in found.get("peers", ()))
    date = datetime.now(UTC).date()
    return (
        f"{found['model']}{draft}, {found['machine']}, {date}; {prompts} prompts, {how}, up to {found['max_tokens']} "
        f"tokens{versions}."
    )
