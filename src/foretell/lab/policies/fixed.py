"""Policies that decide nothing while they run: no speculation, lookup or a draft model at one width, shipped trees.

Fixed draft lengths are those of speculative decoding (arXiv 2211.17192, 2302.01318) and of prompt lookup decoding
(A. Saxena, 2023), here with the longest match that there is.
"""

from collections.abc import Iterator
from typing import Final

from foretell.ir import presets
from foretell.ir.ops import Accept, Commit, Draft, Pipeline, Verify
from foretell.lab.policies.policy import Fixed
from foretell.runtime.choose import DRAFT

LENGTHS: Final = range(1, 9)
SHIPPED: Final = ("tree", "merged", "staged", "copy")  # presets whose shape is not a length of the others


def plain() -> Fixed:
    """No speculation."""
    return Fixed("plain", presets.load("plain"))


def lookup(width: int) -> Fixed:
    """So many copied guesses, whenever the newest token stood in the text before."""
    return Fixed(f"lookup-{width}", _one(f"lookup_{width}", Draft("g", "lookup", width=width)))


def model(width: int) -> Fixed:
    """So many guesses of the draft model, in every round."""
    return Fixed(f"model-{width}", _one(f"model_{width}", Draft("g", "model", width=width, law="coupled", of=DRAFT)))


def shipped() -> Iterator[Fixed]:
    """Presets."""
    for name in SHIPPED:
        yield Fixed(name, presets.load(name))


def _one(name: str, draft: Draft) -> Pipeline:
    return Pipeline(name, (draft, Verify("v", draft.name), Accept("a", "v"), Commit("a")))
