"""Figures per suite and configuration, for the terminal; `foretell lab report` says more, and what is significant."""

from collections.abc import Iterable, Sequence
from statistics import mean
from typing import Any

from foretell.lab.experiment.plan import Plan
from foretell.lab.experiment.rows import ALONE, Key, Row


def summarise(plan: Plan, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One entry per suite and configuration, of questions that all of the suite's configurations have answered.

    rows: of one machine. answers: rows, repeats among them. score: mean, 0 to 1. joules_kind: of most rows.
    """
    out = []
    for suite in plan.suites:
        names = [each.name for each in plan.configurations if not each.suites or suite.name in each.suites]
        mine = [row for row in rows if row.suite == suite.name]
        asked = [{(row.question, row.repeat) for row in mine if row.configuration == name} for name in names]
        common = set.intersection(*asked) if asked else set()
        for name in names:
            answered = [row for row in mine if row.configuration == name and (row.question, row.repeat) in common]
            if answered:
                out.append({"suite": suite.name, "configuration": name} | _figures(answered))
    return out


def unequal(rows: Iterable[Row]) -> list[Row]:
    """Rows of exact configurations with other tokens than their model alone gave to the question, on its machine."""
    rows = list(rows)
    right: dict[Key, str] = {}
    for row in rows:
        if row.level == ALONE:
            right.setdefault(_same(row), row.digest)
    return [row for row in rows if row.promise == "exact" and row.digest != right.get(_same(row), row.digest)]


def _same(row: Row) -> Key:
    return row.machine, row.engine, row.model, row.model_digest, *row.question


def _figures(rows: Sequence[Row]) -> dict[str, Any]:
    timed = [row for row in rows if row.tokens_per_s and row.first_token_s is not None]
    seconds = sum(row.response_s - (row.first_token_s or 0.0) for row in timed)
    after = sum((row.tokens_per_s or 0.0) * (row.response_s - (row.first_token_s or 0.0)) for row in timed)
    kinds = [row.joules_kind for row in rows if row.joules is not None]
    accepted = sum(row.guessed * (row.acceptance or 0.0) for row in rows)
    guessed = sum(row.guessed for row in rows)
    return {
        "answers": len(rows),
        "promise": rows[0].promise,
        "tokens": sum(row.tokens for row in rows),
        "tokens_per_s": after / seconds if seconds else None,
        "response_s": mean(row.response_s for row in rows),
        "acceptance": accepted / guessed if guessed else None,
        "processor_s": _mean(row.processor_s for row in rows),
        "joules": _mean(row.joules for row in rows),
        "joules_kind": max(kinds, key=kinds.count) if kinds else "unavailable",
        "score": _mean(row.score for row in rows),
        "measure": next((row.measure for row in rows if row.measure), ""),
    }


def _mean(values: Iterable[float | None]) -> float | None:
    known = [each for each in values if each is not None]
    return mean(known) if known else None
