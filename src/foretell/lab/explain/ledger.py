"""Where the time of a run went. The parts add up to the whole."""

from dataclasses import dataclass
from math import fsum

from foretell.lab.explain.basis import Basis, reading_ms, rejected
from foretell.runtime.choose import DRAFT
from foretell.runtime.run import Run


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the time. share: of the whole. wasted: whether nothing came of it. what: in words."""

    name: str
    ms: float
    share: float
    wasted: bool
    what: str


def ledger(run: Run, basis: Basis) -> tuple[Part, ...]:
    """All parts, in the order in which they come in a run; those that took no time too.

    Of a pass over n rows of which m were of use, T(n) - T(m) of T(n) was wasted; of a draft model's steps, the share of
    its guesses that were rejected.
    """
    totals = run.totals
    reading = fsum(reading_ms(each, basis) for each in run.rounds)
    steps_lost, rows_lost = [], []
    for each in run.rounds:
        guesses = sum(1 for _, _, source, _ in each.tried if source == DRAFT)
        if guesses:
            steps = 1000 * each.draft_s - reading_ms(each, basis)
            steps_lost.append(steps * rejected(each, DRAFT.__eq__) / guesses)
        if each.rows > 0:
            useful = basis.target(each.rows - rejected(each)) / basis.target(each.rows)
            rows_lost.append(1000 * each.verify_s * (1 - useful))
    drafting, verifying = 1000 * totals.draft_s, 1000 * totals.verify_s
    reading = min(reading, drafting)
    vain_steps = min(fsum(steps_lost), drafting - reading)
    vain_rows = fsum(rows_lost)
    whole = 1000 * totals.whole_s
    known = [
        ("setup", 1000 * totals.setup_s, False, "template, tokens, sources"),
        ("prompt", 1000 * totals.prompt_s, False, "the target reads the prompt"),
        ("draft reading", reading, False, "it reads text"),
        ("draft", drafting - reading - vain_steps, False, "steps with kept guesses"),
        ("draft, rejected", vain_steps, True, "steps in vain"),
        ("verify", verifying - vain_rows, False, "the target's passes"),
        ("verify, rejected", vain_rows, True, "added by rejected rows"),
        ("accept", 1000 * totals.accept_s, False, "rules, and committing"),
        ("sources", max(0.0, 1000 * totals.propose_s - drafting), False, "looking for guesses"),
        ("reader", 1000 * totals.reader_s, False, "printing, or sending"),
    ]
    rest = max(0.0, whole - fsum(ms for _, ms, _, _ in known))
    known.insert(-1, ("Python", rest, False, "the loop, and its text"))
    return tuple(Part(name, ms, ms / whole if whole else 0.0, wasted, what) for name, ms, wasted, what in known)
