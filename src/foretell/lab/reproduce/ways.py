"""Which of the papers' methods a row was made by: read from its pipeline, whatever its configuration is called."""

from dataclasses import dataclass
from functools import cache
from typing import Literal

from foretell.ir.ops import Accept, Defer, Draft
from foretell.ir.text import parse
from foretell.lab.experiment.rows import ALONE, Row
from foretell.passes.rewrite import of_kind

Method = Literal["alone", "sampling", "chain", "staged", "copy", "cascade", "chow"]


@dataclass(frozen=True, slots=True, order=True)
class Way:
    """A method with its settings. width: most guesses of a round. knob: α of `cascade`, the threshold of `chow`."""

    method: Method
    width: int = 0
    knob: float = 0.0


def way(row: Row) -> Way | None:
    """The row's; None where it is none of these."""
    return Way("alone") if row.level == ALONE else None if row.level else _way(row.pipeline)


@cache
def _way(text: str) -> Way | None:
    pipeline = parse(text)
    drafts, defers = of_kind(pipeline, Draft), of_kind(pipeline, Defer)
    (accept,) = of_kind(pipeline, Accept)
    if len(drafts) != 1 or drafts[0].paced:
        return None
    draft, rule = drafts[0], accept.rule
    plain = not (draft.stop or draft.siblings or draft.prompt or draft.vocabulary or draft.precision)
    if draft.source == "copy" and rule == "coupled":
        return Way("copy", draft.width)
    if draft.source != "model" or not plain:
        return None
    if defers:
        return Way("chow", draft.width, defers[0].threshold) if defers[0].rule == "chow" else None
    match rule, draft.law, draft.inner:
        case "reject", "sampled", "":
            return Way("sampling", draft.width)
        case "coupled", "coupled", "":
            return Way("chain", draft.width)
        case "coupled", "coupled", _:
            return Way("staged", draft.width)
        case "cascade", "sampled", "":
            return Way("cascade", draft.width, accept.alpha or 0.0)
    return None
