"""What passes know when they decide: times of this machine, and how often guesses are right on this kind of text.

Chances depend on how wide rounds are: a wide one takes a run of right guesses at once, narrow ones begin again and
again within it, so that more of them begin well. Where chances were measured at several widths, `at` gives those of the
nearest.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain

from foretell.cost.curve import Curve
from foretell.cost.pricing import Pricing
from foretell.errors import ForetellError


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """A free source: lookup, recycled, copy, grammar.

    chances[i]: that guess i is right when those before it were; for a source that gives trees, that some guess of level
    i is. The last one holds for all places behind it.
    offers: share of rounds in which it has guesses. level_rows: rows that a level of its tree takes, 1 for a chain.
    ms: of one proposal. widths: the same in rounds of at most so many guesses.
    calibration: of lookup and copy, by class of guesses: (what `foretell.profile.counts.SourceCounts` calls the class,
    how often right, share of guesses), ascending.
    """

    chances: tuple[float, ...]
    offers: float = 1.0
    level_rows: float = 1.0
    ms: float = 0.0
    widths: Mapping[int, "SourceFacts"] = field(default_factory=dict)
    calibration: tuple[tuple[int, float, float], ...] = ()

    def __post_init__(self) -> None:
        _shares("a chance of a free source", *self.chances, self.offers)

    def at(self, width: int) -> "SourceFacts":
        """In rounds of at most so many guesses."""
        return self.widths[_nearest(self.widths, width)] if self.widths else self


@dataclass(frozen=True, slots=True)
class Trade:
    """An approximation of a draft: `cost` times the time of a pass for `kept` times the chances.

    prompt: factor on the time of a prompt's token, of which all are computed, so that fewer bytes save less.
    """

    cost: float
    kept: float
    prompt: float = 1.0


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A draft model.

    pass_ms: of a pass by rows. prompt_ms: of one token of its prompt pass. chances: as for a free source.
    doubts: by rule of `defer`, samples of what the rule looks at: 1 - max q for `chow`, the entropy of q in nats for
    `entropy`. Where doubts for `chow` are known, `stop` and `siblings` can be priced too.
    siblings[j]: chance that the guess at rank j + 2 is right when the likelier ones are wrong.
    precisions, vocabularies: approximations by what the statement calls them. forms: by (vocabulary, precision), those
    that were measured together. prompts: by the number of the prompt's last tokens that it reads, the factor on its
    chances.
    contexts: its passes behind each context that was measured, by its tokens.
    widths: its chances in rounds of at most so many guesses. calibration: by its own probability q of its guess: (upper
    end of the class, how often right, share of places), ascending.
    """

    pass_ms: Curve
    prompt_ms: float
    chances: tuple[float, ...]
    doubts: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    siblings: tuple[float, ...] = ()
    precisions: Mapping[str, Trade] = field(default_factory=dict)
    vocabularies: Mapping[int, Trade] = field(default_factory=dict)
    forms: Mapping[tuple[int, str], Trade] = field(default_factory=dict)
    prompts: Mapping[int, float] = field(default_factory=dict)
    widths: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    calibration: tuple[tuple[float, float, float], ...] = ()
    contexts: Mapping[int, Curve] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _shares("a chance of a draft model", *self.chances, *self.siblings, *self.prompts.values())
        trades = chain(self.precisions.values(), self.vocabularies.values(), self.forms.values())
        _shares("the share of chances that an approximation keeps", *(trade.kept for trade in trades))

    def at(self, width: int) -> tuple[float, ...]:
        """Its chances in rounds of at most so many guesses."""
        return self.widths[_nearest(self.widths, width)] if self.widths else self.chances

    def trade(self, vocabulary: int, precision: str) -> Trade:
        """What a form costs and keeps: measured together, or the product of both. What is unknown changes nothing."""
        if (vocabulary, precision) in self.forms:
            return self.forms[vocabulary, precision]
        nothing = Trade(1.0, 1.0)
        a, b = self.precisions.get(precision, nothing), self.vocabularies.get(vocabulary, nothing)
        return Trade(a.cost * b.cost, a.kept * b.kept, a.prompt * b.prompt)


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a price is made of.

    target: ms of the target's pass by rows. prompt_ms: of one token of its prompt pass.
    contexts: the target's passes behind each context that was measured, by its tokens.
    sources: free sources by name. models: draft models by name.
    overhead_ms: of a round besides passes and proposals.
    overlap: how far two sources are right at the same places. 0: independently of each other; 1: whatever the weaker
    one gets right, the stronger one does.
    prompt_tokens, answer_tokens: of a usual request. origin: where the numbers come from, for people.
    energy: what costs in joules are made of (`foretell.cost.joules`); None where it is not known what passes read.
    """

    target: Curve
    prompt_ms: float
    sources: Mapping[str, SourceFacts] = field(default_factory=dict)
    models: Mapping[str, ModelFacts] = field(default_factory=dict)
    overhead_ms: float = 0.0
    overlap: float = 0.5
    prompt_tokens: int = 256
    answer_tokens: int = 256
    origin: str = "measured"
    contexts: Mapping[int, Curve] = field(default_factory=dict)
    energy: Pricing | None = None

    def __post_init__(self) -> None:
        _shares("overlap", self.overlap)
        if self.answer_tokens < 1 or self.prompt_tokens < 1:
            raise ForetellError(
                f"a request has {self.prompt_tokens} prompt and {self.answer_tokens} answer tokens: must be 1 or more"
            )

    def behind(self, tokens: int) -> Curve:
        """The target's passes behind so many tokens: as measured, and straight between and beyond two contexts."""
        if len(self.contexts) < 2:
            return self.target
        known = sorted(self.contexts)
        right = min(max(1, bisect_left(known, tokens)), len(known) - 1)
        a, b = known[right - 1], known[right]
        share = max(0.0, (tokens - a) / (b - a))
        rows = sorted({n for each in (a, b) for n, _ in self.contexts[each].points})
        return Curve.of({n: self.contexts[a](n) * (1 - share) + self.contexts[b](n) * share for n in rows})

    def source(self, name: str) -> SourceFacts:
        """A free source's facts."""
        if name not in self.sources:
            raise ForetellError(f"nothing was measured for the source {name!r}: run `foretell profile run`")
        return self.sources[name]

    def model(self, name: str) -> ModelFacts:
        """A draft model's facts."""
        if name not in self.models:
            raise ForetellError(f"nothing was measured for the draft model {name!r}: run `foretell profile run`")
        return self.models[name]


def _nearest(widths: Iterable[int], width: int) -> int:
    """By ratio; of two that are as near, the narrower."""
    return min(sorted(widths), key=lambda each: abs(math.log(each / max(1, width))))


def _shares(what: str, *values: float) -> None:
    for value in values:
        if not 0 <= value <= 1:
            raise ForetellError(
                f"{what} is {value}, must be between 0 and 1: measure again with `foretell profile run`"
            )
