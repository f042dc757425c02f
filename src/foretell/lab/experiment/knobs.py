"""Settings of a pipeline that a plan turns: ε of `mix`, α of `cascade`, thresholds, widths."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from itertools import product
from typing import Any, Final

from foretell.errors import ForetellError
from foretell.ir.ops import Accept, Defer, Draft, Merge, Pipeline, Route, Statement
from foretell.lab.experiment.fields import listed, nearest

Value = float | str
Knobs = Mapping[str, Value]
_FIXED: Final = ("name", "source", "of", "law", "inner", "proposal", "proposals", "scores", "small", "paced")
_STATEMENTS: Final[tuple[type[Statement], ...]] = (Accept, Defer, Route, Draft, Merge)
NAMES: Final = tuple(
    dict.fromkeys(each.name for kind in _STATEMENTS for each in fields(kind) if each.name not in _FIXED)
)


def turned(pipeline: Pipeline, knobs: Knobs) -> Pipeline:
    """The pipeline with its knobs set, in every statement that has one of the name. It is not checked.

    Raises:
        ForetellError: no statement has such a knob, or the value is of another type.
    """
    out = pipeline
    for name, value in knobs.items():
        if name not in NAMES:
            raise ForetellError(f"there is no knob {name!r}{nearest(name, NAMES)}; {listed(NAMES)}")
        changed = tuple(_turned(each, name, value) for each in out.statements)
        if not any(_has(each, name) for each in out.statements):
            raise ForetellError(f"the pipeline {pipeline.name} has no statement with a {name}")
        out = replace(out, statements=changed)
    return out


def grid(choices: Mapping[str, Sequence[Value]]) -> Iterator[dict[str, Value]]:
    """Every combination.

    >>> list(grid({"alpha": [0.1, 0.2], "width": [4]}))
    [{'alpha': 0.1, 'width': 4}, {'alpha': 0.2, 'width': 4}]
    """
    for values in product(*choices.values()):
        yield dict(zip(choices, values, strict=True))


def words(knobs: Knobs) -> str:
    """As they stand in a configuration's name.

    >>> words({"alpha": 0.1, "width": 4})
    ' alpha=0.1 width=4'
    """
    return "".join(
        f" {name}={value:g}" if not isinstance(value, str) else f" {name}={value}" for name, value in knobs.items()
    )


def _has(statement: Statement, name: str) -> bool:
    if isinstance(statement, Accept) and name in ("epsilon", "alpha"):  # a rule has one of the two at most
        return {"mix": "epsilon", "cascade": "alpha"}.get(statement.rule) == name
    if isinstance(statement, Accept) and name == "rule":  # that would be another pipeline
        return False
    return name not in _FIXED and any(each.name == name for each in fields(statement))


def _turned(statement: Statement, name: str, value: Value) -> Statement:
    if not _has(statement, name):
        return statement
    now = getattr(statement, name)
    if isinstance(now, str) != isinstance(value, str) or (isinstance(now, int) and value != int(value)):
        raise ForetellError(f"the knob {name} is {value!r}; expected something like {now!r}")
    changes: dict[str, Any] = {name: int(value) if isinstance(now, int) else value}
    return replace(statement, **changes)
