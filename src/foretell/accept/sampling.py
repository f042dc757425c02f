"""How a token is chosen from a row's logits: the settings that a person can give."""

from dataclasses import dataclass

from foretell.errors import UsageError

PENALTY_WINDOW = 64  # tokens of history that the repeat penalty looks at


@dataclass(frozen=True, slots=True)
class Sampling:
    """Order: repeat penalty, top-k, top-p, min-p, temperature, then Gumbel argmax; ties to the lowest id.

    temperature: 0 means argmax. top_k: 0 means all. top_p in (0, 1], min_p in [0, 1): 1 and 0 keep everything.
    repeat_penalty: > 0; logits of tokens among the last 64 are divided by it when positive, multiplied when not.
    seed: keys the noise together with the absolute position and the token id.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        checks = {
            "temperature": (0 <= self.temperature < float("inf"), "0 or more"),
            "top-k": (self.top_k >= 0, "0 (off) or more"),
            "top-p": (0 < self.top_p <= 1, "above 0, at most 1"),
            "min-p": (0 <= self.min_p < 1, "at least 0, below 1"),
            "repeat-penalty": (0 < self.repeat_penalty < float("inf"), "above 0"),
            "seed": (0 <= self.seed < 2**64, "between 0 and 2^64 - 1"),
        }
        for name, (good, allowed) in checks.items():
            if not good:
                value = getattr(self, name.replace("-", "_"))
                raise UsageError(f"{name} is {value}, must be {allowed}")


GREEDY = Sampling()
