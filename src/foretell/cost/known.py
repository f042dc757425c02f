"""Facts from a profile: what was measured, and assumptions only where nothing was."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from foretell.cost.assumed import UNMEASURED, assumed
from foretell.cost.curve import Curve
from foretell.cost.facts import Facts, ModelFacts, SourceFacts, Trade
from foretell.profile.counts import DOUBTS, Counts, FormCounts, Overlap, Rounds, SourceCounts, Tally, form_of
from foretell.profile.file import WHOLE, Profile, Times

USUAL: Final = 8  # the width whose chances are given where nobody says how wide rounds are
LEAST: Final = 50  # rounds or places that a chance must come from
SAMPLES: Final = 40  # of doubts
WEIGHT: Final = 2  # trials that the chance of the place before counts for


def facts(profile: Profile, draft: str = "draft", kind: str | None = None) -> Facts:
    """What passes decide by.

    Args:
        profile: measurements. Times of the target's passes must be there.
        draft: what pipelines call its draft model, if it has one.
        kind: of prompt, to go by chances on that alone; None: on all together.
    """
    counts = profile.counts if kind is None else profile.kinds.get(kind, Counts())
    whole = profile.drafts.get(WHOLE)
    guesses = {} if whole is None else {draft: whole}
    base = assumed(*guesses)
    sources = {name: _source(each) for name, each in counts.sources.items() if _enough(each)}
    missing = [name for name in UNMEASURED if name not in sources]
    models = {name: _model(profile, times, counts, base.models[name]) for name, times in guesses.items()}
    unmeasured = [f"chances of {name}" for name in missing]
    unmeasured += [f"chances of {name}" for name in models if not _seen(counts)]
    return Facts(
        target=Curve.of(profile.target.costs),
        prompt_ms=_prompt_ms(profile.target),
        contexts=_contexts(profile.target),
        sources={name: base.sources[name] for name in missing} | sources,
        models=models,
        overhead_ms=base.overhead_ms if profile.overhead is None else profile.overhead.median_ms,
        overlap=_overlap(counts.overlap, base.overlap),
        origin=f"partly measured (assumed: {', '.join(unmeasured)})" if unmeasured else "measured",
    )


def _enough(counts: SourceCounts) -> bool:
    return USUAL in counts.rounds and counts.rounds[USUAL].rounds >= LEAST


def _seen(counts: Counts) -> bool:
    return WHOLE in counts.forms and counts.forms[WHOLE].places >= LEAST


def _source(counts: SourceCounts) -> SourceFacts:
    widths = {width: _at_width(rounds, counts) for width, rounds in counts.rounds.items()}
    return replace(widths[USUAL], widths=widths, calibration=_calibrated(counts.matches))


def _at_width(rounds: Rounds, counts: SourceCounts) -> SourceFacts:
    return SourceFacts(
        chances=_chances(rounds),
        offers=rounds.offered / rounds.rounds if rounds.rounds else 0.0,
        level_rows=max(1.0, rounds.guesses / rounds.levels) if rounds.levels else 1.0,
        ms=0.0 if counts.proposal is None else counts.proposal.median_ms,
    )


def _chances(rounds: Rounds) -> tuple[float, ...]:
    """By place. Few trials weigh little: a place is taken to be like the one before it, the first like a coin."""
    out: list[float] = []
    before = 0.5
    for trials, hits in zip(rounds.trials, rounds.hits, strict=True):
        before = (hits + WEIGHT * before) / (trials + WEIGHT)
        out.append(before)
    return tuple(out) or (0.0,)


def _model(profile: Profile, times: Times, counts: Counts, guessed: ModelFacts) -> ModelFacts:
    """A draft model: its times, and its chances if it was seen at enough places."""
    known = replace(guessed, pass_ms=Curve.of(times.costs), prompt_ms=_prompt_ms(times), contexts=_contexts(times))
    if not _seen(counts):
        return known
    seen = counts.forms[WHOLE]
    trades = _trades(profile, times, counts)
    widths = {width: _chances(rounds) for width, rounds in seen.rounds.items()}
    return replace(
        known,
        chances=widths.get(USUAL, guessed.chances),
        doubts={"chow": _samples(seen.doubts), "entropy": _samples(seen.entropies)},
        siblings=_siblings(seen),
        precisions={precision: trade for (size, precision), trade in trades.items() if not size},
        vocabularies=_vocabularies(trades),
        forms=trades,
        prompts={
            n: min(1.0, each.right / each.whole_right)
            for n, each in counts.prompts.items()
            if each.places >= LEAST and each.whole_right
        },
        widths=widths,
        calibration=_sure(seen.doubts),
    )


def _trades(profile: Profile, times: Times, counts: Counts) -> dict[tuple[int, str], Trade]:
    """Of each form but the whole: its pass over one row, its right guesses and prompts, each as a part of the whole's.

    A form whose own prompt pass was not timed reads prompts as the same weights with the whole vocabulary do. No form
    saves more there than in a pass over one row, whatever a busy machine let it look like.
    """
    out: dict[tuple[int, str], Trade] = {}
    alike = {form_of(name)[1]: each.prompt for name, each in profile.drafts.items() if form_of(name)[0] == 0}
    for name, each in sorted(profile.drafts.items()):
        if name == WHOLE or name not in counts.forms:
            continue
        whole_ms = times.costs[1] if each.beside is None else each.beside.least_ms
        right, of = counts.forms[name].right, counts.forms[WHOLE].right
        read = each.prompt or alike.get(form_of(name)[1])
        prompt = read.least_ms / times.prompt.least_ms if read and times.prompt else 1.0
        cost, kept = each.costs[1] / whole_ms, min(1.0, right / of) if of else 1.0
        out[form_of(name)] = Trade(cost, kept, min(1.0, max(cost, prompt)))
    return out


def _vocabularies(trades: Mapping[tuple[int, str], Trade]) -> dict[int, Trade]:
    """Of cut vocabularies alone; those that were measured with cheaper weights only, against these weights."""
    out: dict[int, Trade] = {}
    for (size, precision), trade in trades.items():
        if not size:
            continue
        if not precision:
            out[size] = trade
        elif (0, precision) in trades and trades[0, precision].kept:
            base = trades[0, precision]
            out.setdefault(size, Trade(trade.cost / base.cost, min(1.0, trade.kept / base.kept)))
    return out


def _prompt_ms(times: Times) -> float:
    """Of one token: as measured, or of the largest pass."""
    if times.prompt is not None:
        return times.prompt.least_ms
    rows = max(times.costs)
    return times.costs[rows] / rows


def _contexts(times: Times) -> dict[int, Curve]:
    """Passes behind each context that was measured."""
    return {tokens: Curve.of({n: each.least_ms for n, each in by.items()}) for tokens, by in times.passes.items()}


def _samples(classes: Mapping[int, Tally]) -> tuple[float, ...]:
    """Values spread like those that were counted: each class has as many as its share."""
    total = sum(each.guesses for each in classes.values())
    out: list[float] = []
    passed = 0
    for _, each in sorted(classes.items()):
        passed += each.guesses
        count = round(SAMPLES * passed / total) - len(out) if total else 0
        out += [each.total / each.guesses] * count
    return tuple(out)


def _sure(doubts: Mapping[int, Tally]) -> tuple[tuple[float, float, float], ...]:
    """Calibration from classes of 1 - q: (upper end of q, how often right, share)."""
    total = sum(each.guesses for each in doubts.values())
    ends = (0.0, *DOUBTS)
    found = [(round(1 - ends[i], 6), each) for i, each in sorted(doubts.items(), reverse=True) if each.guesses]
    return tuple((upper, each.right / each.guesses, each.guesses / total) for upper, each in found)


def _calibrated(matches: Mapping[int, Tally]) -> tuple[tuple[int, float, float], ...]:
    total = sum(each.guesses for each in matches.values())
    pairs = [(shortest, each) for shortest, each in sorted(matches.items()) if each.guesses]
    return tuple((shortest, each.right / each.guesses, each.guesses / total) for shortest, each in pairs)


def _siblings(seen: FormCounts) -> tuple[float, ...]:
    """Of each rank behind the first, as long as there are enough places to go by."""
    out: list[float] = []
    left = seen.places - sum(seen.ranks[:1])
    for hits in seen.ranks[1:]:
        if left < LEAST / 2:
            break
        out.append(hits / left)
        left -= hits
    return tuple(out)


def _overlap(counts: Overlap, otherwise: float) -> float:
    """0: right independently of each other; 1: the stronger is right wherever the weaker is."""
    places: Sequence[int] = (counts.both, counts.lookup, counts.draft, counts.neither)
    total = sum(places)
    if total < LEAST:
        return otherwise
    first, second = (counts.both + counts.lookup) / total, (counts.both + counts.draft) / total
    apart, most = first * second, min(first, second)
    return min(1.0, max(0.0, (counts.both / total - apart) / (most - apart))) if most > apart else otherwise
