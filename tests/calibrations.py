"""Questions with known truth for calibrations: how often a small model is right where it is sure, and where not."""

import random

from foretell.lab.budget.sample import EXACT, SMALL, Answer, Sample


def answer(
    number: int, configuration: str, right: bool, seconds: float, surprise: tuple[float, ...] = (), task: str = "t"
) -> Answer:
    times = tuple(seconds * (i + 1) / len(surprise) for i in range(len(surprise)))
    return Answer(
        f"{task}/{number}", configuration, right, len(surprise), "", "stop", 0.1, seconds, 2 * seconds, 3,
        ids=tuple(range(len(surprise))), surprise=surprise, closeness=surprise, entropy=surprise, at_s=times,
        processor_at_s=tuple(2 * each for each in times),
    )  # fmt: skip


def question(number: int, *, target: bool, small: bool, doubt: float, small_s: float = 0.3, task: str = "t") -> Sample:
    """Of two models that took 1 s and `small_s`; `doubt` is the small model's at each of its three tokens."""
    found = [
        answer(number, EXACT, target, 1.0, task=task),
        answer(number, SMALL, small, small_s, (doubt, doubt, doubt), task),
    ]
    return Sample(f"{task}/{number}", task, {each.configuration: each for each in found})


def drawn(count: int, loss: float, gain: float, seed: int, sharp: float = 0.0) -> list[Sample]:
    """Questions of which so large shares are lost and gained; sharp: how much its doubt tells the small model's losses.

    At 1 all losses are above all others.
    """
    chance = random.Random(seed)
    out = []
    for number in range(count):
        u = chance.random()
        lost, gained = u < loss, loss <= u < loss + gain
        both = chance.random() < 0.6
        doubt = chance.random() * (1 - sharp) + (sharp if lost else 0.0)
        target = lost or (both and not gained)
        out.append(question(number, target=target, small=gained or (both and not lost), doubt=doubt))
    return out
