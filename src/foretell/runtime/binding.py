"""The sources that a pipeline's draft statements stand for, for one generation of a loaded model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from foretell import flags
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
from foretell.ir.check import check
from foretell.ir.ops import Defer, Draft, Pipeline
from foretell.passes.rewrite import of_kind
from foretell.runtime.bind import Bound, bind
from foretell.runtime.chances import KINDS, LOOKUP
from foretell.runtime.choose import DRAFT
from foretell.runtime.drafter import Drafter
from foretell.runtime.pace import Pace
from foretell.runtime.paced import PacedCopy
from foretell.runtime.paced_model import PacedModel
from foretell.runtime.paced_tail import KEPT, TOKENS, PacedTail, tail_of
from foretell.runtime.tiers.content import Content
from foretell.runtime.tiers.narrow import SIZES, Narrow
from foretell.runtime.tiers.profit import Times, times
from foretell.runtime.tiers.rounds import Rounds
from foretell.runtime.tiers.tiers import Tiers


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
        models: dict[str, PacedModel | PacedTail] = {}

        def make(statement: Draft) -> Source:
            source = self._source(statement, pipeline)
            if isinstance(source, PacedCopy):
                copiers.append(source)
            if isinstance(source, PacedModel | PacedTail):
                models[statement.name] = source
            return source if self.walk is None else Guarded(source, self.walk)

        paced = any(each.paced for each in of_kind(pipeline, Draft))
        out = bind(pipeline, make, self.sampling, self.walk, self.pace if paced else None)
        self.pace.begin(copiers, list(models.values()))
        tiers = self._tiers(out, models) if paced else None
        return out if tiers is None else replace(out, play=tiers.play, tiers=tiers)

    def _tiers(self, bound: Bound, models: Mapping[str, PacedModel | PacedTail]) -> Tiers | None:
        """Where the text does not depend on guesses; else it would depend on when something was built."""
        pipeline, pace = bound.pipeline, self.pace
        if not flags.tiers() or check(pipeline) != "exact":
            return None
        paced = [each for each in of_kind(pipeline, Draft) if each.paced]
        labels = {each.name: bound.sources[each.name].name for each in paced}
        narrows = [self._narrow(each, models[each.name]) for each in paced if each.name in models]
        return Tiers(Rounds(pipeline, bound.play, labels, pace), [each for each in narrows if each])

    def _narrow(self, statement: Draft, model: PacedModel | PacedTail) -> Narrow | None:
        """A cut of the statement's model, if it can have one and what that saves is known."""
        cutter = None if self.drafter is None else self.drafter.cutter(statement)
        if self.drafter is None or cutter is None:
            return None
        sizes: list[tuple[Content, Times]] = []
        for size in SIZES:
            words = self.drafter.words(statement, size)
            says, form = len(words.known), (statement.vocabulary, statement.precision)
            known = times(self.facts, statement.of, *form, (says, size), cutter.vocabulary) if says > size else None
            if known is not None:
                sizes.append((Content(words), known))
        if not sizes:
            return None
        return Narrow(model.name, cutter, self.facts, sizes, self.pace.note, model.price)

    def _source(self, statement: Draft, pipeline: Pipeline) -> Source:
        if statement.source == "model":
            return self._model(statement, pipeline)
        beside = any(each.paced and each.source == "lookup" for each in of_kind(pipeline, Draft))
        sure = statement.paced and beside
        source = sources.make(statement, self.sampling, self.vocabulary, walk=self.walk, sure=sure)
        if self.hint and statement.source == "lookup":
            source.extend(self.hint)
        if not statement.paced:
            return source
        known = self.facts.sources.get(statement.source)
        kinds = KINDS.get(statement.source, LOOKUP)
        matches = self.pace.matches(statement.name, known.calibration if known else (), kinds)
        return PacedCopy(source, self.pace, matches, statement.width)

    def _model(self, statement: Draft, pipeline: Pipeline) -> Source:
        if self.drafter is None or statement.of != DRAFT:
            raise UsageError(
                f"pipeline {pipeline.name} asks the model {statement.of!r}, which is not loaded: give --draft"
                if statement.of == DRAFT
                else f"pipeline {pipeline.name} asks the model {statement.of!r}: the draft model is called {DRAFT}"
            )
        deferring = any(each.proposal == statement.name for each in of_kind(pipeline, Defer))
        whole, end = self._reading(statement, self.drafter, deferring=deferring), tail_of(statement)
        if not isinstance(whole, PacedModel) or end is None or not self.drafter.shortens(end):
            return whole
        tail = self._reading(end, self.drafter)
        return PacedTail(tail, whole, self.pace) if isinstance(tail, PacedModel) else whole

    def _reading(self, statement: Draft, drafter: Drafter, *, deferring: bool = False) -> Source:
        """A draft model that reads as much of the prompt as the statement says."""
        sampling, vocabulary, walk = self.sampling, self.vocabulary, self.walk
        reader = drafter.reader(statement)
        source = sources.make(statement, sampling, vocabulary, reader=reader, deferring=deferring, walk=walk)
        if not statement.paced:
            return source
        if not isinstance(source, ModelSource):
            raise ForetellError(f"the source of {statement.name} cannot be paced: leave out paced")
        known = self.facts.model(DRAFT)
        known = replace(known, prompts={TOKENS: KEPT, **known.prompts})
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
