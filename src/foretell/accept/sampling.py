"""How a token is chosen from a row's logits: the settings that a person can give."""

from dataclasses import dataclass
from math import inf
from typing import Final

from foretell.errors import UsageError

PENALTY_WINDOW = 64  # tokens of history that the repeat penalty looks at
PENALTIES: Final = (0.001, 1000.0)  # the range of the repeat penalty: no logit that a model gives overflows
MOST_BIAS: Final = 100.0  # far beyond what logits differ by, so it forces or forbids, and never overflows
MOST_BIASES: Final = 1024


@dataclass(frozen=True, slots=True)
class Sampling:
    """Order: logit bias, repeat penalty, top-k, top-p, min-p, temperature, then Gumbel argmax; ties to the lowest id.

    temperature: 0 means argmax. top_k: 0 means all. top_p in (0, 1], min_p in [0, 1): 1 and 0 keep everything.
    repeat_penalty: 0.001 to 1000; logits of tokens among the last 64 are divided by it when positive, multiplied when
    not.
    seed: keys the noise together with the absolute position and the token id.
    logit_bias: (token, number) pairs, ascending by token, at most 1024: the number is added to the token's logit. From
    -100 to 100, or minus infinity, which bans the token. Ids that a model does not have are of no effect.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    seed: int = 0
    logit_bias: tuple[tuple[int, float], ...] = ()

    def __post_init__(self) -> None:
        checks = {
            "temperature": (0 <= self.temperature < float("inf"), "0 or more"),
            "top-k": (self.top_k >= 0, "0 (off) or more"),
            "top-p": (0 < self.top_p <= 1, "above 0, at most 1"),
            "min-p": (0 <= self.min_p < 1, "at least 0, below 1"),
            "repeat-penalty": (PENALTIES[0] <= self.repeat_penalty <= PENALTIES[1], "between 0.001 and 1000"),
            "seed": (0 <= self.seed < 2**64, "between 0 and 2^64 - 1"),
        }
        for name, (good, allowed) in checks.items():
            if not good:
                value = getattr(self, name.replace("-", "_"))
                raise UsageError(f"{name} is {value}, must be {allowed}")
        self._check_bias()

    def _check_bias(self) -> None:
        if len(self.logit_bias) > MOST_BIASES:
            raise UsageError(f"logit-bias is for {len(self.logit_bias)} tokens, must be for {MOST_BIASES} at most")
        before = -1
        for token, bias in self.logit_bias:
            if not before < token < 2**31:
                raise UsageError(f"logit-bias is for token {token}, must be for ids from 0, each once, ascending")
            if not (-MOST_BIAS <= bias <= MOST_BIAS or bias == -inf):
                raise UsageError(f"logit-bias is {bias}, must be between -100 and 100, or -inf to ban a token")
            before = token


GREEDY = Sampling()
