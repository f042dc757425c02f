"""What a run found out: figures by configuration, comparisons, and whether exact ones gave equal answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any, Final

from foretell.lab.quality.items import Item
from foretell.lab.quality.measures import Comparison, Measure
from foretell.lab.quality.record import Answer
from foretell.lab.suite import Prompt, Run
from foretell.lab.summary import tokens_per_s

_SHOWN_IDS: Final = 5


@dataclass(frozen=True, slots=True)
class Side:
    """A configuration with its answers. exact: whether it promises the answers of the target alone."""

    name: str
    target: str
    exact: bool
    answers: Mapping[str, Answer]  # by id


def report(items: Sequence[Item], measures: Sequence[Measure], sides: Sequence[Side]) -> dict[str, Any]:
    """The figures by stable names, of the items that all sides have answered. The last sides are compared against.

    `comparisons` are of the first side with each other one; `same` are of those among them that promise equal answers;
    `broken` are the names of exact configurations that broke the promise.
    """
    common = [each for each in items if all(each.id in side.answers for side in sides)]
    out: dict[str, Any] = {"items": len(common), "configurations": {}, "comparisons": [], "same": [], "broken": []}
    if not common:
        return out
    for side in sides:
        out["configurations"][side.name] = _figures(common, measures, side)
    mine, *others = sides
    for other in others:
        for measure in measures:
            found = measure.compare(common, _verdicts(common, mine), _verdicts(common, other))
            words = in_words(found, mine.name, other.name)
            out["comparisons"].append({"mine": mine.name, "theirs": other.name, **found.to_json(), "words": words})
        if mine.exact and other.exact and mine.target == other.target:
            unequal = differing(common, mine, other)
            out["same"].append({"mine": mine.name, "theirs": other.name, "unequal": unequal})
            out["broken"] += [mine.name] if unequal else []
    return out


def differing(items: Sequence[Item], mine: Side, other: Side) -> list[str]:
    """Ids of the items to which two sides gave other tokens."""
    return [each.id for each in items if mine.answers[each.id].result.tokens != other.answers[each.id].result.tokens]


def in_words(found: Comparison, mine: str, theirs: str) -> str:
    """A sentence that says what a comparison allows to say."""
    chance = f"p = {found.p:.2g}" if found.p >= 0.001 else "p < 0.001"
    between = "" if found.low is None or found.high is None else f", between {found.low:+.1f} and {found.high:+.1f}"
    test = f"({found.why}, {chance})"
    if not found.significant:
        none = f"no significant difference in {found.name} between {mine} and {theirs}"
        return f"{none}: {found.difference:+.1f}{between} {test}"
    better, worse = (mine, theirs) if found.difference > 0 else (theirs, mine)
    return f"{better} is better than {worse} in {found.name}: {found.difference:+.1f}{between} for {mine} {test}"


def equality_in_words(same: Mapping[str, Any], items: int) -> str:
    """A sentence about two exact configurations."""
    mine, theirs, unequal = same["mine"], same["theirs"], same["unequal"]
    if not unequal:
        return f"{mine} and {theirs} gave equal answers, token by token, to all {items} items, as exact levels must"
    some = ", ".join(unequal[:_SHOWN_IDS]) + (", ..." if len(unequal) > _SHOWN_IDS else "")
    return f"{mine} and {theirs} are exact but gave other answers to {len(unequal)} of {items} items: {some}"


def _figures(items: Sequence[Item], measures: Sequence[Measure], side: Side) -> dict[str, Any]:
    verdicts, results = _verdicts(items, side), [side.answers[each.id].result for each in items]
    rated = [each.right for each in verdicts if each.right is not None]
    return {
        "estimates": [each.estimate(items, verdicts).to_json() for each in measures],
        "right": sum(rated) if rated else None,
        "tokens": sum(len(each.tokens) for each in results),
        "tokens_per_s": tokens_per_s(Run(Prompt("", "", ""), side.name, each) for each in results),
        "response_s": mean(each.response_s for each in results),
        "cut_off": sum(each.finish == "length" for each in results),
        "exact": side.exact,
    }


def _verdicts(items: Sequence[Item], side: Side) -> list[Any]:
    return [side.answers[each.id].verdict for each in items]
