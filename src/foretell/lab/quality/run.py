"""Asks a task's questions, judges the answers, and keeps them."""

from collections.abc import Iterator, Sequence

from foretell.lab.quality.items import Item
from foretell.lab.quality.judge import judge
from foretell.lab.quality.record import Answer
from foretell.lab.quality.sandbox.run import Sandbox
from foretell.lab.suite import Configuration, Prompt, run_suite


def answers(
    items: Sequence[Item],
    who: Sequence[Configuration],
    max_tokens: int,
    seed: int,
    sandbox: Sandbox,
    known: Sequence[Answer] = (),
) -> Iterator[Answer]:
    """Answers that are not known yet; configurations take turns question by question, in an order that the seed gives.

    A judgement is made before the next question is asked, so that nothing runs beside what is timed.
    """
    by_id = {each.id: each for each in items}
    prompts = [Prompt("", each.id, each.prompt) for each in items]
    done = {("", each.id, each.configuration, 0) for each in known}
    for run in run_suite(prompts, who, max_tokens, seed, 1, done):
        verdict = judge(by_id[run.prompt.id], run.result.text, sandbox)
        yield Answer(run.prompt.id, run.configuration, run.result, verdict)
