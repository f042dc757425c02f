"""What approximations of a draft model cost in acceptance, and what they save."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import median
from time import perf_counter
from typing import Any, Final

from foretell.backend.protocol import Rows, Session, Want
from foretell.ir import presets
from foretell.ir.ops import Draft, Pipeline
from foretell.lab.suite import Run
from foretell.lab.summary import OVERALL, accepted, mismatched, ratio, summarise
from foretell.passes.rewrite import changed, of_kind

BASE: Final = "chain"  # the preset whose draft model is approximated
PRECISION: Final = "Q4_0"
VOCABULARY: Final = 16384
TURNS: Final = 25
_HELD_TOKENS: Final = 64


def approximated() -> dict[str, Pipeline]:
    """Name → the chain with a draft model of lower precision, of fewer tokens, of both."""
    base = presets.load(BASE)
    (draft,) = of_kind(base, Draft)
    cut = f"{VOCABULARY // 1024}k"
    forms = {
        f"{BASE} {PRECISION}": replace(draft, precision=PRECISION),
        f"{BASE} {cut}": replace(draft, vocabulary=VOCABULARY),
        f"{BASE} {cut} {PRECISION}": replace(draft, precision=PRECISION, vocabulary=VOCABULARY),
    }
    return {name: replace(changed(base, draft, form), name=name) for name, form in forms.items()}


def pass_ms(
    sessions: Mapping[str, Session], turns: int = TURNS, clock: Callable[[], float] = perf_counter
) -> dict[str, float]:
    """Median milliseconds of a pass over one row of each of these sessions, which take turns."""
    took: dict[str, list[float]] = {name: [] for name in sessions}
    sequences = {name: _held(session) for name, session in sessions.items()}
    for turn in range(turns + 1):
        for name, session in sessions.items():
            begin = clock()
            session.step(Rows.chain([0], sequences[name]), Want())
            if turn:  # the first makes what is made once
                took[name].append(1000 * (clock() - begin))
    for name, session in sessions.items():
        session.close(sequences[name])
    return {name: round(median(values), 4) for name, values in took.items()}


def compare(
    runs: Sequence[Run], names: Sequence[str], reference: str, draft_pass_ms: Mapping[str, float]
) -> dict[str, dict[str, Any]]:
    """Approximation → figures beside those of BASE; BASE itself has them too.

    acceptance: over all guesses. acceptance_loss: what is missing of BASE's. ratio: tokens_per_s by BASE's, geometric
    mean over the classes. mismatches: answers with other tokens than the reference's. draft_pass_ms, draft_pass_ratio:
    a pass over one row, and how many times as fast as unapproximated it is.
    """
    table = summarise((run for run in runs if run.configuration in (BASE, *names)), BASE)
    wrong = mismatched(runs, reference)
    base = _acceptance(runs, BASE)
    out = {}
    for name in (BASE, *names):
        mine = _acceptance(runs, name)
        out[name] = {
            "acceptance": mine,
            "acceptance_loss": None if mine is None or base is None else base - mine,
            "ratio": table[name][OVERALL]["ratio"],
            "mismatches": sum(run.configuration == name for run in wrong),
            "draft_pass_ms": draft_pass_ms.get(name),
            "draft_pass_ratio": ratio(draft_pass_ms.get(BASE), draft_pass_ms.get(name)),
        }
    return out


def _held(session: Session) -> int:
    """A new sequence with some tokens."""
    sequence = session.open()
    session.step(Rows.chain([0] * _HELD_TOKENS, sequence, ()), Want())
    session.commit(sequence, range(_HELD_TOKENS))
    return sequence


def _acceptance(runs: Sequence[Run], name: str) -> float | None:
    results = [run.result for run in runs if run.configuration == name]
    guessed = sum(result.guessed for result in results)
    return sum(map(accepted, results)) / guessed if guessed else None
