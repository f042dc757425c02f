"""The statements of a pipeline. docs/pipelines.md has the grammar and what each statement means.

    pipeline chain
      g = draft(model, of=draft, width=5, law=coupled)
      v = verify(g)
      a = accept(v, rule=coupled)
      commit(a)

A pipeline says what one round does; sources, models and rules are named by string and bound when it is compiled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Law = Literal["point", "coupled", "sampled", "without_replacement"]
Class = Literal["exact", "distribution", "lossy"]  # same tokens bit for bit; same distribution; something may be lost

FREE_SOURCES: Final = ("lookup", "recycled", "copy", "grammar")  # guess without a model, and without chance
BRANCHING_SOURCES: Final = ("recycled", "copy")  # those of them whose guesses may have siblings
SOURCES: Final = (*FREE_SOURCES, "model")
PACED_SOURCES: Final = ("lookup", "recycled", "copy", "model")  # whose guesses may be wrong: what can be paced
DEFER_RULES: Final = ("chow", "entropy")  # of `defer` and `route`
ACCEPT_RULES: Final = ("greedy", "coupled", "reject", "block", "multi", "mix", "cascade", "keep")


@dataclass(frozen=True, slots=True)
class Draft:
    """NAME = draft(SOURCE, ...): guesses of a source, none when it has none. Gives a proposal.

    source: lookup, recycled, copy, grammar or model. width: most guesses. law: how they are drawn (DESIGN.md, section
    6). Of the source `model`:
    of: which model. inner: a free source that speeds up that model's own steps ("" none). siblings: most further
    guesses beside one whose probability is below 1 - doubt. stop: the chain ends behind a guess whose probability is
    below this (0: never). prompt: how many of the prompt's last tokens it reads (0: all). vocabulary: size that its
    output matrix is cut to (0: whole). precision: format that its weights are lowered to ("" as they are).
    Of all but grammar: paced: each round decides by measured costs and what it learned how many guesses pay; `width` is
    the most.
    """

    name: str
    source: str
    width: int = 8
    law: Law = "point"
    of: str = ""
    inner: str = ""
    siblings: int = 0
    doubt: float = 0.0
    stop: float = 0.0
    prompt: int = 0
    vocabulary: int = 0
    precision: str = ""
    paced: bool = False


@dataclass(frozen=True, slots=True)
class Merge:
    """NAME = merge(PROPOSAL, ...): one tree; guesses that agree share a row. Gives a proposal.

    Earlier proposals come first. width: most guesses.
    """

    name: str
    proposals: tuple[str, ...]
    width: int = 16


@dataclass(frozen=True, slots=True)
class Defer:
    """NAME = defer(PROPOSAL, rule=..., threshold=...): guesses that the target need not see. Gives a final proposal.

    Kept are those before the first place where the rule fires on q; from there the target speaks. rule: chow, entropy.
    """

    name: str
    proposal: str
    rule: str
    threshold: float


@dataclass(frozen=True, slots=True)
class Verify:
    """NAME = verify(PROPOSAL) or verify(): one pass of the target over the guesses. Gives scores.

    constrained: what the grammar forbids has probability 0.
    """

    name: str
    proposal: str = ""
    constrained: bool = False


@dataclass(frozen=True, slots=True)
class Accept:
    """NAME = accept(SCORES, rule=...): which guesses are kept, and the target's own token behind them. Gives tokens.

    epsilon, alpha: knobs of the lossy rules `mix` and `cascade`.
    """

    name: str
    scores: str
    rule: str = "coupled"
    epsilon: float = 0.0
    alpha: float = 0.0


@dataclass(frozen=True, slots=True)
class Route:
    """route(small=..., rule=..., threshold=...): before the first round, the whole query goes to one of two models."""

    small: str
    rule: str
    threshold: float


@dataclass(frozen=True, slots=True)
class Commit:
    """commit(TOKENS): they are the text now."""

    tokens: str


Statement = Draft | Merge | Defer | Verify | Accept | Route | Commit


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A named list of statements; every name is set once, before it is used."""

    name: str
    statements: tuple[Statement, ...]
