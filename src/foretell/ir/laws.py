"""Which acceptance rule is sound for which guesses, and the class of text that it then gives (DESIGN.md, section 6)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, get_args

from foretell.ir.ops import ACCEPT_RULES, Class, Law

LAWS: Final[tuple[Law, ...]] = get_args(Law)
CLASSES: Final[tuple[Class, ...]] = get_args(Class)  # from the strongest promise to the weakest

_COMPARING: Final = ("greedy", "coupled")  # keep a guess when it is the token that the target chose by itself
_DRAWN: Final[dict[str, Class]] = {  # rules for chains of `sampled`
    "reject": "distribution",
    "block": "distribution",
    "mix": "lossy",
    "cascade": "lossy",
}
_WHY_NOT: Final = {
    "point": "they are chosen without chance, so there is no q to weigh p against",
    "coupled": "they were drawn with the target's own noise, which is no draw from q once p is known",
    "sampled": "siblings that are drawn on their own may be equal",
    "without_replacement": "what a sibling is drawn from depends on those before it",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A rule does not fit the guesses. reason: why, and what would."""

    reason: str


def judge(rule: str, law: Law, *, chain: bool, pruned: bool, deferred: bool = False) -> Class | Refusal:
    """The class of the text when guesses of this kind are accepted by this rule, or why they must not be.

    | rule | sound for | class |
    | --- | --- | --- |
    | greedy, coupled | any law, any tree | exact |
    | reject | a chain of `sampled`, any tree of `point` | distribution |
    | block | a chain of `sampled` | distribution |
    | multi | a tree of `without_replacement` | distribution |
    | mix, cascade | a chain of `sampled` | lossy |
    | keep | what comes from `defer`, which takes no other rule | lossy |

    Args:
        rule: of the `accept`.
        law: how the guesses were drawn.
        chain: each guess follows the one before it.
        pruned: drawn guesses were dropped or preferred for their q, or merged with others, so that they are no draws
            from q any more. Only comparing with the target's own choice is then sound. It is no pruning to end a chain
            behind a guess for its q, or to draw siblings where q is flat: whether there is a next draw depends on its
            ancestors alone, and what was drawn stays.
        deferred: they come from `defer`.
    """
    if rule not in ACCEPT_RULES:
        return Refusal(f"there is no rule {rule!r}; there are {', '.join(ACCEPT_RULES)}")
    if deferred or rule == "keep":
        if deferred and rule == "keep":
            return "lossy"
        return Refusal("guesses from defer are final: their rule is keep, and keep is for nothing else")
    if rule in _COMPARING:
        return "exact"
    if pruned:
        return Refusal(f"{rule} needs all guesses as they were drawn, and merge selects among them: use coupled")
    if rule == "reject" and law == "point":
        return "distribution"
    if rule == "multi":
        needs = Refusal(f"multi is for guesses of law without_replacement; these are of law {law}")
        return "distribution" if law == "without_replacement" else needs
    if law != "sampled" or not chain:
        form = "a chain of law sampled" + (", or law point" if rule == "reject" else "")
        shape = "chain" if chain else "tree"
        return Refusal(f"{rule} is for {form}; these guesses are a {shape} of law {law}: {_WHY_NOT[law]}")
    return _DRAWN[rule]


def weakest(classes: Iterable[Class]) -> Class:
    """The class of a whole whose parts have these classes; `exact` without any."""
    return max(classes, key=CLASSES.index, default="exact")
