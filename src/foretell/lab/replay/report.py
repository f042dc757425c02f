"""Figures of scored policies, per class of prompts."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, Final

from foretell.lab.halves import against_best, best_fixed, halves
from foretell.lab.policies.catalogue import REFERENCE
from foretell.lab.replay.change import FREE_ROUNDS, MODEL_ROUNDS, Settled
from foretell.lab.replay.oracle import NAME as ORACLE
from foretell.lab.replay.score import Scored
from foretell.lab.suite import Run
from foretell.lab.summary import OVERALL, Figures, accepted, geometric_mean, ratio, summarise

# "Never slower" by response time: at most this part of plain's, and so much for looking.
SLACK: Final = 1.02
SLACK_S: Final = 0.06


def report(runs: Sequence[Run], fixed: Sequence[str]) -> dict[str, Any]:
    """Figures by stable names, of policies that all have run the same texts, REFERENCE and perhaps ORACLE among them.

    policies: name → `classes` → class → the figures of `foretell.lab.summary.summarise` and `response_ratio`, the
    reference's response time by the policy's; `acceptance`, over all guesses; `of_oracle`: speed by the oracle's;
    `slower`: texts whose response takes more than SLACK times the reference's and SLACK_S; `worst_s`: the most that one
    exceeds that.
    best_fixed: class → the fastest of `fixed`, chosen on one half and timed on the other; `against_best`: every other
    policy beside these.
    """
    table = summarise(runs, REFERENCE)
    by_class = halves(runs)
    names = [name for name in table if name != ORACLE]
    present = [name for name in fixed if name in table]
    return {
        "texts": len({run.prompt for run in runs}),
        "policies": {name: _policy(name, table, runs) for name in table},
        "best_fixed": best_fixed(by_class, present, REFERENCE),
        "best_single": max(present, key=lambda name: table[name][OVERALL]["ratio"] or 0.0) if present else None,
        "against_best": {name: against_best(by_class, name, present) for name in names if name not in present},
    }


def _policy(name: str, table: Mapping[str, Mapping[str, Figures]], runs: Sequence[Run]) -> dict[str, Any]:
    reference, oracle = table[REFERENCE], table.get(ORACLE)
    classes = {
        klass: {**its, "response_ratio": ratio(reference[klass]["response_s"], its["response_s"])}
        for klass, its in table[name].items()
    }
    beyond = _beyond(name, runs)
    mine = [run.result for run in runs if run.configuration == name]
    guesses = sum(result.guessed for result in mine)
    return {
        "classes": classes,
        "acceptance": sum(map(accepted, mine)) / guesses if guesses else None,
        "of_oracle": None if oracle is None else ratio(table[name][OVERALL]["ratio"], oracle[OVERALL]["ratio"]),
        "slower": sum(each > 0 for each in beyond),
        "worst_s": max(beyond, default=None),
    }


def _beyond(name: str, runs: Iterable[Run]) -> list[float]:
    """By how much each response exceeds what "never slower" allows."""
    took = {(run.prompt, run.configuration): run.result.response_s for run in runs}
    mine = [(prompt, seconds) for (prompt, who), seconds in took.items() if who == name]
    return [seconds - SLACK * took[prompt, REFERENCE] - SLACK_S for prompt, seconds in mine]


def latest(mine: Sequence[Scored], reference: Sequence[Scored]) -> float:
    """The most by which a token of these texts, the same of both, comes later than "never slower" allows, in s.

    As if the answer could have ended at any token: less than 0 when none is late.
    """
    return max(
        ours - SLACK * alone - SLACK_S
        for one, other in zip(mine, reference, strict=True)
        for ours, alone in zip(one.played.ready_s, other.played.ready_s, strict=True)
    )


def changes(found: Sequence[Settled]) -> dict[str, Any]:
    """Policy → how soon it settled behind changes.

    changes; median_rounds, most_rounds: None where it never did; within_5, within_60: how many needed at most so many
    rounds; in_time: within 60 where the best fixed policy asks a draft model, else within 5; never; share: of the best
    fixed speed over all behind the change, geometric mean.
    """
    out: dict[str, Any] = {}
    for name in dict.fromkeys(each.policy for each in found):
        mine = [each for each in found if each.policy == name]
        rounds = [float("inf") if each.rounds is None else each.rounds for each in mine]
        middle = median(rounds)
        out[name] = {
            "changes": len(mine),
            "median_rounds": None if middle == float("inf") else middle,
            "most_rounds": None if max(rounds) == float("inf") else max(rounds),
            **{f"within_{most}": sum(each <= most for each in rounds) for most in (FREE_ROUNDS, MODEL_ROUNDS)},
            "in_time": sum(each.in_time for each in mine),
            "never": sum(each == float("inf") for each in rounds),
            "share": geometric_mean(each.share for each in mine),
        }
    return out
