"""The measured answers, and what gates would have made of them, as rows for reports."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from foretell.errors import ForetellError
from foretell.ir.check import check
from foretell.ir.text import parse
from foretell.lab.budget.modes import TARGET, outcome, until
from foretell.lab.budget.sample import AGAIN, EXACT, Answer, Sample
from foretell.lab.experiment.rows import Promise, Row
from foretell.profile.energy.joules import Joules
from foretell.runtime.calibration import Mode

PLAN = "calibrate"


def rows(samples: Sequence[Sample], modes: Sequence[Mode], facts: Mapping[str, Any], started: str) -> Iterator[Row]:
    """A row for each question and mode, exact -O2 first.

    Answers of gates are those that the two models gave; their times are put together (`foretell.lab.budget.modes`).
    started: UTC, ISO 8601.
    """
    for sample in samples:
        yield _row(sample, TARGET, facts, started)
        for mode in modes:
            yield _row(sample, mode, facts, started)


def write_rows(path: Path, given: Iterator[Row]) -> None:
    """Into a file, in the place of what was there. Raises ForetellError."""
    text = "".join(json.dumps(each.to_json()) + "\n" for each in given)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ForetellError(f"cannot write {path}: {error.strerror}; give another --rows") from error


def _row(sample: Sample, mode: Mode, facts: Mapping[str, Any], started: str) -> Row:
    found = outcome(mode, sample)
    measured = mode.kind != "gate"
    answer = _answer(sample, mode, small=found.small > 0)
    level = mode.name if mode.kind == "exact" else ""
    energy = _energy(sample, mode, small=found.small > 0)
    name = f"{mode.name} <= {mode.threshold:g}" if mode.kind == "gate" else mode.name
    knobs: dict[str, float | str] = {}
    if mode.kind == "gate":
        knobs = {"signal": mode.signal, "tokens": mode.tokens, "threshold": mode.threshold, "computed": "offline"}
        knobs |= {"otherwise": mode.otherwise} if mode.otherwise else {}
    promise: Promise = "exact" if level else "lossy"
    if mode.kind == "pipeline":
        promise = check(parse(mode.pipeline, mode.name))
    return Row(
        plan=PLAN,
        suite=sample.task,
        klass=sample.task,
        id=sample.id,
        model=facts["model"],
        draft=facts["draft"],
        configuration=name,
        origin="level" if level else "file",
        promise=promise,
        level=level,
        pipeline=mode.pipeline,
        knobs=knobs,
        max_tokens=facts["max_tokens"],
        temperature=facts["temperature"],
        seed=facts["seed"],
        tokens=answer.tokens,
        digest=answer.digest,
        finish=answer.finish,
        first_token_s=answer.first_token_s if measured else None,
        response_s=found.response_s,
        tokens_per_s=answer.tokens_per_s if measured else None,
        rounds=answer.rounds,
        processor_s=found.processor_s,
        joules=energy.value,
        joules_low=energy.low,
        joules_high=energy.high,
        joules_kind=energy.kind,
        joules_source=energy.source,
        score=float(found.right),
        measure="right",
        why=answer.why,
        machine=facts["machine"],
        version=facts["version"],
        model_digest=facts["model_digest"],
        draft_digest=facts["draft_digest"],
        started=started,
    )


def _answer(sample: Sample, mode: Mode, *, small: bool) -> Answer:
    """Whose text it is."""
    if small:
        return sample.small
    return sample.answers[(mode.otherwise or EXACT) if mode.kind == "gate" else mode.name]


def _energy(sample: Sample, mode: Mode, *, small: bool) -> Joules:
    """That of the answer, and of what a gate had asked before, in proportion to its processor time."""
    said = _joules(_answer(sample, mode, small=small))
    if mode.kind != "gate" or said.value is None:
        return said
    parts = [(said, 1.0)]
    if not small and sample.small.processor_s:
        parts.append((_joules(sample.small), until(mode, sample)[1] / sample.small.processor_s))
    if mode.signal == "disagreement":
        parts.append((_joules(sample.answers[AGAIN]), 1.0))
    if any(None in (each.value, each.low, each.high) for each, _ in parts):
        return Joules.unavailable("not known of all models that were asked")
    value, low, high = (
        sum((getattr(each, name) or 0.0) * share for each, share in parts) for name in ("value", "low", "high")
    )
    return Joules(value, low, high, said.source, said.kind)


def _joules(answer: Answer) -> Joules:
    return Joules.unavailable("nobody looked") if answer.energy is None else Joules.from_json(answer.energy)
