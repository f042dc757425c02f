"""What an answer is worth, from 0 to 1: right or wrong, or how near it is to good texts."""

from dataclasses import dataclass

from foretell.lab.quality import gleu
from foretell.lab.quality.items import Item, Texts
from foretell.lab.quality.judge import judge
from foretell.lab.quality.measures import CHRF, GLEU, RIGHT, sentence_chrf
from foretell.lab.quality.sandbox.run import Sandbox
from foretell.lab.quality.tasks import Task


@dataclass(frozen=True, slots=True)
class Worth:
    """score: None where nothing is judged. measure: what it says: "right", "chrF", "GLEU". why: what was wrong."""

    score: float | None = None
    measure: str = ""
    why: str = ""


def worth(item: Item, task: Task, answer: str, sandbox: Sandbox) -> Worth:
    """Of an answer to a task's question. sandbox: where programs are run.

    Of texts the task's first measure, on this one sentence: the figure of a corpus is no mean of these.
    """
    verdict = judge(item, answer, sandbox)
    if not isinstance(item.gold, Texts):
        return Worth(float(bool(verdict.right)), RIGHT.name, verdict.why)
    if task.measures[0] is GLEU:
        drawn = gleu.drawn(gleu.table([item.gold.source], [verdict.extracted], [item.gold.references]))
        return Worth(float(gleu.score(drawn.sum(axis=0)).mean()) / 100, GLEU.name)
    return Worth(sentence_chrf(verdict.extracted, item.gold.references) / 100, CHRF.name)
