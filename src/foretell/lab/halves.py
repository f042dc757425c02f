"""The best of several configurations, without judging it by the prompts that it was chosen on.

A class's prompts are cut into two halves. What is fastest on one half is timed on the other, and the other way round.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from foretell.lab.suite import Run
from foretell.lab.summary import OVERALL, geometric_mean, medians, ratio, tokens_per_s

Rates = Mapping[str, float | None]  # configuration → tokens per second


def halves(runs: Iterable[Run]) -> dict[str, tuple[Rates, Rates]]:
    """Class → speeds on its halves a and b: every other prompt, by id."""
    runs = medians(runs)
    out: dict[str, tuple[Rates, Rates]] = {}
    for klass in sorted({run.prompt.klass for run in runs}):
        mine = [run for run in runs if run.prompt.klass == klass]
        prompts = sorted({run.prompt for run in mine}, key=lambda prompt: (prompt.id, prompt.text))
        a, b = (_rates([run for run in mine if run.prompt in prompts[i::2]]) for i in (0, 1))
        out[klass] = a, b
    return out


def best_fixed(by_class: Mapping[str, tuple[Rates, Rates]], names: Sequence[str], reference: str) -> dict[str, Any]:
    """Class → the fastest of these names, and its speed in relation to the reference's.

    name_half_a: what is fastest on half a; ratio_half_b: its ratio on half b, where it was not chosen. name_half_b,
    ratio_half_a: the other way round. ratio: geometric mean of both. All None for a class with a single prompt. The
    class `overall` has the geometric mean of the ratios.
    """
    out: dict[str, Any] = {}
    for klass, (a, b) in by_class.items():
        from_a, from_b = _fastest(a, names), _fastest(b, names)
        on_b, on_a = _ratio(b, from_a, reference), _ratio(a, from_b, reference)
        out[klass] = {
            "name_half_a": from_a if b else None,
            "name_half_b": from_b,
            "ratio_half_a": on_a,
            "ratio_half_b": on_b,
            "ratio": geometric_mean([on_a, on_b]),
        }
    return out | {OVERALL: {"ratio": geometric_mean(each["ratio"] for each in out.values())}}


def against_best(by_class: Mapping[str, tuple[Rates, Rates]], name: str, names: Sequence[str]) -> dict[str, Any]:
    """Class → a configuration's speed by that of the fastest of `names`, which is chosen on the other half.

    The geometric mean of both halves; the class `overall` has that of the classes.
    """
    ratios = {
        klass: geometric_mean([_ratio(b, name, _fastest(a, names)), _ratio(a, name, _fastest(b, names))])
        for klass, (a, b) in by_class.items()
    }
    return ratios | {OVERALL: geometric_mean(ratios.values())}


def _rates(runs: Sequence[Run]) -> Rates:
    names = dict.fromkeys(run.configuration for run in runs)
    return {name: tokens_per_s(run for run in runs if run.configuration == name) for name in names}


def _fastest(rates: Rates, names: Iterable[str]) -> str | None:
    known = {name: rate for name in names if (rate := rates.get(name)) is not None}
    return max(known, key=lambda name: known[name]) if known else None


def _ratio(rates: Rates, name: str | None, base: str | None) -> float | None:
    return None if name is None or base is None else ratio(rates.get(name), rates.get(base))
