"""What was counted: how often guesses were right. Counts only, no ratios, so that those of several runs add up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from foretell.errors import ForetellError
from foretell.profile.spread import Spread

Form = tuple[
    int, str
]  # of a draft model: size that its vocabulary is cut to (0: whole), format of its weights ("": own)

WIDTHS: Final = (1, 2, 3, 4, 6, 8, 12, 16)  # most guesses of a round, for each of which rounds are counted
RANKS: Final = 8  # of the target's token among a draft model's candidates
# Upper ends of classes: of 1 - max q, and of the entropy of q in nats.
DOUBTS: Final = (0.001, 0.003, 0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)
ENTROPIES: Final = (0.01, 0.03, 0.1, 0.2, 0.4, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 100.0)


def form_name(form: Form) -> str:
    """A form as a profile's files and tables call it.

    >>> form_name((0, "")), form_name((16384, "Q4_0"))
    ('whole', '16384 Q4_0')
    """
    vocabulary, precision = form
    return f"{vocabulary or 'whole'} {precision}".rstrip()


def form_of(name: str) -> Form:
    """The form of a name. Raises ForetellError.

    >>> form_of("16384 Q4_0"), form_of("whole")
    ((16384, 'Q4_0'), (0, ''))
    """
    size, _, precision = name.partition(" ")
    if size != "whole" and not (size.isascii() and size.isdigit()):
        raise ForetellError(f"a draft model has no form {name!r}: measure again with `foretell profile run`")
    return 0 if size == "whole" else int(size), precision


@dataclass(frozen=True, slots=True)
class Rounds:
    """Rounds with at most so many guesses, played over texts that were known.

    rounds: all. offered: those with guesses. guesses: all of these. levels: how deep they went, summed over rounds: in
    chains the same as guesses. trials[i]: offered rounds whose first i guesses were right (on some path of a tree) and
    that might have had one more; hits[i]: those in which that was right too.
    """

    rounds: int = 0
    offered: int = 0
    guesses: int = 0
    levels: int = 0
    trials: tuple[int, ...] = ()
    hits: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _check("rounds", len(self.trials) == len(self.hits) and self.offered <= self.rounds)
        _check("hits", all(hit <= trial for hit, trial in zip(self.hits, self.trials, strict=True)))


@dataclass(frozen=True, slots=True)
class Tally:
    """Guesses of a class: how many, how many were right, and the sum of the value that the class goes by."""

    guesses: int = 0
    right: int = 0
    total: float = 0.0

    def __post_init__(self) -> None:
        _check("guesses", self.right <= self.guesses)


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """A free source.

    rounds: by width. matches: of lookup, first guesses by the length of the match that they continue (the shortest of a
    class, see `foretell.draft.lookup.LENGTHS`); of copy, by the number of their class in `foretell.draft.copy.KINDS`.
    proposal: time of one.
    """

    rounds: Mapping[int, Rounds] = field(default_factory=dict)
    matches: Mapping[int, Tally] = field(default_factory=dict)
    proposal: Spread | None = None


@dataclass(frozen=True, slots=True)
class FormCounts:
    """A draft model in a form, its most probable token at each place of the texts.

    rounds: by width. doubts, entropies: by number of the class (DOUBTS, ENTROPIES), with the sums of 1 - max q and of
    the entropy. ranks[j]: places where the target's token was its candidate number j + 1.
    """

    places: int = 0
    right: int = 0
    rounds: Mapping[int, Rounds] = field(default_factory=dict)
    doubts: Mapping[int, Tally] = field(default_factory=dict)
    entropies: Mapping[int, Tally] = field(default_factory=dict)
    ranks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _check("places", self.right <= self.places and sum(self.ranks) <= self.places)
        _check("classes", max(self.doubts, default=0) < len(DOUBTS) and max(self.entropies, default=0) < len(ENTROPIES))


@dataclass(frozen=True, slots=True)
class Shortened:
    """A draft model that reads only the end of prompts that are longer: places, and where it was right so and else."""

    places: int = 0
    right: int = 0
    whole_right: int = 0

    def __post_init__(self) -> None:
        _check("places", max(self.right, self.whole_right) <= self.places)


@dataclass(frozen=True, slots=True)
class Overlap:
    """Places where lookup has a guess: who was right there, lookup or the draft model as it is."""

    both: int = 0
    lookup: int = 0
    draft: int = 0
    neither: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """Of answers to prompts of one kind.

    answers, prompt_tokens, tokens: how much text. frequencies: how often each token id was generated. sources: free
    ones by name. forms: of the draft model by name (`form_name`). prompts: by how many of its last tokens were read.
    """

    answers: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    frequencies: Mapping[int, int] = field(default_factory=dict)
    sources: Mapping[str, SourceCounts] = field(default_factory=dict)
    forms: Mapping[str, FormCounts] = field(default_factory=dict)
    prompts: Mapping[int, Shortened] = field(default_factory=dict)
    overlap: Overlap = Overlap()

    def __post_init__(self) -> None:
        for name in self.forms:
            form_of(name)

    @property
    def by_frequency(self) -> list[int]:
        """The generated tokens, the most frequent first, of equal ones the lowest id.

        >>> Counts(frequencies={7: 2, 3: 1, 5: 2}).by_frequency
        [5, 7, 3]
        """
        return sorted(self.frequencies, key=lambda token: (-self.frequencies[token], token))


def _check(what: str, holds: bool) -> None:
    if not holds:
        raise ForetellError(f"{what} of a profile contradict each other: measure again with `foretell profile run`")
