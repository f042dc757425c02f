"""What a pipeline means: its statements, one after the other. Generated code must do the same (build.py)."""

from typing import assert_never

from foretell.accept.proposal import Proposal, merge
from foretell.accept.rule import Chance, Target
from foretell.codegen.defer import everything, hold
from foretell.codegen.round import Outcome, Parts, Round
from foretell.ir.check import check
from foretell.ir.ops import Accept, Commit, Defer, Draft, Merge, Pipeline, Route, Verify


def interpret(pipeline: Pipeline) -> Round:
    """A round that goes through the statements each time. ForetellError where the pipeline is wrong."""
    check(pipeline)

    def round_(parts: Parts, limit: int, chance: Chance) -> Outcome:
        proposals: dict[str, Proposal] = {"": Proposal()}
        silent: set[str] = set()  # deferred proposals behind which the target need not speak
        scores: dict[str, tuple[Proposal, Target | None]] = {}
        outcomes: dict[str, Outcome] = {}
        for statement in pipeline.statements:
            match statement:
                case Draft(name=name):
                    room = limit if statement.paced else min(statement.width, limit)  # a paced source looks ahead
                    proposals[name] = parts.sources[name].propose(room)
                case Merge(name=name):
                    joined = [proposals[each] for each in statement.proposals]
                    proposals[name] = merge(joined, min(statement.width, limit))
                case Defer(name=name):
                    proposals[name], asked = hold(proposals[statement.proposal], parts.defers[name])
                    if not asked:
                        silent.add(name)
                case Verify(name=name):
                    proposal, target = proposals[statement.proposal], None
                    if statement.proposal not in silent:
                        target = parts.verifier.verify(proposal, constrained=statement.constrained)
                    scores[name] = proposal, target
                case Accept(name=name):
                    proposal, target = scores[statement.scores]
                    verdict = everything(proposal) if target is None else parts.rules[name](proposal, target, chance)
                    outcomes[name] = Outcome(proposal, verdict)
                case Commit():
                    return outcomes[statement.tokens]
                case Route():
                    pass  # the query went one way or the other before the first round
                case _:
                    assert_never(statement)
        raise AssertionError(f"pipeline {pipeline.name} has no commit: its check should have said so")

    return round_
