"""Which decisions a run made, when they changed and why, and how well their times were foretold."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from statistics import median
from typing import Final

from foretell.cost.curve import Curve
from foretell.lab.explain.basis import READS, Basis, reads
from foretell.runtime.choose import DRAFT
from foretell.runtime.run import Change, Run
from foretell.runtime.trace import Round

NUMBER: Final = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Kind:
    """Rounds that were decided alike. name: the sources that guessed, or "plain". reasons: how often each was given."""

    name: str
    rounds: int
    tokens: int
    ms: float
    reasons: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Prediction:
    """Times of rounds, foretold and measured. by: what foretold them: "decisions" or "curves".

    error, worst: median of |foretold - measured| / measured, and what nine in ten stay below. ratio: median of measured
    over foretold: above 1, the machine was slower than when it was measured.
    """

    by: str
    rounds: int
    error: float
    worst: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Deciding:
    """What looking for guesses and deciding on them takes, draft passes left out: ms of a round.

    share: median of its part of a round.
    """

    median_ms: float
    p99_ms: float
    share: float


def deciding(run: Run) -> Deciding | None:
    """Of all rounds; None without one."""
    times = sorted(1000 * max(0.0, each.propose_s - each.draft_s) for each in run.rounds)
    if not times:
        return None
    shares = [max(0.0, each.propose_s - each.draft_s) / each.round_s for each in run.rounds if each.round_s]
    p99 = times[min(len(times) - 1, int(0.99 * len(times)))]
    return Deciding(median(times), p99, median(shares) if shares else 0.0)


def kind(each: Round) -> str:
    """What a round's colour is."""
    sources = dict.fromkeys(source for _, _, source, _ in each.tried)
    return " + ".join(sources) or "plain"


def kinds(run: Run) -> tuple[Kind, ...]:
    """The most frequent first."""
    out = []
    for name, count in Counter(kind(each) for each in run.rounds).most_common():
        chosen = [each for each in run.rounds if kind(each) == name]
        reasons = [each.decision.reason for each in chosen if each.decision is not None and each.decision.reason]
        ms = 1000 * sum(each.round_s - each.reader_s for each in chosen)
        tokens = sum(len(each.kept) + (each.bonus is not None) for each in chosen)
        out.append(Kind(name, count, tokens, ms, alike(reasons)))
    return tuple(out)


def alike(reasons: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """Reasons that differ in numbers only as one, with the medians of these; the most frequent first.

    >>> alike(["worth 0.5 tokens", "worth 0.9 tokens", "none", "worth 0.7 tokens"])
    (('worth 0.7 tokens', 3), ('none', 1))
    """
    found: dict[str, list[list[str]]] = {}
    for reason in reasons:
        found.setdefault(NUMBER.sub("\0", reason), []).append(NUMBER.findall(reason))
    out = []
    for shape, numbers in found.items():
        middles = (sorted(each, key=float)[len(each) // 2] for each in zip(*numbers, strict=True))
        words = shape.split("\0")
        out.append(
            ("".join(joined for pair in zip_longest(words, middles, fillvalue="") for joined in pair), len(numbers))
        )
    return tuple(sorted(out, key=lambda each: -each[1]))


def changes(run: Run) -> tuple[Change, ...]:
    """What the run wrote down, with what shows in its rounds: a source's first guess, and when a draft read text."""
    seen: set[str] = set()
    out = list(run.changes)
    for turn, each in enumerate(run.rounds, 1):
        if reads(each):
            rows = each.draft_rows - each.draft_passes
            out.append(Change(turn, DRAFT, "reads", f"{rows} tokens of text in {1000 * each.draft_s:.0f} ms"))
        for source in dict.fromkeys(source for _, _, source, _ in each.tried):
            if source not in seen:
                count = sum(name == source for _, _, name, _ in each.tried)
                why = f": {each.decision.reason}" if each.decision is not None and each.decision.reason else ""
                out.append(Change(turn, source, "first guesses", f"{count} of them, {len(each.kept)} kept{why}"))
                seen.add(source)
    return tuple(sorted(out, key=lambda each: each.round))


def predictions(run: Run, basis: Basis) -> tuple[Prediction, ...]:
    """By the decisions, where these tell, and by the curves that were measured before."""
    decided = [(_decided(each, run), _measured(each)) for each in run.rounds]
    curves = [(_expected(each, run, basis), _measured(each)) for each in run.rounds if each.rows > 0]
    found = (_prediction("decisions", decided), _prediction("curves", curves))
    return tuple(each for each in found if each is not None)


def expected(run: Run, basis: Basis) -> list[float]:
    """Milliseconds of each round by its decision, or else by the curves."""
    return [_decided(each, run) or _expected(each, run, basis) for each in run.rounds]


def _decided(each: Round, run: Run) -> float:
    """By its decision, if that goes by times."""
    return 0.0 if each.decision is None or run.about.level == "Oe" else each.decision.expected_ms


def _expected(each: Round, run: Run, basis: Basis) -> float:
    """By curves that were measured before the run."""
    ms = (basis.before(each.rows) if each.rows else 0.0) + run.about.overhead_ms
    draft = run.about.draft
    if draft is not None and each.draft_passes:
        ms += each.draft_passes * Curve.of(draft.pass_ms)(1)
        ms += max(0, each.draft_rows - each.draft_passes - READS) * draft.prompt_ms
    return ms


def _measured(each: Round) -> float:
    return 1000 * (each.round_s - each.reader_s)


def _prediction(by: str, pairs: Sequence[tuple[float, float]]) -> Prediction | None:
    pairs = [(foretold, ms) for foretold, ms in pairs if foretold > 0 and ms > 0]
    if not pairs:
        return None
    errors = sorted(abs(foretold - ms) / ms for foretold, ms in pairs)
    worst = errors[min(len(errors) - 1, int(0.9 * len(errors)))]
    return Prediction(by, len(pairs), median(errors), worst, median(ms / foretold for foretold, ms in pairs))
