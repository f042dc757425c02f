"""What would have helped: each possibility as the time that it would have saved in this run, largest first.

Where only times change, rounds are taken as they were and reckoned anew: same decisions, same text. Where guesses
change too, it is the best fixed chain before and after (`bounds`) that is compared, over the rounds of that source.
Everything here is modelled, from the run's own measurements.
"""

from dataclasses import dataclass
from math import fsum
from typing import Final

from foretell.lab.explain.acceptance import Acceptance
from foretell.lab.explain.basis import Basis
from foretell.lab.explain.bounds import best_chain, needed
from foretell.lab.explain.earned import Balance
from foretell.lab.explain.ledger import Part
from foretell.lab.explain.words import free, plural
from foretell.runtime.choose import DRAFT
from foretell.runtime.run import Run

CHEAP: Final = 4.5  # bits of a weight in Q4_0 and Q4_K, the cheapest that are run here
SMALL: Final = 0.4  # of the target's time: a draft of a third of its size
HOPED: Final = 0.7  # how often guesses of a usual draft are right
BETTER: Final = 0.1  # more often right
WORTH: Final = 0.01  # of the whole time, below which a saving is not worth a line of its own


@dataclass(frozen=True, slots=True)
class Advice:
    """Something to do. saves_ms: of this run; share: of its whole time. why: in words, with the numbers."""

    what: str
    saves_ms: float
    share: float
    why: str


def advice(
    run: Run, basis: Basis, parts: tuple[Part, ...], seen: tuple[Acceptance, ...], balance: Balance
) -> tuple[Advice, ...]:
    """All that applies; those that would save something first, then what is not worth while, with its number."""
    drafted = next((each for each in seen if each.source == DRAFT), None)
    found = [_rows(run, basis), *_bits(run, basis)]
    found += _no_draft(run, basis, balance) if drafted is None else _drafts(run, basis, drafted)
    found += [_without(each.source, -each.ms) for each in balance.sources if each.ms < 0]
    by_name = {part.name: part.ms for part in parts}
    if by_name["prompt"]:
        tokens = run.totals.prompt_tokens - run.totals.reused_tokens
        why = f"{tokens} tokens of the prompt were read; in a chat, or with a prompt that begins alike, they are kept"
        found.append(Advice("a prompt that is known already", by_name["prompt"], 0.0, why))
    if by_name["reader"]:
        why = "this is how long the loop waited for whoever reads the tokens, such as a slow terminal"
        found.append(Advice("a faster reader", by_name["reader"], 0.0, why))
    whole = 1000 * run.totals.whole_s
    shared = [Advice(a.what, a.saves_ms, a.saves_ms / whole if whole else 0.0, a.why) for a in found]
    return tuple(sorted(shared, key=lambda each: -each.saves_ms))


def _rows(run: Run, basis: Basis) -> Advice:
    """Passes over any number of rows in the time of one."""
    saves = fsum(1000 * e.verify_s * (1 - basis.target(1) / basis.target(e.rows)) for e in run.rounds if e.rows)
    passes = [each.rows for each in run.rounds if each.rows]
    mean = fsum(passes) / len(passes) if passes else 0.0
    beyond = sum(rows > basis.free_rows for rows in passes)
    most = max(n for n, _ in basis.target.points)
    ratio = basis.target(most) / basis.target(1)
    why = (
        f"{free(basis.free_rows)} here (T({most}) is {ratio:.2f} T(1)); passes had {mean:.1f} on average and "
        f"{beyond} of {len(passes)} had more than the free ones"
    )
    return Advice("more free rows", saves, 0.0, why)


def _bits(run: Run, basis: Basis) -> list[Advice]:
    """Weights of fewer bits, for passes that wait for memory."""
    bits = run.about.target.bits
    if not bits:
        return []
    factor = min(1.0, CHEAP / bits)
    small = fsum(1000 * each.verify_s for each in run.rounds if 0 < each.rows <= basis.free_rows)
    why = (
        f"the target's weights take {bits:.2f} bits each; with {CHEAP} (Q4_0), passes over few rows, which wait for "
        f"memory, would take {1 - factor:.0%} less; the text may change"
    )
    return [Advice("a target of fewer bits", small * (1 - factor), 0.0, why)]


def _drafts(run: Run, basis: Basis, seen: Acceptance) -> list[Advice]:
    """Other draft models, against the best chain of the one there is."""
    draft, chain = run.about.draft, seen.chain
    spent = fsum(1000 * (each.round_s - each.reader_s) for each in run.rounds if any(t[2] == DRAFT for t in each.tried))
    now = best_chain(chain, basis, basis.step_ms)
    right = seen.whole.right or 0.0

    def other(what: str, cost: float, kept: float, why: str) -> Advice:
        changed = [min(1.0, chance * kept) for chance in chain]
        then = best_chain(changed, basis, basis.step_ms * cost)
        saves = spent * (1 - now.tokens_per_s / then.tokens_per_s) if then.tokens_per_s else 0.0
        rounds = plural(then.guesses, "guess", "guesses")
        speeds = f"{now.tokens_per_s:.1f} to {then.tokens_per_s:.1f} tokens/s at best, {rounds} a round"
        return Advice(what, max(0.0, saves), 0.0, f"{why}: {speeds}")

    pass_ms = f"its pass takes {basis.step_ms:.1f} ms, {basis.step_ms / basis.target(1):.0%} of the target's"
    out = [
        other("a draft of half the cost", 0.5, 1.0, f"{pass_ms}; with half of that and the same guesses"),
        other(
            "a draft that is right more often",
            1.0,
            (right + BETTER) / right if right else 1.0,
            f"its guesses were right {right:.0%} of the time; with {min(1.0, right + BETTER):.0%} and the same cost",
        ),
    ]
    for precision, (cost, kept) in sorted(draft.cheaper.items()) if draft else ():
        out.append(
            other(
                f"a draft in {precision}",
                cost,
                kept,
                f"measured before: {cost:.2f} of the time, {kept:.1%} of the right guesses",
            )
        )
    return out


def _no_draft(run: Run, basis: Basis, balance: Balance) -> list[Advice]:
    """A draft model, where none guessed: what it would have to be like."""
    if not balance.tokens or not balance.actual_ms:
        return []
    loaded = run.about.draft is not None and basis.step_ms > 0
    step_ms = basis.step_ms if loaded else SMALL * basis.target(1)
    then = best_chain([HOPED], basis, step_ms)
    speed = 1000 * balance.tokens / balance.actual_ms
    saves = balance.actual_ms * (1 - speed / then.tokens_per_s) if then.tokens_per_s else 0.0
    token_ms = balance.actual_ms / balance.tokens
    chances = [_beats(k, step_ms, token_ms, basis) for k in range(1, basis.most + 1)]
    least = min((chance for chance in chances if chance is not None), default=None)
    beats = "cannot beat this run" if least is None else f"beats this run when it is right {least:.0%} of the time"
    who = "the one that was loaded made no guesses" if loaded else "none was loaded"
    why = (
        f"{who}; one whose pass takes {step_ms / basis.target(1):.0%} of the target's {beats}; right {HOPED:.0%} of "
        f"the time it gives {then.tokens_per_s:.1f} tokens/s, and this run had {speed:.1f}"
    )
    return [Advice("guesses of a draft model", max(0.0, saves), 0.0, why)]


def _beats(guesses: int, step_ms: float, token_ms: float, basis: Basis) -> float | None:
    """The chance from which on rounds of so many guesses give tokens faster than one every `token_ms`."""
    return needed(guesses, basis.guessing_ms(guesses, step_ms) - token_ms, token_ms)


def _without(source: str, lost_ms: float) -> Advice:
    why = f"its rows and steps took {lost_ms:.0f} ms more than its kept guesses saved"
    return Advice(f"no guesses of {source}", lost_ms, 0.0, why)
