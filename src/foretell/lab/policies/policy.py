"""What a policy is: something that says which sources guess in a generation, and how they decide."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from foretell.accept.proposal import Proposal
from foretell.accept.sampling import Sampling
from foretell.api import Model
from foretell.draft.model import ModelSource
from foretell.draft.source import Source
from foretell.draft.sources import free, make
from foretell.errors import UsageError
from foretell.ir.ops import Accept, Commit, Draft, Pipeline, Verify
from foretell.runtime.bind import Bound, bind
from foretell.runtime.choose import DRAFT
from foretell.runtime.settings import Settings

STEPS: Final = 8  # most guesses of a draft model in a round, by whatever policy: traces have as many
Clock = Callable[[], float]  # seconds


@dataclass(frozen=True, slots=True)
class Kit:
    """What a policy builds its sources from; the same whether models run or are replayed.

    model: with its draft model, if it has one. sampling: of the generation. clock: what its time is told by.
    """

    model: Model
    sampling: Sampling
    clock: Clock

    def lookup(self, width: int) -> Source:
        """Guesses copied from the text."""
        return free("lookup", width)

    def free(self, name: str, width: int) -> Source:
        """Another source without a model."""
        return free(name, width)

    def chain(self, width: int, *, name: str = "g") -> ModelSource:
        """The draft model's own choices, with the target's noise; `stop` and `reach` can be set between proposals."""
        if self.model.drafter is None:
            raise UsageError("this policy asks a draft model: give --draft")
        statement = Draft(name, "model", width=width, law="coupled", of=DRAFT)
        source = make(
            statement, self.sampling, self.model.session.vocabulary, reader=self.model.drafter.reader(statement)
        )
        if not isinstance(source, ModelSource):
            raise TypeError(f"{type(source).__name__} is no draft model")
        return source

    def bound(self, source: Source, width: int, *, branching: bool = False) -> Bound:
        """Rounds in which this source guesses. branching: whether its guesses may have siblings."""
        return bind(single(width, branching=branching), lambda _: source, self.sampling)


class Policy(Protocol):
    """A policy. What it keeps from one generation to the next is its own affair."""

    @property
    def name(self) -> str:
        """In tables and on the command line."""
        ...

    @property
    def drafts(self) -> bool:
        """Whether it asks the draft model."""
        ...

    @property
    def pipeline(self) -> Pipeline | None:
        """What it runs, where a pipeline says all of it."""
        ...

    def fresh(self) -> "Policy":
        """The same policy, before it has seen anything."""
        ...

    def bound(self, kit: Kit) -> Bound:
        """The sources of one generation."""
        ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """A pipeline: what it decides is in its statements, pacing included."""

    name: str
    pipeline: Pipeline

    @property
    def drafts(self) -> bool:
        """Whether it asks the draft model."""
        return any(isinstance(each, Draft) and each.of for each in self.pipeline.statements)

    def fresh(self) -> "Fixed":
        """Itself: it learns nothing from one generation to the next."""
        return self

    def bound(self, kit: Kit) -> Bound:
        """As `generate --pipeline` runs it."""
        return kit.model.bound(Settings(pipeline=self.pipeline, temperature=kit.sampling.temperature), kit.sampling)


def single(width: int, *, branching: bool = False) -> Pipeline:
    """A pipeline of one source, for sources that no statement says; the name there tells chains from trees."""
    draft = Draft("g", "recycled" if branching else "lookup", width=width)
    return Pipeline("single", (draft, Verify("v", "g"), Accept("a", "v"), Commit("a")))


def lasting(proposal: Proposal, tokens: Sequence[int]) -> int:
    """How many guesses of a chain were right, by the tokens that came."""
    count = 0
    for guess, token in zip(proposal.guesses, tokens, strict=False):
        if guess.token != token:
            break
        count += 1
    return count
