"""What a round of a pipeline is expected to take and to give, from what each of its drafts is expected to hold."""

from collections.abc import Callable

from foretell.cost.facts import Facts
from foretell.cost.guesses import NONE, Guesses, deferred, fired, merged
from foretell.ir.ops import Accept, Commit, Defer, Draft, Merge, Pipeline, Route, Verify


def expected(pipeline: Pipeline, facts: Facts, guesses: Callable[[Draft], Guesses]) -> tuple[float, float]:
    """Milliseconds of a round, and its tokens. guesses: of each draft statement."""
    known: dict[str, Guesses] = {}
    drafts: dict[str, Draft] = {}
    ms, tokens = facts.overhead_ms, 0.0
    for statement in pipeline.statements:
        match statement:
            case Draft(name=name):
                known[name], drafts[name] = guesses(statement), statement
                ms += known[name].ms
            case Merge(name=name, proposals=parts, width=width):
                known[name] = merged([known[part] for part in parts], width, facts.overlap)
            case Defer(name=name, proposal=proposal, rule=rule, threshold=threshold):
                draft = drafts.get(proposal)
                fires = fired(facts.model(draft.of), rule, threshold) if draft and draft.of else 1.0
                known[name] = deferred(known[proposal], fires)
            case Verify(proposal=proposal):
                for case in known[proposal].cases if proposal else NONE.cases:
                    ms += case.share * facts.target(1 + case.rows) if case.asked else 0.0
                    tokens += case.share * (case.asked + sum(case.reach))
            case Accept() | Commit() | Route():
                pass
    return ms, tokens
