"""The settings of a generation that a person gives by name, checked in one place."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from foretell.accept.grammar import Grammar
from foretell.accept.sampling import GREEDY, Sampling
from foretell.errors import UsageError
from foretell.ir.check import check
from foretell.ir.ops import Accept, Pipeline, Verify
from foretell.passes.levels import check_level

MOST_LOGPROBS = 100


class Options(TypedDict, total=False):
    """Keyword arguments of `generate`, `stream` and `Chat.send`; see Settings."""

    max_tokens: int | None
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repeat_penalty: float
    seed: int | None
    stop: str | Sequence[str]
    logprobs: int
    speculation: bool
    level: str
    pipeline: Pipeline | None
    grammar: Grammar | None
    logit_bias: Mapping[int, float] | None
    quality_budget: float | None


@dataclass(frozen=True, slots=True)
class Settings:
    """How to generate.

    max_tokens: most tokens; None means until the context is full.
    temperature, top_k, top_p, min_p, repeat_penalty: see Sampling; the defaults choose the likeliest token.
    seed: of the noise; None draws one when the temperature is above 0. It is in the result.
    stop: strings that end the text; they are not part of it.
    logprobs: how many alternatives each event carries.
    speculation: whether guesses are checked along. At the levels it changes the speed, never the text.
    level: O0 to O3, how much is done for speed; Oe: for fewer joules; see `foretell.passes.levels`.
    pipeline: what to run instead of what the level says.
    grammar: what the text has to be; it may be cut off by max_tokens, the context or a stop string.
    logit_bias: what is added to the logits of these tokens, from -100 to 100, or minus infinity to ban one. Of at most
        1024 tokens. A grammar goes before: where it leaves banned tokens only, one of them comes.
    quality_budget: how much accuracy may be lost, as a share from 0 to 1; None: nothing. What a calibration certifies
        for it is left to the small model.
    """

    max_tokens: int | None = 512
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    seed: int | None = None
    stop: str | Sequence[str] = ()
    logprobs: int = 0
    speculation: bool = True
    level: str = "O2"
    pipeline: Pipeline | None = None
    grammar: Grammar | None = None
    logit_bias: Mapping[int, float] | None = None
    quality_budget: float | None = None

    def __post_init__(self) -> None:
        if self.max_tokens is not None and self.max_tokens < 1:
            raise UsageError(f"max-tokens is {self.max_tokens}, must be 1 or more")
        if not 0 <= self.logprobs <= MOST_LOGPROBS:
            raise UsageError(f"logprobs is {self.logprobs}, must be between 0 and {MOST_LOGPROBS}")
        check_level(self.level)
        if self.pipeline is not None:
            check(self.pipeline)
            check_temperature(self.pipeline, self.temperature)
            self._check_constrained(self.pipeline)
        if self.quality_budget is not None:
            self._check_budget(self.quality_budget)
        if "" in self.stops:
            raise UsageError("a stop string is empty, must have at least one character")
        self.sampling(self.seed or 0)

    def _check_constrained(self, pipeline: Pipeline) -> None:
        constrained = any(isinstance(each, Verify) and each.constrained for each in pipeline.statements)
        if constrained and self.grammar is None:
            raise UsageError(f"pipeline {pipeline.name} is constrained: give --schema, --regex or --grammar")
        if self.grammar is not None and not constrained:
            raise UsageError(
                f"pipeline {pipeline.name} does not keep to a grammar: write verify(..., constrained=true) in it"
            )

    def _check_budget(self, budget: float) -> None:
        """A calibration knows nothing of whatever changes how models answer."""
        if not 0 < budget < 1:
            raise UsageError(f"quality-budget is {budget:g}, must be a share between 0 and 1, such as 0.05")
        changed = {
            "pipeline": self.pipeline is not None,
            "grammar": self.grammar is not None,
            "logit-bias": bool(self.logit_bias),
            "repeat-penalty": self.repeat_penalty != 1,
        }
        for name, given in changed.items():
            if given:
                raise UsageError(f"quality-budget does not go with {name}: no calibration was made so; leave one out")

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings as a tuple."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    def choose_seed(self) -> int:
        """The seed that was given, or a new one if it matters."""
        if self.seed is not None:
            return self.seed
        return secrets.randbelow(2**32) if self.temperature > 0 else 0

    def sampling(self, seed: int) -> Sampling:
        """As the engine wants it; checks the ranges. Plain argmax is GREEDY, whatever else is set."""
        bias = tuple(sorted((token, float(value)) for token, value in (self.logit_bias or {}).items() if value != 0))
        sampling = Sampling(self.temperature, self.top_k, self.top_p, self.min_p, self.repeat_penalty, seed, bias)
        return GREEDY if self.temperature == 0 and self.repeat_penalty == 1 and not bias else sampling


def check_temperature(pipeline: Pipeline, temperature: float) -> None:
    """Raise UsageError for a pipeline that is for temperature 0 alone, at another one."""
    if temperature > 0 and any(isinstance(each, Accept) and each.rule == "greedy" for each in pipeline.statements):
        raise UsageError(
            f"pipeline {pipeline.name} accepts by rule greedy, but the temperature is {temperature}: use rule coupled, "
            "or temperature 0"
        )
