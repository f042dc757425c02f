"""When the small model asks the target: rules on its distribution q alone, before the target has seen anything.

- chow: ask when max q < 1 - threshold (Chow, "On optimum recognition error and reject tradeoff", 1970; for language
  models arXiv 2405.19261, section 2). threshold is the most chance of error that the small model may take on itself, if
  its q is calibrated.
- entropy: ask when -Σ q log q > threshold, in nats.
"""

from collections.abc import Callable

import numpy as np

from foretell.accept.proposal import Weights
from foretell.errors import UsageError

NAMES = ("chow", "entropy")


def make(rule: str, threshold: float) -> Callable[[Weights], bool]:
    """Whether to ask where the small model has distribution q [vocabulary].

    Args:
        rule: one of NAMES.
        threshold: chow: between 0 (always, unless q is certain) and 1 (never); entropy: nats, 0 or more.

    Raises:
        UsageError: no such rule, or a threshold out of range.
    """
    match rule:
        case "chow":
            if not 0 <= threshold <= 1:
                raise UsageError(f"rule chow has threshold={threshold:g}: it must be between 0 and 1")
            return lambda q: bool(q.max() < 1 - threshold)
        case "entropy":
            if not 0 <= threshold < float("inf"):
                raise UsageError(f"rule entropy has threshold={threshold:g}: it must be 0 nats or more")
            return lambda q: entropy(q) > threshold
    raise UsageError(f"unknown deferral rule {rule!r}: choose one of {', '.join(NAMES)}")


def entropy(q: Weights) -> float:
    """-Σ q log q in nats.

    >>> entropy(np.array([1.0, 0.0]))
    0.0
    """
    some = q[q > 0].astype(np.float64)
    return float((some * -np.log(some)).sum())
