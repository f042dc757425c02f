"""Facts to go by before anything was measured."""

from dataclasses import replace
from typing import Final

from foretell.cost.curve import Curve
from foretell.cost.facts import Facts, ModelFacts, SourceFacts, Trade
from foretell.cost.pricing import Pricing
from foretell.profile.energy.counter import PassCounter
from foretell.profile.energy.published import published

TARGET: Final = Curve.of({1: 22.8, 8: 23.5, 10: 26.0, 16: 48.6})
DRAFT: Final = ModelFacts(
    pass_ms=TARGET.scaled(0.4),
    prompt_ms=1.0,
    chances=(0.72, 0.76, 0.78),
    doubts={
        "chow": (0.001, 0.01, 0.03, 0.06, 0.12, 0.2, 0.32, 0.45, 0.6, 0.75),
        "entropy": (0.01, 0.06, 0.15, 0.3, 0.5, 0.8, 1.2, 1.7, 2.4, 3.5),
    },
    siblings=(0.35, 0.2, 0.15),
    precisions={"Q4_0": Trade(cost=0.85, kept=0.985)},
    vocabularies={16384: Trade(cost=0.75, kept=0.97), 32768: Trade(cost=0.82, kept=0.985)},
    prompts={64: 0.85, 256: 0.95},
)
# Of Qwen2.5-Coder 1.5B and 0.5B in Q4_K_M, rounded, and what Q4_0 leaves of the bytes of the second.
TARGET_COUNTS: Final = PassCounter(808_000_000, 193_000_000, 28_672, 864, 1_310_000_000, 233_000_000, 86_016)
DRAFT_COUNTS: Final = PassCounter(248_000_000, 145_000_000, 12_288, 616, 358_000_000, 136_000_000, 43_008)
LOWERED: Final = 0.71
VOCABULARY: Final = 151_936
PROCESSORS: Final = 2
# Free sources whose chances are taken from here where none were measured: how often others are right differs too much
# by text, and copying is silent in texts that it is not for.
UNMEASURED: Final = ("lookup", "copy")


def assumed(*models: str) -> Facts:
    """Assumptions, with these draft models.

    Times are those of DESIGN.md, section 1 (a target of 1.5 billion weights on two processors, with a draft that reads
    0.40 of its bytes per token); chances are round numbers, typical of mixed text. Joules are those of a server of
    published figures.
    """
    energy = Pricing(published("server", PROCESSORS), PROCESSORS, TARGET_COUNTS, dict.fromkeys(models, _counts))
    return Facts(
        target=TARGET,
        prompt_ms=2.5,
        sources={
            "lookup": SourceFacts((0.45, 0.65, 0.75, 0.8), offers=0.6, ms=0.01),
            "recycled": SourceFacts((0.35, 0.3), offers=0.6, level_rows=2.0, ms=0.02),
            "copy": SourceFacts((0.3, 0.7, 0.8, 0.9), offers=0.3, ms=0.01),
            "grammar": SourceFacts((1.0,), offers=0.2, ms=0.05),
        },
        models=dict.fromkeys(models, DRAFT),
        overhead_ms=0.2,
        origin="assumed",
        energy=energy,
    )


def _counts(vocabulary: int, precision: str) -> PassCounter:
    """Of a form of the draft model."""
    its = DRAFT_COUNTS
    if precision:
        lowered = (round(LOWERED * each) for each in (its.always_bytes, its.output_bytes))
        its = replace(its, **dict(zip(("always_bytes", "output_bytes"), lowered, strict=True)))
    return its.cut(vocabulary / VOCABULARY) if vocabulary else its
