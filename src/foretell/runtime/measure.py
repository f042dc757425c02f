"""Making a profile: passes timed, texts written by the target, sources replayed over them, the draft in each form.

Passes are timed in two blocks with everything else between them, because a neighbour's load comes and goes.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from foretell.backend.model import Backend
from foretell.profile import passes
from foretell.profile.counts import Counts
from foretell.profile.file import HURRIED, Keys, Profile, Times
from foretell.profile.machine import machine
from foretell.profile.prompts import Prompt, built_in
from foretell.profile.record import added
from foretell.profile.spread import Spread
from foretell.runtime import measure_sources
from foretell.runtime.drafter import Drafter
from foretell.runtime.measure_forms import Forms
from foretell.runtime.measure_overhead import overhead
from foretell.runtime.measure_plan import Meter, Plan
from foretell.runtime.measure_text import PromptTimes, Text, write

if TYPE_CHECKING:
    from foretell.models.sources import Progress

PROMPTS: Final = 2  # passes over part of a prompt, where no text is read
FIRST_BY: Final = 0.15  # share of the time by which the first block of passes is timed
ROUNDS: Final = 8  # of plain decoding, to see what is not in passes
PASSES, TOKEN, PLAIN = 420, 10, 500  # for the meter: a round through the sizes, a token of an answer, plain decoding


def measure(
    target: Backend,
    drafter: Drafter | None,
    plan: Plan,
    prompts: Sequence[Prompt] | None = None,
    *,
    what: str = "measuring",
    progress: "Progress | None" = None,
) -> Profile:
    """A profile of loaded models.

    Args:
        target: see there.
        drafter: the draft model, if any. Forms that it did not have loaded are loaded, one at a time, and closed.
        plan: how much.
        prompts: to measure on; None: the built-in ones.
        what: the job's name for `progress`, which is told how far it is.
        progress: see there.
    """
    asked = built_in(plan.rounds) if prompts is None else prompts if plan.rounds else ()
    meter = Meter(what, progress, plan.limit_s)
    forms = None if drafter is None else Forms(drafter, plan, meter)
    repeats = max(1, plan.repeats // 2) if asked else plan.repeats
    blocks = 2 if asked else 1
    meter.total = blocks * (repeats + 1) * PASSES + len(asked) * plan.tokens * TOKEN + (PLAIN if asked else 0)
    meter.total += forms.work(len(asked)) if forms else 0
    meter.add(0)
    costs = _passes(target, repeats, meter, FIRST_BY if asked else 1.0)
    reading, between, kinds = PromptTimes(), None, dict[str, Counts]()
    if asked:
        texts = write(
            target,
            asked,
            tokens=plan.tokens,
            together=plan.together,
            times=reading,
            tick=lambda answers: meter.add(answers * TOKEN),
            late=meter.late,
        )
        between = overhead(target, min((text.prompt for text in texts), key=len), ROUNDS) if texts else None
        meter.add(PLAIN)
        replays = [{name: measure_sources.replay(name, text) for name in measure_sources.SOURCES} for text in texts]
        seen = [(text.kind, _counts(text, replayed)) for text, replayed in zip(texts, replays, strict=True)]
        seen += forms.follow(texts, replays) if forms else []
        for kind, counts in seen:
            kinds[kind] = added(kinds.get(kind, Counts()), counts)
        costs = added(costs, _passes(target, repeats, meter, 1.0))
    if forms is not None:
        (forms.time_again if asked else forms.time)()
    times: dict[int, Mapping[int, Spread]] = {passes.CONTEXT_TOKENS: costs}
    reads = reading.spread
    if target.pass_costs is None and not meter.up(1.0):
        times |= passes.behind(target.session(), plan.contexts, repeats=plan.repeats // 2, piece_rows=target.piece_rows)
        reads = reads or passes.prompt(target.session(), repeats=PROMPTS)
        between = between or overhead(target, (0,) * 8, ROUNDS // 2)
    keys = Keys(machine(), target.key, "" if drafter is None else drafter.backend().key)
    meter.add(meter.total)
    how = HURRIED if meter.hurried else plan.how
    return Profile(keys, how, Times(times, reads), forms.times if forms else {}, between, kinds)


def _passes(target: Backend, repeats: int, meter: Meter, share: float) -> Mapping[int, Spread]:
    if target.pass_costs is not None:
        return Spread.given(target.pass_costs)
    return passes.measure(target.session(), repeats=repeats, tick=lambda: meter.ticked(PASSES, share))


def _counts(text: Text, replayed: Mapping[str, measure_sources.Replay]) -> Counts:
    """What a text and the free sources over it add."""
    frequencies: dict[int, int] = {}
    for token in text.answer:
        frequencies[token] = frequencies.get(token, 0) + 1
    sources = {name: measure_sources.count(each, text.limit) for name, each in replayed.items()}
    return Counts(1, len(text.prompt), len(text.answer), frequencies, sources)
