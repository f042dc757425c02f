"""Policies scored on a guess trace: which can be, what each gives on each text, and the best that could be had."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from foretell.backend.script import Script, spoken
from foretell.cost import known
from foretell.cost.facts import Facts
from foretell.errors import ForetellError
from foretell.ir.check import check
from foretell.ir.ops import Accept, Defer, Draft, Pipeline, Route, Verify
from foretell.lab.policies.policy import Policy
from foretell.lab.replay.costs import Costs
from foretell.lab.replay.run import Played, replay
from foretell.lab.replay.trace import GuessTrace, Text, variant_of
from foretell.lab.replay.world import World, describe
from foretell.lab.suite import Prompt, Run

EXACT: tuple[str, ...] = ("greedy", "coupled")  # rules that look at the target's choices alone


@dataclass(frozen=True, slots=True)
class Scored:
    """A policy's generation of a text, on a virtual clock."""

    text: Text
    policy: str
    played: Played

    @property
    def run(self) -> Run:
        """As the tables of suites want it."""
        return Run(Prompt(self.text.klass, self.text.id, ""), self.policy, self.played.result)


@dataclass(frozen=True, slots=True)
class Scorer:
    """Plays policies over the texts of a trace.

    facts: what they decide by. costs: what passes take.
    """

    trace: GuessTrace
    facts: Facts
    costs: Costs
    _scripts: dict[tuple[int, str], Script] = field(default_factory=dict, repr=False)

    @staticmethod
    def of(trace: GuessTrace) -> "Scorer":
        """By the profile of the trace."""
        facts = known.facts(trace.profile)
        return Scorer(trace, facts, Costs.measured(trace.profile, facts))

    def world(self, text: Text) -> World:
        """A text as policies meet it."""
        about = self.trace.about
        return World(
            target=spoken(text.prompt, text.answer),
            drafts={variant_of(name): self._script(text, name) for name in text.drafts},
            facts=self.facts,
            costs=self.costs,
            limit=about.max_tokens,
            end_ids=frozenset(about.end_ids),
            sampling=about.sampling,
            vocabulary=about.vocabulary,
            draft_vocabulary=about.draft_vocabulary,
            context=about.context,
            piece_rows=about.piece_rows,
            draft_piece_rows=about.draft_piece_rows,
        )

    def _script(self, text: Text, name: str) -> Script:
        key = id(text), name
        if key not in self._scripts:
            self._scripts[key] = text.script(name)
        return self._scripts[key]

    def refusal(self, policy: Policy) -> str:
        """Why this trace cannot say what a policy would have done; "" when it can."""
        about = self.trace.about
        if policy.drafts and not about.draft:
            return "it asks a draft model, and none was recorded"
        return "" if policy.pipeline is None else _refusal(policy.pipeline, self)

    def score(self, policy: Policy, texts: Sequence[Text] | None = None) -> Iterator[Scored]:
        """Its generations, in the trace's order; it may learn from one to the next. ForetellError when refused."""
        why = self.refusal(policy)
        if why:
            raise ForetellError(f"the trace cannot score {policy.name}: {why}")
        policy = policy.fresh()
        for text in self.trace.texts if texts is None else texts:
            yield Scored(text, policy.name, replay(self.world(text), policy))


def _refusal(pipeline: Pipeline, scorer: Scorer) -> str:
    if check(pipeline) != "exact":
        return f"it is of class {check(pipeline)}, so the text depends on what is guessed"
    checks: Sequence[Callable[[object, Scorer], str]] = (_of_statement, _of_draft)
    for statement in pipeline.statements:
        for each in checks:
            why = each(statement, scorer)
            if why:
                return why
    return ""


def _of_statement(statement: object, _: Scorer) -> str:
    match statement:
        case Accept(rule=rule) if rule not in EXACT:
            return f"the rule {rule} looks at distributions, and a trace has none"
        case Defer() | Route():
            return "which model speaks depends on distributions, and a trace has none"
        case Verify(constrained=True):
            return "a grammar needs distributions, and a trace has none"
    return ""


def _of_draft(statement: object, scorer: Scorer) -> str:
    about = scorer.trace.about
    if not isinstance(statement, Draft) or statement.source != "model":
        return ""
    if statement.law == "point" and about.temperature:
        return "the text was drawn, and what the draft model thinks likeliest was not recorded"
    if statement.width > about.steps:
        return f"chains of {statement.width} guesses: the trace has {about.steps}"
    if statement.siblings and about.temperature:
        return "siblings of drawn guesses were not recorded"
    if statement.siblings >= about.top:
        return f"{statement.siblings} siblings: the trace has {about.top - 1}"
    for text in scorer.trace.texts:
        variant = scorer.world(text).variant(statement)
        if variant not in {variant_of(name) for name in text.drafts}:
            return f"the draft model was not recorded {describe(variant)}"
    return ""
