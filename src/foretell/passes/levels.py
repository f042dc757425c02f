"""What -O0 to -O3 and -Oe do (DESIGN.md, section 6). All of them are exact."""

from dataclasses import replace
from typing import Final

from foretell.cost.facts import Facts
from foretell.cost.joules import in_joules
from foretell.cost.price import price
from foretell.errors import UsageError
from foretell.ir.ops import Accept, Commit, Draft, Pipeline, Verify
from foretell.ir.presets import load
from foretell.passes.accompany import Accompany
from foretell.passes.approximate import Approximate
from foretell.passes.canonicalise import Canonicalise
from foretell.passes.drop_sources import DropSources
from foretell.passes.manager import Pass, Trace, run
from foretell.passes.order import Order
from foretell.passes.pace import Pace
from foretell.passes.prompt import Prompt
from foretell.passes.rule import ChooseRule
from foretell.passes.search import search, searched
from foretell.passes.share import Share
from foretell.passes.stage import Stage
from foretell.passes.widths import Widths

SPEED: Final = ("O0", "O1", "O2", "O3")
LEVELS: Final = (*SPEED, "Oe")
FREE: Final[tuple[Pass, ...]] = (
    Canonicalise(), Share(), Widths(), Order(), Pace(models=False), DropSources(), Widths(), Accompany(),
    ChooseRule(),
)  # fmt: skip
DRAFT: Final[tuple[Pass, ...]] = (Stage(), Approximate(), Prompt(), Widths(), Pace())


def level(name: str, *, draft: str | None, facts: Facts) -> Trace:
    """The pipeline of an optimisation level, and how it came about.

    O0: the target alone. O1: free sources that can pay, paced. O2: also the draft model, staged, approximated and
    paced. O3: whatever a search finds to be best, trees included. Oe: as O2, for the least joules.

    Args:
        name: one of LEVELS.
        draft: the draft model, or None when there is none.
        facts: what passes decide by.

    Raises:
        ForetellError: there is no such level, or the draft model was not measured.
    """
    check_level(name)
    plain = load("plain")
    if draft is not None:
        facts.model(draft)
    if name == "Oe":
        facts = in_joules(facts)
    match name:
        case "O0":
            return Trace(plain, price(plain, facts))
        case "O2" | "Oe" if draft is not None:
            return run(replace(chain(draft), name=name), (*DRAFT, *FREE), facts)
        case "O1" | "O2" | "Oe":
            return run(replace(plain, name=name), FREE, facts)
        case "O3":
            lower = [level(each, draft=draft, facts=facts).pipeline for each in ("O1", "O2")]
            found = search(draft=draft, facts=facts, also=lower)
            best = searched(Trace(plain, price(plain, facts)), found, facts)
            return replace(best, steps=(*best.steps, *run(best.pipeline, (Accompany(),), facts).steps))
        case _:
            raise AssertionError(name)  # see check_level


def check_level(name: str) -> None:
    """Raise UsageError when there is no level of this name."""
    if name not in LEVELS:
        raise UsageError(f"there is no level {name!r}; there are {', '.join(LEVELS)}")


def chain(draft: str) -> Pipeline:
    """A draft model's chain, where O2 begins."""
    guesses = Draft("g", "model", width=5, law="coupled", of=draft)
    return Pipeline("O2", (guesses, Verify("v", "g"), Accept("a", "v"), Commit("a")))
