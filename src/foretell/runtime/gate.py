"""Who answers within a quality budget: the small model's beginning is judged, as a certified mode says."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from foretell.accept.sampling import Sampling
from foretell.ir.ops import Pipeline
from foretell.runtime.calibration import Certificate, Mode, percent
from foretell.runtime.held import Held
from foretell.runtime.signals import AGAIN_TEMPERATURE, RISING, Step, disagreement, doubt, step

AGAIN_SEED: Final = 1  # of the second answer, where the two are compared


@dataclass(frozen=True, slots=True)
class Starter:
    """Starts streams for one request, whose time runs already.

    small: the small model, with log-probabilities; by this sampling or the request's. target: the target, by this
    pipeline or by the level.
    """

    small: Callable[[Sampling | None], Held]
    target: Callable[[Pipeline | None], Held]


def answer(certificate: Certificate, starter: Starter, stopped: Callable[[], bool] = lambda: False) -> Held:
    """The stream of whoever answers; what the small model says is held back until that is known.

    stopped: whether nobody waits for it any more.
    """
    mode, budget = certificate.mode, percent(certificate.budget)
    if not certificate.saves:
        held = starter.target(None)
        held.why = f"the target answered: nothing that is certified for {budget} saves time or processor time"
        return held
    match mode.kind:
        case "pipeline":
            held = starter.target(mode.both)
            held.why = f"both models answered, by {mode.name}, certified for {budget}"
        case "small":
            held = starter.small(None)
            held.why = f"the small model answered, as it always may for {budget}"
        case _:
            held = _gated(mode, budget, starter, stopped)
    return held


def _gated(mode: Mode, budget: str, starter: Starter, stopped: Callable[[], bool]) -> Held:
    held = starter.small(None)
    try:
        value = judged(mode, held, starter, stopped)
    except BaseException:
        held.close()
        raise
    if value is None:  # it was interrupted, or nobody waits
        return held
    small = value <= mode.threshold
    said = f"{mode.name}: {value:.3g}, {'at most' if small else 'above'} {mode.threshold:.3g}, certified for {budget}"
    who = "the small model" if small else "both models" if mode.both else "the target"
    if not small:
        held.close()
        held = starter.target(mode.both)
    else:
        held.show()
    held.why = f"{who} answered, by {said}"
    return held


def judged(mode: Mode, held: Held, starter: Starter, stopped: Callable[[], bool]) -> float | None:
    """The small model's doubt over as much as has to be read; None when it was interrupted."""
    steps: list[Step] = []
    tokens: list[int] = []
    for event in held.ahead():
        steps.append(step(event))
        tokens.append(event.token)
        if stopped():
            held.cancel()
        if len(steps) == mode.tokens:
            break
        if mode.signal in RISING and doubt(mode.signal, steps) > mode.threshold:
            break
    if held.interrupted:
        return None
    if mode.signal != "disagreement":
        return doubt(mode.signal, steps)
    other = starter.small(Sampling(temperature=AGAIN_TEMPERATURE, seed=AGAIN_SEED))
    try:
        second = []
        for event in other.ahead():
            second.append(event.token)
            if stopped():
                other.cancel()
        return None if other.interrupted else doubt(mode.signal, steps, disagreement(tokens, second))
    finally:
        other.close()
