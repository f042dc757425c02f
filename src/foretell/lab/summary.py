"""Figures per class of prompts, of the runs of a suite."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any, Final

from foretell.lab.suite import Prompt, Run
from foretell.runtime.events import Result

REFERENCE: Final = "plain"  # the configuration whose tokens are right, unless another one is named
OVERALL: Final = "overall"

Figures = dict[str, Any]
Table = dict[str, dict[str, Figures]]  # configuration → class → figures


def summarise(runs: Iterable[Run], reference: str = REFERENCE) -> Table:
    """Configuration → class → figures; the class `overall` holds geometric means over the classes, and sums of counts.

    Of repeats, the median times of each prompt count.

    tokens: sum. tokens_per_s: tokens after the first of all answers by their time. ratio: of that to the reference's.
    first_token_s, response_s: means. response_ratio, response_ratio_least: of prompts, how many times as fast as the
    reference they were answered (`paired`): geometric mean, and the least. tokens_per_round, acceptance: over all
    rounds and guesses.
    draft_passes_per_accepted: passes of draft models by guesses that were kept; overall over all of them.
    mismatches: answers with other tokens than the reference's, each repeat counted.
    """
    runs = list(runs)
    wrong = mismatched(runs, reference)
    middle, pairs = medians(runs), paired(runs, reference)
    names = sorted(dict.fromkeys(run.configuration for run in runs), key=lambda name: name != reference)
    table: Table = {}
    for name in names:
        mine = [run for run in middle if run.configuration == name]
        classes = sorted({run.prompt.klass for run in mine})
        figures = {klass: _figures([run for run in mine if run.prompt.klass == klass]) for klass in classes}
        for klass, its in figures.items():
            its["mismatches"] = sum(run.configuration == name and run.prompt.klass == klass for run in wrong)
            base = its if name == reference else table.get(reference, {}).get(klass, {})
            its["ratio"] = ratio(its["tokens_per_s"], base.get("tokens_per_s"))
            ratios = [each for prompt, each in pairs.get(name, {}).items() if prompt.klass == klass]
            its["response_ratio"], its["response_ratio_least"] = geometric_mean(ratios), min(ratios, default=None)
        table[name] = figures | {OVERALL: _overall(list(figures.values()), mine)}
    return table


def mismatched(runs: Sequence[Run], reference: str) -> list[Run]:
    """Those with other tokens than the reference's first answer to the prompt."""
    right: dict[Prompt, tuple[int, ...]] = {}
    for run in runs:
        if run.configuration == reference:
            right.setdefault(run.prompt, run.result.tokens)
    return [run for run in runs if run.result.tokens != right.get(run.prompt, run.result.tokens)]


def paired(runs: Iterable[Run], reference: str) -> dict[str, dict[Prompt, float]]:
    """Configuration → prompt → the reference's response time by its own in the same repeat: the median over repeats."""
    base: dict[tuple[Prompt, int], float] = {}
    others: dict[tuple[str, Prompt], list[tuple[int, float]]] = {}
    for run in runs:
        if run.configuration == reference:
            base[run.prompt, run.repeat] = run.result.response_s
        others.setdefault((run.configuration, run.prompt), []).append((run.repeat, run.result.response_s))
    out: dict[str, dict[Prompt, float]] = {}
    for (name, prompt), times in others.items():
        ratios = [base[prompt, repeat] / s for repeat, s in times if s > 0 and (prompt, repeat) in base]
        if ratios:
            out.setdefault(name, {})[prompt] = median(ratios)
    return out


def medians(runs: Iterable[Run]) -> list[Run]:
    """One run for each prompt and configuration: the median times of its repeats, and the counts of the middle one."""
    groups: dict[tuple[Prompt, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.prompt, run.configuration), []).append(run)
    return [_middle(group) for group in groups.values()]


def complete(runs: Iterable[Run], configurations: Iterable[str]) -> list[Run]:
    """The runs of prompts that all of these configurations have answered."""
    runs, wanted = list(runs), set(configurations)
    answered: dict[Prompt, set[str]] = {}
    for run in runs:
        answered.setdefault(run.prompt, set()).add(run.configuration)
    return [run for run in runs if run.configuration in wanted and answered[run.prompt] >= wanted]


def tokens_per_s(runs: Iterable[Run]) -> float | None:
    """Tokens after the first of all answers by their time; None when no answer has two."""
    results = [run.result for run in runs]
    timed = [(r.tokens_per_s, _decode_s(r)) for r in results if r.tokens_per_s is not None]
    total_s = sum(s for _, s in timed)
    return sum(rate * s for rate, s in timed) / total_s if total_s else None


def passes_per_accepted(runs: Iterable[Run]) -> float | None:
    """Passes of draft models by guesses that were kept, of whatever source; None when none was."""
    results = [run.result for run in runs]
    kept = sum(map(accepted, results))
    return sum(r.draft_passes for r in results) / kept if kept else None


def accepted(result: Result) -> float:
    """Guesses that were kept."""
    return (result.acceptance or 0) * result.guessed


def ratio(mine: float | None, base: float | None) -> float | None:
    """Of two figures, where both are there."""
    return mine / base if mine is not None and base else None


def geometric_mean(values: Iterable[float | None]) -> float | None:
    """Of the values that there are; 0 if one of them is 0."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return 0.0 if min(known) <= 0 else math.exp(sum(map(math.log, known)) / len(known))


def _middle(group: Sequence[Run]) -> Run:
    if len(group) == 1:
        return group[0]
    ordered = sorted(group, key=lambda run: run.result.response_s)
    middle = ordered[(len(ordered) - 1) // 2]
    results = [run.result for run in group]
    result = replace(
        middle.result,
        response_s=median(r.response_s for r in results),
        first_token_s=_median([r.first_token_s for r in results]),
        tokens_per_s=_median([r.tokens_per_s for r in results]),
    )
    return replace(middle, result=result)


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _decode_s(result: Result) -> float:
    return result.response_s - (result.first_token_s or 0)


def _figures(runs: Sequence[Run]) -> Figures:
    results = [run.result for run in runs]
    started = [r.first_token_s for r in results if r.first_token_s is not None]
    rounds = sum(r.rounds for r in results)
    guessed = sum(r.guessed for r in results)
    return {
        "prompts": len(runs),
        "tokens": sum(len(r.tokens) for r in results),
        "tokens_per_s": tokens_per_s(runs),
        "first_token_s": sum(started) / len(started) if started else None,
        "response_s": sum(r.response_s for r in results) / len(results),
        "tokens_per_round": sum((r.tokens_per_round or 0) * r.rounds for r in results) / rounds if rounds else None,
        "acceptance": sum(map(accepted, results)) / guessed if guessed else None,
        "draft_passes_per_accepted": passes_per_accepted(runs),
    }


def _overall(classes: Sequence[Mapping[str, Any]], runs: Sequence[Run]) -> Figures:
    counts = {name: sum(each[name] for each in classes) for name in ("prompts", "tokens", "mismatches")}
    names = ("tokens_per_s", "ratio", "first_token_s", "response_s", "response_ratio", "tokens_per_round", "acceptance")
    means = {name: geometric_mean([each[name] for each in classes]) for name in names}
    least = [each["response_ratio_least"] for each in classes if each["response_ratio_least"] is not None]
    return {
        **counts,
        **means,
        "response_ratio_least": min(least, default=None),
        "draft_passes_per_accepted": passes_per_accepted(runs),
    }
