"""Whether a replay agrees with real runs: the same tokens accepted, round by round, and about the same time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

from foretell.api import Model
from foretell.lab.policies.policy import Policy
from foretell.lab.replay.run import Played, generate, replay
from foretell.lab.replay.score import Scorer
from foretell.lab.replay.trace import Text


@dataclass(frozen=True, slots=True)
class Checked:
    """A text by a policy, for real and replayed. differs: the first round that is another one; None: all agree."""

    text: Text
    policy: str
    real: Played
    replayed: Played

    @property
    def differs(self) -> int | None:
        """Counted from 0; the number of common rounds when one has more."""
        if self.real.turns == self.replayed.turns and self.real.sources == self.replayed.sources:
            return None
        for i, (a, b) in enumerate(zip(self.real.turns, self.replayed.turns, strict=False)):
            if a != b:
                return i
        return min(len(self.real.turns), len(self.replayed.turns))


def check(
    model: Model,
    scorer: Scorer,
    policies: Sequence[Policy],
    texts: Sequence[Text],
    clock: Callable[[], float] = perf_counter,
) -> Iterator[Checked]:
    """Every text by every policy, taking turns, each from scratch.

    The model then goes by the trace's facts: others, though of the same machine, may come to other decisions.
    """
    if model.drafter is not None:
        model.drafter.cuts = False  # a trace has what the model says as it was loaded
    model.facts, model.pass_costs = scorer.facts, dict(scorer.facts.target.points)
    real = [each.fresh() for each in policies]
    replayed = [each.fresh() for each in policies]
    for text in texts:
        for mine, theirs in zip(real, replayed, strict=True):
            if model.drafter is not None:
                model.drafter.forget()
            about = scorer.trace.about
            run = generate(model, text.prompt, mine, about.sampling, max_tokens=about.max_tokens, clock=clock)
            yield Checked(text, mine.name, run, replay(scorer.world(text), theirs))


def agreement(found: Sequence[Checked], reference: str) -> dict[str, dict[str, float | int | None]]:
    """Policy → figures.

    texts; differing: those with another round. real_s, replay_s: response times, summed. off: by how much the replay's
    is wrong, as a part of the real one. off_relative: the same of the times in relation to the reference policy's, so
    that a machine that is slower as a whole does not count; None without it.
    """
    out: dict[str, dict[str, float | int | None]] = {}
    sums = {name: _sums([each for each in found if each.policy == name]) for name in {each.policy: 0 for each in found}}
    base = sums.get(reference)
    for name, (real, replayed) in sums.items():
        mine = [each for each in found if each.policy == name]
        out[name] = {
            "texts": len(mine),
            "differing": sum(each.differs is not None for each in mine),
            "real_s": real,
            "replay_s": replayed,
            "off": replayed / real - 1,
            "off_relative": None if base is None else (replayed / base[1]) / (real / base[0]) - 1,
        }
    return out


def _sums(found: Sequence[Checked]) -> tuple[float, float]:
    return sum(each.real.result.response_s for each in found), sum(each.replayed.result.response_s for each in found)
