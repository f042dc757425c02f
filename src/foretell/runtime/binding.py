"""The sources that a pipeline's draft statements stand for, for one generation of a loaded model."""

from collections.abc import Sequence
from dataclasses import dataclass

from foretell.accept.grammar import Walk
from foretell.accept.sampling import Sampling
from foretell.cost.facts import Facts
from foretell.cost.model import calibration
from foretell.draft import sources, staged
from foretell.draft.grammar import Guarded
from foretell.draft.likely import Likely
from foretell.draft.model import ModelSource
from foretell.draft.source import Source
from foretell.errors import ForetellError, UsageError
from foretell.ir.ops import Defer, Draft, Pipeline
from foretell.passes.rewrite import of_kind
from foretell.runtime.bind import Bound, bind
from foretell.runtime.choose import DRAFT
from foretell.runtime.drafter import Drafter
from foretell.runtime.pace import Pace
from foretell.runtime.paced import PacedCopy
from foretell.runtime.paced_model import PacedModel


@dataclass(frozen=True, slots=True)
class Binding:
    """What a generation's sources need.

    vocabulary: of the target. drafter: the draft model, if one is loaded. walk: the text under its grammar, if it has
    one. pace: what paced statements go by. facts: costs and chances of the draft model. hint: tokens of a text that the
    output may be like; lookup copies from it too.
    """

    sampling: Sampling
    vocabulary: int
    pace: Pace
    facts: Facts
    drafter: Drafter | None = None
    walk: Walk | None = None
    hint: Sequence[int] = ()

    def bound(self, pipeline: Pipeline) -> Bound:
        """A checked pipeline, ready to run. UsageError when it asks for what is not there."""
        copiers: list[PacedCopy] = []
        models: list[PacedModel] = []

        def make(statement: Draft) -> Source:
            source = self._source(statement, pipeline)
            if isinstance(source, PacedCopy):
                copiers.append(source)
            if isinstance(source, PacedModel):
                models.append(source)
            return source if self.walk is None else Guarded(source, self.walk)

        paced = any(each.paced for each in of_kind(pipeline, Draft))
        out = bind(pipeline, make, self.sampling, self.walk, self.pace if paced else None)
        self.pace.begin(copiers, models)
        return out

    def _source(self, statement: Draft, pipeline: Pipeline) -> Source:
        if statement.source == "model":
            return self._model(statement, pipeline)
        source = sources.make(statement, self.sampling, self.vocabulary, walk=self.walk)
        if self.hint and statement.source == "lookup":
            source.extend(self.hint)
        if not statement.paced:
            return source
        known = self.facts.sources.get(statement.source)
        matches = self.pace.matches(statement.name, known.calibration if known else ())
        return PacedCopy(source, self.pace, matches, statement.width)

    def _model(self, statement: Draft, pipeline: Pipeline) -> Source:
        if self.drafter is None or statement.of != DRAFT:
            raise UsageError(
                f"pipeline {pipeline.name} asks the model {statement.of!r}, which is not loaded: give --draft"
                if statement.of == DRAFT
                else f"pipeline {pipeline.name} asks the model {statement.of!r}: the draft model is called {DRAFT}"
            )
        sampling, vocabulary, walk = self.sampling, self.vocabulary, self.walk
        deferring = any(each.proposal == statement.name for each in of_kind(pipeline, Defer))
        reader = self.drafter.reader(statement)
        source = sources.make(statement, sampling, vocabulary, reader=reader, deferring=deferring, walk=walk)
        if not statement.paced:
            return source
        if not isinstance(source, ModelSource):
            raise ForetellError(f"the source of {statement.name} cannot be paced: leave out paced")
        known = self.facts.model(DRAFT)
        trade = known.trade(statement.vocabulary, statement.precision)
        chooses = statement.law in ("point", "coupled")
        return PacedModel(
            source,
            reader,
            self.pace,
            self.pace.doubts(statement.name, calibration(statement, known)),
            want=Likely(DRAFT, statement.law, sampling, vocabulary).want if chooses else None,
            pass_ms=known.pass_ms.scaled(trade.cost),
            prompt_ms=known.prompt_ms * trade.prompt,
            width=statement.width,
            ahead=staged.MOST if statement.inner else 0,
        )
