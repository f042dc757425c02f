"""The certificate of an audit: as JSON, and as lines for people."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from foretell import __version__
from foretell.ir.text import show
from foretell.lab.audit import FALSE_ALARM, Difference, Finding
from foretell.lab.suite import Prompt
from foretell.profile.machine import machine


def certificate(
    findings: Sequence[Finding],
    prompts: Sequence[Prompt],
    models: tuple[str, str | None],
    max_tokens: int,
    *,
    partial: bool,
) -> dict[str, Any]:
    """Everything that was tested and found, as plain JSON values.

    models: target and draft. partial: the audit was stopped; `passed` then says that nothing was found so far, is None
    for a variant of which no answer was looked at, and `prompts` are those that were begun.
    """
    begun = max((each.answers for each in findings), default=0)
    return {
        "passed": all(each.passed for each in findings),
        "partial": partial,
        "foretell": __version__,
        "machine": machine(),
        "model": models[0],
        "draft": models[1],
        "max_tokens": max_tokens,
        "prompts": [each.id for each in prompts[:begun]],
        "false_alarm": FALSE_ALARM,
        "variants": [_variant(each) for each in findings],
    }


def _variant(finding: Finding) -> dict[str, Any]:
    variant = finding.variant
    return {
        "name": variant.label,
        "class": variant.kind,
        "temperature": variant.temperature,
        "passed": finding.passed if finding.answers else None,
        "pipeline": show(variant.pipeline),
        "means": variant.means,
        "answers": finding.answers,
        "tokens": finding.tokens,
        "seeds": list(finding.seeds),
        "mismatches": finding.mismatches,
        "first_difference": None if finding.first is None else asdict(finding.first),
        "impossible_tokens": finding.impossible,
        "tests": [asdict(each) | {"passed": each.passed} for each in finding.tests],
    }


def verdict(finding: Finding) -> str:
    """What was found out about a variant, in a few words."""
    if not finding.answers:
        return "not looked at"
    if finding.variant.means == "tokens":
        return f"{finding.mismatches} answers differ" if finding.mismatches else "all the same"
    parts = [f"{finding.impossible} impossible tokens"] if finding.impossible else []
    parts += [f"{each.order}: {each.statistic:.4f} of {each.threshold:.4f}" for each in finding.tests]
    return "; ".join(parts)


def shown(finding: Finding, first: Difference) -> str:
    """A difference with what stands around it."""
    name = finding.variant.label
    width = max(len(name), len("target alone"))
    expected, found = (
        "the end" if token is None else f"{text!r} (token {token})"
        for text, token in ((first.expected, first.expected_token), (first.found, first.found_token))
    )
    return (
        f"{name} at temperature {finding.variant.temperature:g}, prompt {first.prompt}, seed {first.seed}: "
        f"token {first.place + 1} is another one behind {first.before!r}\n"
        f"  {'target alone':{width}}  {expected}\n  {name:{width}}  {found}"
    )
