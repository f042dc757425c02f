"""The acceptance rules by name."""

from foretell.accept.block import accept as block
from foretell.accept.cascade import accept as cascade
from foretell.accept.coupled import accept as coupled
from foretell.accept.greedy import accept as greedy
from foretell.accept.keep import accept as keep
from foretell.accept.mix import accept as mix
from foretell.accept.multi import accept as multi
from foretell.accept.reject import accept as reject
from foretell.accept.rule import Rule
from foretell.errors import UsageError

PLAIN: dict[str, Rule] = {
    "greedy": greedy,
    "coupled": coupled,
    "reject": reject,
    "block": block,
    "multi": multi,
    "keep": keep,
}
NAMES = (*PLAIN, "mix", "cascade")


def make(rule: str, *, epsilon: float = 0.0, alpha: float = 0.0) -> Rule:
    """An acceptance rule.

    Args:
        rule: one of NAMES.
        epsilon: knob of `mix`: most total variation per token; above 0, at most 1.
        alpha: knob of `cascade`: what a rejection costs; above 0, at most 1.

    Raises:
        UsageError: no such rule, or a lossy rule whose knob is out of range.
    """
    match rule:
        case "mix":
            return mix(_knob(rule, "epsilon", epsilon))
        case "cascade":
            return cascade(_knob(rule, "alpha", alpha))
        case _ if rule in PLAIN:
            return PLAIN[rule]
    raise UsageError(f"unknown acceptance rule {rule!r}: choose one of {', '.join(NAMES)}")


def _knob(rule: str, name: str, value: float) -> float:
    if 0 < value <= 1:
        return value
    raise UsageError(f"rule {rule} has {name}={value:g}: it must be above 0 and at most 1")
