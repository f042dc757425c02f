"""What a recorded generation read and multiplied, round by round, and what that is priced at: its joules follow."""

from dataclasses import dataclass, replace

from foretell.cost.pricing import Pricing
from foretell.profile.energy.counter import PassCounter
from foretell.profile.energy.joules import KINDS, Joules
from foretell.profile.energy.model import Model
from foretell.runtime.events import Result
from foretell.runtime.trace import Moved, Recorder


@dataclass(frozen=True, slots=True)
class Spent:
    """Of a run.

    prices: of the energy model. threads: that passes keep busy. counter: of the target's passes. draft: of the draft
    model's as it is, None without one. processor_s: of all threads. prompt_bytes, prompt_macs: of the target's passes
    over the prompt. target_bytes to draft_macs: by round. joules, low, high, kind, source, missing: what the run took
    in all, as `foretell.profile.energy.joules.Joules`.
    """

    prices: Model
    threads: int
    counter: PassCounter
    draft: PassCounter | None
    processor_s: float
    prompt_bytes: int
    prompt_macs: int
    target_bytes: tuple[int, ...]
    target_macs: tuple[int, ...]
    draft_bytes: tuple[int, ...]
    draft_macs: tuple[int, ...]
    joules: float | None
    low: float | None
    high: float | None
    kind: str
    source: str
    missing: tuple[str, ...]

    @property
    def total(self) -> Joules:
        """Of the whole run, as it was said when it ended."""
        kind = next(each for each in KINDS if each == self.kind)
        return Joules(self.joules, self.low, self.high, self.source, kind, self.missing)

    @property
    def rounds(self) -> tuple[Moved, ...]:
        """By round."""
        return tuple(zip(self.target_bytes, self.target_macs, self.draft_bytes, self.draft_macs, strict=True))


def spent(pricing: Pricing | None, result: Result, recorder: Recorder, draft: str) -> Spent | None:
    """Of a generation that has ended; None when it is not known what its passes read, or they were not the target's.

    draft: what pipelines call the draft model.
    """
    energy, begun = result.energy, recorder.begun
    if pricing is None or energy is None or result.processor_s is None or begun is None:
        return None
    if result.answered_by == "draft":
        return None
    read = recorder.prompt or recorder.final or begun
    rounds = recorder.moved
    return Spent(
        prices=replace(pricing.prices, reasons={}),
        threads=pricing.threads,
        counter=pricing.target,
        draft=pricing.drafts[draft](0, "") if draft in pricing.drafts else None,
        processor_s=result.processor_s,
        prompt_bytes=read.bytes - begun.bytes,
        prompt_macs=read.macs - begun.macs,
        target_bytes=tuple(each[0] for each in rounds),
        target_macs=tuple(each[1] for each in rounds),
        draft_bytes=tuple(each[2] for each in rounds),
        draft_macs=tuple(each[3] for each in rounds),
        joules=energy.value,
        low=energy.low,
        high=energy.high,
        kind=energy.kind,
        source=energy.source,
        missing=energy.missing,
    )
