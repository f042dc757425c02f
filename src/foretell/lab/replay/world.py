"""One text, ready to be generated again by any policy: scripts in place of models, and a virtual clock."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from foretell.accept.sampling import GREEDY, Sampling
from foretell.api import Model
from foretell.backend.null import NullBackend, VirtualClock
from foretell.backend.script import Script, cut
from foretell.cost.facts import Facts
from foretell.draft.reader import Reader
from foretell.errors import ForetellError
from foretell.ir.ops import Draft
from foretell.lab.replay.costs import Costs, PassTimes
from foretell.profile.counts import Form, form_name
from foretell.runtime.choose import DRAFT
from foretell.runtime.drafter import Drafter

Variant = tuple[int, str, int]  # of a draft model: its form, and how many of the prompt's last tokens it reads (0: all)
AS_IT_IS: Final[Variant] = (0, "", 0)


@dataclass(frozen=True, slots=True)
class World:
    """Everything that a generation meets.

    target: its text is what comes. drafts: what the draft model says along the same text, by variant.
    facts: what decisions go by. costs: what things take. limit: most tokens that the answer could have; 0: as many as
    it has. end_ids: tokens that end the text. sampling: how the text was made. vocabulary, context, piece_rows: of the
    target; the others of the draft model.
    """

    target: Script
    drafts: Mapping[Variant, Script]
    facts: Facts
    costs: Costs
    limit: int = 0
    end_ids: frozenset[int] = frozenset()
    sampling: Sampling = GREEDY
    vocabulary: int = 1000
    draft_vocabulary: int = 1000
    context: int = 32768
    piece_rows: int = 512
    draft_piece_rows: int = 512

    @property
    def prompt(self) -> tuple[int, ...]:
        """The prompt's tokens."""
        return self.target.text[: self.target.prompt]

    @property
    def answer(self) -> tuple[int, ...]:
        """The answer's, an end token included."""
        return self.target.text[self.target.prompt :]

    @property
    def max_tokens(self) -> int:
        """Of the generation."""
        return self.limit or len(self.answer)

    def variant(self, statement: Draft) -> Variant:
        """The variant of the draft model that a statement asks on this prompt."""
        short = statement.prompt if 0 < statement.prompt < self.target.prompt else 0
        return statement.vocabulary, statement.precision, short

    def draft_ms(self, variant: Variant) -> PassTimes:
        """What passes of a variant of the draft model take."""
        if self.costs.draft is None:
            raise ForetellError("no time is known of a draft model: record again with one")
        vocabulary, precision, _ = variant
        trade = self.facts.model(DRAFT).trade(vocabulary, precision)
        return self.costs.draft.scaled(trade.cost, trade.prompt)

    def opened(self) -> "Opened":
        """Scripts as loaded models, at time 0, which have read nothing."""
        clock = VirtualClock()
        target = NullBackend(
            self.target,
            clock,
            self.costs.target,
            round_ms=self.costs.round_ms,
            vocabulary=self.vocabulary,
            context=self.context,
            end_ids=self.end_ids,
            piece_rows=self.piece_rows,
            name="target",
            key="null target",
        )
        drafter = NullDrafter(self, clock) if self.drafts else None
        model = Model(target, dict(self.facts.target.points), drafter=drafter, known=self.facts)
        return Opened(model, clock)


@dataclass(frozen=True, slots=True)
class Opened:
    """A world's model (its draft model with it), and the clock that its passes move."""

    model: Model
    clock: VirtualClock = field(repr=False)


class NullDrafter(Drafter):
    """The draft model of a world."""

    def __init__(self, world: World, clock: VirtualClock) -> None:
        super().__init__(self._form, lambda _: dict(world.facts.model(DRAFT).pass_ms.points))
        self._world, self._clock = world, clock
        self._read: dict[str, Reader] = {}  # by statement

    def shortens(self, statement: Draft) -> bool:
        """Whether that was recorded: a trace of before has nothing behind the end of the prompt alone."""
        return self._world.variant(statement) in self._world.drafts

    def reader(self, statement: Draft) -> Reader:
        """A sequence of its own for the statement, which reads as much of the prompt as that says."""
        if statement.name not in self._read:
            backend = self._backend(statement)
            self._read[statement.name] = Reader(backend.session(), backend.piece_rows)
        return self._read[statement.name]

    def forget(self) -> None:
        """As by a model just loaded."""
        super().forget()
        self._read.clear()

    def _form(self, form: Form) -> NullBackend:
        return self._backend(Draft("g", "model", of=DRAFT, vocabulary=form[0], precision=form[1]))

    def _backend(self, statement: Draft) -> NullBackend:
        world, variant = self._world, self._world.variant(statement)
        if variant not in world.drafts:
            raise ForetellError(f"the draft model was not recorded {describe(variant)}")
        return NullBackend(
            cut(world.drafts[variant], world.target.prompt - variant[2] if variant[2] else 0),
            self._clock,
            world.draft_ms(variant),
            vocabulary=world.draft_vocabulary,
            context=world.context,
            piece_rows=world.draft_piece_rows,
            name=DRAFT,
            key="null draft",
        )


def describe(variant: Variant) -> str:
    """For people.

    >>> describe((16384, "", 0)), describe((0, "", 64))
    ('in the form 16384', 'in the form whole with the last 64 tokens of the prompt')
    """
    form: Form = variant[:2]
    return f"in the form {form_name(form)}" + (
        f" with the last {variant[2]} tokens of the prompt" if variant[2] else ""
    )
