"""Every policy by its name."""

from dataclasses import replace
from typing import Final

from foretell.cost.facts import Facts
from foretell.errors import UsageError
from foretell.ir import presets
from foretell.lab.policies import fixed
from foretell.lab.policies.bandit import Lengths, Sources
from foretell.lab.policies.closed_form import ClosedForm
from foretell.lab.policies.hugging_face import Confidence, Heuristic
from foretell.lab.policies.llama_cpp import PMin
from foretell.lab.policies.lookup_then_model import LookupThenModel
from foretell.lab.policies.policy import Fixed, Policy
from foretell.lab.policies.specdec import SpecDec
from foretell.passes.levels import LEVELS
from foretell.runtime.choose import choose

OURS: Final = "O2"  # adapts by default
REFERENCE: Final = "plain"


def fixed_set(*, drafting: bool) -> list[Policy]:
    """What ours is compared with: plain, lookup, model and lookup-then-model of 1 to 8 guesses, shipped trees."""
    out: list[Policy] = [fixed.plain(), *(fixed.lookup(n) for n in fixed.LENGTHS)]
    if drafting:
        out += [fixed.model(n) for n in fixed.LENGTHS]
        out += [LookupThenModel(n) for n in fixed.LENGTHS]
    return out + [each for each in fixed.shipped() if drafting or not each.drafts]


def baselines() -> list[Policy]:
    """Rules of others that decide while they run."""
    return [
        Heuristic(),
        Confidence(),
        PMin(),
        ClosedForm(),
        SpecDec(),
        SpecDec(0.7),
        Sources(),
        Sources("exp3"),
        Lengths(),
    ]


def levels(facts: Facts, names: tuple[str, ...] = ("O1", "O2")) -> list[Policy]:
    """What levels come to by these facts."""
    return [Fixed(name, replace(choose(name, facts), name=name)) for name in names]


def named(name: str, facts: Facts) -> Policy:
    """The policy of this name: of the fixed set, a baseline, a level, or a preset. UsageError when there is none."""
    known = {each.name: each for each in (*fixed_set(drafting=True), *baselines())}
    if name in known:
        return known[name]
    if name in LEVELS:
        return levels(facts, (name,))[0]
    if name in presets.names():
        return Fixed(name, presets.load(name))
    raise UsageError(f"there is no policy {name!r}: choose {OURS}, another level, a preset, or of {', '.join(known)}")


def everything(facts: Facts) -> list[Policy]:
    """All of them that a table has: the fixed set, the baselines that these models can run, ours."""
    drafting = bool(facts.models)
    return [*fixed_set(drafting=drafting), *(each for each in baselines() if drafting), *levels(facts)]
