"""The price of a pipeline with paced sources: in each round they do what pays best there.

Texts differ, and a source that is paced goes with the text. So chances are taken in several moods: those of copied
guesses are moved by a step in log odds, those of draft models by another one, and each mood has a share. In a mood,
rounds fall into cases: each free source has guesses, or not. A case takes the option with the largest tokens - rate *
ms, where the rate is the mood's own, found by iteration from that of the target alone (Dinkelbach's method for ratios).
A mood in which a draft model is not worth its prompt pass has none.

    ms per token of a mood    m = min over rates of  sum of share(case) ms(best option) / sum of share(case) tokens(...)
    ms of an answer           sum of share(mood) * (prompt passes + tokens of the answer * m)

A source that never pays, not even in the mood that suits it best, changes nothing and can be dropped. The source `copy`
beside lookup guesses only where a text is an edit of its input (`foretell.draft.copy`): in the moods that copy most.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, log, pi, sqrt
from typing import Final

from foretell.cost.choice import charged, copies, steps
from foretell.cost.facts import Facts
from foretell.cost.guesses import NONE, Case, Guesses, at, reached
from foretell.cost.model import approximated, calibration, drafting_ms
from foretell.cost.rounds import expected
from foretell.draft.copy import STEADILY
from foretell.ir.ops import Defer, Draft, Merge, Pipeline, Verify

# Steps in log odds, of copied guesses and of draft models; share of texts. About how far eight kinds of text differ
# with Qwen2.5-Coder, from translations to edits; and two in which only one of the two is of use.
MOODS: Final = ((-1.5, -1.0, 0.25), (0.0, 0.0, 0.35), (1.5, 1.0, 0.3), (-3.0, 3.0, 0.05), (3.0, -3.0, 0.05))
FREE_SPREAD, MODEL_SPREAD = (sqrt(1 + pi / 8 * sum(mood[which] ** 2 * mood[2] for mood in MOODS)) for which in (0, 1))
EXTREME: Final = 1e-9
COPYING: Final = 1.0  # step of moods in which texts may be edits of their input
# Share of all places at which `copy` follows such a text, and how often it is right there: of texts as
# `foretell.draft.copy` speaks of.
FOLLOWED: Final = (0.15, 0.87)
ROUNDS: Final = 3  # of the iteration: it converges quadratically


@dataclass(frozen=True, slots=True)
class _Free:
    """A paced free source in a mood. reach: of each guess."""

    name: str
    offers: float
    ms: float
    reach: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Model:
    """A paced draft model in a mood. right, share: of its guesses by class. draft_ms: first pass, each further one."""

    name: str
    right: tuple[float, ...]
    share: tuple[float, ...]
    draft_ms: tuple[float, float]
    width: int


def paced(
    pipeline: Pipeline, facts: Facts, guesses: Mapping[str, Guesses], prompts: Mapping[str, float]
) -> tuple[float, float, float]:
    """Ms and tokens of an average round, and ms of prompt passes of paced models.

    Args:
        pipeline: with paced drafts.
        facts: what is known.
        guesses: of the drafts that are not paced, by name.
        prompts: ms of the prompt pass of each paced model, by name.
    """
    drafts = _paced(pipeline)
    if not drafts:  # nobody uses them
        return (*expected(pipeline, facts, lambda draft: guesses.get(draft.name, NONE)), 0.0)
    costs = charged(facts.target, 1 + max(each.width for each in drafts), facts.overhead_ms)
    known = [_model(each, facts) for each in drafts if each.source == "model"]
    tokens = per_token = prompt_ms = 0.0
    for free_step, model_step, share in MOODS:
        edits = any(each.source == "lookup" for each in drafts)  # copy has them for itself
        free = [
            _edit(each, facts, free_step) if edits and each.source == "copy" else _free(each, facts, free_step)
            for each in drafts
            if each.source != "model"
        ]
        models = [_mood(each, model_step) for each in known]
        options = []
        for used in ((), models) if models else ((),):
            ms, gained = _round(pipeline, facts, guesses, free, used, costs)
            reading = sum(prompts[each.name] for each in used)
            options.append((reading + facts.answer_tokens * ms / gained, reading, ms, gained))
        _, reading, ms, gained = min(options, key=lambda each: each[0])
        tokens += share * gained
        per_token += share * ms / gained
        prompt_ms += share * reading
    return tokens * per_token, tokens, prompt_ms


def _paced(pipeline: Pipeline) -> list[Draft]:
    """The paced drafts whose guesses come to the target."""
    used: set[str] = set()
    for statement in reversed(pipeline.statements):
        match statement:
            case Verify(proposal=proposal) | Defer(proposal=proposal):
                used.add(proposal)
            case Merge(name=name, proposals=proposals) if name in used:
                used.update(proposals)
            case _:
                pass
    drafts = [each for each in pipeline.statements if isinstance(each, Draft)]
    return [each for each in drafts if each.paced and each.name in used]


def _narrow(pipeline: Pipeline) -> bool:
    """Whether a merge may have less room than a draft has guesses."""
    widest = max(each.width for each in pipeline.statements if isinstance(each, Draft))
    return any(isinstance(each, Merge) and each.width < widest for each in pipeline.statements)


def _round(
    pipeline: Pipeline,
    facts: Facts,
    guesses: Mapping[str, Guesses],
    free: Sequence[_Free],
    models: Sequence[_Model],
    costs: Sequence[float],
) -> tuple[float, float]:
    """Ms and tokens of a mood's average round."""
    cases = list(_cases(free))
    rate, asking = 1 / costs[0], sum(each.ms for each in free)
    ms = tokens = 1.0
    for _ in range(ROUNDS):
        ms, tokens = asking, 0.0
        for share, offering in cases:
            name, made = _option(offering, models, costs, rate)
            case_ms, case_tokens = _case(pipeline, facts, guesses, name, made)
            ms += share * case_ms
            tokens += share * case_tokens
        if abs(tokens / ms - rate) < rate / 1000:
            break
        rate = max(1 / costs[0], tokens / ms)
    return ms, tokens


def _case(
    pipeline: Pipeline, facts: Facts, guesses: Mapping[str, Guesses], name: str, made: Guesses
) -> tuple[float, float]:
    """Ms and tokens of a case in which these guesses are made by the paced draft of this name."""
    if guesses or _narrow(pipeline):
        held = {**guesses, name: made}
        return expected(pipeline, facts, lambda draft: held.get(draft.name, NONE))
    (case,) = made.cases  # alone in its round
    return facts.overhead_ms + made.ms + facts.target(1 + case.rows), 1 + sum(case.reach)


def _cases(free: Sequence[_Free]) -> Iterator[tuple[float, list[_Free]]]:
    """Which sources have guesses, and in what share of rounds.

    All of them look for the newest tokens in the same text: where one that seldom has guesses has some, so have those
    that more often do.
    """
    ranked = sorted(free, key=lambda each: -each.offers)
    shares = [1.0, *(each.offers for each in ranked), 0.0]
    for count in range(len(ranked) + 1):
        if shares[count] > shares[count + 1]:
            yield shares[count] - shares[count + 1], ranked[:count]


def _option(
    free: Sequence[_Free], models: Sequence[_Model], costs: Sequence[float], rate: float
) -> tuple[str, Guesses]:
    """Whose guesses a round takes, and which; "" and none when none pay."""
    best, out = 0.0, ("", NONE)
    for each in free:
        count, value = copies(each.reach, costs, rate)
        if value > best:
            best, out = value, (each.name, Guesses(0.0, (Case(1.0, count, each.reach[:count]),)))
    for model in models:
        taken = steps(model.right, model.share, costs, rate, model.draft_ms, model.width)
        if taken.value > best:
            mean = sum(r * s for r, s in zip(model.right, model.share, strict=True))
            alive = sum(model.right[-kind] * model.share[-kind] for kind in range(1, taken.kinds + 1))
            reach = tuple(mean * alive**k for k in range(taken.most))
            first, later = model.draft_ms
            ms = first + later * (taken.guesses - 1)
            best, out = taken.value, (model.name, Guesses(ms, (Case(1.0, taken.guesses, reach),)))
    return out


def _free(draft: Draft, facts: Facts, step: float) -> _Free:
    known = facts.source(draft.source).at(draft.width)
    levels = reached([(_moved(at(known.chances, i, 0.0), step, FREE_SPREAD), 0.0) for i in range(draft.width)])
    rows = max(1, round(known.level_rows))  # of a tree: they share what its level reaches
    reach = tuple(each / rows for each in levels for _ in range(rows))[: draft.width]
    return _Free(draft.name, known.offers, known.ms, reach)


def _edit(draft: Draft, facts: Facts, step: float) -> _Free:
    """The source `copy` where it guesses only in edits."""
    known = facts.source(draft.source)
    offers, right = FOLLOWED
    if known.calibration:  # half-way between what is usual and what a few prompts showed
        seen = [(chance, share) for kind, chance, share in known.calibration if kind in STEADILY]
        total = sum(share for _, share in seen)
        right = (right + sum(chance * share for chance, share in seen) / total) / 2 if total else right
        offers = (offers + known.offers * total) / 2
    copying = sum(share for free_step, _, share in MOODS if free_step >= COPYING)
    offers = min(1.0, offers / copying) if step >= COPYING else 0.0
    return _Free(draft.name, offers, known.ms, tuple(right ** (k + 1) for k in range(draft.width)))


def _model(draft: Draft, facts: Facts) -> _Model:
    known = facts.model(draft.of)
    classes = calibration(draft, known)
    pass_ms = known.pass_ms.scaled(approximated(draft, known)[0])
    inner = facts.source(draft.inner) if draft.inner else None
    later = drafting_ms(draft.width, pass_ms, inner)[-1] / draft.width
    right, share = (tuple(each[which] for each in classes) for which in (1, 2))
    return _Model(draft.name, right, share, (pass_ms(1), later), draft.width)


def _mood(model: _Model, step: float) -> _Model:
    return replace(model, right=tuple(_moved(chance, step, MODEL_SPREAD) for chance in model.right))


def _moved(chance: float, step: float, spread: float) -> float:
    """A chance in a mood. What is as good as certain stays so.

    The mean of 1 / (1 + e^-(x + s)) over steps s of variance v is nearly 1 / (1 + e^-(x / sqrt(1 + pi v / 8))), so log
    odds are stretched by that `spread`, and the average over moods is the chance that was measured.
    """
    if not EXTREME < chance < 1 - EXTREME:
        return chance
    return 1 / (1 + exp(-(spread * log(chance / (1 - chance)) + step)))
